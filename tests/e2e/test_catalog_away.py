"""A catalog that goes away, or is full, while the server runs, and comes back."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from mooring.admin.demo.server import OWN_PROGRAMS
from tests.catalog.postgresql import running
from tests.e2e.client import RefusedError
from tests.e2e.deployment import ZONE, Deployment
from tests.e2e.processes import until
from tests.e2e.test_full_file_systems import Ballast, content, noise, write
from tests.mounts import MIB, file_system

pytestmark = [pytest.mark.full, pytest.mark.requires("qemu-storage-daemon")]

SERVE = [sys.executable, "-m", "mooring.admin.main", "serve", "--port", "0"]


def start(deployment: Deployment, catalog: str) -> None:
    settings = deployment.folder / "settings.toml"
    settings.write_text(f'catalog = "{catalog}"\n')
    deployment.start(*SERVE, "--config", str(settings))


def create(deployment: Deployment, name: str) -> None:
    deployment.call("CreateDisk", diskName=name, availabilityZone=ZONE, sizeInGb=8)


def create_many(deployment: Deployment) -> None:
    for number in range(2000):
        create(deployment, f"disk-{number}")


def refused(deployment: Deployment, status: int, words: str) -> None:
    """A change is refused in words that do not tell where the catalog is."""
    with pytest.raises(RefusedError, match=words) as caught:
        create(deployment, "refused")
    assert caught.value.status == status


def health(deployment: Deployment) -> str:
    """What monitors are told that is wrong; empty if nothing is."""
    url = deployment.server.environment()["AWS_ENDPOINT_URL_LIGHTSAIL"]
    try:
        urllib.request.urlopen(f"{url}/healthz").close()
    except urllib.error.HTTPError as error:
        return error.read().decode()
    return ""


def doctor(deployment: Deployment) -> str:
    done = subprocess.run(
        [OWN_PROGRAMS / "mooringd", "doctor", "--data", deployment.data],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert "Traceback" not in done.stderr
    return done.stdout + done.stderr


def goes_on(deployment: Deployment, uri: str, snapshot: str) -> None:
    """All is as before, and continues without a restart."""
    until(lambda: health(deployment) == "", "monitors to be told that all is well")
    create(deployment, f"after-{snapshot}")
    deployment.snapshot(snapshot)
    assert deployment.ended(snapshot) == ["completed"]
    assert content(uri, 8 * MIB) == noise(1)
    assert "the server reports" not in doctor(deployment)


def test_a_file_that_is_moved_away(deployment: Deployment) -> None:
    folder = deployment.folder / "catalog"
    folder.mkdir()
    start(deployment, f"sqlite:///{folder}/catalog.sqlite")
    uri = deployment.used_disk()
    write(uri, 0, noise(1))
    folder.rename(folder.with_name("aside"))
    refused(deployment, 500, "catalog cannot be used right now")
    until(lambda: "is away" in health(deployment), "monitors to be told")
    assert "the server reports: " in doctor(deployment)
    assert not folder.exists()
    assert content(uri, 8 * MIB) == noise(1)

    folder.with_name("aside").rename(folder)
    goes_on(deployment, uri, "s1")
    deployment.server.kill()
    start(deployment, f"sqlite:///{folder}/catalog.sqlite")
    assert deployment.states() == {"s1": "completed"}
    deployment.close()


postgresql = contextlib.contextmanager(running)


def test_postgresql_is_stopped_and_started_again(deployment: Deployment) -> None:
    with postgresql() as database:
        start(deployment, database.url())
        uri = deployment.used_disk()
        write(uri, 0, noise(1))
        deployment.snapshot("s1")
        database.stop()
        refused(deployment, 500, "catalog cannot be used right now")
        until(lambda: "the catalog" in health(deployment), "monitors to be told")
        assert "the server reports: the catalog" in doctor(deployment)
        assert content(uri, 8 * MIB) == noise(1)

        database.start()
        assert deployment.ended("s1") == ["completed"]
        goes_on(deployment, uri, "s2")
        deployment.close()


def test_postgresqls_file_system_is_full(deployment: Deployment) -> None:
    with file_system(deployment.folder / "pg", "ext4", 400 * MIB) as mount:
        for folder in (deployment.folder, *deployment.folder.parents):
            if folder != Path("/tmp") and folder != Path("/"):
                folder.chmod(folder.stat().st_mode | 0o011)
        (mount / "data").mkdir(mode=0o700)
        shutil.chown(mount / "data", "postgres")
        with postgresql(mount / "data") as database:
            start(deployment, database.url())
            uri = deployment.used_disk()
            write(uri, 0, noise(1))
            with Ballast(mount):
                with pytest.raises(RefusedError, match=r"[Nn]o space|catalog cannot be") as caught:
                    create_many(deployment)
                assert caught.value.status in (400, 500)
                assert content(uri, 8 * MIB) == noise(1)
            goes_on(deployment, uri, "s1")
            deployment.close()
