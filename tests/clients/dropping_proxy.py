"""A proxy that loses replies to requests that were carried out."""

from __future__ import annotations

import socket
import threading
from urllib.parse import urlsplit


class DroppingProxy:
    """Passes requests on; the first `lost` replies it reads whole, and closes instead."""

    def __init__(self, url: str, lost: int) -> None:
        target = urlsplit(url)
        assert target.hostname is not None
        assert target.port is not None
        self._target = (target.hostname, target.port)
        self.lost = lost
        self.requests: list[bytes] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve, name="dropping-proxy")
        self._thread.start()

    def close(self) -> None:
        # Wakes `accept`, which closing alone does not.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(30)

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            with client:
                self._pass_on(client)

    def _pass_on(self, client: socket.socket) -> None:
        """One request, one connection: the reply says so, and clients open another."""
        client.settimeout(30)
        request = read_message(client)
        if not request:
            return
        self.requests.append(request)
        with socket.create_connection(self._target, timeout=30) as server:
            server.sendall(request)
            reply = read_message(server)
        if self.lost > 0:
            self.lost -= 1
            return
        client.sendall(reply.replace(b"\r\n", b"\r\nConnection: close\r\n", 1))


def read_message(peer: socket.socket) -> bytes:
    """Headers and as much of a body as they say; empty when the peer is gone."""
    data = b""
    while b"\r\n\r\n" not in data:
        part = peer.recv(65536)
        if not part:
            return b""
        data += part
    head, _, body = data.partition(b"\r\n\r\n")
    length = int(header(head, b"content-length") or b"0")
    while len(body) < length:
        part = peer.recv(65536)
        if not part:
            return b""
        body += part
    return head + b"\r\n\r\n" + body


def header(message: bytes, name: bytes) -> bytes:
    """The value of a header, empty if there is none."""
    for line in message.partition(b"\r\n\r\n")[0].split(b"\r\n")[1:]:
        key, _, value = line.partition(b":")
        if key.strip().lower() == name:
            return value.strip()
    return b""
