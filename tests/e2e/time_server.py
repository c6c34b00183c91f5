"""The server, for which time passes when a test says so; run as a process.

Its clock is ahead by as many hours as a file in the data directory says. Requests are told the
real time, for that is what their clients sign them with.
"""

from __future__ import annotations

import argparse
import sys
from functools import partial
from pathlib import Path
from typing import Any

from mooring.admin.serving import serve
from mooring.api import app
from mooring.config.load import load
from mooring.jobs.automatic import timetable
from mooring.model.automatic.rhythm import HOUR_MS
from mooring.model.clock import SystemClock
from mooring.wiring.parts import Parts

AHEAD = "hours-ahead"
LOOK_SECONDS = 0.2
"""How often this server looks what is due."""


def move(data: Path, hours: int) -> None:
    """Let so many hours have passed, in all."""
    new = data / f"{AHEAD}.new"
    new.write_text(str(hours))
    new.replace(data / AHEAD)


class MovedClock(SystemClock):
    """The clock of the machine, ahead by what the file says."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def now_ms(self) -> int:
        try:
            hours = int(self._file.read_text())
        except FileNotFoundError:
            hours = 0
        return super().now_ms() + hours * HOUR_MS


def main() -> int:
    """Serve on a free port."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True)
    options = parser.parse_args()
    clock = MovedClock(Path(options.data) / AHEAD)

    def create_app_of_today(**known: Any) -> Any:
        return app.create_app(**{**known, "clock": SystemClock()})

    changed: dict[tuple[object, str], object] = {
        (serve, "Parts"): partial(Parts, clock=clock),
        (serve, "create_app"): create_app_of_today,
        (timetable, "LONGEST_SECONDS"): LOOK_SECONDS,
    }
    for (module, name), value in changed.items():
        setattr(module, name, value)
    return serve.serve(load(None, options.data), port=0)


if __name__ == "__main__":
    sys.exit(main())
