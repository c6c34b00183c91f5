"""Serves one image file read-only over NBD, with the user's rights."""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import re
import signal
import stat
import subprocess
from dataclasses import dataclass
from pathlib import Path

from mooring.model.clock import SystemClock
from mooring.model.errors import CommandError, NbdError
from mooring.nbd.blocking import BlockingNbdClient
from mooring.nbd.uri import NbdUri

PROGRAM = "qemu-storage-daemon"
_START_SECONDS = 20.0
_PAUSE_SECONDS = 0.02
_SET_DEATH_SIGNAL = 1


@dataclass(frozen=True, slots=True)
class Place:
    """Where the server wants to find the image: a folder of its user, and names in it.

    `host` is the name of the host, if there are several servers.
    """

    folder: str
    socket: str
    export: str
    host: str = ""

    def checked_socket(self) -> str:
        """The socket's path. Raises CommandError unless the place is empty and this user's own."""
        folder = Path(self.folder)
        try:
            found = folder.lstat()
            mine = stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid()
            empty = mine and not any(folder.iterdir())
        except OSError:
            empty = False
        simple = re.fullmatch(r"[A-Za-z0-9.-]+", self.socket + self.export)
        if not empty or not simple or not folder.is_absolute():
            raise CommandError(
                "The server accepts images only from processes of its own user, on its own host"
                f"{self.host and f', {self.host}'}: run this command there, as that user."
            )
        return str(folder / self.socket)


class ServedFile:
    """The file behind `fd`, in one of QEMU's formats; use `with`. Raises CommandError.

    It is served in the place that the server has offered. QEMU opens that very file and nothing
    that the image names. It ends with this process, however that ends.
    """

    def __init__(self, fd: int, path: str, driver: str, place: Place) -> None:
        self._export = place.export
        self.socket = place.checked_socket()
        self._process: subprocess.Popen[str] | None = None
        try:
            self._start(fd, driver)
            self.size = self._connect(path)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> ServedFile:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End it. Further calls do nothing."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.communicate()
        with contextlib.suppress(OSError):
            Path(self.socket).unlink()

    def _start(self, fd: int, driver: str) -> None:
        node: dict[str, object] = {
            "node-name": "image",
            "driver": driver,
            "read-only": True,
            "file": {"driver": "file", "filename": f"/proc/self/fd/{fd}", "read-only": True},
        }
        if driver in {"qcow2", "vmdk"}:
            node["backing"] = None
        library = ctypes.CDLL(None)
        parent = os.getpid()

        def end_with_parent() -> None:
            library.prctl(_SET_DEATH_SIGNAL, signal.SIGKILL)
            if os.getppid() != parent:
                os._exit(1)

        export = f"type=nbd,id=image,node-name=image,name={self._export},writable=off"
        try:
            self._process = subprocess.Popen(
                [
                    PROGRAM,
                    "--blockdev", json.dumps(node),
                    "--nbd-server", f"addr.type=unix,addr.path={self.socket.replace(',', ',,')}",
                    "--export", export,
                ],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
                errors="replace",
                pass_fds=(fd,),
                preexec_fn=end_with_parent,  # noqa: PLW1509 - there are no threads yet
                start_new_session=True,
            )  # fmt: skip
        except FileNotFoundError:
            raise CommandError(
                f"{PROGRAM} is missing, which reads images: apt-get install qemu-utils, on Debian "
                "12 qemu-system-common."
            ) from None

    def _connect(self, path: str) -> int:
        """Wait until the image is served; its size in bytes."""
        assert self._process is not None
        clock = SystemClock()
        deadline = clock.monotonic() + _START_SECONDS
        while True:
            # The socket is there before the export is.
            try:
                with BlockingNbdClient(
                    NbdUri(self._export, socket=self.socket), timeout=5
                ) as client:
                    return client.info.size
            except NbdError as error:
                problem = str(error)
            if self._process.poll() is not None:
                _, said = self._process.communicate()
                last = said.strip().splitlines()[-1:] or [f"exit code {self._process.returncode}"]
                words = last[0].replace(f"{PROGRAM}: ", "").strip()
                raise CommandError(f"{path} cannot be read: {words}")
            if clock.monotonic() > deadline:
                raise CommandError(f"{path} is not served within {_START_SECONDS:g} s: {problem}")
            clock.sleep(_PAUSE_SECONDS)
