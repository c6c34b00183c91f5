"""Vaults in a bucket whose service fails, hangs, loses answers, or lies."""

from __future__ import annotations

import http.client
import random
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

import pytest

from mooring.model.clock import ManualClock
from mooring.model.errors import DamageError, StoreError
from mooring.model.extents import BLOCK_SIZE
from mooring.vault.store.retrying import PATIENCE, Patience
from mooring.vault.store.s3 import S3Store
from mooring.vault.vault import Vault
from tests.vault.disks import Disk, check_all, content, info
from tests.vault.store.buckets import Service, service

pytestmark = pytest.mark.full


class Between(BaseHTTPRequestHandler):
    """Stands between the store and a real service, and spoils some of what passes."""

    protocol_version = "HTTP/1.1"
    endpoint = ""
    faults: tuple[str, ...] = ()
    often = 0.15
    rng = random.Random(1)
    met: list[str] = []

    def pass_on(self) -> None:
        fault = self.choose()
        length = int(self.headers.get("Content-Length") or 0)
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
        {"endpoint": running.endpoint, "faults": (), "rng": random.Random(3), "met": []},
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


@pytest.fixture(scope="module")
def running() -> Iterator[Service]:
    with service() as found:
        yield found


def test_a_service_that_fails_in_every_way(running: Service) -> None:
    """Busy, slow, connections lost before and after the work was done, answers cut short."""
    rng = random.Random(4)
    with between(running, ("busy", "slow", "gone", "lost", "cut")) as (handler, store):
        disks = {"a": Disk()}
        with Vault.create_or_open(store, ManualClock()) as vault:
            with vault.begin(info("a")) as writer:
                disks["a"].write(writer, 0, rng.randbytes(9 * 1024 * 1024))
                writer.commit()
            for name, parent in (("b", "a"), ("c", "b"), ("d", "c")):
                disks[name] = disks[parent].copy()
                with vault.begin(info(name), parent) as writer:
                    disks[name].write(writer, rng.randrange(2000), content(rng, 300))
                    writer.commit()
            check_all(vault, disks)
            assert vault.verify() == []
            for name in ("a", "b"):
                vault.delete(name)
                del disks[name]
            vault.collect()
            check_all(vault, disks)
            assert vault.verify() == []
        assert set(handler.met) == {"busy", "slow", "gone", "lost", "cut"}


def test_a_service_that_lies_about_bytes(running: Service) -> None:
    """What was changed on the way is refused, or read again; it never comes through."""
    with between(running, ()) as (handler, store):
        disk = Disk()
        with Vault.create_or_open(store, ManualClock()) as vault, vault.begin(info("a")) as writer:
            disk.write(writer, 0, content(random.Random(5), 3000))
            writer.commit()
        handler.faults, handler.often = ("flip",), 0.5
        right = refused = 0
        for _ in range(25):
            try:
                with (
                    Vault.create_or_open(store, ManualClock()) as vault,
                    vault.open("a") as reader,
                ):
                    disk.check(reader)
                right += 1
            except DamageError:
                refused += 1
        assert refused > 10
        handler.faults = ()
        with Vault.create_or_open(store, ManualClock()) as vault:
            check_all(vault, {"a": disk})


def test_a_service_that_hangs(running: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    hasty = Patience(request_seconds=0.3, retry_seconds=1)
    with between(running, (), hasty) as (handler, store):
        store.put("a", bytes(BLOCK_SIZE))
        handler.faults, handler.often = ("slow",), 1.0
        monkeypatch.setattr(time, "sleep", lambda _: threading.Event().wait(1))
        with pytest.raises(StoreError, match="could not read a in the vault"):
            store.get("a")
        handler.faults = ()
        with suppress(StoreError):
            store.get("a")
        assert store.get("a") == bytes(BLOCK_SIZE)
