"""mooringd keys: makes, lists, changes, rotates and deletes access keys."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from mooring.config.settings import Settings
from mooring.host.reserve import Reserve
from mooring.model.access import Access, Role
from mooring.model.clock import SystemClock
from mooring.model.errors import ConfigurationError
from mooring.model.names import shown
from mooring.model.paths import Paths
from mooring.service.credentials.keyring import ended
from mooring.service.credentials.keys import (
    PROFILE,
    Key,
    check_user,
    new_key,
    parse_tags,
    read_keys,
    show_moment,
    write_keys,
)
from mooring.wiring.keys import shared_keys_at_hand
from mooring.wiring.snapshot_servers import withdraw

HOUR_MS = 60 * 60 * 1000


def list_keys(settings: Settings) -> int:
    """Print all keys, without their secrets."""
    now = SystemClock().now_ms()
    rows = [("USER", "KEY", "ROLE", "TAGS", "ENDS")]
    for key in _known(settings)[0].values():
        ends = "never" if key.expires_ms is None else show_moment(key.expires_ms)
        tags = ", ".join(f"{name}={value}" for name, value in key.access.tags.items())
        shown = "ended" if key.ended(now) else ends
        rows.append((key.access.user, key.id, str(key.access.role), tags or "-", shown))
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    for row in rows:
        cells = [text.ljust(width) for text, width in zip(row, widths, strict=True)]
        print("  ".join(cells).rstrip())
    return 0


def create(settings: Settings, user: str, role: str, tags: list[str], output: Path | None) -> int:
    """Make a key for a new user. Raises ConfigurationError if the user has one."""
    access = Access(check_user(user), Role(role), _tags(tags))
    made = new_key(user, access)

    def add(keys: list[Key]) -> list[Key]:
        if any(user in (key.access.user, key.profile) for key in keys):
            raise ConfigurationError(f"the user {user} has a key: change, rotate or delete it")
        return [*keys, made]

    _hand_over(settings, made, output, add)
    return 0


def change(settings: Settings, user: str, role: str | None, tags: list[str] | None) -> int:
    """Give a user's keys another role, other tags, or both; an empty list takes tags away."""

    def edit(keys: list[Key]) -> list[Key]:
        _of(keys, user)
        return [_changed(key, role, tags) if key.access.user == user else key for key in keys]

    _edit(settings, edit)
    print(f"{user}: changed; a running server sees it within a second")
    return 0


def rotate(settings: Settings, user: str, overlap_hours: float, output: Path | None) -> int:
    """Make a new key for the user; those there end after the overlap."""
    if not 0 <= overlap_hours <= 24 * 366:
        raise ConfigurationError(f"--overlap-hours must be 0 to 8784, not {overlap_hours:g}")
    ends = SystemClock().now_ms() + round(overlap_hours * HOUR_MS)
    made: list[Key] = []

    def edit(keys: list[Key]) -> list[Key]:
        current = _of(keys, user)[0]
        made.append(new_key(current.profile, current.access))
        return [
            part
            for key in keys
            for part in (
                [made[0], _ending(key, ends)]
                if key is current
                else [_ending(key, ends) if key.access.user == user else key]
            )
        ]

    _hand_over(settings, made, output, edit)
    print(f"{user}: the previous keys expire {show_moment(ends)}")
    return 0


def delete(settings: Settings, user: str, key_id: str | None) -> int:
    """Delete a user's keys, or the one of that id: they are refused within a second."""

    def edit(keys: list[Key]) -> list[Key]:
        gone = [key for key in _of(keys, user) if key_id in (None, key.id)]
        if not gone:
            raise ConfigurationError(f"the user {user} has no key {key_id}")
        return [key for key in keys if key not in gone]

    _edit(settings, edit)
    print(f"{user}: deleted; a running server sees it within a second")
    return 0


def _tags(given: list[str]) -> dict[str, str]:
    for one in given:
        if "=" not in one:
            raise ConfigurationError(
                f"--tag must be KEY=VALUE, or KEY= for an empty value, not {shown(one)}"
            )
    return parse_tags(given)


