"""The operator's commands that bring programs to rest and thaw them."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import tempfile
from collections.abc import Mapping
from typing import IO

from mooring.model.clock import Clock
from mooring.model.errors import QuiesceError

_TAIL_BYTES = 300


class Commands:
    """Shell commands, run with `environment` added. An empty one is left out."""

    def __init__(
        self, freeze: str, thaw: str, environment: Mapping[str, str], clock: Clock
    ) -> None:
        self.since: float | None = None
        self._clock = clock
        self._freeze = freeze
        self._thaw = thaw
        self._environment = environment

    def freeze(self, seconds: float) -> None:
        self.since = self._clock.monotonic()
        self._run("freeze", self._freeze, seconds)

    def thaw(self, seconds: float) -> bool:
        self._run("thaw", self._thaw, seconds)
        return True

    def close(self) -> None:
        """Nothing is open."""

    def _run(self, name: str, command: str, seconds: float) -> None:
        if not command:
            return
        # A file, not a pipe: what the command starts may keep it open and stay.
        with tempfile.TemporaryFile() as output:
            process = subprocess.Popen(
                ["/bin/sh", "-c", command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env={**os.environ, **self._environment},
                cwd="/",
                start_new_session=True,
            )
            try:
                code = process.wait(seconds)
            except subprocess.TimeoutExpired:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                raise QuiesceError(
                    f"the {name} command has not ended after {seconds:.1f} seconds{_said(output)}"
                ) from None
            if code:
                raise QuiesceError(f"the {name} command ended with {code}{_said(output)}")


def _said(output: IO[bytes]) -> str:
    size = output.seek(0, os.SEEK_END)
    output.seek(max(0, size - _TAIL_BYTES))
    text = " ".join(output.read().decode(errors="replace").split())
    return f": {text}" if text else ""
