"""Two hosts and three servers with clients at all, everything killed or stopped in turn."""

from __future__ import annotations

import itertools
import json
import signal
import threading
import time
from collections import Counter
from contextlib import suppress
from uuid import uuid4

import pytest

from mooring.admin.demo.server import DemoError
from tests.catalog.postgresql import PostgreSQL
from tests.e2e.client import CONTENT_TYPE, TARGET, Client, RefusedError
from tests.e2e.crew import Asked, Crew
from tests.e2e.hosts import (
    ZONE,
    Cluster,
    attach,
    create_disk,
    create_instance,
    disk,
    snapshot_state,
)
from tests.e2e.processes import until

pytestmark = [pytest.mark.full, pytest.mark.usefixtures("importable_tests")]

DISKS = {"data-a": "alpha", "data-b": "beta"}
CHECKED = 3
"""Snapshots of each disk that are restored, and compared whole."""

FALLS = 2
"""How often the host of a disk is killed: each client may have asked it for something just then."""

STANDSTILL_SECONDS = 6.0
"""Longer than a host may be silent, and than its answer is waited for."""


class Asking(threading.Thread):
    """A client of one server, which asks for snapshots of the disks in turn, as an SDK does.

    A try that fails for reasons of the server's is repeated with the same invocation id. If its
    host is killed in the midst, the name may be taken by then: that snapshot is `unanswered`, and
    is either there in the end or not.
    """

    def __init__(self, cluster: Cluster, server: str) -> None:
        super().__init__(name=f"client of {server}")
        self._cluster, self._server = cluster, server
        self._over = threading.Event()
        self.taken: list[tuple[Asked, str]] = []
        self.unanswered: set[str] = set()
        self.problem: Exception | None = None

    def run(self) -> None:
        numbers = itertools.count()
        disks = itertools.cycle(DISKS)
        try:
            while not self._over.is_set():
                name = f"{self._server}-{next(numbers)}"
                of = next(disks)
                asked = self._snapshot(name, of)
                if asked is None:
                    self.unanswered.add(name)
                else:
                    self.taken.append((asked, of))
                time.sleep(0.2)
        except Exception as error:  # noqa: BLE001 - told by `end`
            self.problem = error

    def last(self) -> None:
        """Let it ask for nothing more."""
        self._over.set()

    def end(self) -> None:
        """Wait until its last request is answered."""
        self.join(180)
        assert not self.is_alive(), f"{self.name} waits in vain"
        if self.problem is not None:
            raise self.problem

    def _snapshot(self, name: str, of: str) -> Asked | None:
        body = json.dumps({"diskName": of, "diskSnapshotName": name}).encode()
        headers = {
            "Content-Type": CONTENT_TYPE,
            "X-Amz-Target": f"{TARGET}.CreateDiskSnapshot",
            "amz-sdk-invocation-id": str(uuid4()),
        }
        requested = time.monotonic()
        for attempt in itertools.count():
            try:
                client = Client(self._cluster.servers[self._server].environment())
                client.send("POST", "/", headers, body)
            except RefusedError as error:
                if error.code == "NameExists" and attempt:
                    return None
                if error.status < 500 and error.code not in _PASSING:
                    raise
            except OSError:
                pass  # it is being started again
            else:
                return Asked(name, requested, time.monotonic())
            time.sleep(0.3)
        raise AssertionError


_PASSING = ("HostNotUp", "PendingSnapshotLimitExceeded", "Throttling")
"""What is over by itself."""


