"""Stands between a store and a real service: counts requests, and spoils some."""

from __future__ import annotations

import http.client
import random
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

from mooring.vault.store.retrying import PATIENCE, Patience
from mooring.vault.store.s3 import S3Store
from tests.vault.store.buckets import Service


class Between(BaseHTTPRequestHandler):
    """Stands between the store and a real service, and spoils some of what passes."""

    protocol_version = "HTTP/1.1"
    endpoint = ""
    faults: tuple[str, ...] = ()
    often = 0.15
    planned: list[str] = []
    """What happens to the next segments that are put, one after the other."""

    rng = random.Random(1)
    met: list[str] = []
    seen: list[tuple[str, str]] = []
    """The methods and paths of all requests."""

    def pass_on(self) -> None:
        self.seen.append((self.command, self.path))
        fault = self.choose()
        length = int(self.headers.get("Content-Length") or 0)
        if fault == "halfway":
            self.rfile.read(length // 2)
            self.close_connection = True
            return
        sent = self.rfile.read(length)
        if fault == "slow":
            time.sleep(0.3)
        elif fault == "busy":
            self.answer(503, {}, b"slow down")
            return
        elif fault == "gone":
            self.close_connection = True
            return
        place = urlsplit(self.endpoint)
        headers = {key: value for key, value in self.headers.items() if key.lower() != "host"}
        upstream = http.client.HTTPConnection(place.hostname or "", place.port)
        with closing(upstream):
            upstream.request(self.command, self.path, sent, headers)
            reply = upstream.getresponse()
            body = reply.read()
        if fault == "lost":
            self.close_connection = True
            return
        found = dict(reply.getheaders())
        if fault == "cut" and len(body) > 1:
            self.answer(reply.status, found, body, stop_at=len(body) // 2)
            return
        if fault == "flip" and reply.status in (200, 206) and "?" not in self.path and body:
            place_in = self.rng.randrange(len(body))
            body = body[:place_in] + bytes([body[place_in] ^ 1]) + body[place_in + 1 :]
        self.answer(reply.status, found, body)

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = pass_on

    def choose(self) -> str:
        if self.planned and self.command == "PUT" and "/segments/" in self.path:
            return self.planned.pop(0)
        if not self.faults or self.rng.random() > self.often:
            return ""
        fault = self.rng.choice(self.faults)
        self.met.append(fault)
        return fault

    def answer(
        self, status: int, headers: dict[str, str], body: bytes, stop_at: int | None = None
    ) -> None:
        self.send_response_only(status)
        for key, value in headers.items():
            if key.lower() not in ("content-length", "connection", "transfer-encoding"):
                self.send_header(key, value)
        length = headers.get("content-length", headers.get("Content-Length", str(len(body))))
        self.send_header("Content-Length", length if self.command == "HEAD" else str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body[:stop_at])
        if stop_at is not None:
            self.close_connection = True

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def between(
    running: Service, faults: tuple[str, ...], patience: Patience = PATIENCE
) -> Iterator[tuple[Any, S3Store]]:
    kind: Any = type(
        "Handler",
        (Between,),
        {
            "endpoint": running.endpoint,
            "faults": (),
            "planned": [],
            "rng": random.Random(3),
            "met": [],
            "seen": [],
        },
    )
    server = ThreadingHTTPServer(("127.0.0.1", 0), kind)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        options = {**running.options(), "endpoint": f"http://127.0.0.1:{server.server_port}"}
        store = S3Store(f"s3://{running.bucket()}/vault", options, patience=patience)
        kind.faults = faults
        yield kind, store
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
