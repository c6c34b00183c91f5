"""mooringd keys: makes, lists, changes, rotates and deletes access keys."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from mooring.config.settings import Settings
from mooring.model.access import Access, Role
from mooring.model.clock import SystemClock
from mooring.model.errors import ConfigurationError
from mooring.model.names import shown
from mooring.model.paths import Paths
from mooring.service.credentials.key_file import (
    add_key,
    checked,
    edit_file,
    keys_of,
    remove_keys,
    rotate_key,
)
from mooring.service.credentials.keyring import ended
from mooring.service.credentials.keys import (
    PROFILE,
    Key,
    check_user,
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
    made: list[Key] = []

    def add(keys: list[Key]) -> list[Key]:
        edited, key = add_key(keys, user, access)
        made.append(key)
        return edited

    _hand_over(settings, made, output, add)
    return 0


def change(settings: Settings, user: str, role: str | None, tags: list[str] | None) -> int:
    """Give a user's keys another role, other tags, or both; an empty list takes tags away."""

    def edit(keys: list[Key]) -> list[Key]:
        keys_of(keys, user)
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
        edited, key = rotate_key(keys, user, ends)
        made.append(key)
        return edited

    _hand_over(settings, made, output, edit)
    print(f"{user}: the previous keys expire {show_moment(ends)}")
    return 0


def delete(settings: Settings, user: str, key_id: str | None) -> int:
    """Delete a user's keys, or the one of that id: they are refused within a second."""

    def edit(keys: list[Key]) -> list[Key]:
        return remove_keys(keys, user, key_id)

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


def _hand_over(
    settings: Settings,
    made: list[Key],
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
            write_keys(output, [replace(made[0], profile=PROFILE)])
        return edited

    try:
        _edit(settings, edit_and_write)
    except BaseException:
        if output is not None:
            output.unlink(missing_ok=True)
        raise
    key = made[0]
    print(f"{key.access.user}: key {key.id} as [{key.profile}] in {_known(settings)[1]}")
    if output is not None:
        print(f"{key.access.user}: the same key as [{PROFILE}] in {output}, for AWS clients")


def _edit(settings: Settings, edit: Callable[[list[Key]], list[Key]]) -> None:
    """Record other keys. What has ended goes; an administrator must remain."""
    whole = checked(edit, SystemClock().now_ms())
    with shared_keys_at_hand(settings) as shared:
        if shared is not None:
            before, keys = shared.edit(whole)
            shared.copy()
        else:
            before, keys = edit_file(_file(settings), whole)
    gone = ended(before, {key.id: key for key in keys})
    # A server that runs does the same; without one their exports end here.
    withdraw(settings, SystemClock(), gone.__contains__)


def _known(settings: Settings) -> tuple[Mapping[str, Key], str]:
    """All keys, and where they are."""
    with shared_keys_at_hand(settings) as shared:
        if shared is not None:
            return shared.read(), "the catalog"
    path = _file(settings)
    return read_keys(path), str(path)


def _file(settings: Settings) -> Path:
    path = Paths(settings.data_directory).credentials
    if not path.exists():
        raise ConfigurationError(f"{path} does not exist: the first `mooringd serve` makes it")
    return path
