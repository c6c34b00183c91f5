"""mooringd serve --development: a server for tests, on this host alone."""

from __future__ import annotations

import os
import signal
import sys

from mooring.admin.serving.front_door import Leaving, accept, answer, host_of, listen
from mooring.config.settings import Limits, Listen
from mooring.development.server import DevelopmentServer
from mooring.development.throw_away import left_behind, throw_away
from mooring.development.trust import NOBODY, REGION
from mooring.development.world import end_daemons
from mooring.observe import logs, loop

LOG_LEVEL = "warning"
"""A test's output is not to be lost among lines for each request."""

ENDING_SECONDS = 60.0
"""When it is asked to end once more that has not."""


def serve_development(*, port: int | None, engine: str, until_input_ends: bool) -> int:
    """Serve until SIGTERM or SIGINT, or until standard input ends. Raises ConfigurationError."""
    os.umask(0o077)
    leaving = Leaving()
    logs.configure(LOG_LEVEL)
    loop.watch_other_threads()
    at = Listen() if port is None else Listen(port=port)
    listener = listen(at)
    try:
        with left_behind() as folders:
            for folder in folders:
                for world in folder.iterdir():
                    end_daemons(world)
        with throw_away() as folder:
            server = DevelopmentServer(folder, engine)
            try:
                accept(listener, at)
                _say_where(f"http://{host_of(at)}:{listener.getsockname()[1]}")
                if until_input_ends:
                    loop.Loop("input", _end_with_input).start()
                answer(server.app, listener, leaving, Limits(), at_end=server.end_pages)
            finally:
                server.stop()
    finally:
        listener.close()
    return 0


def _end_with_input() -> float | None:
    """End this process when whoever started it does, however that ends."""
    if os.read(0, 4096):
        return None
    os.kill(os.getpid(), signal.SIGTERM)
    return ENDING_SECONDS


def _say_where(url: str) -> None:
    """Tell shells and programs on standard output, people on standard error."""
    print(
        f"Mooring serves any region at {url}, for development: any key is accepted, nothing is "
        f"kept.\nFor browsers:   {url}/console (key {NOBODY}, secret {NOBODY})\nFor aws, boto3:",
        file=sys.stderr,
        flush=True,
    )
    print(
        f"export AWS_ENDPOINT_URL_LIGHTSAIL={url} AWS_ACCESS_KEY_ID={NOBODY} "
        f"AWS_SECRET_ACCESS_KEY={NOBODY} AWS_DEFAULT_REGION={REGION} AWS_REGION={REGION}",
        flush=True,
    )
