"""The commands of the examples that come with awscli, run as they stand.

What they name must be there, so they run in an order in which one makes what the next uses; what
none makes is made beforehand. Only the ids of operations and a load balancer are replaced.
"""

from __future__ import annotations

import json
import re
import sqlite3
import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from mooring.admin.demo.server import client_program
from mooring.protocol import service_model
from tests.clients.site import Site
from tests.conftest import find_tool

pytestmark = pytest.mark.full

WEST, EAST = "us-west-2", "us-east-1"
SETTINGS = f"""\
[engine]
kind = "memory"

[regions.{WEST}]
zones = ["{WEST}a"]

[regions.{EAST}]
zones = ["{EAST}a"]
"""

# To start `aws` for each is slow, so one process runs all. What gives a region has a driver of its
# own, which keeps that.
RUNNER = """
import contextlib, io, json, sys
from awscli.clidriver import create_clidriver
shared = create_clidriver()
for line in sys.stdin:
    words = json.loads(line)
    driver = create_clidriver() if "--region" in words else shared
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = driver.main(words)
        except SystemExit as error:
            code = error.code
    print(json.dumps([code, out.getvalue(), err.getvalue()]), flush=True)
"""

PLACE = "--availability-zone us-west-2a --blueprint-id wordpress --bundle-id nano_3_0"
MAKE = f"create-instances {PLACE} --instance-names"
SNAPSHOT = "create-instance-snapshot --instance-name WordPress-1 --instance-snapshot-name"

STORY = [
    "create-disk",
    "create-instances",
    f"+{MAKE} WordPress_Multisite-1 MEAN-1 MEAN-2 WordPress-1",
    "attach-disk",
    "get-disk",
    "+create-disk --disk-name Root-1 --size-in-gb 8 --availability-zone us-west-2a",
    "+attach-disk --disk-name Root-1 --instance-name WordPress-1 --disk-path /dev/xvda",
    "+tag-resource --resource-name WordPress-1 --tags key=mooring:system-disk,value=Root-1",
    "create-disk-snapshot",
    "+create-disk-snapshot --disk-name Disk-1 --disk-snapshot-name Disk-1-1566839161",
    "get-disk-snapshot",
    "create-disk-from-snapshot",
    "create-instance-snapshot",
    f"+{SNAPSHOT} MEAN-1-1571075291",
    f"+{SNAPSHOT} MEAN-1-1571419854",
    f"+{SNAPSHOT} WordPress-1-1569866208",
    f"+{SNAPSHOT} WordPress-1-Snapshot-1",
    "get-instance-snapshot",
    "create-instances-from-snapshot",
    "+enable-add-on --resource-name WordPress-1 --add-on-request addOnType=AutoSnapshot",
    "@2019-10-14",
    "get-auto-snapshots",
    "copy-snapshot",
    "@2019-10-10",
    "delete-auto-snapshot",
    "allocate-static-ip",
    "attach-static-ip",
    "get-static-ip",
    "detach-static-ip",
    "release-static-ip",
    "create-key-pair",
    "delete-key-pair",
    "+create-key-pair --key-pair-name MyKey1",
    "get-key-pair",
    "open-instance-public-ports",
    "close-instance-public-ports",
    "reboot-instance",
    "stop-instance",
    "start-instance",
    # Whatever is left and only tells.
    "*",
    "+detach-disk --disk-name Disk-1",
    "delete-disk",
    "delete-disk-snapshot",
    "delete-instance-snapshot",
    "+disable-add-on --resource-name WordPress-1 --add-on-type AutoSnapshot",
    "delete-instance",
]
"""Examples by their command, all that it has; `+`: besides, to have what they name; `@`: the
automatic snapshot that there is becomes one of that day; `*`: all that are not named here."""

COMMAND = re.compile(r"^ +aws lightsail .*\n(?:^ +\S.*\n)*", re.MULTILINE)