def test_whatever_dies_each_answer_is_true(cluster: Cluster, postgresql: PostgreSQL) -> None:
    cluster.start("alpha", "--host-only")
    cluster.start("beta")
    front = cluster.start("front", host=False)
    cluster.start("other", host=False)
    crews = {}
    for name, host in DISKS.items():
        create_instance(front, f"vm-{host}", host)
        create_disk(front, name, host)
        attach(front, name, f"vm-{host}")
        crews[name] = begin(cluster, front, name)
    clients = [Asking(cluster, server) for server in ("beta", "front", "other")]
    for client in clients:
        client.start()

    go_on(clients)
    cluster.kill("other")
    cluster.start("other", host=False)
    cluster.kill("alpha")
    # What is pending is stored as soon as it starts: it may fall before it has answered once.
    with suppress(DemoError):
        cluster.start("alpha", "--host-only", "--moment", "upload_snapshot:store:done")
    until(lambda: cluster.servers["alpha"].exit_code is not None, "alpha to fall")
    assert cluster.servers["alpha"].exit_code == -signal.SIGKILL
    cluster.start("alpha", "--host-only")
    go_on(clients)
    for stopped in ("beta", "alpha", "front"):
        with cluster.stopped(stopped):
            time.sleep(STANDSTILL_SECONDS)
        go_on(clients)
    postgresql.stop()
    time.sleep(1)
    postgresql.start()
    go_on(clients)
    for client in clients:
        client.last()
    # None is turned away any more because the others have too many snapshots pending.
    for client in clients:
        client.end()

    taken = [one for client in clients for one in client.taken]
    told = {asked.name for asked, _ in taken}
    unanswered = set[str]().union(*(client.unanswered for client in clients))
    assert len(unanswered) <= FALLS * len(clients)
    until(lambda: "pending" not in states(front).values(), "all to be stored")
    completed = {name for name, state in states(front).items() if state == "completed"}
    assert told <= completed <= told | unanswered
    stored = Counter(
        line.split()[1]
        for line in (cluster.folder / "steps").read_text().splitlines()
        if line.endswith("upload_snapshot:store:recorded")
    )
    assert set(stored.values()) == {1}, "a job was done twice"
    # What was recorded last before a host fell may not have been noted.
    assert 0 <= len(completed) - len(stored) <= FALLS
    for name, crew in crews.items():
        of = [asked for asked, of in taken if of == name]
        chosen = sorted(of, key=lambda one: one.replied)[:: max(1, len(of) // CHECKED)][:CHECKED]
        for asked in chosen:
            check(front, crew, asked, "beta" if DISKS[name] == "alpha" else "alpha")
        assert crew.stop()


def begin(cluster: Cluster, client: Client, name: str) -> Crew:
    uri = str(client.send("GET", f"/mooring/uri?diskName={name}", {}, b"")["uri"])
    crew = Crew(cluster.folder / f"crew-{name}", uri, [range(2048)], rate=200, strict=True)
    crew.begin()
    return crew


def go_on(clients: list[Asking]) -> None:
    """Wait until each client has had answers about both disks since."""
    before = {client: len(client.taken) for client in clients}

    def reached() -> bool:
        assert not any(client.problem for client in clients), [one.problem for one in clients]
        return all(len(client.taken) >= before[client] + 3 for client in clients)

    until(reached, "the clients to go on", 180)


def states(client: Client) -> dict[str, str]:
    found: dict[str, str] = {}
    token = None
    while True:
        answer = client.call("GetDiskSnapshots", **({"pageToken": token} if token else {}))
        found |= {one["name"]: one["state"] for one in answer["diskSnapshots"]}
        token = answer.get("nextPageToken")
        if not token:
            return found


def check(client: Client, crew: Crew, asked: Asked, host: str) -> None:
    """Make a disk of the snapshot, on the other host, and compare all that was written."""
    assert snapshot_state(client, asked.name) == "completed"
    made = f"of-{asked.name}"
    client.call(
        "CreateDiskFromSnapshot",
        diskName=made,
        diskSnapshotName=asked.name,
        availabilityZone=ZONE,
        sizeInGb=8,
        tags=[{"key": "mooring:host", "value": host}],
    )
    until(lambda: disk(client, made)["state"] == "available", made)
    create_instance(client, f"vm-{made}", host)
    attach(client, made, f"vm-{made}")
    uri = str(client.send("GET", f"/mooring/uri?diskName={made}", {}, b"")["uri"])
    verdict = crew.compare(uri, asked)
    assert verdict.ok, f"{asked.name}: {verdict.wrong}"
    assert verdict.written > 0
