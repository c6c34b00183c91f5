"""Requests a second through one server, with a full catalog, and moto's server beside it.

    .venv/bin/python -m bench.api --engine memory --seconds 10
    .venv/bin/python -m bench.api --engine qemu --disks 200 --attached 150 --seconds 3

The disks are made through the API, the snapshots of the past written into the catalog as failed
ones, of disks that are gone: no vault holds them, so no upload may look for them there, and the
server must not miss them, which would close the vault. With
`--engine memory` the API's own cost is measured; with `qemu` what is real: snapshots are taken of
the attached disks, of each no more than may be pending, so attach many. The server and this
program share the machine's cores; no request is throttled. moto is asked for as many EC2 volumes,
in pages of the same size, and for snapshots of them.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

from bench.http_load import Make, Measured, run
from mooring.admin.demo.server import ServerProcess
from mooring.catalog.database import Catalog
from mooring.model.ids import RandomIds
from mooring.model.resources.snapshot import DiskSnapshot, SnapshotState
from mooring.protocol.sigv4 import sign
from tests.e2e.processes import end_all

REGION, ZONE = "us-east-2", "us-east-2a"
PAGE = 100
SETTINGS = """\
[engine]
kind = "{engine}"
[throttle]
user_rate = 0
rate = 0
"""


class Peer:
    """A server, and how requests to it are written."""

    def __init__(self, url: str) -> None:
        self.url = url

    def post(self, headers: dict[str, str], body: bytes) -> bytes:
        lines = [f"{name}: {value}" for name, value in headers.items()]
        head = "\r\n".join(["POST / HTTP/1.1", *lines, f"Content-Length: {len(body)}", "", ""])
        return head.encode() + body

    @property
    def host(self) -> str:
        return urlsplit(self.url).netloc


class Mooring(Peer):
    """Mooring's server; each request is signed as clients sign it."""

    def __init__(self, server: ServerProcess) -> None:
        self.server = server
        environment = server.environment()
        self._key = environment["AWS_ACCESS_KEY_ID"]
        self._secret = environment["AWS_SECRET_ACCESS_KEY"]
        super().__init__(environment["AWS_ENDPOINT_URL_LIGHTSAIL"])

    def request(self, operation: str, **params: Any) -> bytes:
        body = json.dumps(params).encode()
        headers = {
            "Host": self.host,
            "Content-Type": "application/x-amz-json-1.1",
            "X-Amz-Target": f"Lightsail_20161128.{operation}",
        }
        moment = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        signed = sign(
            "POST", "/", headers, body, self._key, self._secret, REGION, "lightsail", moment
        )
        return self.post({**headers, **signed}, body)

    def repeated(self, operation: str, **params: Any) -> Make:
        """The same request again and again: signed once, which is the client's cost."""
        request = self.request(operation, **params)
        return lambda number: request

    def call(self, operation: str, **params: Any) -> Any:
        parts = urlsplit(self.url)
        with socket.create_connection((parts.hostname, parts.port)) as one:
            one.sendall(self.request(operation, **params))
            received = b""
            while b"\r\n\r\n" not in received:
                received += one.recv(1 << 16)
            head, _, body = received.partition(b"\r\n\r\n")
            size = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
            while len(body) < size:
                body += one.recv(1 << 16)
        assert head.startswith(b"HTTP/1.1 200"), body
        return json.loads(body)

    def count(self, operation: str, member: str, done: Callable[[Any], bool]) -> int:
        """How many of all pages' entries are done."""
        found, token = 0, None
        while True:
            page = self.call(operation, **({"pageToken": token} if token else {}))
            found += sum(done(one) for one in page[member])
            token = page.get("nextPageToken")
            if token is None:
                return found


