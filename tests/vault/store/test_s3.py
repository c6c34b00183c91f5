"""A vault in a bucket, and services that fail."""

from __future__ import annotations

import os
import random
import socket
import threading
from collections.abc import Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from mooring.model.clock import ManualClock
from mooring.model.errors import ConfigurationError, StoreError
from mooring.model.extents import BLOCK_SIZE
from mooring.vault.format.layout import SEGMENTS
from mooring.vault.store.retrying import Patience
from mooring.vault.store.s3 import S3Store
from mooring.vault.vault import Vault
from tests.vault.disks import Disk, check_all, info
from tests.vault.store.buckets import Service, service


@pytest.fixture(scope="module")
def running() -> Iterator[Service]:
    with service() as found:
        yield found


def test_a_whole_vault_in_a_bucket(running: Service) -> None:
    bucket = f"s3://{running.bucket()}"
    disks = {"one": Disk()}
    with Vault.create_or_open(S3Store(bucket, running.options()), ManualClock()) as vault:
        with vault.begin(info("one")) as writer:
            # More than one part of a multipart upload.
            disks["one"].write(writer, 0, random.Random(1).randbytes(9 * 1024 * 1024))
            writer.commit()
        disks["two"] = disks["one"].copy()
        with vault.begin(info("two"), "one") as writer:
            disks["two"].write(writer, 100, b"new".ljust(BLOCK_SIZE, b"."))
            writer.commit()

    with Vault.create_or_open(S3Store(bucket, running.options()), ManualClock()) as again:
        check_all(again, disks)
        assert again.verify() == []
        again.delete("two")
        assert again.collect().segments_deleted == 1
        del disks["two"]
        check_all(again, disks)
        again.delete("one")
        again.collect()
        store = S3Store(bucket, running.options())
        assert list(store.names(SEGMENTS)) == []


def test_prefixes_do_not_see_each_other(running: Service) -> None:
    bucket = running.bucket()
    one, other = (S3Store(f"s3://{bucket}/{name}", running.options()) for name in ("a", "ab"))
    one.put("x", b"1")
    other.put("y", b"2")

    assert list(one.names("")) == ["x"]
    assert list(other.names("")) == ["y"]


def test_what_was_lost_on_the_way_back_is_no_defeat(running: Service) -> None:
    store = running.store()
    assert store.put("root", b"mine", replace=False)
    assert store.put("root", b"mine", replace=False)
    assert not store.put("root", b"another's", replace=False)


def test_a_bucket_that_is_not_there(running: Service) -> None:
    store = S3Store("s3://no-such-bucket/x", running.options())
    with pytest.raises(StoreError, match="no-such-bucket"):
        store.put("a", b"x")
    with pytest.raises(StoreError):
        list(store.names(""))


@pytest.mark.parametrize("url", ["s3://", "nonsense", "gopher://bucket"])
def test_addresses_that_are_none(url: str) -> None:
    with pytest.raises(ConfigurationError, match="cannot be opened"):
        S3Store(url, {"region": "us-east-1"})


def test_a_service_that_is_away() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as reserved:
        port = reserved.getsockname()[1]
    options = {
        "endpoint": f"http://127.0.0.1:{port}",
        "region": "us-east-1",
        "access_key_id": "a",
        "secret_access_key": "b",
    }
    hasty = Patience(retry_seconds=0.2)
    store = S3Store("s3://bucket", options, patience=hasty, clock=ManualClock())
    with pytest.raises(StoreError, match="could not write a in the vault s3://bucket"):
        store.put("a", b"x")


class Failing(BaseHTTPRequestHandler):
    """Says 503 so many times, then has an object."""

    failures = 2
    seen = 0

    def do_GET(self) -> None:
        type(self).seen += 1
        ok = self.seen > self.failures
        body = b"content" if ok else b"slow down"
        self.send_response(200 if ok else 503)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("ETag", '"x"')
        self.send_header("Last-Modified", "Mon, 01 Jan 2024 00:00:00 GMT")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def test_a_service_that_fails_now_and_then() -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Failing)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        options = {
            "endpoint": f"http://127.0.0.1:{server.server_port}",
            "region": "us-east-1",
            "access_key_id": "a",
            "secret_access_key": "b",
        }
        assert S3Store("s3://bucket", options).get("a") == b"content"
        assert Failing.seen == 3
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_temporary_file_that_cannot_be_read_fails_the_upload_alone(running: Service) -> None:
    store = running.store()
    upload = store.upload()
    upload.write(bytes(9 * 1024 * 1024))
    # A read error of its disk ends a process that has mapped it, as the end of the file does.
    assert upload._file is not None
    os.truncate(upload._file.fileno(), 1024 * 1024)
    with pytest.raises(StoreError, match="lost a part"):
        upload.commit("segments/a")
    assert list(store.names("")) == []
