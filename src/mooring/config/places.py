"""Where data and settings are that nobody has named: this user's own, or the host's."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class HostPlaces:
    """Where a package puts the one server of a host."""

    data: Path = Path("/var/lib/mooring")
    settings: Path = Path("/etc/mooring/mooring.toml")


HOST = HostPlaces()


def default_data_directory(
    environ: Mapping[str, str] = os.environ, host: HostPlaces = HOST
) -> Path:
    """`$MOORING_DATA`, else `mooring` in the XDG data directory of the user.

    Where this user has none, the host's if it is there: for root, and for whom it belongs to.
    """
    if environ.get("MOORING_DATA"):
        return place(environ["MOORING_DATA"])
    own = Path(environ.get("XDG_DATA_HOME") or Path.home() / ".local/share") / "mooring"
    return host.data if not own.exists() and _acts_for(host.data) else own


def place(named: str) -> Path:
    """The path of a folder, the same wherever it is named from.

    What outlives a server is found by the paths of its files.
    """
    path = Path(named).expanduser()
    return path.resolve() if ".." in path.parts else path.absolute()


def default_settings(
    environ: Mapping[str, str] = os.environ, host: HostPlaces = HOST
) -> str | None:
    """The host's file of settings, where its data directory is the default and there is one."""
    is_host = default_data_directory(environ, host) == host.data
    return str(host.settings) if is_host and host.settings.exists() else None


def _acts_for(data: Path) -> bool:
    try:
        return os.geteuid() in (0, data.stat().st_uid)
    except OSError:
        return False
