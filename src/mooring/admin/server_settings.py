"""The settings of the server on a data directory, for commands that are given none."""

from __future__ import annotations

import json
from pathlib import Path

from mooring.config.load import load
from mooring.config.settings import Settings
from mooring.model.paths import Paths


def server_settings(data: Path) -> Settings | None:
    """What the server read that runs on the data directory; None if it read no file.

    Without them a command would look for vaults where that server has none, and a sound vault
    would be called away. Raises ConfigurationError.
    """
    try:
        server = json.loads(Paths(data).server.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    config = server.get("config") if isinstance(server, dict) else None
    return load(config, str(data)) if isinstance(config, str) else None
