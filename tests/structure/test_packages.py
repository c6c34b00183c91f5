"""Debian packages of this commit: built, and checked in a clean machine."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]
SECONDS = 1500

pytestmark = [
    pytest.mark.full,
    pytest.mark.timeout(SECONDS),
    pytest.mark.skipif(
        not os.environ.get("CI") or os.geteuid() != 0,
        reason="it installs build tools and makes a machine: scripts/package does so on request",
    ),
]


def package(*arguments: str | Path, **environment: str) -> str:
    done = subprocess.run(
        [CHECKOUT / "scripts" / "package", *arguments],
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=SECONDS,
        check=False,
        umask=0o077,  # as strict as a caller's may be: the machine's other users are to read it all
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def suite() -> str:
    return platform.freedesktop_os_release()["VERSION_CODENAME"]


def proved_in(told: str) -> list[str]:
    return [line.partition("  ")[2] for line in told.splitlines() if line.startswith("PROVED")]


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """Not below /tmp, which may be memory, and has mounts in it at the end of a failed check."""
    path = Path(tempfile.mkdtemp(prefix="mooring-packages-", dir="/var/tmp"))
    yield path
    shutil.rmtree(path)


@pytest.fixture(scope="module")
def built(folder: Path) -> Path:
    package("here", folder / "new")
    return folder / "new"


def test_checksums_and_bill_of_materials_lie_beside_them(built: Path) -> None:
    lines = [line.split() for line in (built / "SHA256SUMS").read_text().splitlines()]
    told = {name: digest for digest, name in lines}
    there = {file.name: file for file in built.iterdir() if file.name != "SHA256SUMS"}

    assert told == {
        name: hashlib.sha256(file.read_bytes()).hexdigest() for name, file in there.items()
    }
    (bill,) = (file for name, file in there.items() if name.endswith(".cdx.json"))
    components = json.loads(bill.read_text())["components"]
    assert {"numpy", "cryptography", "sqlalchemy"} <= {one["name"] for one in components}
    assert all(one["hashes"] and one["licenses"] for one in components)


def test_they_are_installed_used_upgraded_and_removed(built: Path, folder: Path) -> None:
    package("here", folder / "older", PACKAGE_VERSION="0.0.1")

    told = package("check", suite(), folder / "machine", built, folder / "older")

    proved = proved_in(told)
    assert any("with a disk in use that did not notice" in line for line in proved), told
    assert "lintian finds no error and warns of nothing" in proved
    assert proved[-1] == "purged: only the data stays, and that is said"


@pytest.mark.requires("ip")
def test_a_second_host_joins_from_them(built: Path, folder: Path) -> None:
    if subprocess.run(["unshare", "--net", "true"], check=False).returncode:
        pytest.skip("no network name spaces here")

    told = package("hosts", suite(), folder / "machine", built)

    assert {
        "one: both hosts are up",
        "one: a disk here from it holds what was written on two",
        "two: mooringd doctor finds nothing, and knows both",
    } <= set(proved_in(told)), told
