"""Changes of the file of keys: one at a time, and an administrator always remains."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from mooring.model.access import Access, Role
from mooring.model.errors import ConfigurationError
from mooring.service.credentials.keyring import ended
from mooring.service.credentials.keys import Key, new_key, read_keys, write_keys

Edit = Callable[[list[Key]], list[Key]]


def edit_keys(path: Path, edit: Edit, now_ms: int) -> set[str]:
    """Rewrite the file; the ids of keys that are gone, or may something else than before.

    Raises ConfigurationError, as the edit may.
    """
    before, keys = edit_file(path, checked(edit, now_ms))
    return ended(before, {key.id: key for key in keys})


def edit_file(path: Path, edit: Edit) -> tuple[Mapping[str, Key], list[Key]]:
    """Rewrite the file; returns the keys before and after. Raises ConfigurationError."""
    with _alone(path):
        before = read_keys(path)
        keys = edit(list(before.values()))
        write_keys(path, keys)
    return before, keys


def checked(edit: Edit, now_ms: int) -> Edit:
    """The edit, after which what has ended is gone, and an administrator must remain."""

    def edit_and_check(before: list[Key]) -> list[Key]:
        keys = [key for key in edit(before) if not key.ended(now_ms)]
        lasting = [key for key in keys if key.expires_ms is None and not key.access.tags]
        if not any(key.access.role is Role.ADMINISTRATOR for key in lasting):
            raise ConfigurationError(
                "this would leave no administrator who is not bound to tags: make another one first"
            )
        return keys

    return edit_and_check


def add_key(keys: Sequence[Key], user: str, access: Access) -> tuple[list[Key], Key]:
    """The keys with a first one of a user. Raises ConfigurationError if the user has one."""
    if any(user in (key.access.user, key.profile) for key in keys):
        raise ConfigurationError(f"the user {user} has a key: change, rotate or delete it")
    made = new_key(user, access)
    return [*keys, made], made


def rotate_key(keys: Sequence[Key], user: str, ends_ms: int) -> tuple[list[Key], Key]:
    """The keys with a new one of the user, whose others end by then. Raises ConfigurationError."""
    current = keys_of(keys, user)[0]
    made = new_key(current.profile, current.access)
    edited: list[Key] = []
    for key in keys:
        if key is current:
            edited.append(made)
        edited.append(_ending(key, ends_ms) if key.access.user == user else key)
    return edited, made


def remove_keys(keys: Sequence[Key], user: str, key_id: str | None) -> list[Key]:
    """The keys without those of the user, or the one of that id. Raises ConfigurationError."""
    gone = [key for key in keys_of(keys, user) if key_id in (None, key.id)]
    if not gone:
        raise ConfigurationError(f"the user {user} has no key {key_id}")
    return [key for key in keys if key not in gone]


def keys_of(keys: Sequence[Key], user: str) -> list[Key]:
    """The user's keys, the newest first. Raises ConfigurationError if there is none."""
    found = [key for key in keys if key.access.user == user]
    if not found:
        known = ", ".join(dict.fromkeys(key.access.user for key in keys))
        raise ConfigurationError(f"there is no user {user}; known: {known}")
    return found


def _ending(key: Key, ends_ms: int) -> Key:
    """The key under a name of its own, so that clients that read the file find the new one."""
    first = ends_ms if key.expires_ms is None else min(ends_ms, key.expires_ms)
    return replace(key, profile=f"{key.access.user}-{key.id}", expires_ms=first)


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
