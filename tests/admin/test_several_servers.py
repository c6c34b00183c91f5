"""What is told of the servers of one catalog on PostgreSQL."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text
from structlog.testing import capture_logs

from mooring.admin.cluster.share_settings import share_settings
from mooring.admin.health.hosts import hosts
from mooring.admin.health.servers import server_findings
from mooring.admin.main import main
from mooring.catalog.watching.root_looks import RootLook
from mooring.config.check import check
from mooring.config.settings import EngineSettings, Limits, Region, Settings, SnapshotSettings
from mooring.jobs.roots import Comparison
from mooring.model.errors import ConfigurationError, OperationFailureException, VaultError
from mooring.model.resources.disk import DiskState
from mooring.service.absence import absent_places
from mooring.service.answers.views import disk_view
from mooring.service.context import Context
from mooring.service.own.access_keys import keys as own_keys
from mooring.service.own.disks import disks as own_disks
from mooring.service.own.fencing import fence
from mooring.wiring.build_server import build_server
from mooring.wiring.server import Mooring
from tests.catalog.postgresql import PostgreSQL
from tests.catalog.values import disk
from tests.cluster import share_cluster_key
from tests.e2e.processes import until

pytestmark = pytest.mark.full
ZONE, OTHER = "us-east-2a", "us-east-2b"


@pytest.fixture
def settings(tmp_path: Path, postgresql: PostgreSQL) -> Settings:
    return Settings(
        data=str(tmp_path / "data"),
        name="first",
        engine=EngineSettings(kind="memory"),
        catalog=postgresql.url(),
    )


def silence(settings: Settings, seconds: int) -> None:
    """Let the catalog have heard of its servers so long ago."""
    engine = create_engine(settings.catalog)
    with engine.begin() as connection:
        statement = "UPDATE servers SET seen_ms = seen_ms - :ms"
        connection.execute(text(statement), {"ms": seconds * 1000})
    engine.dispose()


def test_doctor_tells_of_servers(settings: Settings) -> None:
    mooring = build_server(settings)
    try:
        mooring.start()
        (_, (ok, told)) = server_findings(settings)
        assert ok
        assert "server first on " in told
        assert "jobs: 2 quick, 2 bulk, 2 filling, 2 deleting): runs, heard of " in told

        key = mooring.paths.cluster_key
        key.chmod(0o644)
        assert (False, f"{key} has mode 0644, so others could read") in [
            (ok, told.partition(" the key")[0]) for ok, told in server_findings(settings)
        ]
        key.chmod(0o600)

        silence(settings, 300)
        (_, (ok, told)) = server_findings(settings)
        assert not ok
        assert "not heard of for 5 minutes. Start it again, or see" in told
    finally:
        mooring.stop()

    (database, (ok, told)) = server_findings(settings)
    assert database == (True, "database: on this machine")
    assert ok
    assert ": ended " in told


def beside(settings: Settings, name: str, **regions: Region) -> Settings:
    """Another server of the same catalog."""
    data = settings.data_directory.parent / name
    named = {region.replace("_", "-"): one for region, one in regions.items()}
    return replace(settings, data=str(data), name=name, regions=named)


@contextmanager
def served(settings: Settings) -> Iterator[Mooring]:
    share_cluster_key(settings.data_directory)
    mooring = build_server(settings)
    try:
        mooring.start()
        yield mooring
    finally:
        mooring.stop()


def refusal(settings: Settings) -> str:
    with pytest.raises(ConfigurationError) as caught, served(settings):
        pass
    return str(caught.value)


def test_what_keeps_a_second_server_out(settings: Settings) -> None:
    vault = str(settings.data_directory.parent / "vault")
    first = beside(settings, "first", us_east_2=Region(zones=[ZONE], vault=vault))
    away = Region(elsewhere=[ZONE], vault=f"{vault}-of-its-own")
    third = beside(settings, "third", us_east_2=Region(elsewhere=[ZONE], vault=vault))
    with served(first):
        namesake = beside(settings, "second", us_east_2=Region(zones=[ZONE], vault=vault))
        told = refusal(replace(namesake, name="first"))
        assert "another host that is called first, at http" in told
        told = refusal(beside(settings, "fourth", us_east_2=away))
        assert "holds none" in told
        assert "The server first uses the catalog, too" in told

        with served(third) as mooring:
            assert [one.name for one in mooring.others()] == ["first"]
            copied = beside(settings, "copy", us_east_2=third.regions["us-east-2"])
            copied.data_directory.mkdir(exist_ok=True)
            shutil.copy(third.data_directory / "server-id", copied.data_directory)
            assert "remove server-id there" in refusal(copied)
            (copied.data_directory / "server-id").unlink()
            with served(copied):
                pass


def test_zones_of_others_need_not_be_in_the_settings(settings: Settings) -> None:
    vault = str(settings.data_directory.parent / "vault")
    first = beside(settings, "first", us_east_2=Region(zones=[ZONE], vault=vault))
    second = beside(settings, "second", us_east_2=Region(zones=[OTHER], vault=vault))
    with served(first) as one, served(second) as two:
        assert two.backend.regions == {"us-east-2": [OTHER, ZONE]}
        one.cluster.look()
        assert one.backend.regions == {"us-east-2": [ZONE, OTHER]}
        assert one.backend.check_zone("us-east-2", OTHER) == OTHER
        assert list(one.backend.elsewhere) == [OTHER]
        with pytest.raises(OperationFailureException, match=r"zone us-east-2b are on other hosts"):
            one.backend.engine(disk("there", zone=OTHER))
        assert one.cluster.servers == 2

        moved = beside(settings, "third", eu_west_1=Region(zones=[OTHER], vault=f"{vault}-2"))
        two.stop()
        assert "the zone us-east-2b is in the region us-east-2, says another" in refusal(moved)
        one.cluster.look()
        assert one.cluster.servers == 1
        assert one.backend.is_served(disk("there", zone=OTHER))


def test_what_a_key_did_at_another_server_is_told(settings: Settings) -> None:
    vault = str(settings.data_directory.parent / "vault")
    first = beside(settings, "first", us_east_2=Region(zones=[ZONE], vault=vault))
    second = beside(settings, "second", us_east_2=Region(zones=[OTHER], vault=vault))
    with served(first) as one, served(second) as two:
        (key_id,) = two.keys.ids()
        assert used(one) == {key_id: None}
        two.keys.note_use(key_id)
        until(lambda: used(one) == used(two) != {key_id: None}, "the other server to tell")
    with served(first) as one:
        assert used(one) == {key_id: two.keys.used[key_id] / 1000}


def used(mooring: Mooring) -> dict[str, float | None]:
    """When each key was last used, as a server tells it."""
    told = own_keys(mooring.backend, Context("us-east-2", "", "", None, 0), {})
    return {one["keyId"]: one["usedAt"] for one in told["keys"]}


def test_a_zone_that_a_host_drops_is_told_and_the_rest_served(settings: Settings) -> None:
    vault = str(settings.data_directory.parent / "vault")
    first = beside(settings, "first", us_east_2=Region(zones=[ZONE, OTHER], vault=vault))
    second = beside(settings, "second", us_east_2=Region(zones=[OTHER], vault=vault))
    front = beside(settings, "front", us_east_2=Region(vault=vault))
    with served(first) as both, served(second) as two:
        made = {
            "kept": disk("kept", state=DiskState.AVAILABLE, host=both.backend.host),
            "left": disk("left", state=DiskState.AVAILABLE, host=both.backend.host, zone=OTHER),
            "other": disk("other", state=DiskState.AVAILABLE, host=two.backend.host, zone=OTHER),
        }
        with both.backend.catalog.write() as transaction:
            for each in made.values():
                transaction.disks.add(each)
        both.stop()
        fewer = beside(settings, "first", us_east_2=Region(zones=[ZONE], vault=vault))
        with capture_logs() as lines, served(fewer) as one, served(front) as three:
            told = "the zone us-east-2b has 1 disk (left) but is not in the settings"
            (line,) = [line for line in lines if line["event"] == "a place is not in the settings"]
            assert told in line["why"]
            # Who asks is told the same by each server, and nobody is sent in circles.
            context = Context("us-east-2", "", "", None, 0)
            for mooring in (one, two, three):
                mooring.backend.hosts.forget()
                mooring.cluster.look()
                with pytest.raises(OperationFailureException, match="of its host first: add it"):
                    mooring.backend.engine(made["left"])
                disks = {
                    told["diskName"]: told
                    for told in own_disks(mooring.backend, context, {})["disks"]
                }
                assert "not in the settings of its host first" in disks["left"]["problem"]
                assert "not in the settings" not in str(disks["other"])
                states = {
                    name: disk_view(mooring.backend, each)["state"] for name, each in made.items()
                }
                assert states == {"kept": "available", "left": "unknown", "other": "available"}
            # The zone is still one, of the host that has it.
            assert one.backend.check_zone("us-east-2", OTHER) == OTHER
            assert three.backend.regions == {"us-east-2": [ZONE, OTHER]}
            assert absent_places(two.backend, context, {}) == {"absent": []}
            assert absent_places(three.backend, context, {}) == {"absent": []}
            assert list(one.backend.engines) == [ZONE]
            assert one.backend.engine(made["kept"]) is one.backend.engines[ZONE]
        with served(first) as again:
            assert again.backend.engine(made["left"]) is again.backend.engines[OTHER]


def test_a_host_that_drops_all_its_zones_is_shown_as_it_is(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    vault = str(settings.data_directory.parent / "vault")
    first = beside(settings, "first", us_east_2=Region(zones=[ZONE], vault=vault))
    second = beside(settings, "second", us_east_2=Region(zones=[ZONE], vault=vault))
    fewer = beside(settings, "first", us_east_2=Region(vault=vault))

    def listed() -> dict[str, list[str]]:
        """The hosts, each with its state, its zones and its disks."""
        capsys.readouterr()
        hosts(settings)
        rows = [line.split() for line in capsys.readouterr().out.splitlines()]
        rows = rows[1 + next(at for at, row in enumerate(rows) if row[0] == "name") :]
        return {row[0]: row[1:4] for row in rows}

    with served(second) as two:
        with served(first) as one:
            left = disk("left", state=DiskState.AVAILABLE, host=one.backend.host)
            with one.backend.catalog.write() as transaction:
                transaction.disks.add(left)
        with served(fewer) as one:
            # It has disks: whoever wants them elsewhere has to fence it.
            assert listed() == {"first": ["up", "none", "1"], "second": ["up", ZONE, "0"]}
            two.backend.hosts.forget()
            with pytest.raises(OperationFailureException, match="of its host first: add it"):
                two.backend.engine(left)
            one.host_watch.look()
            context = Context("us-east-2", "", "", None, 0)
            with pytest.raises(OperationFailureException, match="first is up"):
                fence(two.backend, context, {"hostName": "first"})
            fence(two.backend, context, {"hostName": "first", "force": True})
            assert listed()["first"][0] == "fenced"
            with two.backend.catalog.write() as transaction:
                transaction.disks.change(left.id, host=two.backend.host)  # restored
            one.host_watch.look()
            # Now it is none any more, and says so once.
            assert listed() == {"first": ["ended", "none", "0"], "second": ["up", ZONE, "1"]}
            one.host_watch.look()
        with served(fewer):
            assert listed()["first"] == ["ended", "none", "0"]
        with served(first):
            assert listed()["first"] == ["up", ZONE, "0"]
        with served(beside(settings, "front", us_east_2=Region(vault=vault))):
            assert sorted(listed()) == ["first", "second"], "this one never was a host"


def test_a_second_server_with_other_settings_is_told_and_follows(settings: Settings) -> None:
    vault = str(settings.data_directory.parent / "vault")
    first = beside(settings, "first", us_east_2=Region(zones=[ZONE], vault=vault))
    first = replace(first, snapshots=SnapshotSettings(rhythms="hourly keep 2 days"))
    second = beside(settings, "second", us_east_2=Region(zones=[OTHER], vault=vault))
    second = replace(second, limits=Limits(pending_snapshots=2, connections=9))
    with served(first):
        with capture_logs() as lines, served(second) as two:
            assert two.settings.snapshots == first.snapshots
            assert two.backend.max_pending_snapshots == Limits().pending_snapshots
            # What is a server's own stays so.
            assert two.settings.limits.connections == 9
            told = [line["why"] for line in lines if line["log_level"] == "warning"]
            findings = [text for ok, text in server_findings(second) if not ok]
        assert told == findings
        assert [one.partition(",")[0] for one in told] == [
            'snapshots.rhythms is "" in this server\'s settings',
            "limits.pending_snapshots is 2 in this server's settings",
        ]
        assert share_settings(second) == 0
    with served(first) as one:
        # Alone, it says what holds, as on a single host.
        assert one.settings.snapshots == first.snapshots
        with one.backend.catalog.read() as transaction:
            assert transaction.shared_settings.all()["snapshots.rhythms"] == '"hourly keep 2 days"'
        assert share_settings(second) == 0
        with served(second) as two:
            assert two.settings.snapshots.rhythms == ""
            assert [text for ok, text in server_findings(second) if not ok] == []


def test_one_server_compares_a_vault_for_all(settings: Settings) -> None:
    vault = str(settings.data_directory.parent / "vault")
    first = beside(settings, "first", us_east_2=Region(zones=[ZONE], vault=vault))
    second = beside(settings, "second", us_east_2=Region(zones=[OTHER], vault=vault))
    looked: list[str] = []

    def watched(mooring: Mooring, name: str) -> None:
        compare = mooring.schedule.vaults.compare

        def noting(region: str) -> Comparison:
            looked.append(name)
            return compare(region)

        mooring.schedule.vaults.compare = noting  # type: ignore[method-assign]

    with served(first) as one, served(second) as two:
        # Only the test looks: between two lines of it a thread would, too.
        one.schedule.stop()
        two.schedule.stop()
        watched(one, "one")
        watched(two, "two")
        for mooring in (one, two, one, two):
            mooring.schedule.vaults.look()
        assert looked == []

        # A vault that is an older copy: who compares it says so, and the other goes by that.
        found = RootLook(one.backend.vaults["us-east-2"].id, "an older copy", 1, 0)
        with one.backend.catalog.write() as transaction:
            transaction.root_looks.put("us-east-2", found, 0)
        two.schedule.vaults.look()
        with pytest.raises(VaultError, match="an older copy"):
            two.backend.vaults["us-east-2"].check(writes=True)
        assert looked == []

        # What nobody stands up for any more, as in a restored backup, nobody goes by.
        with one.backend.catalog.write() as transaction:
            connection = transaction.servers._connection
            connection.execute(text("UPDATE root_looks SET seen_ms = seen_ms - 100000"))
            connection.execute(text("UPDATE leads SET until_ms = until_ms - 100000"))
        two.schedule.vaults.look()
        assert looked == ["two"]
        two.backend.vaults["us-east-2"].check(writes=True)
        one.schedule.vaults.look()
        assert looked == ["two"]


def test_an_older_program_and_a_newer_one_use_no_catalog_together(settings: Settings) -> None:
    """Older ones want the catalog for themselves; who must migrate it, does too."""
    engine = create_engine(settings.catalog)
    key = "hashtextextended('mooring server of ' || current_schema()::text, 0)"
    with engine.connect() as older:
        older.execute(text(f"SELECT pg_advisory_lock_shared({key})"))
        assert "must change the tables first" in refusal(settings)
        older.execute(text(f"SELECT pg_advisory_unlock_shared({key})"))
        with served(settings):
            assert not older.execute(text(f"SELECT pg_try_advisory_lock({key})")).scalar()
        older.execute(text(f"SELECT pg_advisory_lock({key})"))
        assert "of an older version" in refusal(settings)
    engine.dispose()


def test_only_a_database_has_servers_elsewhere(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="only a catalog on PostgreSQL"):
        check(Settings(data=str(tmp_path), regions={"us-east-2": Region(elsewhere=[ZONE])}))


def test_nothing_is_told_of_the_one_server_of_a_file(tmp_path: Path) -> None:
    settings = Settings(data=str(tmp_path / "data"), engine=EngineSettings(kind="memory"))
    mooring = build_server(settings)
    try:
        mooring.start()
        with mooring.backend.catalog.read() as transaction:
            assert transaction.servers.all(0) == []
    finally:
        mooring.stop()
    assert list(server_findings(settings)) == []


def test_without_the_settings_nobody_looks_for_another_catalog(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "cluster-key").write_text("one")
    (tmp_path / "mooring.toml").write_text("")
    assert main(["hosts", "--data", str(tmp_path)]) == 2
    told = capsys.readouterr().err
    assert "shares a catalog, and these settings name none" in told
    assert f"--config {tmp_path}/mooring.toml" in told
