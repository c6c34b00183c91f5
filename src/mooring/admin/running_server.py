"""The file in which a running server says where it is."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mooring.model.errors import ConfigurationError

if TYPE_CHECKING:
    # The client alone is without what this needs.
    from mooring.host.reserve import Reserve


@dataclass(frozen=True, slots=True)
class RunningServer:
    """Its address, its first region, its process, and the file of settings that it read, if any."""

    url: str
    region: str
    pid: int
    config: str | None


def announce(path: Path, server: RunningServer, reserve: Reserve) -> None:
    """Write the file, if need be in the room of the reserve. Raises OSError."""
    reserve.write_whole(path, json.dumps(asdict(server)) + "\n", durable=False)


def read_server(path: Path) -> RunningServer:
    """Raises OSError, FileNotFoundError if no server runs; ConfigurationError if it is damaged."""
    text = path.read_text(encoding="utf-8")
    try:
        fields = json.loads(text)
        config = fields.get("config")
        return RunningServer(
            str(fields["url"]),
            str(fields["region"]),
            int(fields["pid"]),
            config if isinstance(config, str) else None,
        )
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ConfigurationError(f"{path} is damaged: restart the server") from error


def find_server(path: Path) -> RunningServer | None:
    """What the file says; None if there is none, or none that can be read."""
    with suppress(OSError, ConfigurationError):
        return read_server(path)
    return None
