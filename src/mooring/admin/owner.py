"""Acting as the owner of a data directory when root runs a command on it.

What root makes there belongs to root, and the server, which runs as a user of its own, cannot read
it: after `sudo mooringd keys create` it did not start again.
"""

from __future__ import annotations

import ctypes
import os
import pwd
import struct
from pathlib import Path

from mooring.model.errors import ConfigurationError

_PR_SET_KEEPCAPS = 8  # prctl(2)
_CAPABILITY_VERSION = 0x20080522  # of three; capget(2), linux/capability.h
_CAP_DAC_READ_SEARCH = 1 << 2
_HEADER = struct.Struct("Ii")
_DATA = struct.Struct("6I")  # twice effective, permitted, inheritable: low words, then high ones


def become_owner(data: Path) -> str | None:
    """From now on act as the user who owns the directory, if this is root and somebody else does.

    Returns that user's name, None if nothing had to change. Files can still be read as root can:
    the program itself, settings and keys may lie where that user does not reach them. They are
    written as that user. Programs started from here have no such right. Raises ConfigurationError.
    """
    if os.geteuid() != 0:
        return None
    try:
        found = data.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    if found.st_uid == 0:
        return None
    name = _name(found.st_uid)
    libc = ctypes.CDLL(None, use_errno=True)
    try:
        if libc.prctl(_PR_SET_KEEPCAPS, 1, 0, 0, 0):
            raise OSError(ctypes.get_errno(), "prctl")
        _take_groups(found.st_uid, found.st_gid)
        os.setresgid(found.st_gid, found.st_gid, found.st_gid)
        os.setresuid(found.st_uid, found.st_uid, found.st_uid)
        _keep_reading(libc)
    except OSError as error:
        raise ConfigurationError(
            f"{data} belongs to {name}, and root cannot act as that user here "
            f"({error.strerror or error}): run the command as {name}"
        ) from error
    return name


def _take_groups(uid: int, gid: int) -> None:
    try:
        os.initgroups(pwd.getpwuid(uid).pw_name, gid)
    except KeyError:
        os.setgroups([gid])


def _keep_reading(libc: ctypes.CDLL) -> None:
    """Of all capabilities keep the one to read and search, if there is that."""
    header = ctypes.create_string_buffer(_HEADER.pack(_CAPABILITY_VERSION, 0), _HEADER.size)
    data = ctypes.create_string_buffer(_DATA.size)
    if libc.capget(header, data):
        raise OSError(ctypes.get_errno(), "capget")
    permitted = _DATA.unpack(data.raw)[1] & _CAP_DAC_READ_SEARCH
    data.raw = _DATA.pack(permitted, permitted, 0, 0, 0, 0)
    if libc.capset(header, data):
        raise OSError(ctypes.get_errno(), "capset")


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"the user {uid}"
