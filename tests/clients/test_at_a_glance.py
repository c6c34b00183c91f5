"""`mooring status`, `list` and `grow`: screens for people, and all outputs for programs."""

from __future__ import annotations

import json
import subprocess
import threading
from typing import Any

import pytest

from mooring.admin.demo.server import client_program
from tests.clients.site import REGION, Site

pytestmark = pytest.mark.full


def mooring(site: Site, *words: str) -> str:
    return site.server.run("mooring", *words).output


def test_screens_name_what_is_there(site: Site) -> None:
    disk, instance = site.attached()
    snapshot = site.snapshot(disk)

    assert REGION in mooring(site, "status")
    line = next(one for one in mooring(site, "list", "disks").splitlines() if disk in one.split())
    assert f"in {instance}" in line
    assert "8 GB" in line
    shown = mooring(site, "list", "snapshots", "--disk-name", disk)
    assert shown.splitlines()[1].split()[0] == snapshot
    assert shown.splitlines()[-1] == "1 snapshot, 0 of them automatic"
    assert instance in mooring(site, "list", "instances")


@pytest.mark.parametrize("output", ["json", "text", "table", "yaml"])
@pytest.mark.parametrize("words", [("status",), ("list", "disks"), ("list", "snapshots")])
def test_all_outputs_apply(site: Site, words: tuple[str, ...], output: str) -> None:
    disk = site.disk()
    site.snapshot(disk)
    text = mooring(site, *words, "--output", output)

    assert (REGION if words == ("status",) else disk) in text
    if output == "json":
        assert isinstance(json.loads(text), dict)


def test_queries_apply_to_the_answer(site: Site) -> None:
    disk = site.disk()
    query = f"disks[?name=='{disk}'].[name,sizeInGb,newestSnapshotAt]"

    shown = mooring(site, "list", "disks", "--query", query, "--output", "text")
    assert shown == f"{disk}\t8\tNone\n"
    found = json.loads(mooring(site, "status", "--query", "regions[].name"))
    assert REGION in found


def test_grow_has_an_answer_for_programs(site: Site) -> None:
    disk = site.disk()

    assert mooring(site, "grow", "--disk-name", disk, "--size-in-gb", "9", "--wait") == (
        f"{disk} has 9 GB.\n"
    )
    words = ("grow", "--disk-name", disk, "--size-in-gb", "10", "--wait")
    answer: Any = json.loads(mooring(site, *words, "--output", "json"))
    assert [one["status"] for one in answer["operations"]] == ["Succeeded"]
    query = ("--query", "operations[0].resourceName", "--output", "text")
    grown = mooring(site, "grow", "--disk-name", disk, "--size-in-gb", "11", *query)
    assert grown == f"{disk}\n"


def test_watching_shows_it_again_until_it_is_interrupted(site: Site) -> None:
    disk = site.disk()
    command = [str(client_program("mooring")), "list", "disks", "--watch"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env=site.server.environment()
    ) as process:
        assert process.stdout is not None
        watchdog = threading.Timer(60, process.kill)
        watchdog.start()
        try:
            seen = 0
            for line in process.stdout:
                seen += line.split()[:1] == [disk]
                if seen == 2:
                    break
        finally:
            process.terminate()
            process.wait()
            watchdog.cancel()
    assert seen == 2
