"""How many requests a vault in a bucket costs, and what happens when they fail."""

from __future__ import annotations

import random
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from mooring.model.clock import ManualClock
from mooring.model.errors import StoreError
from mooring.vault.format.layout import FRAME_BYTES, SEGMENT_BYTES
from mooring.vault.store.retrying import Patience
from mooring.vault.store.s3 import S3Store
from mooring.vault.vault import Vault
from tests.vault.disks import MIB, info
from tests.vault.disks import store as store_snapshot
from tests.vault.store.between import between
from tests.vault.store.buckets import Service, service


@pytest.fixture(scope="module")
def running() -> Iterator[Service]:
    with service() as found:
        yield found


@pytest.mark.full
def test_a_snapshot_takes_one_put_for_each_segment(running: Service) -> None:
    rng = random.Random(1)
    with between(running, ()) as (handler, store):
        with Vault.create_or_open(store, ManualClock()) as vault:
            handler.seen.clear()
            with vault.begin(info("a")) as writer:
                for number in range(33):
                    writer.write(number * 4 * MIB, rng.randbytes(4 * MIB))
                root = writer.commit()
        puts = [path for method, path in handler.seen if method == "PUT"]
        stored = root.statistics.stored_bytes
        assert stored > 2 * SEGMENT_BYTES
        assert len(puts) <= stored / SEGMENT_BYTES + 5
        # The claim, three segments, the root.
        assert len(puts) == len(set(puts)) == 5
        assert [path for _, path in handler.seen if "upload" in path] == []


@pytest.mark.full
def test_a_snapshot_that_shares_with_many_disks_takes_few_puts(running: Service) -> None:
    frames = [random.Random(number).randbytes(FRAME_BYTES) for number in range(60)]
    with between(running, ()) as (handler, store):
        with Vault.create_or_open(store, ManualClock()) as vault:
            for number, frame in enumerate(frames):
                store_snapshot(vault, f"s{number}", {0: frame})
            handler.seen.clear()
            root = store_snapshot(vault, "all", {0: b"".join(frames)})
        puts = [path for method, path in handler.seen if method == "PUT"]
    assert root.statistics.shared_bytes == 60 * FRAME_BYTES
    assert len(puts) <= root.statistics.stored_bytes / SEGMENT_BYTES + 5


@pytest.mark.parametrize("size", [MIB, 20 * MIB])
@pytest.mark.parametrize("fault", ["lost", "halfway", "gone", "busy"])
def test_a_put_that_fails_is_repeated_whole(running: Service, fault: str, size: int) -> None:
    """Cut off halfway, refused, or done without that its answer came back."""
    content = random.Random(2).randbytes(size)
    with between(running, ()) as (handler, store):
        handler.planned[:] = [fault, fault]
        upload = store.upload()
        upload.write(content)
        upload.commit("segments/a")
        assert handler.planned == []
        assert store.get("segments/a") == content
        assert list(store.names("")) == ["segments/a"]


def test_a_put_that_keeps_failing_leaves_nothing(running: Service) -> None:
    hasty = Patience(retry_seconds=0.2, pauses=(0,))
    with between(running, (), hasty) as (handler, store):
        handler.planned[:] = ["halfway"] * 100
        upload = store.upload()
        upload.write(bytes(20 * MIB))
        with pytest.raises(StoreError, match="could not write segments/a"):
            upload.commit("segments/a")
        assert list(store.names("")) == []
        with pytest.raises(StoreError, match="over"):
            upload.commit("segments/a")
        assert [path for _, path in handler.seen if "upload" in path] == []


def test_a_snapshot_that_is_cut_off_halfway_leaves_nothing(running: Service) -> None:
    """By whoever stores it, or by a service that takes no segment to its end."""
    hasty = Patience(retry_seconds=0.2, pauses=(0,))
    content = random.Random(4).randbytes(10 * MIB)
    with (
        between(running, (), hasty) as (handler, store),
        Vault.create_or_open(store, ManualClock()) as vault,
    ):
        with vault.begin(info("a")) as writer:
            writer.write(0, content)
        assert list(store.names("")) == ["vault"]
        handler.planned[:] = ["halfway"] * 100
        with vault.begin(info("a")) as writer:
            writer.write(0, content)
            with pytest.raises(StoreError, match="could not write segments/"):
                writer.commit()
        assert list(store.names("")) == ["vault"]
        handler.planned.clear()
        with vault.begin(info("a")) as writer:
            writer.write(0, content)
            writer.commit()
        assert vault.verify() == []


class Draining(BaseHTTPRequestHandler):
    """Takes what is put without keeping it; notes the memory that this process has meanwhile."""

    protocol_version = "HTTP/1.1"
    held: list[int] = []

    def do_PUT(self) -> None:
        left = int(self.headers["Content-Length"])
        while left:
            left -= len(self.rfile.read(min(MIB, left)))
        self.held.append(own_memory())
        self.send_response(200)
        self.send_header("ETag", '"x"')
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def own_memory() -> int:
    """The bytes of this process that are in no file."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return sum(int(kib) * 1024 for kib in re.findall(r"Rss(?:Anon|Shmem):\s+(\d+) kB", status))


def test_a_segment_is_in_memory_once_and_only_while_it_is_sent() -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Draining)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        options = {
            "endpoint": f"http://127.0.0.1:{server.server_port}",
            "region": "us-east-1",
            "access_key_id": "a",
            "secret_access_key": "b",
        }
        store = S3Store("s3://bucket", options)
        piece = random.Random(3).randbytes(MIB)
        before = own_memory()
        upload = store.upload()
        for _ in range(64):
            upload.write(piece)
        upload.commit("segments/a")
        assert len(Draining.held) == 1
        assert Draining.held[0] - before < (64 + 24) * MIB
        assert own_memory() - before < 24 * MIB
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