def examples() -> dict[str, list[list[str]]]:
    """The words after `aws lightsail`, as bash makes them, of what is served, by command."""
    packages = next(client_program("python").parent.parent.glob("lib/python3*/site-packages"))
    names = {
        re.sub(r"(?<!^)(?=[A-Z])", "-", one).lower() for one in service_model.load().operations
    }
    script = ["aws() { printf '%s\\037' \"$@\"; echo; }"]
    for file in sorted(packages.glob("awscli/examples/lightsail/*.rst")):
        script += COMMAND.findall(file.read_text())
    done = subprocess.run(
        [find_tool("bash"), "-euc", "\n".join(script)], capture_output=True, text=True, check=True
    )
    found: dict[str, list[list[str]]] = {}
    for line in done.stdout.splitlines():
        service, command, *words = line.split("\037")[:-1]
        assert service == "lightsail"
        if command in names:
            found.setdefault(command, []).append([command, *words])
    return found


class Shell:
    """Runs commands of `aws lightsail` as they stand, and waits until their operations ended."""

    def __init__(self, site: Site) -> None:
        self.site = site
        environment = {**site.environment, "AWS_DEFAULT_REGION": WEST}
        environment.pop("AWS_REGION", None)
        self._process = subprocess.Popen(
            [client_program("python"), "-c", RUNNER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            text=True,
        )

    def close(self) -> None:
        self._process.communicate(timeout=60)

    def run(self, words: Sequence[str]) -> tuple[int, str]:
        """The exit status, and what was printed."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(["lightsail", *words]) + "\n")
        self._process.stdin.flush()
        code, out, err = json.loads(self._process.stdout.readline())
        self._settle()
        return code, err if code else out

    def _settle(self) -> None:
        deadline = self.site.clock.monotonic() + 60
        for region in (WEST, EAST):
            while not all(one["isTerminal"] for one in self.call("GetOperations", region)):
                assert self.site.clock.monotonic() < deadline
                threading.Event().wait(0.05)

    def call(self, operation: str, region: str = WEST, **params: Any) -> list[Mapping[str, Any]]:
        """The one list in an answer."""
        answer = self.site.boto.reply(operation, params, client={"region": region}).get()
        return next(value for value in answer.values() if isinstance(value, list))

    def date_automatic(self, day: str) -> None:
        """Let the automatic snapshot of WordPress-1, taken if there is none, be of that day."""
        file = self.site.server.data / "catalog.sqlite"
        with closing(sqlite3.connect(file, timeout=30)) as catalog, catalog:
            catalog.execute("UPDATE auto_runs SET next_ms = 0")
        deadline = self.site.clock.monotonic() + 60
        while not (found := self.call("GetAutoSnapshots", resourceName="WordPress-1")):
            assert self.site.clock.monotonic() < deadline
            threading.Event().wait(0.05)
        moment = datetime.fromisoformat(f"{day}T06:10:00+00:00").astimezone(UTC)
        with closing(sqlite3.connect(file, timeout=30)) as catalog, catalog:
            dated = "UPDATE instance_snapshots SET created_ms = ? WHERE auto IS NOT NULL"
            assert catalog.execute(dated, [int(moment.timestamp() * 1000)]).rowcount == len(found)


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    find_tool("aws")
    site = Site(tmp_path, SETTINGS)
    try:
        shell = Shell(site)
        yield shell
        shell.close()
    finally:
        site.close()


def test_commands_of_the_examples_are_served_as_they_stand(shell: Shell) -> None:
    left = examples()
    assert len(left) > 50
    answers: dict[str, str] = {}

    def example(command: str) -> None:
        for words in left.pop(command):
            operation = shell.call("GetOperations")[0]["id"] if answers else ""
            given = [
                {"LoadBalancer-1": "MEAN-1"}.get(
                    word, re.sub(r"^\S+EXAMPLE\S+$", str(operation), word)
                )
                for word in words
            ]
            code, told = shell.run(given)
            answers[" ".join(words)] = told
            assert code == 0, (given, told)

    for step in STORY:
        if step == "*":
            named = set(STORY)
            for command in [one for one in left if one not in named]:
                assert command.startswith(("get-", "is-")), f"{command} has no place in the story"
                example(command)
        elif step.startswith("+"):
            code, told = shell.run(step[1:].split())
            assert code == 0, (step, told)
        elif step.startswith("@"):
            shell.date_automatic(step[1:])
        else:
            example(step)
    assert left == {}
    assert '"name": "MEAN-1"' in answers["get-instances"]
