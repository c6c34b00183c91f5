"""How a server is started whose settings were just written."""

from __future__ import annotations

import shlex
from pathlib import Path

UNIT = "mooring-server"
_HOST_DATA, _HOST_SETTINGS = Path("/var/lib/mooring"), Path("/etc/mooring/mooring.toml")
_UNITS = (Path("/usr/lib/systemd/system"), Path("/lib/systemd/system"))


def is_unit(data: Path, units: tuple[Path, ...] = _UNITS) -> bool:
    """Whether a package's unit serves this data directory."""
    return data == _HOST_DATA and any((folder / f"{UNIT}.service").exists() for folder in units)


def starting(data: Path, file: Path, units: tuple[Path, ...] = _UNITS) -> str:
    """The command that starts the server."""
    settings = shlex.quote(str(file))
    if is_unit(data, units):
        return (
            f"install -o root -g mooring -m 640 {settings} {_HOST_SETTINGS} && "
            f"systemctl restart {UNIT}"
        )
    return f"mooringd serve --background --config {settings}"