def until(done: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 1200
    while not done():
        if time.monotonic() > deadline:
            raise SystemExit(f"too slow: {what}")
        time.sleep(0.3)


def runs(mooring: Mooring, instance: str) -> bool:
    state = mooring.call("GetInstanceState", instanceName=instance)["state"]
    return bool(state["name"] == "running")


def make_disks(mooring: Mooring, count: int, attached: int) -> None:
    tags = [{"key": "team", "value": "storage"}]
    place = {"availabilityZone": ZONE, "sizeInGb": 8}

    numbers = itertools.count()

    def make(_: int) -> bytes:
        return mooring.request("CreateDisk", diskName=f"disk-{next(numbers)}", tags=tags, **place)

    made = 0
    while made < count:
        batch = run(mooring.url, make, seconds=0.2, connections=4)
        assert not batch.failures, batch.failures
        made += len(batch.latencies)
    ready = lambda one: one["state"] == "available"  # noqa: E731
    until(lambda: mooring.count("GetDisks", "disks", ready) >= count, "disks become available")
    if attached:
        bundle = {"blueprintId": "external", "bundleId": "external", "availabilityZone": ZONE}
        for first in range(0, attached, 15):
            name = f"web-{first}"
            mooring.call("CreateInstances", instanceNames=[name], **bundle)
            until(partial(runs, mooring, name), "an instance runs")
            for number in range(first, min(first + 15, attached)):
                path = f"/dev/xvd{chr(ord('f') + number - first)}"
                disk = {"diskName": f"disk-{number}", "diskPath": path}
                mooring.call("AttachDisk", instanceName=name, **disk)
        served = lambda one: one["attachmentState"] == "attached"  # noqa: E731
        until(lambda: mooring.count("GetDisks", "disks", served) >= attached, "disks are attached")


def record_snapshots(data: Path, count: int, disks: int, word: str) -> None:
    """Write snapshots of the past into the catalog, of so many disks."""
    catalog, ids = Catalog(f"sqlite:///{data / 'catalog.sqlite'}"), RandomIds()
    gone = [ids.new_id() for _ in range(disks)]
    for first in range(0, count, 5000):
        with catalog.write() as transaction:
            for number in range(first, min(first + 5000, count)):
                transaction.snapshots.add(
                    DiskSnapshot(
                        id=ids.new_id(),
                        region=REGION,
                        name=f"{word}-{number}",
                        created_ms=1_700_000_000_000 + number,
                        support_code="000000000000/snap-0",
                        size_gb=8,
                        disk_id=gone[number % disks],
                        disk_name=f"gone-{number % disks}",
                        disk_zone=ZONE,
                        state=SnapshotState.ERROR,
                        frozen=True,
                        progress=100,
                        tags={"team": "storage"},
                    )
                )
    catalog.close()


def cpu_seconds(pid: int) -> float:
    """What a process has used of the processors so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def tell(what: str, measured: Measured) -> Measured:
    print(f"{what:<52}{measured.text()}", flush=True)
    return measured


def page_at(mooring: Mooring, position: int) -> Make:
    """A page of snapshots that begins after the position."""
    from mooring.service.answers.pages import token

    return mooring.repeated("GetDiskSnapshots", pageToken=token(position))


def measure_mooring(mooring: Mooring, options: argparse.Namespace) -> dict[str, Measured]:
    seconds, some = options.seconds, options.connections

    def load(make: Make, connections: int = some, rate: float | None = None) -> Measured:
        before = cpu_seconds(mooring.server.pid)
        done = run(mooring.url, make, seconds=seconds, connections=connections, rate=rate)
        done.server_seconds = cpu_seconds(mooring.server.pid) - before
        return done

    found = {}
    disks = mooring.repeated("GetDisks")
    record_snapshots(mooring.server.data, PAGE + 1, options.disks, "few")
    page = load(page_at(mooring, 0), 1)
    before = tell(f"get-disk-snapshots, first page of {PAGE + 1}, 1 client", page)
    record_snapshots(mooring.server.data, options.snapshots, options.disks, "old")
    for where, position in (("first", 0), ("middle", options.snapshots // 2)):
        page = load(page_at(mooring, position), 1)
        tell(f"get-disk-snapshots, {where} page of {options.snapshots}, 1 client", page)
    last = load(page_at(mooring, options.snapshots - PAGE), 1)
    tell(f"get-disk-snapshots, last page of {options.snapshots}, 1 client", last)
    found["few"], found["last"] = before, last
    found["reads"] = tell(f"get-disks, {PAGE} a page, {some} clients", load(disks))
    tell("get-disk, the same", load(mooring.repeated("GetDisk", diskName="disk-7")))
    found["at 500"] = tell("get-disks at 500/s", load(disks, 64, 500.0))

    numbers = itertools.count()

    def create(_: int) -> bytes:
        number = next(numbers)
        # The attached disks first, if there are some: these are what is real.
        disk = f"disk-{number % (options.attached or options.disks)}"
        return mooring.request(
            "CreateDiskSnapshot", diskName=disk, diskSnapshotName=f"new-{number}"
        )

    found["creates"] = tell(f"create-disk-snapshot, {some} clients", load(create))
    found["reads beside"] = tell("get-disks, while those are stored", load(disks))
    return found


class Moto(Peer):
    """moto's server, with EC2 volumes."""

    def query(self, **params: Any) -> bytes:
        body = urlencode({"Version": "2016-11-15", **params}).encode()
        scope = f"Credential=AKIA/20261124/{REGION}/ec2/aws4_request"
        headers = {
            "Host": self.host,
            "Content-Type": "application/x-www-form-urlencoded",
            "Authorization": f"AWS4-HMAC-SHA256 {scope}, SignedHeaders=host, Signature=0",
        }
        return self.post(headers, body)


def measure_moto(options: argparse.Namespace) -> dict[str, Measured]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    program = Path(sys.executable).with_name("moto_server")
    process = subprocess.Popen(
        [program, "-p", str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        until(lambda: _listens(port), "moto starts")
        moto, ids = Moto(f"http://127.0.0.1:{port}"), []
        place = {"Size": 8, "AvailabilityZone": ZONE}
        for _ in range(options.disks):
            reply = _one(moto, moto.query(Action="CreateVolume", **place))
            ids.append(reply.partition(b"<volumeId>")[2].partition(b"<")[0].decode())
        found, some, seconds = {}, options.connections, options.seconds
        volumes = moto.query(Action="DescribeVolumes", MaxResults=PAGE)
        shown = _one(moto, volumes).count(b"<volumeId>")

        def load(make: Make) -> Measured:
            before = cpu_seconds(process.pid)
            done = run(moto.url, make, seconds=seconds, connections=some)
            done.server_seconds = cpu_seconds(process.pid) - before
            return done

        describe = load(lambda number: volumes)
        found["reads"] = tell(f"moto: describe-volumes, {shown} in a reply, the same", describe)
        one = moto.query(Action="DescribeVolumes", **{"VolumeId.1": ids[0]})
        tell("moto: describe-volumes of one volume, the same", load(lambda number: one))

        def create(number: int) -> bytes:
            return moto.query(Action="CreateSnapshot", VolumeId=ids[number % len(ids)])

        made = load(create)
        found["creates"] = tell("moto: create-snapshot, the same", made)
        return found
    finally:
        process.kill()
        process.wait()


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def _one(peer: Peer, request: bytes) -> bytes:
    parts = urlsplit(peer.url)
    with socket.create_connection((parts.hostname, parts.port)) as one:
        one.sendall(request)
        received = b""
        while b"</" not in received[-200:] or not received.rstrip().endswith(b"Response>"):
            part = one.recv(1 << 18)
            if not part:
                break
            received += part
    return received


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--engine", choices=("memory", "qemu"), default="memory")
    parser.add_argument("--disks", type=int, default=1000)
    parser.add_argument("--attached", type=int, default=0, help="how many of them are attached")
    parser.add_argument("--snapshots", type=int, default=100_000)
    parser.add_argument("--seconds", type=float, default=10.0, help="for each figure")
    parser.add_argument("--connections", type=int, default=8)
    parser.add_argument("--no-moto", action="store_true")
    options = parser.parse_args()
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; {vars(options)}")
    with tempfile.TemporaryDirectory(prefix="m-api-", dir="/var/tmp") as folder:
        config = Path(folder) / "mooring.toml"
        config.write_text(SETTINGS.format(engine=options.engine))
        command = [sys.executable, "-m", "mooring.admin.main", "serve", "--port", "0"]
        server = ServerProcess(Path(folder), [*command, "--config", str(config)])
        server.start()
        try:
            mooring = Mooring(server)
            make_disks(mooring, options.disks, options.attached)
            ours = measure_mooring(mooring, options)
        finally:
            server.stop()
            end_all(Path(folder))  # the storage daemons, which would go on serving
    ratio = ours["last"].percentile(0.5) / ours["few"].percentile(0.5)
    print(f"the last page of all against the first of few: {ratio:.2f} x")
    if not options.no_moto:
        theirs = measure_moto(options)
        for what in ("reads", "creates"):
            print(f"{what}: {ours[what].rate / theirs[what].rate:.1f} x moto's rate")
    print(f"load {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
