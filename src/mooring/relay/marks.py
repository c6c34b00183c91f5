"""What relay and guard tell each other, in the folder of a storage daemon.

The daemon sees only connections of the relay's processes. So each of these has a name, that of a
file which says for whom it is. The other way, the guard notes which disks a process of this host
uses, so that the relay refuses them rather than that they are cut off again and again.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import socket
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from mooring.files import write_whole

KEPT_OFF = "kept-off"
"""JSON: by the name of an export, who uses it, for as long as nobody else may."""
REFUSED = "refused"
"""JSON: by the name of an export, who was refused last, and why."""

_FILE = "remote-"
_ADDRESS = b"\0mooring-"
"""Before the file's name, the abstract name of the relay's end of a connection."""


@dataclass(frozen=True, slots=True)
class Remote:
    """A client on another host: its address and port, its certificate's name, its export."""

    address: str
    name: str
    export: str

    def __str__(self) -> str:
        return f"{self.address} ({self.name})" if self.name else self.address


def connect(folder: Path, path: Path, remote: Remote) -> tuple[socket.socket, Path]:
    """Connect to a daemon's socket in the name of a remote; returns the file to remove at the end.

    Raises OSError.
    """
    _forget_dead(folder)
    file = folder / f"{_FILE}{os.getpid()}-{secrets.token_hex(4)}"
    write_whole(file, json.dumps(asdict(remote)), durable=False)
    end = socket.socket(socket.AF_UNIX)
    try:
        end.bind(_ADDRESS + file.name.encode())
        end.connect(str(path))
    except BaseException:
        end.close()
        file.unlink(missing_ok=True)
        raise
    return end, file


def remote_of(folder: Path, peer_name: object) -> Remote | None:
    """For whom a connection is whose other end has this name; None if for a local process."""
    if not isinstance(peer_name, bytes) or not peer_name.startswith(_ADDRESS + _FILE.encode()):
        return None
    with contextlib.suppress(OSError, ValueError, TypeError):
        name = peer_name.removeprefix(_ADDRESS).decode()
        if "/" not in name:
            return Remote(**json.loads((folder / name).read_text(encoding="utf-8")))
    return None


def note(folder: Path, kind: str, told: Mapping[str, str]) -> None:
    """Note who is kept off, or was refused; nothing worse happens if it cannot be noted."""
    with contextlib.suppress(OSError):
        if told:
            write_whole(folder / kind, json.dumps(dict(told)), durable=False)
        else:
            (folder / kind).unlink(missing_ok=True)


def noted(folder: Path, kind: str) -> dict[str, str]:
    """What was noted."""
    try:
        told = json.loads((folder / kind).read_text(encoding="utf-8"))
        return {str(name): str(text) for name, text in told.items()}
    except (OSError, ValueError, AttributeError):
        return {}


def _forget_dead(folder: Path) -> None:
    """Remove the files of processes that were killed."""
    for file in folder.glob(f"{_FILE}*"):
        pid = file.name.removeprefix(_FILE).partition("-")[0]
        if not Path(f"/proc/{pid}").exists():
            file.unlink(missing_ok=True)
