"""`mooringd init`, and `mooringd join` with a join secret."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from mooring.admin.cluster import database
from mooring.admin.cluster.join import SECRET_VARIABLE
from mooring.admin.cluster.starting import starting
from mooring.admin.main import main
from mooring.catalog.database import Catalog
from mooring.config.load import load
from mooring.service.credentials.keys import read_keys
from tests.catalog.postgresql import PostgreSQL
from tests.catalog.values import disk
from tests.e2e.authority import Authority
from tests.e2e.client import Client
from tests.e2e.processes import until

pytestmark = pytest.mark.full


class Host:
    """The commands of one host, whose data directory is `data`."""

    def __init__(self, folder: Path, name: str) -> None:
        self.folder, self.name, self.data = folder, name, folder / name
        self.config = self.data / "mooring.toml"

    def run(
        self, *words: str, secret: str = "", expected: int = 0
    ) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "mooring.admin.main", *words, "--data", str(self.data)]
        environment = {**os.environ, SECRET_VARIABLE: secret}
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            stdin=subprocess.DEVNULL,
            env=environment,
        )
        assert done.returncode == expected, done.stderr + done.stdout
        return done

    def init(self, url: str, *words: str, expected: int = 0) -> subprocess.CompletedProcess[str]:
        vault = ["--vault", str(self.folder / "vault"), "--name", self.name, "--port", "0"]
        return self.run("init", url, *vault, *words, expected=expected)

    def join(
        self, url: str, secret: str, *words: str, expected: int = 0
    ) -> subprocess.CompletedProcess[str]:
        named = ["--name", self.name, "--port", "0"]
        return self.run("join", url, *named, *words, secret=secret, expected=expected)

    def refused(self, url: str, secret: str, *words: str) -> str:
        """Why it may not join; it has left no settings."""
        told = self.join(url, secret, "--no-start", *words, expected=2).stderr
        assert not self.config.exists()
        return told

    def client(self) -> Client:
        printed = self.run("env").stdout
        values = dict(re.findall(r"^export (\w+)=(\S+)$", printed, re.MULTILINE))
        return Client(values)


@pytest.fixture
def hosts(run_dir: Path) -> Iterator[dict[str, Host]]:
    hosts = {name: Host(run_dir, name) for name in ("one", "two", "three")}
    yield hosts
    for host in hosts.values():
        if (host.data / "lock").exists():
            subprocess.run(
                [sys.executable, "-m", "mooring.admin.main", "stop", "--data", str(host.data)],
                capture_output=True,
                timeout=60,
                check=False,
            )


def secret_of(printed: str) -> str:
    found = re.search(r"join-[a-z0-9]{8}-\S{43}", printed)
    assert found is not None, printed
    return found[0]


def plain(url: str) -> str:
    """The URL as other programs write it."""
    return url.replace("+psycopg", "")


def test_two_commands_and_one_more_for_each_host(
    hosts: dict[str, Host], postgresql: PostgreSQL
) -> None:
    one, two, three = hosts.values()
    url = plain(postgresql.url())
    told = one.init(url).stdout
    assert "that URL is good on this host only" in told
    secret = secret_of(told)
    one.run("serve", "--background", "--config", str(one.config))
    two.join(url, secret, "--zone", "us-east-2b")
    three.join(url, secret)

    first, second, third = (host.client() for host in (one, two, three))
    assert read_keys(one.data / "credentials") == read_keys(three.data / "credentials")
    for client in (first, second, third):
        until(partial(_has_both_zones, client), "all zones")
    for name, zone in (("here", "us-east-2a"), ("there", "us-east-2b")):
        third.call("CreateDisk", diskName=name, availabilityZone=zone, sizeInGb=8)
        until(partial(_is_available, first, name), "the disk")
    second.call("CreateDiskSnapshot", diskName="there", diskSnapshotName="snap")
    assert stat_mode(two.config) == stat_mode(two.data / "cluster-key") == 0o600

    # A key made on one host is good on all, within a second or two.
    output = one.folder / "ci.credentials"
    made = ["keys", "create", "ci", "--role", "read-only", "--output", str(output)]
    two.run(*made)
    (key,) = read_keys(output).values()
    until(lambda: key.id in read_keys(three.data / "credentials"), "the key")
    told = one.run("doctor", "--config", str(one.config)).stdout
    assert key.secret not in told
    assert "disk there in us-east-2b: on the host two" in told


def _has_both_zones(client: Client) -> bool:
    (region,) = client.call("GetRegions", includeAvailabilityZones=True)["regions"]
    zones = {zone["zoneName"] for zone in region["availabilityZones"]}
    return zones == {"us-east-2a", "us-east-2b"}


def _is_available(client: Client, name: str) -> bool:
    return bool(client.call("GetDisk", diskName=name)["disk"]["state"] == "available")


def stat_mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_what_keeps_a_host_from_joining(hosts: dict[str, Host], postgresql: PostgreSQL) -> None:
    one, two, _ = hosts.values()
    url = postgresql.url()
    assert "`mooringd init` makes one" in two.refused(url, "")
    secret = secret_of(one.init(url).stdout)
    one.run("serve", "--background", "--config", str(one.config))

    wrong = secret[:-3] + ("aaa" if secret[-3:] != "aaa" else "bbb")
    assert "is wrong: part of it was lost" in two.refused(url, wrong)
    assert "no join secret was given: type it when asked, or" in two.refused(url, "")
    for none in ("hello", secret[:-1]):
        assert "this is no join secret" in two.refused(url, none)
    assert "knows no join secret abcdefgh" in two.refused(url, f"join-abcdefgh-{secret[14:]}")
    name = two.refused(url, secret, "--name", "one")
    assert "there is a server one already" in name
    away = two.refused(url, secret, "--vault", str(two.folder / "nowhere"))
    assert "holds none" in away
    assert "With --vault this host can be told" in away
    assert "in no region" not in two.refused(url, secret, "--region", "eu", "--zone", "x")
    assert "has no region eu" in two.refused(url, secret, "--region", "eu", "--zone", "x")
    assert "give its URL" in two.refused("sqlite:////tmp/x", secret)
    assert "cannot be used" in two.refused("postgresql:///x?host=/nowhere", secret)
    for told in (name, away):
        assert secret not in told

    two.data.mkdir(exist_ok=True)
    two.config.write_text("# mine\n")
    told = two.join(url, secret, "--no-start", expected=2).stderr
    assert "mooring.toml exists" in told
    assert two.config.read_text() == "# mine\n"
    two.config.unlink()
    used = Catalog(f"sqlite:///{two.data / 'catalog.sqlite'}")
    used.migrate()
    with used.write() as transaction:
        transaction.disks.add(disk("data"))
    used.close()
    assert "a server of its own" in two.refused(url, secret)


def test_join_secrets_end(hosts: dict[str, Host], postgresql: PostgreSQL) -> None:
    one, two, three = hosts.values()
    url = postgresql.url()
    first = secret_of(one.init(url).stdout)
    at_one = ["--config", str(one.config)]
    once = secret_of(one.run("join-secrets", "create", "--once", *at_one).stdout)
    for_ever = secret_of(one.run("join-secrets", "create", "--for-ever", *at_one).stdout)
    listed = one.run("join-secrets", "list", *at_one).stdout
    assert [line.split()[0] for line in listed.splitlines()[1:]] == [
        secret.split("-")[1] for secret in (first, once, for_ever)
    ]
    assert not any(secret[14:] in listed for secret in (first, once, for_ever))
    assert "when it is revoked" in listed

    two.join(url, once, "--no-start")
    assert "it was used" in three.refused(url, once)
    one.run("join-secrets", "revoke", for_ever.split("-")[1], *at_one)
    assert "or revoked" in three.refused(url, for_ever)
    assert "there is no join secret" in (
        one.run("join-secrets", "revoke", "nosuch", *at_one, expected=2).stderr
    )
    engine = create_engine(load(str(one.config)).catalog)
    with engine.begin() as connection:
        connection.execute(text("UPDATE join_secrets SET ends_ms = ends_ms - 90000000"))
    engine.dispose()
    assert "has expired" in three.refused(url, first)
    three.join(url, secret_of(two.run("join-secrets", "create", *at(two)).stdout), "--no-start")


def at(host: Host) -> list[str]:
    return ["--config", str(host.config)]


def test_who_has_the_key_needs_no_secret(hosts: dict[str, Host], postgresql: PostgreSQL) -> None:
    """A join that was cut off after its secret was used."""
    one, two, _ = hosts.values()
    url = postgresql.url()
    one.init(url)
    two.data.mkdir(mode=0o700)
    shutil.copy(one.data / "cluster-key", two.data)
    two.join(url, "", "--no-start")
    assert read_keys(two.data / "credentials") == read_keys(one.data / "credentials")

    # Nor does it begin a catalog of its own when its settings are forgotten.
    told = two.run("serve", "--port", "0", expected=2).stderr
    assert f"give its settings with --config {two.config}" in told
    assert not (two.data / "catalog.sqlite").exists()


def test_a_server_that_a_package_has_started_joins(
    hosts: dict[str, Host], postgresql: PostgreSQL
) -> None:
    """What it has made, and nobody has used, is put aside, its key too."""
    one, two, _ = hosts.values()
    for host in (one, two):
        host.run("serve", "--background", "--port", "0")
        assert "another server" in host.init(postgresql.url(), expected=2).stderr
        host.run("stop")
    url = postgresql.url()
    two.join(url, secret_of(one.init(url).stdout), "--no-start")
    (key,) = read_keys(two.data / "credentials").values()
    assert read_keys(one.data / "credentials") == {key.id: key}
    for host in (one, two):
        assert key.id not in read_keys(host.data / "credentials.unused")
        assert not (host.data / "catalog.sqlite").exists()


def test_a_package_has_its_unit_start_the_server(tmp_path: Path) -> None:
    (tmp_path / "mooring-server.service").touch()
    data, file = Path("/var/lib/mooring"), Path("/var/lib/mooring/mooring.toml")
    told = starting(data, file, (tmp_path,))
    assert told == (
        f"install -o root -g mooring -m 640 {file} /etc/mooring/mooring.toml "
        "&& systemctl restart mooring-server"
    )
    assert starting(data, file, ()) == f"mooringd serve --background --config {file}"
    assert "--background" in starting(tmp_path, file, (tmp_path,))


def test_nothing_in_the_catalog_lets_anybody_join(
    hosts: dict[str, Host], postgresql: PostgreSQL
) -> None:
    one, two, _ = hosts.values()
    url = postgresql.url()
    secret = secret_of(one.init(url).stdout)
    engine = create_engine(load(str(one.config)).catalog)
    key = (one.data / "cluster-key").read_text().split()[1]
    with engine.begin() as connection:
        rows = str(connection.execute(text("SELECT * FROM join_secrets")).all())
        assert secret[14:] not in rows
        assert key not in rows
        # Another's row under its own secret does not make this one's good.
        connection.execute(text("UPDATE join_secrets SET wrapped = 'AAAA'"))
    engine.dispose()
    assert "was tampered with" in two.refused(url, secret)


def test_a_second_init_is_refused_and_one_that_was_cut_off_is_not(
    hosts: dict[str, Host], postgresql: PostgreSQL
) -> None:
    one, two, _ = hosts.values()
    url = postgresql.url()
    one.init(url)
    assert "has servers already" in two.init(url, expected=2).stderr
    assert "mooring.toml exists" in one.init(url, expected=2).stderr
    one.config.unlink()
    key = (one.data / "cluster-key").read_bytes()
    one.init(url)
    assert (one.data / "cluster-key").read_bytes() == key


def test_clocks_and_versions_apart(
    hosts: dict[str, Host],
    postgresql: PostgreSQL,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    one, two, _ = hosts.values()
    url = postgresql.url()
    secret = secret_of(one.init(url).stdout)
    words = ["join", url, "--data", str(two.data), "--no-start"]
    monkeypatch.setenv(SECRET_VARIABLE, secret)
    with monkeypatch.context() as patched:
        patched.setattr(database, "MOST_APART_MS", -1)
        assert main(words) == 2
    assert re.search(
        r"this host's clock is \d+ seconds? (ahead of|behind) the database's",
        capsys.readouterr().err,
    )

    catalog = Catalog(url)
    change(catalog, "INSERT INTO migrations (number, name) VALUES (9999, 'contract_newer')")
    assert "of a newer version than this program" in two.refused(url, secret)
    change(catalog, "DELETE FROM migrations WHERE number >= 192")
    assert "upgrade them first" in two.refused(url, secret)
    catalog.close()


def change(catalog: Catalog, statement: str) -> None:
    with catalog.write() as transaction:
        transaction.servers._connection.execute(text(statement))


def test_servers_that_others_reach(hosts: dict[str, Host], postgresql: PostgreSQL) -> None:
    """With certificates of one authority each passes on to the other what its disks need."""
    one, two, _ = hosts.values()
    certificates = one.folder / "certificates"
    certificates.mkdir()
    Authority("ours").issue(certificates, "server")
    options = ["--listen", "localhost", "--certificate", str(certificates / "server-cert.pem")]
    options += ["--key", str(certificates / "server-key.pem")]
    options += ["--authority", str(certificates / "ca-cert.pem")]
    url = postgresql.url()
    assert "needs --certificate and --key" in one.init(url, *options[:2], expected=2).stderr
    assert "say with --listen" in one.init(url, *options[2:], expected=2).stderr
    printed = one.init(url, *options).stdout
    assert "listens on this host only" not in printed
    settings = load(str(one.config))
    assert (settings.listen.host, settings.listen.name) == ("0.0.0.0", "localhost")
    assert settings.servers.authority == str(certificates / "ca-cert.pem")
    one.run("serve", "--background", "--config", str(one.config))
    two.join(url, secret_of(printed), "--zone", "us-east-2b", *options)

    environment = {**os.environ, "AWS_CA_BUNDLE": str(certificates / "ca-cert.pem")}
    for host, words in (
        (one, "create-disk --disk-name far --size-in-gb 8 --availability-zone us-east-2b"),
        (one, "wait disk-available --disk-name far"),
        (one, "create-disk-snapshot --disk-name far --disk-snapshot-name first --wait"),
    ):
        mooring(host, words, environment)


def mooring(host: Host, words: str, environment: dict[str, str]) -> None:
    """A command of a client on the host, which must do it."""
    command = [sys.executable, "-m", "mooring.cli.main", *words.split()]
    given = {**environment, "MOORING_DATA": str(host.data)}
    done = subprocess.run(
        command, env=given, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr


def test_settings_are_written_as_they_are_read(
    hosts: dict[str, Host], postgresql: PostgreSQL
) -> None:
    one, two, _ = hosts.values()
    url = postgresql.url()
    secret = secret_of(one.init(url, "--region", "home", "--zone", "attic").stdout)
    two.join(url, secret, "--no-start", "--zone", "cellar")
    written = tomllib.loads(two.config.read_text())
    assert written["regions"] == {"home": {"zones": ["cellar"], "vault": str(one.folder / "vault")}}
    settings = load(str(two.config))
    assert (settings.name, settings.listen.port) == ("two", 0)
    assert settings.data_directory == two.data
    shutil.rmtree(two.data)
