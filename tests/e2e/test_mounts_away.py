"""A server whose directories are on file systems that are not mounted."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from mooring.admin.demo.server import OWN_PROGRAMS
from tests.e2e.client import RefusedError
from tests.e2e.deployment import ZONE, Deployment
from tests.e2e.processes import until
from tests.mounts import file_system

pytestmark = [pytest.mark.full, pytest.mark.requires("qemu-storage-daemon")]

MIB = 1024 * 1024
OTHER = "us-east-2b"
SERVE = [sys.executable, "-m", "mooring.admin.main", "serve", "--port", "0"]


@contextmanager
def unmounted(at: Path) -> Iterator[None]:
    """The file system is away, and nothing comes into its mount point."""
    subprocess.run(["umount", "--lazy", at], check=True)
    try:
        yield
        assert list(at.iterdir()) == []
    finally:
        subprocess.run(["mount", "-o", "loop", f"{at}.img", at], check=True)


def configured(deployment: Deployment, text: str) -> list[str]:
    config = deployment.folder / "mooring.toml"
    config.write_text(text)
    return [*SERVE, "--config", str(config)]


def doctor(deployment: Deployment) -> str:
    config = str(deployment.folder / "mooring.toml")
    program = [str(OWN_PROGRAMS / "mooringd"), "doctor", "--config", config]
    done = subprocess.run(
        [*program, "--data", str(deployment.data)], capture_output=True, text=True, check=False
    )
    return done.stdout + done.stderr


def refusal(command: list[str], data: Path) -> str:
    """What a server says that does not start."""
    done = subprocess.run(
        [*command, "--data", str(data)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    return done.stderr


def exported(deployment: Deployment) -> list[str]:
    found = deployment.call("GetExportSnapshotRecords")["exportSnapshotRecords"]
    return [one["state"] for one in found]


def test_exports_and_copies_of_the_catalog_wait_for_their_file_system(
    deployment: Deployment,
) -> None:
    with file_system(deployment.folder / "away", "ext4", 400 * MIB) as at:
        serve = configured(
            deployment,
            f'exports = "{at}/exports"\n'
            f'[catalog_copies]\ndirectory = "{at}/copies"\nhours = 0.001\n'
            f'[audit]\nfile = "{at}/audit.jsonl"\n',
        )
        deployment.start(*serve)
        deployment.used_disk()
        deployment.snapshot("one")
        deployment.ended("one")
        until(lambda: any((at / "copies").glob("*.sqlite")), "a copy of the catalog")
        deployment.call("ExportSnapshot", sourceSnapshotName="one")
        until(lambda: exported(deployment) == ["Succeeded"], "the export")
        noted = (deployment.data / "mount-points").read_text()
        assert noted == f"{at}\n"

        with unmounted(at):
            with pytest.raises(RefusedError, match="nothing is mounted at"):
                deployment.call("ExportSnapshot", sourceSnapshotName="one")
            # Nothing else waits for it, and what changes goes on being audited.
            deployment.disk("another")
            log = deployment.server.log
            until(lambda: f"nothing is mounted at {at}" in log.read_text(), "the log to say so")
            told = doctor(deployment)
            for use in ("exports", "copies of the catalog", "audit log"):
                assert f"BAD  the {use}, " in told, told

            deployment.server.stop()
            deployment.server.kill()
            assert "the audit log" in refusal(serve, deployment.data)

        copies = set((at / "copies").iterdir())
        audited = [json.loads(line) for line in (at / "audit.jsonl").read_text().splitlines()]
        assert "CreateDisk" in [one["operation"] for one in audited][-8:]
        deployment.start(*serve)
        deployment.call("ExportSnapshot", sourceSnapshotName="one")
        until(lambda: exported(deployment) == ["Succeeded"] * 2, "the export")
        until(lambda: set((at / "copies").iterdir()) != copies, "another copy")
        assert "is away" not in doctor(deployment)
        deployment.close()


def test_an_export_under_way_waits_and_continues(deployment: Deployment) -> None:
    with file_system(deployment.folder / "away", "ext4", 400 * MIB) as at:
        deployment.start(*configured(deployment, f'exports = "{at}/exports"\n'))
        deployment.used_disk()
        deployment.snapshot("one")
        deployment.ended("one")
        until((deployment.data / "mount-points").exists, "the mount point to be noted")
        deployment.call("ExportSnapshot", sourceSnapshotName="one")
        with unmounted(at):
            pass
        until(lambda: exported(deployment) == ["Succeeded"], "the export")
        assert [one.suffix for one in (at / "exports" / "us-east-2").iterdir()] == [".raw"]
        deployment.close()


def test_a_zone_on_its_own_file_system(deployment: Deployment) -> None:
    zone = deployment.data / "zones" / ZONE
    zone.parent.mkdir(parents=True, mode=0o700)
    with file_system(zone, "ext4", 400 * MIB) as at:
        serve = configured(deployment, "")
        deployment.start(*serve)
        deployment.disk("data")
        until((deployment.data / "mount-points").exists, "the mount point to be noted")
        with unmounted(at):
            with pytest.raises(RefusedError, match="nothing is mounted at"):
                deployment.disk("below-the-mount-point")
            deployment.call("CreateDisk", diskName="in-b", availabilityZone=OTHER, sizeInGb=8)
            deployment.server.kill()
            assert f"the disks of {ZONE}, {at}, is away" in refusal(serve, deployment.data)
        deployment.start(*serve)
        assert {one["name"] for one in deployment.call("GetDisks")["disks"]} == {"data", "in-b"}
        deployment.disk("again")
        deployment.close()


def test_no_server_begins_in_a_mount_point_of_the_hosts_table(deployment: Deployment) -> None:
    with file_system(deployment.folder / "srv", "ext4", 400 * MIB) as at:
        table = deployment.folder / "fstab"
        table.write_text(f"{at}.img {at} ext4 loop,nofail 0 2\n")
        # As on a host that has this table.
        with_table = f'mount --bind {table} /etc/fstab && exec "$@"'
        host = ["unshare", "--mount", "sh", "-c", with_table, "sh"]
        settings = deployment.folder / "mooring.toml"
        settings.write_text("")
        data = at / "mooring"
        begin = [*host, *SERVE]
        deployment.data = data
        deployment.start(*begin)
        deployment.disk("data")
        deployment.server.kill()

        with unmounted(at):
            for command in (begin, [*begin, "--background"]):
                told = refusal(command, data)
                assert f"the data directory {data} is away: nothing is mounted at {at}" in told
            done = subprocess.run(
                [*host, OWN_PROGRAMS / "mooringd", "doctor", "--data", data],
                capture_output=True, text=True, check=False,
            )  # fmt: skip
            assert f"nothing is mounted at {at}" in done.stdout + done.stderr
        deployment.start(*begin)
        assert [one["name"] for one in deployment.call("GetDisks")["disks"]] == ["data"]
        deployment.close()
