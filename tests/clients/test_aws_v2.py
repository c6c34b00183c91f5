"""The unmodified `aws` command of version 2, as Debian packages it."""

from __future__ import annotations

import json
import shutil
import subprocess
from typing import Any

import pytest

from tests.clients.shapes import check_answer
from tests.clients.site import ZONE, Site


def _program() -> str:
    """Where it is; empty if `aws` is not there, or of version 1."""
    for folder in ("/usr/local/bin", "/usr/bin", None):
        found = shutil.which("aws", path=folder)
        if found is None:
            continue
        done = subprocess.run([found, "--version"], capture_output=True, text=True, check=False)
        if done.stdout.startswith("aws-cli/2."):
            return found
    return ""


PROGRAM = _program()

pytestmark = [
    pytest.mark.full,
    pytest.mark.skipif(
        not PROGRAM, reason="aws version 2 is not installed: apt-get install awscli"
    ),
]


def aws(site: Site, *words: str) -> subprocess.CompletedProcess[str]:
    # The oldest that Debian has knows no variable for endpoints.
    config = site.server.data / "aws-v2.config"
    config.write_text("[default]\ncli_timestamp_format = wire\n")
    return subprocess.run(
        [PROGRAM, "lightsail", *words, "--endpoint-url", site.url],
        env={**site.environment, "AWS_PAGER": "", "AWS_CONFIG_FILE": str(config)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def answer(site: Site, operation: str, *words: str) -> Any:
    done = aws(site, *words)
    assert (done.returncode, done.stderr) == (0, "")
    assert check_answer(operation, done.stdout) == []
    return json.loads(done.stdout)


def test_the_life_of_a_disk(site: Site) -> None:
    disk, snap, again = site.fresh("disk"), site.fresh("snap"), site.fresh("disk")
    place = ["--availability-zone", ZONE, "--size-in-gb", "8"]

    made = answer(site, "CreateDisk", "create-disk", "--disk-name", disk, *place)
    assert made["operations"][0]["status"] == "Started"
    site.disk_is(disk, state="available")
    words = ["create-disk-snapshot", "--disk-name", disk, "--disk-snapshot-name", snap]
    operations = answer(site, "CreateDiskSnapshot", *words)["operations"]
    assert [one["resourceName"] for one in operations] == [snap, disk]
    site.snapshot_is(snap, "completed")
    shown = answer(site, "GetDiskSnapshot", "get-disk-snapshot", "--disk-snapshot-name", snap)
    assert shown["diskSnapshot"]["progress"] == "100%"
    words = ["create-disk-from-snapshot", "--disk-snapshot-name", snap, "--disk-name", again]
    answer(site, "CreateDiskFromSnapshot", *words, *place)
    site.disk_is(again, state="available")
    answer(site, "DeleteDisk", "delete-disk", "--disk-name", disk)
    answer(site, "DeleteDiskSnapshot", "delete-disk-snapshot", "--disk-snapshot-name", snap)


def test_an_error_names_its_type(site: Site) -> None:
    done = aws(site, "get-disk", "--disk-name", "nope")

    assert (done.returncode, done.stdout) == (254, "")
    assert done.stderr.strip() == (
        "An error occurred (NotFoundException) when calling the GetDisk operation: "
        "The Disk does not exist: nope"
    )


@pytest.mark.parametrize("style", ["table", "text", "yaml", "yaml-stream"])
def test_every_style_shows_a_list(site: Site, style: str) -> None:
    disk = site.disk()

    query = f"disks[?name=='{disk}'].[name,sizeInGb]"
    done = aws(site, "get-disks", "--query", query, "--output", style)

    assert (done.returncode, done.stderr) == (0, "")
    assert disk in done.stdout
