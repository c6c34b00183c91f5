"""Imports and exports of a server that is no host, and is lost."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from mooring.catalog.database import Catalog
from mooring.catalog.sharing.servers import IMPORTS_LEFT_MS
from mooring.jobs.storing import information
from mooring.jobs.watching import sources
from mooring.model.errors import InvalidInputException, OperationFailureException
from mooring.model.extents import GIB
from mooring.model.resources.job_arguments import ExportSnapshot
from mooring.model.resources.job_kind import JobKind
from mooring.model.resources.server import SILENT_MS, Server
from tests.catalog.postgresql import PostgreSQL
from tests.jobs.test_troubles import Watched
from tests.nbd.exports import SparseImage
from tests.service.test_imports import MIB, ask, nothing_left, offered, serve
from tests.service.world import World

pytestmark = pytest.mark.full


@pytest.fixture
def world(postgresql: PostgreSQL, tmp_path: Path, run_dir: Path) -> Iterator[World]:
    """A host, and the server `front` without disks that died in the midst of an import."""
    world = World(
        catalog=Catalog(postgresql.url()),
        imports=run_dir / "imports",
        image_files=tmp_path / "image_files",
    )
    served = serve(SparseImage(9 * MIB), place := offered(world))
    ask(world, place)
    served.close()
    (Path(place["folder"]) / place["socket"]).unlink(missing_ok=True)
    with world.catalog.write() as transaction:
        (job,) = transaction.jobs.all()
        transaction.jobs.give(job, "front-id")
        transaction.servers.begin(Server(id="front-id", name="front", host="boat"), 0)
    yield world
    world.close()


def be_silent(world: World, ms: int = SILENT_MS + 1000) -> None:
    with world.catalog.write() as transaction:
        older = text("UPDATE servers SET seen_ms = seen_ms - :long")
        transaction.connection.execute(older, {"long": ms})


def is_over(world: World) -> None:
    """The name is free, and the operation says why."""
    world.settle()
    nothing_left(world)
    (operation,) = world.operations("moved")
    assert operation["status"] == "Failed"
    assert operation["errorDetails"] == "the server that read the image is gone"


def test_whoever_runs_hosts_can_end_it(world: World) -> None:
    world.settle()
    assert world.state("moved")["state"] == "pending", "nobody else can do it"
    with pytest.raises(OperationFailureException, match=r"server front is up.*say --force"):
        world.act("fence", hostName="front")
    be_silent(world)
    (trouble,) = sources.servers(world.backend)
    assert "1 import waits for it: if it is gone, `mooringd fence front` ends" in trouble.text

    told = world.act("fence", hostName="front")

    assert told == {"hostName": "front", "isHost": False, "jobsEnded": 1, "notShutOut": []}
    is_over(world)
    assert not list(sources.servers(world.backend))


def test_an_import_that_was_stored_completes(world: World) -> None:
    """It died just before it could say so."""
    with world.catalog.read() as transaction:
        (snapshot,) = transaction.snapshots.all()
    with world.vault.begin(information(snapshot, 8 * GIB, {})) as writer:
        writer.write(0, bytes(range(256)) * 16)
        writer.commit()
    be_silent(world)
    world.act("fence", hostName="front-id")
    world.settle()
    assert world.state("moved")["state"] == "completed"


def test_an_export_fails(world: World) -> None:
    world.disk("data")
    world.snapshot("kept")
    world.settle()
    world.call("ExportSnapshot", sourceSnapshotName="kept")
    with world.catalog.write() as transaction:
        (job,) = transaction.jobs.of_kind(JobKind.EXPORT_SNAPSHOT)
        transaction.jobs.give(job, "front-id")
    be_silent(world)
    (trouble,) = sources.servers(world.backend)
    assert "1 import and 1 export wait for it" in trouble.text

    assert world.act("fence", hostName="front")["jobsEnded"] == 2

    world.settle()
    (record,) = world.call("GetExportSnapshotRecords")["exportSnapshotRecords"]
    assert record["state"] == "Failed"
    world.call("DeleteDiskSnapshot", diskSnapshotName="kept")


def test_an_export_is_not_written_by_another_server(world: World, tmp_path: Path) -> None:
    """That is what has it when a server is forgotten, after a week."""
    world.disk("data")
    world.snapshot("kept")
    world.settle()
    world.call("ExportSnapshot", sourceSnapshotName="kept")
    with world.catalog.write() as transaction:
        (job,) = transaction.jobs.of_kind(JobKind.EXPORT_SNAPSHOT)
        transaction.jobs.give(job, "")
        asked = job.given(ExportSnapshot).record
        transaction.export_records.change_if_there(asked, server="front")
        (operation, *_) = transaction.operations.waiting_for(job.id)

    world.settle()

    (record,) = world.call("GetExportSnapshotRecords")["exportSnapshotRecords"]
    assert record["state"] == "Failed"
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
    told = world.call("GetOperation", operationId=operation.id)["operation"]["errorDetails"]
    assert "is gone" in told


def test_one_of_several_of_a_name_is_named_by_its_id(world: World) -> None:
    with world.catalog.write() as transaction:
        transaction.servers.begin(Server(id="other-id", name="front", host="ship"), 0)
    be_silent(world)
    with pytest.raises(InvalidInputException, match="front-id on boat, other-id on ship"):
        world.act("fence", hostName="front")
    with world.catalog.write() as transaction:
        transaction.servers.beat("other-id", 0)
    assert world.act("fence", hostName="front")["jobsEnded"] == 1, "the other one is up"


def test_others_end_it_after_ten_minutes(world: World) -> None:
    watched = Watched(world)
    be_silent(world, IMPORTS_LEFT_MS - 60_000)
    watched.look()
    world.settle()
    assert world.state("moved")["state"] == "pending", "it may come back"
    be_silent(world, 60_000 + 1000)
    watched.look()
    is_over(world)
