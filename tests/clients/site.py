"""A server as a process of its own, with the clients that use it."""

from __future__ import annotations

import itertools
import json
import os
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from mooring.admin.demo.server import ServerProcess
from mooring.model.clock import SystemClock
from tests.clients.boto import Boto

REGION, ZONE, OTHER_ZONE = "us-east-2", "us-east-2a", "us-east-2b"

SETTINGS = """\
[engine]
kind = "memory"

[limits]
body_bytes = 65536
request_seconds = 2.0

[regions.us-east-2]
zones = ["us-east-2a", "us-east-2b"]

[regions.us-west-2]
zones = ["us-west-2a"]

[regions.eu-west-1]
zones = ["eu-west-1a"]

[regions.sa-east-1]
zones = ["sa-east-1a"]

[regions.eu-north-1]
zones = ["eu-north-1a"]
"""


HOSTILE = {
    "AWS_REGION": "eu-west-1",
    "AWS_DEFAULT_REGION": "eu-west-1",
    "AWS_PROFILE": "corp",
    "AWS_DEFAULT_PROFILE": "corp",
    "AWS_ACCESS_KEY_ID": "ASIAELSEWHERE",
    "AWS_SECRET_ACCESS_KEY": "elsewhere",
    "AWS_SESSION_TOKEN": "elsewhere",
    "AWS_SECURITY_TOKEN": "elsewhere",
    "AWS_CREDENTIAL_EXPIRATION": "2019-01-01T00:00:00Z",
    "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true",
    "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
    "AWS_USE_FIPS_ENDPOINT": "true",
    "AWS_USE_DUALSTACK_ENDPOINT": "true",
    "HTTP_PROXY": "http://127.0.0.1:9",
    "HTTPS_PROXY": "http://127.0.0.1:9",
    "http_proxy": "http://127.0.0.1:9",
    "https_proxy": "http://127.0.0.1:9",
    "no_proxy": "example.org",
}
"""What may stand in a shell before, all of it leading elsewhere."""


def after_env(data: Path, ca_bundle: Path | None = None) -> dict[str, str]:
    """What a shell hands to clients after `eval "$(mooringd env)"`, whatever it had before.

    The tests add nothing that leads to the server, but the authority of its certificate.
    """
    home = data / "home"
    (home / ".aws").mkdir(parents=True, exist_ok=True)
    (home / ".aws" / "config").write_text(
        "[default]\nregion = eu-west-1\nignore_configured_endpoint_urls = true\n"
    )
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("AWS_") and "proxy" not in name.lower()
    }
    script = (
        'eval "$("$1" -m mooring.admin.main env --data "$2")"; exec "$1" -c '
        "'import json, os; print(json.dumps(dict(os.environ)))'"
    )
    done = subprocess.run(
        ["sh", "-euc", script, "sh", sys.executable, str(data)],
        env={**inherited, **HOSTILE, "HOME": str(home), "AWS_EC2_METADATA_DISABLED": "true"},
        capture_output=True,
        text=True,
        check=True,
    )
    trusted = {} if ca_bundle is None else {"AWS_CA_BUNDLE": str(ca_bundle)}
    return {**json.loads(done.stdout), "MOORING_DATA": str(data), **trusted}


