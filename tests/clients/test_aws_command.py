"""The unmodified `aws lightsail` against the server: what users type and see."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import pytest

from mooring.admin.demo.server import client_program
from tests.clients.shapes import check_answer
from tests.clients.site import ZONE, Site

pytestmark = pytest.mark.full


def aws(
    site: Site, *words: str, environment: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [client_program("aws"), "lightsail", *words],
        env={**site.environment, **(environment or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def answer(site: Site, operation: str, *words: str) -> Any:
    """What a command printed, which fits the model."""
    done = aws(site, *words)
    assert (done.returncode, done.stderr) == (0, "")
    assert check_answer(operation, done.stdout) == []
    return json.loads(done.stdout)


def refusal(site: Site, *words: str, environment: dict[str, str] | None = None) -> str:
    """The one line that a command which failed printed."""
    done = aws(site, *words, environment=environment)
    assert (done.returncode, done.stdout) == (255, "")
    (line,) = done.stderr.strip().splitlines()
    return line


def test_a_snapshot_is_taken_and_becomes_a_disk(site: Site) -> None:
    disk, snap, restored = site.disk(), site.fresh("snap"), site.fresh("disk")

    made = answer(
        site,
        "CreateDiskSnapshot",
        "create-disk-snapshot",
        *("--disk-name", disk, "--disk-snapshot-name", snap, "--tags", "key=why,value=upgrade"),
    )

    assert [one["resourceName"] for one in made["operations"]] == [snap, disk]
    site.snapshot_is(snap, "completed")
    shown = aws(
        site,
        *("get-disk-snapshot", "--disk-snapshot-name", snap, "--output", "text"),
        *("--query", "diskSnapshot.[state,progress,fromDiskName,tags[?key=='why']|[0].value]"),
    )
    assert shown.stdout == f"completed\t100%\t{disk}\tupgrade\n"
    answer(
        site,
        "CreateDiskFromSnapshot",
        "create-disk-from-snapshot",
        *("--disk-name", restored, "--disk-snapshot-name", snap),
        *("--availability-zone", ZONE, "--size-in-gb", "8"),
    )
    site.disk_is(restored, state="available")


def test_input_from_a_file_and_long_lists(site: Site) -> None:
    name = site.fresh("web")
    request = {
        "instanceNames": [name],
        "availabilityZone": ZONE,
        "blueprintId": "external",
        "bundleId": "external",
    }

    answer(site, "CreateInstances", "create-instances", "--cli-input-json", json.dumps(request))

    names = answer(site, "GetActiveNames", "get-active-names")["activeNames"]
    assert name in names


def test_a_name_that_is_taken(site: Site) -> None:
    disk = site.disk()

    text = refusal(
        site,
        *("create-disk", "--disk-name", disk, "--availability-zone", ZONE, "--size-in-gb", "8"),
    )

    assert text == (
        "An error occurred (InvalidInputException) when calling the CreateDisk operation: "
        f"Some names are already in use: {disk}"
    )


def test_a_disk_that_does_not_exist(site: Site) -> None:
    assert refusal(site, "get-disk", "--disk-name", "nope") == (
        "An error occurred (NotFoundException) when calling the GetDisk operation: "
        "The Disk does not exist: nope"
    )


def test_a_size_that_is_too_small(site: Site) -> None:
    text = refusal(
        site,
        *("create-disk", "--disk-name", "tiny", "--availability-zone", ZONE, "--size-in-gb", "7"),
    )

    assert text.endswith("The size of a block storage disk must be between 8 and 16384 GB.")


def test_an_operation_that_is_not_served(site: Site) -> None:
    text = refusal(site, "get-instance-access-details", "--instance-name", "web")

    assert text.startswith(
        "An error occurred (InvalidInputException) when calling the GetInstanceAccessDetails "
        "operation: Mooring does not serve GetInstanceAccessDetails. "
        "Mooring runs no machines: there is nothing to log in to"
    )


def test_a_wrong_secret(site: Site) -> None:
    text = refusal(site, "get-disks", environment={"AWS_SECRET_ACCESS_KEY": "guessed"})

    assert "(InvalidSignatureException) when calling the GetDisks operation" in text


def test_no_signature(site: Site) -> None:
    text = refusal(site, "get-disks", "--no-sign-request")

    assert "(MissingAuthenticationTokenException)" in text


def test_a_region_that_is_not_served(site: Site) -> None:
    text = refusal(site, "get-disks", "--region", "ap-south-1")

    assert "Regions served here: us-east-2, us-west-2" in text
