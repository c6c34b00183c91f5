"""What breaks is announced, and so is its end: by real servers, to real receivers."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from mooring.admin.demo.server import ServerProcess
from tests.catalog.postgresql import PostgreSQL
from tests.cluster import share_cluster_key
from tests.e2e.client import Client
from tests.e2e.deployment import Deployment
from tests.e2e.processes import until
from tests.mounts import MIB, file_system
from tests.notify.receivers import (
    HttpReceiver,
    SmtpReceiver,
    http_receiver,
    silent_receiver,
    smtp_receiver,
)
from tests.quiesce.agent import Agent

pytestmark = [pytest.mark.full, pytest.mark.usefixtures("importable_tests")]

MODULE = [sys.executable, "-m", "tests.e2e.telling_server"]
EVERY_SECOND = [{"key": "mooring:snapshots", "value": "every 1 second keep 1 minute"}]


@pytest.fixture
def http() -> Iterator[HttpReceiver]:
    with http_receiver() as received:
        yield received


@pytest.fixture
def smtp() -> Iterator[SmtpReceiver]:
    with smtp_receiver() as received:
        yield received


class Site:
    """A server with a vault of its own, and commands for its operator."""

    def __init__(self, folder: Path, settings: str, kind: str = "memory") -> None:
        self.folder, self.vault = folder, folder / "vault"
        self.config = folder / "settings.toml"
        self.config.write_text(
            f'{settings}\nengine.kind = "{kind}"\nname = "boat"\n'
            f'[regions.home]\nzones = ["home-a"]\nvault = "{self.vault}"\n'
        )
        self.server = ServerProcess(folder / "d", [*MODULE, "--config", str(self.config)])
        self.server.log = folder / "log"

    def get(self, path: str) -> tuple[int, str]:
        """The status and the body of a page that needs no key."""
        url = self.server.environment()["AWS_ENDPOINT_URL_LIGHTSAIL"]
        try:
            with urllib.request.urlopen(f"{url}{path}", timeout=30) as reply:
                return reply.status, reply.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def operator(self, *words: str) -> tuple[int, str]:
        """Run `mooringd`: its exit code, and what it says."""
        command = [sys.executable, "-m", "mooring.admin.main", *words]
        command += ["--config", str(self.config), "--data", str(self.folder / "d")]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        return done.returncode, done.stdout + done.stderr


@pytest.fixture
def opened() -> Iterator[ExitStack]:
    with ExitStack() as opened:
        yield opened


def site(opened: ExitStack, folder: Path, settings: str, kind: str = "memory") -> Site:
    """A site whose server runs until the test ends."""
    made = Site(folder, settings, kind)
    opened.callback(made.server.stop)
    made.server.start()
    return made


def told(http: HttpReceiver, state: str, kind: str) -> bool:
    return any(one["kind"] == kind for one in http.troubles(state))


def test_a_vault_that_goes_away_is_announced_and_its_return_too(
    run_dir: Path, opened: ExitStack, http: HttpReceiver, smtp: SmtpReceiver
) -> None:
    mail = f'mail_to = ["root@example.org"]\nmail_host = "127.0.0.1"\nmail_port = {smtp.port}\n'
    command = f"command = 'cat >> {run_dir}/told'\n"
    settings = f'[notify]\nwebhook = "{http.url}/hook"\n{mail}mail_security = "none"\n{command}'
    # Settings of tables come after those that stand alone.
    boat = Site(run_dir, "", "memory")
    boat.config.write_text(f"{boat.config.read_text()}\n{settings}")
    opened.callback(boat.server.stop)
    boat.server.start()
    assert boat.operator("check")[0] == 0
    assert boat.get("/readyz")[0] == 200
    assert boat.operator("notify", "--test") == (0, "webhook: sent\nmail: sent\ncommand: sent\n")
    http.wait(lambda seen: any(body["test"] for body in seen.posted))

    boat.vault.rename(run_dir / "elsewhere")
    http.wait(lambda seen: told(seen, "began", "vault-away"))
    until(lambda: len(smtp.mails) == 2, "a mail")
    until(lambda: "NEW critical: the vault of home" in (run_dir / "told").read_text(), "a command")
    code, text = boat.operator("check")
    assert code == 2
    assert text.startswith("MOORING CRITICAL - 1 trouble: the vault of home cannot be used")
    status, parts = boat.get("/readyz")
    assert status == 503
    assert "BAD  vault of home: it cannot be used" in parts
    assert str(run_dir) not in parts
    assert boat.get("/healthz")[0] == 200
    shown = boat.server.run("mooring", "status").output
    assert "!! the vault of home cannot be used" in shown
    assert "AWAY: " in shown
    assert 'mooring_troubles{kind="vault-away"} 1.0' in boat.get("/metrics")[1]

    # A restart tells nothing twice, and still knows what to tell the end of.
    boat.server.kill()
    boat.server.start()
    until(lambda: boat.operator("check")[0] == 2, "the server to see it again")
    (run_dir / "elsewhere").rename(boat.vault)
    http.wait(lambda seen: told(seen, "ended", "vault-away"))
    until(lambda: boat.operator("check")[0] == 0, "all to be well")
    assert boat.get("/readyz")[0] == 200
    until(lambda: "OVER critical: the vault of home" in (run_dir / "told").read_text(), "the end")
    assert len([one for one in http.troubles("began") if one["kind"] == "vault-away"]) == 1
    assert len([one for one in http.troubles("ended") if one["kind"] == "vault-away"]) == 1
    log = boat.server.log.read_text()
    assert "told of troubles" in log
    assert "/hook" not in log


def test_an_agent_that_stops_answering_is_announced(
    deployment: Deployment, opened: ExitStack, http: HttpReceiver
) -> None:
    folder = deployment.folder
    config = folder / "settings.toml"
    config.write_text(
        f'[notify]\nwebhook = "{http.url}"\n'
        f'[quiesce]\nfreeze_seconds = 1.0\nagent_directories = ["{folder}"]\n'
    )
    deployment.start(*MODULE, "--config", str(config))
    agent = Agent(folder / "agent")
    opened.callback(agent.close)
    deployment.used_disk("data", "guest")
    tag = [{"key": "mooring:guest-agent", "value": str(agent.path)}]
    deployment.call("TagResource", resourceName="guest", tags=tag)
    require = [{"key": "mooring:quiesce", "value": "require"}]
    deployment.call("TagResource", resourceName="data", tags=[*require, *EVERY_SECOND])

    def snapshots() -> int:
        found = deployment.call("GetAutoSnapshots", resourceName="data")["autoSnapshots"]
        return sum(one["status"] == "Success" for one in found)

    until(snapshots, "a snapshot at rest")
    agent.hanging.add("guest-fsfreeze-freeze")
    http.wait(lambda seen: told(seen, "began", "snapshot-failed"))
    (failed,) = http.troubles("began")
    assert "disk data in us-east-2" in failed["text"]
    assert "agent" in failed["text"]
    agent.hanging.clear()
    agent.go_on.set()
    http.wait(lambda seen: told(seen, "ended", "snapshot-failed"), 120)


def test_a_storage_daemon_that_is_stopped_is_announced(
    deployment: Deployment, http: HttpReceiver
) -> None:
    config = deployment.folder / "settings.toml"
    config.write_text(f'engine.answer_seconds = 1.0\n[notify]\nwebhook = "{http.url}"\n')
    deployment.start(*MODULE, "--config", str(config))
    deployment.used_disk("data", "guest")
    (daemon,) = deployment.daemons().values()
    os.kill(daemon, signal.SIGSTOP)
    try:
        http.wait(lambda seen: told(seen, "began", "disk-not-well"))
    finally:
        os.kill(daemon, signal.SIGCONT)
    http.wait(lambda seen: told(seen, "ended", "disk-not-well"))


def test_a_vault_that_is_full_is_announced_and_room_too(
    run_dir: Path, opened: ExitStack, http: HttpReceiver
) -> None:
    vault = opened.enter_context(file_system(run_dir / "vault", "ext4", 64 * MIB))
    boat = site(opened, run_dir, f'notify.webhook = "{http.url}"')
    assert boat.operator("check")[0] == 0
    # What leaves time to do something is a warning to a monitoring system.
    room = os.statvfs(vault)
    with (vault / "first").open("wb") as file:
        left = room.f_frsize * room.f_blocks * 8 // 100
        os.posix_fallocate(file.fileno(), 0, room.f_frsize * room.f_bavail - left)
    http.wait(lambda seen: told(seen, "began", "space-short"))
    code, text = boat.operator("check")
    assert (code, text.startswith("MOORING WARNING - 1 trouble: the file system of")) == (1, True)
    ballast = vault / "ballast"
    with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(MIB))
    http.wait(lambda seen: told(seen, "began", "space-full"))
    (full,) = [one for one in http.troubles("began") if one["kind"] == "space-full"]
    assert (full["region"], full["resource"]) == ("home", "vault of home")
    assert "is full, and snapshots are refused" in full["text"]
    assert "BAD  space for the vault of home" in boat.get("/readyz")[1]
    assert boat.operator("check")[0] == 2
    ballast.unlink()
    http.wait(lambda seen: told(seen, "ended", "space-full"))
    (vault / "first").unlink()
    until(lambda: boat.operator("check")[0] == 0, "room again")


def test_the_death_of_a_server_is_missed_by_who_hears_its_heart(
    run_dir: Path, opened: ExitStack, http: HttpReceiver
) -> None:
    secret = run_dir / "url"
    secret.write_text(f"{http.url}/ping/s3cr3t\n")
    settings = f'notify.heartbeat_file = "{secret}"\nnotify.heartbeat_seconds = 0.3'
    boat = site(opened, run_dir, settings)
    http.wait(lambda seen: len(seen.asked) > 2)
    boat.server.kill()
    heard = len(http.asked)
    code, text = boat.operator("check")

    assert code == 2
    assert "MOORING CRITICAL" in text
    assert len(http.asked) <= heard + 1
    assert set(http.asked) == {"/ping/s3cr3t"}
    heard = len(http.asked)
    boat.server.start()
    http.wait(lambda seen: len(seen.asked) > heard)
    assert boat.operator("check")[0] == 0
    assert "s3cr3t" not in boat.server.log.read_text()


def test_a_heart_stops_when_the_catalog_cannot_be_written(
    run_dir: Path, opened: ExitStack, http: HttpReceiver
) -> None:
    settings = f'notify.heartbeat = "{http.url}"\nnotify.heartbeat_seconds = 0.2'
    boat = site(opened, run_dir, settings)
    http.wait(lambda seen: len(seen.asked) > 2)
    catalog = run_dir / "d" / "catalog.sqlite"
    catalog.rename(run_dir / "catalog")
    until(lambda: boat.get("/healthz")[0] == 503, "the server to notice")
    assert "BAD  catalog" in boat.get("/readyz")[1]
    heard = len(http.asked)
    until(lambda: "no heartbeat is sent" in boat.server.log.read_text(), "its silence")
    assert len(http.asked) <= heard + 1
    assert boat.operator("check")[0] == 2
    (run_dir / "catalog").rename(catalog)
    heard = len(http.asked)
    http.wait(lambda seen: len(seen.asked) > heard)


def test_a_webhook_that_hangs_holds_up_nothing(
    run_dir: Path, opened: ExitStack, smtp: SmtpReceiver
) -> None:
    port = opened.enter_context(silent_receiver())
    notify = f'webhook = "http://127.0.0.1:{port}/s3cr3t"\nmail_to = ["root@example.org"]\n'
    notify += f'mail_host = "127.0.0.1"\nmail_port = {smtp.port}\nmail_security = "none"\n'
    boat = Site(run_dir, "")
    boat.config.write_text(f"{boat.config.read_text()}\n[notify]\n{notify}")
    opened.callback(boat.server.stop)
    boat.server.start()
    boat.vault.rename(run_dir / "elsewhere")
    until(lambda: smtp.mails, "a mail")
    (run_dir / "elsewhere").rename(boat.vault)
    until(lambda: len(smtp.mails) > 1, "the end by mail")
    client = Client(boat.server.environment())
    assert client.call("GetDisks")["disks"] == []
    boat.server.stop()
    assert boat.server.exit_code == 0
    assert "s3cr3t" not in boat.server.log.read_text()


def test_check_says_what_it_cannot_know(run_dir: Path) -> None:
    boat = Site(run_dir, "")

    code, text = boat.operator("check")
    assert (code, text.startswith("MOORING UNKNOWN")) == (3, True)
    assert boat.operator("check", "--no-such-option")[0] == 3
    boat.config.write_text("engine.kind = 7")
    assert boat.operator("check")[0] == 3
    boat.config.write_text("")
    (run_dir / "d").mkdir()
    code, text = boat.operator("check")
    assert (code, text.startswith("MOORING CRITICAL - no server runs")) == (2, True)


def test_a_test_that_fails_is_told(run_dir: Path, http: HttpReceiver) -> None:
    http.status = 500
    boat = Site(run_dir, f'notify.webhook = "{http.url}/s3cr3t"')

    code, text = boat.operator("notify", "--test")
    assert (code, text) == (1, "webhook: the webhook at 127.0.0.1 answers 500\n")
    silent = Site(run_dir, "")
    code, text = silent.operator("notify", "--test")
    assert code == 2
    assert "nobody is told of anything: set notify.webhook" in text


def test_of_several_servers_one_tells_and_another_tells_of_its_death(
    run_dir: Path, opened: ExitStack, http: HttpReceiver, postgresql: PostgreSQL
) -> None:
    catalog = postgresql.url()
    servers = {}
    for name, zones, elsewhere in (("one", ["a"], ["b"]), ("two", ["b"], ["a"])):
        config = run_dir / f"{name}.toml"
        config.write_text(
            f'catalog = "{catalog}"\nengine.kind = "memory"\nname = "{name}"\n'
            f"[regions.home]\nzones = {json.dumps(zones)}\nelsewhere = {json.dumps(elsewhere)}\n"
            f'vault = "{run_dir / "vault"}"\n[notify]\nwebhook = "{http.url}"\n'
        )
        servers[name] = ServerProcess(run_dir / name, [*MODULE, "--config", str(config)])
        servers[name].log = run_dir / f"{name}.log"
        opened.callback(servers[name].stop)
        share_cluster_key(run_dir / name)
        servers[name].start()
    client = Client(servers["one"].environment())
    client.call("CreateDisk", diskName="data", availabilityZone="a", sizeInGb=8)
    until(lambda: client.call("GetDisk", diskName="data")["disk"]["state"] == "available", "it")

    # What both see is told once.
    (run_dir / "vault").rename(run_dir / "elsewhere")
    http.wait(lambda seen: len(seen.troubles("began")) >= 2)
    (run_dir / "elsewhere").rename(run_dir / "vault")
    http.wait(lambda seen: len(seen.troubles("ended")) >= 2)
    assert {one["kind"] for one in http.troubles("began")} == {"vault-away"}

    servers["one"].kill()
    http.wait(lambda seen: told(seen, "began", "server-silent"))
    silent = [one for one in http.troubles("began") if one["kind"] == "server-silent"]
    assert [one["resource"] for one in silent] == ["one"]
    servers["one"].start()
    http.wait(lambda seen: told(seen, "ended", "server-silent"))
    assert len([one for one in http.troubles("began") if one["kind"] == "server-silent"]) == 1
