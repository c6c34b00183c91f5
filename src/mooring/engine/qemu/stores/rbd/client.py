"""Asks, and starts, the process that speaks to a Ceph cluster."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import socket
import struct
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from mooring.engine.qemu.stores.rbd.place import RbdPlace
from mooring.files import read_at
from mooring.model.errors import (
    ClusterAwayError,
    DiskFullError,
    EngineError,
    FencedError,
)

PROGRAM = Path(__file__).with_name("program.py")
SOCKET, LOG = "ceph.sock", "ceph.log"

_PATIENCE_SECONDS = 10.0
"""How much later than the cluster's time-out that process may answer."""

_FULL = {"OSD_FULL", "POOL_FULL"}


class _GoneError(Exception):
    """The process has ended, or does not answer."""


class OutdatedError(Exception):
    """Keys are not any more as whoever wants to change them has seen them. Stays in the store."""


class CephClient:
    """May be asked from any thread; each request under way has a connection."""

    def __init__(self, place: RbdPlace) -> None:
        self.place = place
        self.run_dir = Path()
        """Where the process has its socket, set before the first question."""
        self.path = Path(str(place))
        self.started: Callable[[], None] = lambda: None
        """Called when the process has been started, before it is asked anything else."""
        self.shut_out = False
        """Whether this host was fenced: nothing is asked any more."""
        self._fresh = False
        self._introducing = threading.RLock()
        self._lock = threading.Lock()
        self._free: list[socket.socket] = []
        self._process: subprocess.Popen[bytes] | None = None
        self._closed = False

    def ask(self, do: str, data: bytes | memoryview = b"", **members: object) -> dict[str, Any]:
        """The answer to a request.

        Raises FileNotFoundError for an image that is not there, OSError (EBUSY) for one that is
        in use, OutdatedError, FencedError, ClusterAwayError, DiskFullError, EngineError.
        """
        return self._ask(do, data, members)[0]

    def ask_data(self, do: str, **members: object) -> bytes:
        """The bytes that a request is answered with. Raises the same."""
        return self._ask(do, b"", members)[1]

    def close(self) -> None:
        """End the process."""
        with self._lock:
            self._closed = True
            self._end()

    def pid(self) -> int | None:
        """The process, as far as there is one."""
        return self._process.pid if self._process is not None else None

    # ---

    def _ask(
        self, do: str, data: bytes | memoryview, members: dict[str, object]
    ) -> tuple[dict[str, Any], bytes]:
        if self.shut_out:
            raise self._failure(do, errno.ESHUTDOWN, "")
        try:
            head, payload = self._try(do, data, members)
        except _GoneError:
            try:
                head, payload = self._try(do, data, members)
            except _GoneError as error:
                raise ClusterAwayError(
                    f"the process that speaks to the Ceph cluster of {self.place} ended: {error}"
                ) from error
        if "errno" in head:
            raise self._failure(do, int(head["errno"]), str(head["told"]))
        return head, payload

    def _try(
        self, do: str, data: bytes | memoryview, members: dict[str, object]
    ) -> tuple[dict[str, Any], bytes]:
        connection, process = self._connection()
        try:
            if do != "hello":
                self._introduce()
        except BaseException:
            connection.close()
            raise
        try:
            head = json.dumps({"do": do, "data": len(data), **members}).encode()
            connection.sendall(struct.pack(">I", len(head)) + head + data)
            (length,) = struct.unpack(">I", _exactly(connection, 4))
            answer = json.loads(_exactly(connection, length))
            payload = bytes(_exactly(connection, answer.get("data", 0)))
        except TimeoutError as error:
            connection.close()
            raise self._silent() from error
        except (OSError, EOFError) as error:
            connection.close()
            self._bury(process)
            raise _GoneError(self._last_words()) from error
        except BaseException:
            connection.close()
            raise
        with self._lock:
            if self._closed:
                connection.close()
            else:
                self._free.append(connection)
        return answer, payload

    def _introduce(self) -> None:
        """Have nothing asked of a process that was just started before it is known who it is."""
        if not self._introducing.acquire(timeout=self.place.answer_seconds):
            raise self._silent()
        try:
            if self._fresh:
                self._fresh = False
                try:
                    self.started()
                except BaseException:
                    self._fresh = True
                    raise
        finally:
            self._introducing.release()

    def _connection(self) -> tuple[socket.socket, subprocess.Popen[bytes]]:
        """A connection, and the process at its other end."""
        with self._lock:
            if self._closed:
                raise EngineError(f"the store {self.place} is closed")
            if self._process is None or self._process.poll() is not None:
                self._end()
                self._process = self._start()
                self._fresh = True
            if self._free:
                return self._free.pop(), self._process
            try:
                return self._connect(), self._process
            except _GoneError:
                self._end()
                raise

    def _bury(self, process: subprocess.Popen[bytes]) -> None:
        """Wait for the end of one that has hung up: until then it seems to run."""
        with self._lock:
            if self._process is process:
                self._end()

    def _connect(self) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX)
        try:
            connection.settimeout(self.place.answer_seconds + _PATIENCE_SECONDS)
            connection.connect(str(self.run_dir / SOCKET))
        except OSError as error:
            connection.close()
            raise _GoneError(self._last_words()) from error
        return connection

    def _start(self) -> subprocess.Popen[bytes]:
        place, path = self.place, self.run_dir / SOCKET
        path.unlink(missing_ok=True)
        settings = {
            "conf": place.conf,
            "user": place.user,
            "pool": place.pool,
            "namespace": place.namespace,
            "seconds": place.answer_seconds,
        }
        with socket.socket(socket.AF_UNIX) as listener, self._log().open("wb") as log:
            listener.bind(str(path))
            path.chmod(0o600)
            listener.listen(64)
            return self._spawn(json.dumps(settings), listener, log)

    def _spawn(
        self, settings: str, listener: socket.socket, log: IO[bytes]
    ) -> subprocess.Popen[bytes]:
        try:
            return subprocess.Popen(
                [self.place.python, str(PROGRAM), settings],
                # It ends when this server does: nobody else has the other end.
                stdin=subprocess.PIPE,
                stdout=listener.fileno(),
                stderr=log,
                start_new_session=True,
            )
        except OSError as error:
            raise EngineError(
                f"{self.place.python} cannot be started to speak to Ceph: {error}"
            ) from error

    def _end(self) -> None:
        for connection in self._free:
            connection.close()
        self._free.clear()
        process, self._process = self._process, None
        if process is not None:
            if process.stdin is not None:
                process.stdin.close()
            # It may be in the midst of a request that never ends.
            process.kill()
            process.wait()

    def _failure(self, do: str, number: int, told: str) -> Exception:
        place = self.place
        user = f"client.{place.user}" if place.user else "the user"
        if number == errno.ENOENT and do in ("hello", "status"):
            return EngineError(
                f"the Ceph cluster has no {place}, or {place.conf} is missing: {told}"
            )
        if number == errno.ENOENT and do == "create":
            # Names are kept without it, images are not.
            return EngineError(
                f"the Ceph cluster has no name space {place.namespace} in the pool {place.pool}: "
                f"`rbd namespace create {place.pool}/{place.namespace}` makes it ({told})"
            )
        if number == errno.ENOENT:
            return FileNotFoundError(number, os.strerror(number), told)
        if number == errno.ECANCELED:
            return OutdatedError(told)
        if number == errno.EBUSY:
            return OSError(number, os.strerror(number), told)
        if number == errno.ESHUTDOWN:
            return FencedError(
                f"the Ceph cluster of {place} has shut this host out: it was fenced, and its disks "
                "may be in use elsewhere. Its storage daemons end; start the server again to use "
                "the cluster anew"
            )
        if number in (errno.EPERM, errno.EACCES):
            return EngineError(
                f"{user} may not do that in {place} ({do}: {told}): give it the capabilities of "
                "docs/ceph.md, and look whether its key is that of the cluster"
            )
        if number in (errno.ENOSPC, errno.EDQUOT):
            return self._full(told)
        if number == errno.ETIMEDOUT:
            checks = self._why_silent(do)
            problem = "; ".join(checks.values())
            if _FULL & set(checks):
                return self._full(problem)
            return self._silent(f" ({do}" + (f"; {problem}" if problem else "") + ")")
        return EngineError(f"Ceph, {place}: {do}: {told}")

    def _silent(self, more: str = "") -> ClusterAwayError:
        return ClusterAwayError(
            f"the Ceph cluster of {self.place} does not answer{more}: see `ceph -s`, and whether "
            "this host reaches its monitors"
        )

    def _full(self, told: str) -> DiskFullError:
        return DiskFullError(
            f"no space in the Ceph cluster of {self.place}: {told}. Delete snapshots or disks, add "
            "OSDs, or raise the pool's quota"
        )

    def _why_silent(self, do: str) -> dict[str, str]:
        """What the monitors find fault with in the cluster, by code, if they answer."""
        if do in ("hello", "status"):
            return {}
        with contextlib.suppress(EngineError, DiskFullError, OSError):
            checks: dict[str, Any] = self.ask("status")["health"].get("checks", {})
            return {code: str(one["summary"]["message"]) for code, one in checks.items()}
        return {}

    def _log(self) -> Path:
        return self.run_dir / LOG

    def _last_words(self) -> str:
        with contextlib.suppress(OSError):
            fd = os.open(self._log(), os.O_RDONLY | os.O_CLOEXEC)
            try:
                said = read_at(fd, max(0, os.fstat(fd).st_size - 2000), 2000)
            finally:
                os.close(fd)
            lines = [line for line in said.decode(errors="replace").splitlines() if line.strip()]
            if lines:
                return lines[-1]
        return "it has said nothing"


def _exactly(connection: socket.socket, length: int) -> bytearray:
    data = bytearray(length)
    view = memoryview(data)
    while view:
        got = connection.recv_into(view)
        if not got:
            raise EOFError
        view = view[got:]
    return data
