"""Sockets that the members of one group may use beside this user."""

from __future__ import annotations

import grp
import os
import stat
from pathlib import Path

from mooring.model.errors import ConfigurationError

SETTING = "engine.socket_group"

_ALONE_FOLDER, _ALONE_SOCKET = 0o700, 0o600
_SHARED_FOLDER, _SHARED_SOCKET = 0o710, 0o660
"""Members of the group go through folders, and do not see what is in them."""


def group_id(name: str) -> int | None:
    """The number of the group; None for an empty name. Raises ConfigurationError."""
    if not name:
        return None
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError:
        raise ConfigurationError(
            f"{SETTING}: there is no group {name} on this host; `getent group` lists all"
        ) from None


def share_folder(folder: Path, group: int | None) -> None:
    """Let the group's members through this user's folder; without a group, nobody."""
    _share(folder, group, _ALONE_FOLDER, _SHARED_FOLDER)


def share_socket(path: Path, group: int | None) -> None:
    """Let the group's members connect to this user's socket; without a group, nobody."""
    _share(path, group, _ALONE_SOCKET, _SHARED_SOCKET)


def check_way(folder: Path, group: int) -> None:
    """Raise ConfigurationError unless the group's members get to what is in the folder."""
    real = folder.resolve()
    for one in (real, *real.parents):
        state = one.stat()
        others, members = state.st_mode & stat.S_IXOTH, state.st_mode & stat.S_IXGRP
        if not others and not (members and state.st_gid == group):
            raise ConfigurationError(
                f"{SETTING}: its members cannot get to the sockets in {folder}, because {one} lets "
                "nobody else through: set engine.run to a directory that they can get to, such as "
                "/run/mooring"
            )


def _share(path: Path, group: int | None, alone: int, shared: int) -> None:
    state = path.lstat()
    if stat.S_ISLNK(state.st_mode):
        return  # it was not made here
    # A folder may be one in which everything new has its group, as /run/mooring can be.
    inherited = state.st_mode & stat.S_ISGID
    wanted = inherited | (alone if group is None else shared)
    if stat.S_IMODE(state.st_mode) == wanted and group in (None, state.st_gid):
        return
    if group in (None, state.st_gid):
        path.chmod(wanted)
        return
    # Never a moment in which another group than this one may.
    path.chmod(alone)
    try:
        os.chown(path, -1, group, follow_symlinks=False)
    except PermissionError as error:
        name = grp.getgrgid(group).gr_name
        raise ConfigurationError(
            f"{SETTING}: the server's user cannot give {path} to the group {name}, of which it is "
            f"no member: `adduser USER {name}`, then start the server again"
        ) from error
    path.chmod(wanted)
