"""mooringd serve --background: a server without a terminal."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import IO

from mooring.admin.access.env import nobody_listens
from mooring.admin.running_server import find_server
from mooring.config.settings import Settings
from mooring.model.paths import Paths
from mooring.wiring.data_directory import make_data_directory

LOG_BYTES = 64 * 1024 * 1024
"""From this size on, a start puts the log aside as `server.log.1`."""

LOOK_SECONDS = 0.05


def serve_in_background(
    settings: Settings,
    *,
    port: int | None,
    config: str | None,
    data: str | None,
    command: str = "serve",
) -> int:
    """Start a server and return when it serves; its exit code if it ends before.

    `config` and `data` are the options of the `command`, which the server is started with.
    """
    paths = Paths(settings.data_directory)
    # -P: a folder of this name in the working directory is not the program.
    whole = [sys.executable, "-P", "-m", "mooring.admin.main", command]
    for option, value in (("--port", port), ("--config", config), ("--data", data)):
        whole += [] if value is None else [option, str(value)]
    make_data_directory(paths.data)
    with _log(paths.log) as log:
        begin = log.seek(0, os.SEEK_END)
        # In a session of its own, it stays when the terminal goes.
        server = subprocess.Popen(
            whole, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )
    try:
        while not _serves(paths, server.pid):
            with suppress(subprocess.TimeoutExpired):
                code = server.wait(LOOK_SECONDS)
                print(_since(paths.log, begin), end="", file=sys.stderr)
                return code if code > 0 else 2
    except BaseException:
        server.terminate()
        raise
    print(_announced(paths.log, begin), end="")
    place = shlex.quote(str(paths.data.absolute()))
    print(f"log             {paths.log.absolute()}\nto stop it:     mooringd stop --data {place}")
    return 0


def _log(path: Path) -> IO[bytes]:
    with suppress(FileNotFoundError):
        if path.stat().st_size >= LOG_BYTES:
            path.replace(path.with_suffix(".log.1"))
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab")


def _serves(paths: Paths, pid: int) -> bool:
    server = find_server(paths.server)
    return server is not None and server.pid == pid and not nobody_listens(server.url)


def _since(log: Path, begin: int) -> str:
    with log.open("rb") as file:
        file.seek(begin)
        return file.read(LOG_BYTES).decode(errors="replace")


def _announced(log: Path, begin: int) -> str:
    """What the server said of itself, without the lines of its log."""
    lines = _since(log, begin).splitlines(keepends=True)
    return "".join(line for line in lines if not line.startswith("{"))