def _changed(key: Key, role: str | None, tags: list[str] | None) -> Key:
    access = key.access
    if role is not None:
        access = replace(access, role=Role(role))
    if tags is not None:
        access = replace(access, tags=_tags([tag for tag in tags if tag]))
    return replace(key, access=access)


def _ending(key: Key, ends_ms: int) -> Key:
    """The key under a name of its own, so that clients that read the file find the new one."""
    first = ends_ms if key.expires_ms is None else min(ends_ms, key.expires_ms)
    return replace(key, profile=f"{key.access.user}-{key.id}", expires_ms=first)


def _of(keys: list[Key], user: str) -> list[Key]:
    found = [key for key in keys if key.access.user == user]
    if not found:
        known = ", ".join(dict.fromkeys(key.access.user for key in keys))
        raise ConfigurationError(f"there is no user {user}; known: {known}")
    return found


def _hand_over(
    settings: Settings,
    made: Key | list[Key],
    output: Path | None,
    edit: Callable[[list[Key]], list[Key]],
) -> None:
    """Record a new key and say where it is; with `output` also write it into a file alone."""
    if output is not None and output.exists():
        raise ConfigurationError(f"{output} exists: name another file, or move it away")

    def edit_and_write(keys: list[Key]) -> list[Key]:
        edited = edit(keys)
        if output is not None:
            # First: where it cannot be written, there shall be no new key either.
            key = made[0] if isinstance(made, list) else made
            write_keys(output, [replace(key, profile=PROFILE)])
        return edited

    try:
        _edit(settings, edit_and_write)
    except BaseException:
        if output is not None:
            output.unlink(missing_ok=True)
        raise
    key = made[0] if isinstance(made, list) else made
    print(f"{key.access.user}: key {key.id} as [{key.profile}] in {_known(settings)[1]}")
    if output is not None:
        print(f"{key.access.user}: the same key as [{PROFILE}] in {output}, for AWS clients")


def _edit(settings: Settings, edit: Callable[[list[Key]], list[Key]]) -> None:
    """Record other keys. What has ended goes; an administrator must remain."""
    now = SystemClock().now_ms()

    def checked(before: list[Key]) -> list[Key]:
        keys = [key for key in edit(before) if not key.ended(now)]
        lasting = [key for key in keys if key.expires_ms is None and not key.access.tags]
        if not any(key.access.role is Role.ADMINISTRATOR for key in lasting):
            raise ConfigurationError(
                "this would leave no administrator who is not bound to tags: make another one first"
            )
        return keys

    # A key that must go has to go from a full disk, too.
    Reserve(Paths(settings.data_directory).reserve).make_way()
    with shared_keys_at_hand(settings) as shared:
        if shared is not None:
            before, keys = shared.edit(checked)
            shared.copy()
        else:
            before, keys = _edit_file(_file(settings), checked)
    gone = ended(before, {key.id: key for key in keys})
    # A server that runs does the same; without one their exports end here.
    withdraw(settings, SystemClock(), gone.__contains__)


def _edit_file(
    path: Path, edit: Callable[[list[Key]], list[Key]]
) -> tuple[Mapping[str, Key], list[Key]]:
    """Rewrite the file; returns the keys before and after."""
    with _alone(path):
        before = read_keys(path)
        keys = edit(list(before.values()))
        write_keys(path, keys)
    return before, keys


def _known(settings: Settings) -> tuple[Mapping[str, Key], str]:
    """All keys, and where they are."""
    with shared_keys_at_hand(settings) as shared:
        if shared is not None:
            return shared.read(), "the catalog"
    path = _file(settings)
    return read_keys(path), str(path)


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Hold off others who change keys.

    The file is locked, and not its folder, of which daemons may hold a lock as long as they run:
    see `kept_from_cleaning`. Whoever waited for a file that has been replaced waits for its
    successor.
    """
    while True:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            if _is(file.fileno(), path):
                yield
                return


def _is(descriptor: int, path: Path) -> bool:
    """Whether the path still names this file."""
    return path.exists() and os.path.samestat(os.fstat(descriptor), path.stat())


def _file(settings: Settings) -> Path:
    path = Paths(settings.data_directory).credentials
    if not path.exists():
        raise ConfigurationError(f"{path} does not exist: the first `mooringd serve` makes it")
    return path
