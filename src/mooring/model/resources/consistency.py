"""How consistent a snapshot is, and the tags that ask for it and report it."""

from __future__ import annotations

import os.path
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Any

from mooring.model.addresses import ADDRESS_TAG, check_address_tag
from mooring.model.automatic.rhythm import RHYTHMS_TAG
from mooring.model.errors import InvalidInputException
from mooring.model.names import is_name, shown
from mooring.model.operation import ResourceType
from mooring.model.resources.disk import SHARED_TAG
from mooring.model.resources.host import HOST_TAG
from mooring.model.resources.system_disk import SYSTEM_DISK_TAG
from mooring.model.tags import Tags, read_tags

QUIESCE_TAG = "mooring:quiesce"
"""On a disk: the wish."""

AGENT_TAG = "mooring:guest-agent"
"""On an instance: the path of its guest agent's socket on this host."""

CONSISTENCY_TAG = "mooring:consistency"
"""On a snapshot, set by the server alone: the kind."""

CONSISTENCY = "consistency"
"""In a root: the kind, also of what has no tags, as automatic snapshots and parts have not."""

MAX_SOCKET_BYTES = 107
"""What fits into `sockaddr_un.sun_path` with its closing zero (Linux, unix(7))."""


class Consistency(StrEnum):
    """What a snapshot is good for without further ado, weakest first.

    `crash`: as after a power cut. `file-system`: the file systems were at rest, so they are clean.
    `application`: so were the programs that write to them. `at-rest`: nobody used the disk.
    """

    CRASH = "crash"
    FILE_SYSTEM = "file-system"
    APPLICATION = "application"
    AT_REST = "at-rest"


class Wish(StrEnum):
    """Whether a disk's users are brought to rest for a snapshot."""

    OFF = "off"
    TRY = "try"
    REQUIRE = "require"


def wish_of(tags: Tags) -> Wish:
    """What the disk's tags ask for; `try` if nothing."""
    value = tags.get(QUIESCE_TAG)
    return Wish(value) if value in list(Wish) else Wish.TRY


def agent_socket_of(tags: Tags) -> str | None:
    """Where the instance's guest agent listens, if its tags say so."""
    return tags.get(AGENT_TAG) or None


def consistency_of(tags: Tags) -> Consistency | None:
    """What a snapshot's tags say; None if they do not."""
    value = tags.get(CONSISTENCY_TAG)
    return Consistency(value) if value in list(Consistency) else None


def consistency_told(extra: Mapping[str, str], tags: Tags) -> Consistency | None:
    """What a root says; roots of before that said it by the tags alone."""
    return consistency_of({CONSISTENCY_TAG: extra.get(CONSISTENCY) or tags.get(CONSISTENCY_TAG)})


def read_given_tags(
    kind: ResourceType, items: Iterable[Mapping[str, Any]]
) -> dict[str, str | None]:
    """The tags that a request gives a resource of that type. Raises InvalidInputException.

    Scripts hand on the tags of what they copy or restore, so the one that only the server sets is
    left out, whatever it says; and a snapshot keeps its disk's or instance's for what is made of
    it. What begins with `mooring:` otherwise and means nothing there is refused.
    """
    tags = read_tags(item for item in items if item.get("key") != CONSISTENCY_TAG)
    _check_own_tags(kind, tags)
    return tags


def _check_own_tags(kind: ResourceType, tags: Tags) -> None:
    for key, value in tags.items():
        if not key.startswith("mooring:"):
            continue
        known = _KNOWN.get(key)
        if known is None:
            raise InvalidInputException(
                f"The tag {shown(key)} has no meaning: tags that start with mooring: are Mooring's "
                f"own, and those you can set are {', '.join(_KNOWN)}."
            )
        if kind not in known and kind not in _SNAPSHOTS:
            raise InvalidInputException(
                f"The tag {key} belongs on a resource of the type {' or '.join(known)}, "
                f"not on a {kind}."
            )
        found = shown(value or "")
        if key == QUIESCE_TAG and value not in list(Wish):
            *others, last = Wish
            raise InvalidInputException(
                f'The tag {key} must be {", ".join(others)} or {last}; it is "{found}".'
            )
        if key == SHARED_TAG and value not in ("true", "false"):
            raise InvalidInputException(f'The tag {key} must be true or false; it is "{found}".')
        if key == AGENT_TAG:
            _check_socket(value or "")
        if key == ADDRESS_TAG:
            check_address_tag(value or "")
        if key == SYSTEM_DISK_TAG and not is_name(value or ""):
            raise InvalidInputException(
                f'The tag {key} must be the name of a disk that is attached; it is "{found}".'
            )


def without_own(tags: Tags) -> dict[str, str | None]:
    """The tags without the one that only the server sets."""
    return {key: value for key, value in tags.items() if key != CONSISTENCY_TAG}


_KNOWN: Mapping[str, Sequence[ResourceType]] = {
    QUIESCE_TAG: [ResourceType.DISK],
    RHYTHMS_TAG: [ResourceType.DISK, ResourceType.INSTANCE],
    AGENT_TAG: [ResourceType.INSTANCE],
    SHARED_TAG: [ResourceType.DISK],
    HOST_TAG: [ResourceType.DISK, ResourceType.INSTANCE],
    ADDRESS_TAG: [ResourceType.INSTANCE],
    SYSTEM_DISK_TAG: [ResourceType.INSTANCE],
}


_SNAPSHOTS = (ResourceType.DISK_SNAPSHOT, ResourceType.INSTANCE_SNAPSHOT)
"""What keeps its origin's tags; they have no effect there."""


def _check_socket(path: str) -> None:
    if not path.startswith("/") or os.path.normpath(path) != path or path == "/":
        raise InvalidInputException(
            f"The tag {AGENT_TAG} must be the absolute path of a socket, without . or .. in it, "
            f"not {shown(path)}."
        )
    if len(os.fsencode(path)) > MAX_SOCKET_BYTES:
        raise InvalidInputException(
            f"The path in the tag {AGENT_TAG} has {len(os.fsencode(path))} bytes; a Unix socket's "
            f"path can have at most {MAX_SOCKET_BYTES}."
        )
