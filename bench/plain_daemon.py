"""A storage daemon without Mooring, for comparison."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType

from mooring.host.qmp import Monitor
from mooring.model.clock import SystemClock

ANSWER_SECONDS = 60.0


class PlainDaemon:
    """A storage daemon that serves one disk; use `with`."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._qmp, self._nbd = folder / "qmp", folder / "nbd"
        self._cleanup = ExitStack()

    @property
    def uri(self) -> str:
        return f"nbd+unix:///disk?socket={self._nbd}"

    def __enter__(self) -> PlainDaemon:
        command = [
            "qemu-storage-daemon",
            "--chardev", f"socket,id=m,path={self._qmp},server=on,wait=off",
            "--monitor", "m",
            "--nbd-server", f"addr.type=unix,addr.path={self._nbd},max-connections=0",
        ]  # fmt: skip
        daemon = subprocess.Popen(command)
        self._cleanup.callback(daemon.wait)
        self._cleanup.callback(daemon.terminate)
        while not self._nbd.exists():
            time.sleep(0.01)
        self._monitor = Monitor(self._qmp, SystemClock(), 10.0)
        self._cleanup.callback(self._monitor.close)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._cleanup.close()
        self._qmp.unlink(missing_ok=True)
        self._nbd.unlink(missing_ok=True)

    def run(self, command: str, **options: object) -> None:
        """Give a command; underscores in the names of options stand for hyphens."""
        named = {key.replace("_", "-"): value for key, value in options.items()}
        self._monitor.execute(command, named, timeout=ANSWER_SECONDS)

    def serve(self, node: str) -> None:
        """Export a node."""
        self.run("block-export-add", type="nbd", id="x", node_name=node, name="disk", writable=True)

    def open_chain(self, files: Sequence[Path], aio: str) -> None:
        """Open a base and overlays, lowest first, past the page cache, and serve them."""
        below: str | None = None
        for number, path in enumerate(files):
            options: dict[str, object] = {"backing": below} if number else {}
            self.run(
                "blockdev-add",
                driver="qcow2" if number else "raw",
                node_name=f"n{number}",
                read_only=path is not files[-1],
                file={
                    "driver": "file",
                    "filename": str(path),
                    "aio": aio,
                    "cache": {"direct": True},
                },
                **options,
            )
            below = f"n{number}"
        self.serve(f"n{len(files) - 1}")
