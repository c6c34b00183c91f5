"""Keys with roles and tags, as boto3 and aws meet them, while the server runs."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from mooring.admin.demo.server import client_program
from mooring.service.credentials.keys import Key, read_keys
from tests.clients.boto import Refused, Reply
from tests.clients.site import ZONE, Site

pytestmark = pytest.mark.full

TAGS = [{"key": "team", "value": "db"}]


def manage(site: Site, *words: str) -> str:
    """Run `mooringd keys`."""
    command = [sys.executable, "-m", "mooring.admin.main", "keys", *words]
    done = subprocess.run(
        [*command, "--data", str(site.server.data)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return done.stdout


def newest(site: Site, user: str) -> Key:
    keys = read_keys(site.server.data / "credentials").values()
    return next(key for key in keys if key.access.user == user)


def ask(site: Site, key: Key, operation: str, **params: Any) -> Reply:
    client = {"key": key.id, "secret": key.secret}
    return site.boto.reply(operation, params, client=client)


def until(done: Callable[[], bool]) -> None:
    for _ in range(600):
        if done():
            return
        threading.Event().wait(0.02)
    raise AssertionError("it does not become true")


def known(site: Site, key: Key) -> bool:
    error = ask(site, key, "GetRegions").error
    assert error is None or error.code == "UnrecognizedClientException"
    return error is None


def refusal(reply: Reply) -> Refused:
    assert reply.error is not None
    return reply.error


def audited(site: Site) -> list[Mapping[str, Any]]:
    text = (site.server.data / "audit.jsonl").read_text()
    return [json.loads(line) for line in text.splitlines()]


def test_a_reader_reads(site: Site) -> None:
    manage(site, "create", "eve", "--role", "read-only")
    eve, disk = newest(site, "eve"), site.disk()
    until(lambda: known(site, eve))

    assert ask(site, eve, "GetDisk", diskName=disk).get()["disk"]["name"] == disk
    error = refusal(ask(site, eve, "DeleteDisk", diskName=disk))

    assert (error.type, error.status) == ("AccessDeniedException", 400)
    assert error.body_code == "AccessDenied"
    assert error.message.startswith(
        "User: arn:aws:iam::000000000000:user/eve is not authorized to perform: "
        "lightsail:DeleteDisk on resource: "
    )
    site.disk_is(disk, state="available")
    (line,) = [one for one in audited(site) if one["user"] == "eve"]
    assert (line["operation"], line["resources"]) == ("DeleteDisk", [disk])
    assert (line["result"], line["source"]) == ("AccessDeniedException", "127.0.0.1")


def test_a_team_has_its_own(site: Site) -> None:
    manage(site, "create", "team-db", "--role", "operator", "--tag", "team=db")
    key, theirs, ours = newest(site, "team-db"), site.disk(), site.fresh("disk")
    until(lambda: known(site, key))
    place = {"availabilityZone": ZONE, "sizeInGb": 8}

    error = refusal(ask(site, key, "CreateDisk", diskName=ours, **place))
    assert error.type == "AccessDeniedException"
    ask(site, key, "CreateDisk", diskName=ours, **place, tags=TAGS).get()
    site.disk_is(ours, state="available")
    snap = site.fresh("snap")
    ask(site, key, "CreateDiskSnapshot", diskName=ours, diskSnapshotName=snap, tags=TAGS).get()
    site.snapshot_is(snap, "completed")

    for operation in ("GetDisk", "DeleteDisk"):
        assert refusal(ask(site, key, operation, diskName=theirs)).type == "AccessDeniedException"
    listed = ask(site, key, "GetDisks").get()["disks"]
    assert [disk["name"] for disk in listed] == [ours]


def test_a_rotated_key_overlaps_and_a_deleted_one_ends(site: Site) -> None:
    manage(site, "create", "ci", "--role", "operator")
    old = newest(site, "ci")
    until(lambda: known(site, old))
    manage(site, "rotate", "ci", "--overlap-hours", "1")
    new = newest(site, "ci")
    until(lambda: known(site, new))

    assert known(site, old)
    manage(site, "delete", "ci", "--key-id", old.id)
    until(lambda: not known(site, old))
    assert known(site, new)


def test_the_file_of_keys_is_one_for_aws(site: Site, tmp_path: Path) -> None:
    """With all of its lines, and the one that a user was given."""
    alone = tmp_path / "credentials"
    manage(site, "create", "ann", "--role", "read-only", "--tag", "a=b", "--output", str(alone))
    until(lambda: known(site, newest(site, "ann")))
    inherited = {
        name: value
        for name, value in site.environment.items()
        if name not in {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}
    }

    for file, profile in ((alone, "default"), (site.server.data / "credentials", "ann")):
        for words in (["aws", "lightsail"], ["mooring"]):
            disk = ["--disk-name", "no", "--size-in-gb", "8", "--availability-zone", ZONE]
            command = [client_program(words[0]), *words[1:], "create-disk", *disk]
            done = subprocess.run(
                [str(word) for word in (*command, "--profile", profile)],
                env={**inherited, "AWS_SHARED_CREDENTIALS_FILE": str(file)},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=120,
                check=False,
            )
            assert "user/ann is not authorized to perform: lightsail:CreateDisk" in done.stderr


def test_no_secret_gets_into_log_or_audit(site: Site) -> None:
    refusal(site.boto.reply("GetDisks", {}, client={"key": "AKIANOBODY", "secret": "geheim"}))
    refusal(ask(site, newest(site, "default"), "DeleteDisk", diskName="nope"))

    told = site.log() + (site.server.data / "audit.jsonl").read_text()
    for key in read_keys(site.server.data / "credentials").values():
        assert key.secret not in told
    assert "geheim" not in told
