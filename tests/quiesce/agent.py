"""A guest agent of our own, which can hang, be late, refuse or die."""

from __future__ import annotations

import json
import socket
import threading
from pathlib import Path
from typing import Any


class Agent:
    """Answers at a Unix socket as qemu-ga does, one client and one command at a time.

    `hanging` commands wait until `go_on` is set before they are done; `refusing` ones fail, and
    `answers` are given as they are.
    """

    def __init__(self, path: Path, file_systems: int = 2) -> None:
        self.path = path
        self.file_systems = file_systems
        self.frozen = False
        self.asked: list[str] = []
        self.hanging: set[str] = set()
        self.refusing: set[str] = set()
        self.answers: dict[str, dict[str, Any]] = {}
        self.go_on = threading.Event()
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen(1)
        self._client: socket.socket | None = None
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def close(self) -> None:
        self.go_on.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        if self._client is not None:
            self._client.close()
        self._thread.join()
        self.path.unlink(missing_ok=True)

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self._client = client
            try:
                self._talk(client)
            except OSError:
                pass  # the client went
            finally:
                client.close()

    def _talk(self, client: socket.socket) -> None:
        buffer = b""
        while piece := client.recv(4096):
            # The delimiter throws away what was begun.
            buffer = (buffer + piece).rpartition(b"\xff")[2]
            while b"\n" in buffer:
                line, buffer = buffer.split(b"\n", 1)
                message = json.loads(line)
                if message["execute"] in self.hanging:
                    self.go_on.wait()
                answer = json.dumps(self._answer(message)).encode() + b"\n"
                delimited = message["execute"] == "guest-sync-delimited"
                client.sendall(b"\xff" * delimited + answer)

    def _answer(self, message: dict[str, Any]) -> dict[str, Any]:
        command = message["execute"]
        self.asked.append(command)
        if command in self.answers:
            return self.answers[command]
        if command in self.refusing:
            return {"error": {"class": "GenericError", "desc": f"{command} is not for you"}}
        if command == "guest-sync-delimited":
            return {"return": message["arguments"]["id"]}
        if command == "guest-fsfreeze-status":
            return {"return": "frozen" if self.frozen else "thawed"}
        was, self.frozen = self.frozen, command == "guest-fsfreeze-freeze"
        return {"return": self.file_systems if was != self.frozen else 0}
