"""The settings of the running server, for commands that are given none."""

from __future__ import annotations

from pathlib import Path

from mooring.admin.running_server import find_server
from mooring.config.load import load
from mooring.config.settings import Settings
from mooring.model.paths import Paths


def server_settings(data: Path) -> Settings | None:
    """What the server read that runs on the data directory; None if it read no file.

    Without them a command would look for vaults where that server has none, and a sound vault
    would be called away. Raises ConfigurationError.
    """
    server = find_server(Paths(data).server)
    if server is None or server.config is None:
        return None
    return load(server.config, str(data))