class Site:
    """A running server, and boto3. Names from `fresh` are used by nobody else."""

    def __init__(self, data: Path, settings: str = SETTINGS, ca_bundle: Path | None = None) -> None:
        file = data / "mooring.toml"
        file.write_text(settings)
        command = [sys.executable, "-m", "mooring.admin.main", "serve", "--port", "0"]
        self.server = ServerProcess(data, [*command, "--config", str(file)], ca_bundle)
        self.clock = SystemClock()
        self._numbers = itertools.count()
        self.server.start()
        try:
            self.environment = after_env(data, ca_bundle)
            self.boto = Boto(self.environment)
        except BaseException:
            self.server.stop()
            raise

    @property
    def url(self) -> str:
        return self.environment["AWS_ENDPOINT_URL_LIGHTSAIL"]

    def close(self) -> None:
        try:
            self.boto.close()
        finally:
            self.server.stop()

    def log(self) -> str:
        """What the server has written so far."""
        return self.server.log.read_text(errors="replace")

    def fresh(self, word: str) -> str:
        """A name that is not taken."""
        return f"{word}-{next(self._numbers)}"

    def call(self, operation: str, **params: Any) -> Mapping[str, Any]:
        return self.boto.call(operation, **params)

    def active_names(self) -> list[str]:
        """All of them: other tests have left more than a page."""
        found: list[str] = []
        page: dict[str, str] = {}
        while True:
            answer = self.call("GetActiveNames", **page)
            found += answer["activeNames"]
            if not answer.get("nextPageToken"):
                return found
            page = {"pageToken": answer["nextPageToken"]}

    # --- things made ready for use

    def disk(self, zone: str = ZONE, size: int = 8) -> str:
        name = self.fresh("disk")
        self.call("CreateDisk", diskName=name, availabilityZone=zone, sizeInGb=size)
        self.disk_is(name, state="available")
        return name

    def instance(self, zone: str = ZONE) -> str:
        name = self.fresh("web")
        self.call(
            "CreateInstances",
            instanceNames=[name],
            availabilityZone=zone,
            blueprintId="external",
            bundleId="external",
        )
        self.instance_is(name, "running")
        return name

    def attached(self) -> tuple[str, str]:
        """A disk attached to an instance, and the instance."""
        disk, instance = self.disk(), self.instance()
        self.call("AttachDisk", diskName=disk, instanceName=instance, diskPath="/dev/xvdf")
        self.disk_is(disk, attachmentState="attached")
        return disk, instance

    def snapshot(self, disk: str | None = None) -> str:
        name = self.fresh("snap")
        self.call("CreateDiskSnapshot", diskName=disk or self.disk(), diskSnapshotName=name)
        self.snapshot_is(name, "completed")
        return name

    def take_automatic(self, name: str, kind: str = "Disk") -> Mapping[str, Any]:
        """Let the next automatic snapshot of the disk, or of what the kind says, be due now.

        Returns it when it is stored.
        """
        member = f"{kind[0].lower()}{kind[1:]}"
        arn = self.call(f"Get{kind}", **{f"{member}Name": name})[member]["arn"]
        file = self.server.data / "catalog.sqlite"
        with closing(sqlite3.connect(file, timeout=30)) as catalog, catalog:
            due = "UPDATE auto_runs SET next_ms = 0 WHERE resource_id = ?"
            assert catalog.execute(due, [arn.rpartition("/")[2]]).rowcount
        deadline = self.clock.monotonic() + 60
        while True:
            found = self.call("GetAutoSnapshots", resourceName=name)["autoSnapshots"]
            if found and found[0]["status"] == "Success":
                return dict(found[0])
            assert self.clock.monotonic() < deadline, f"no automatic snapshot of {name}: {found}"
            threading.Event().wait(0.1)

    # --- waiting

    def disk_is(self, name: str, **wanted: Any) -> Mapping[str, Any]:
        return self._until("GetDisk", "disk", {"diskName": name}, wanted)

    def snapshot_is(self, name: str, state: str, region: str = REGION) -> Mapping[str, Any]:
        params = {"diskSnapshotName": name}
        return self._until("GetDiskSnapshot", "diskSnapshot", params, {"state": state}, region)

    def instance_snapshot_is(self, name: str, state: str) -> Mapping[str, Any]:
        params = {"instanceSnapshotName": name}
        return self._until("GetInstanceSnapshot", "instanceSnapshot", params, {"state": state})

    def instance_is(self, name: str, state: str) -> Mapping[str, Any]:
        return self._until("GetInstanceState", "state", {"instanceName": name}, {"name": state})

    def ended(self, result: Mapping[str, Any]) -> list[Mapping[str, Any]]:
        """The operations of an answer, when they have ended."""
        return [
            self._until(
                "GetOperation", "operation", {"operationId": one["id"]}, {"isTerminal": True}
            )
            for one in result["operations"]
        ]

    def _until(
        self,
        operation: str,
        member: str,
        params: Mapping[str, Any],
        wanted: Mapping[str, Any],
        region: str = REGION,
    ) -> Mapping[str, Any]:
        deadline = self.clock.monotonic() + 60
        while True:
            answer = self.boto.reply(operation, params, client={"region": region}).get()
            found: Mapping[str, Any] = answer[member]
            if all(found.get(key) == value for key, value in wanted.items()):
                return found
            assert self.clock.monotonic() < deadline, f"{params}: {found} does not become {wanted}"
            threading.Event().wait(0.02)
