"""Stands between a server and PostgreSQL, and can stand still: nothing passes, nothing breaks."""

from __future__ import annotations

import os
import socket
import threading
from contextlib import suppress
from pathlib import Path


class StallingProxy:
    """A Unix socket in `folder`, as libpq looks for one, whose bytes go to another such socket.

    While `stalled` it keeps what comes, in both directions, and passes it on afterwards: as with
    a network that is cut for a while. To libpq both look like PostgreSQL on port 5432.
    """

    def __init__(self, folder: Path, target: Path) -> None:
        self.folder, self._target = folder, target
        self._flows = threading.Event()
        self._flows.set()
        self._closed = False
        self._sockets: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        folder.mkdir(exist_ok=True)
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(os.fspath(folder / target.name))
        self._listener.listen()
        self._begin(self._accept)

    def stall(self) -> None:
        self._flows.clear()

    def resume(self) -> None:
        self._flows.set()

    def close(self) -> None:
        self._closed = True
        self._flows.set()
        for one in (self._listener, *self._sockets):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(30)
        for one in (self._listener, *self._sockets):
            one.close()

    def _begin(self, body: object, *arguments: object) -> None:
        assert callable(body)
        thread = threading.Thread(target=body, args=arguments, name="stalling-proxy")
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.socket(socket.AF_UNIX)
            self._sockets += [client, server]
            self._flows.wait()
            if self._closed:
                return
            server.connect(os.fspath(self._target))
            self._begin(self._pass, client, server)
            self._begin(self._pass, server, client)

    def _pass(self, giver: socket.socket, taker: socket.socket) -> None:
        while True:
            try:
                data = giver.recv(65536)
                self._flows.wait()
                taker.sendall(data)
            except OSError:
                data = b""
            if not data:
                with suppress(OSError):
                    taker.shutdown(socket.SHUT_WR)
                return
