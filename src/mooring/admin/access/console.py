"""mooringd console: a link that signs in to the console once."""

from __future__ import annotations

import os
import shutil
import subprocess

from mooring.admin.access.env import server_and_key
from mooring.config.settings import Settings
from mooring.console.links import forget_old, make_link
from mooring.model.clock import SystemClock
from mooring.model.paths import Paths
from mooring.wiring.data_directory import run_place


def console(settings: Settings, user: str | None = None, *, opens: bool = True) -> int:
    """Print the link; open it where there is a desktop. Raises ConfigurationError."""
    data = settings.data_directory.absolute()
    paths = Paths(data, run_place(settings, data))
    server, key = server_and_key(paths, user)
    clock = SystemClock()
    forget_old(paths.console_links(), clock)
    code = make_link(paths.console_links(), key.id, clock)
    url = f"{server.url}/console/enter/{code}"
    print(f"{url}\nsigns in as {key.access.user}, once, within five minutes", flush=True)
    if opens:
        _open(url)
    return 0


def _open(url: str) -> None:
    """Open a browser, if there is a desktop and this is its user's own session."""
    command = shutil.which("xdg-open")
    desktop = os.environ.get("WAYLAND_DISPLAY") or os.environ.get("DISPLAY")
    if command is None or not desktop or os.geteuid() == 0:
        return
    subprocess.Popen(
        [command, url],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
