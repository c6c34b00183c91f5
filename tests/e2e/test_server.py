"""The server as its operator sees it: starting, stopping, files, secrets, settings."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from mooring.admin.demo.server import OWN_PROGRAMS, client_program
from tests.e2e import processes
from tests.e2e.client import RefusedError
from tests.e2e.deployment import Deployment

pytestmark = pytest.mark.full

BLOCKS = range(256)
SECONDS = 60


def mooringd(*words: object, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command of the operator to its end."""
    return subprocess.run(
        [str(OWN_PROGRAMS / "mooringd"), *map(str, words)],
        env=os.environ | environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )


def test_second_server_on_the_same_data_is_refused(deployment: Deployment) -> None:
    deployment.start()

    second = mooringd("serve", "--port", 0, "--data", deployment.data)

    assert second.returncode == 2
    assert f"another server (process {deployment.server.pid}) runs on" in second.stderr
    assert "--data" in second.stderr
    assert "Traceback" not in second.stderr
    assert deployment.server.answers()


def test_whoever_reads_where_it_is_can_connect(run_dir: Path) -> None:
    """The moment after it was announced, not only some time later."""
    data = run_dir / "data"
    command = [str(OWN_PROGRAMS / "mooringd"), "serve", "--port", "0", "--data", str(data)]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as server:
        try:
            announced = data / "server.json"
            deadline = time.monotonic() + SECONDS
            while not announced.exists() and time.monotonic() < deadline:
                pass  # no pause: what is to be seen may last for milliseconds
            address = urlsplit(json.loads(announced.read_text())["url"])
            socket.create_connection((address.hostname, address.port), SECONDS).close()
        finally:
            server.terminate()


def test_connections_outlive_the_pauses_of_clients_that_poll(deployment: Deployment) -> None:
    """Many look every five seconds: a server that gives up just then makes them try again."""
    deployment.start()
    address = urlsplit(deployment.server.environment()["AWS_ENDPOINT_URL_LIGHTSAIL"])
    with closing(HTTPConnection(address.hostname or "", address.port)) as connection:
        for pause in (0, 6):
            time.sleep(pause)
            connection.request("GET", "/healthz")  # fails if the connection has ended

            assert connection.getresponse().read() == b"ok\n"


def test_taken_port_is_refused(deployment: Deployment, run_dir: Path) -> None:
    deployment.start()
    port = deployment.server.environment()["AWS_ENDPOINT_URL_LIGHTSAIL"].rpartition(":")[2]

    second = mooringd("serve", "--port", port, "--data", run_dir / "other")

    assert second.returncode == 2
    assert f"cannot listen on 127.0.0.1 port {port}" in second.stderr
    assert "--port" in second.stderr
    assert "Traceback" not in second.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stopped_server_leaves_disks_served(deployment: Deployment, number: int) -> None:
    deployment.start()
    crew = deployment.crew(deployment.used_disk(), BLOCKS, rate=300, strict=True)
    daemons = deployment.daemons()

    os.kill(deployment.server.pid, number)

    assert deployment.server.wait(SECONDS)
    assert deployment.server.exit_code == 0
    assert "Traceback" not in deployment.server.log.read_text()
    assert not (deployment.data / "server.json").exists()
    assert deployment.daemons() == daemons
    crew.go_on(time.monotonic())
    assert mooringd("env", "--data", deployment.data).returncode == 2
    assert crew.stop()


def test_deleting_the_instance_ends_its_daemon(deployment: Deployment) -> None:
    deployment.start()
    deployment.used_disk()
    assert deployment.daemons()

    deployment.call("DeleteInstance", instanceName="host")
    deployment.until_disk("data", "state", "available")

    assert not deployment.daemons()


def test_env_sets_up_a_shell(deployment: Deployment) -> None:
    deployment.start()
    exports = mooringd("env", "--data", deployment.data)
    assert exports.returncode == 0, exports.stderr

    regions = subprocess.run(
        ["sh", "-c", 'eval "$1"; "$2" get-regions --output text', "sh",
         exports.stdout, str(client_program("mooring"))],
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )  # fmt: skip

    assert regions.returncode == 0, regions.stderr
    assert "us-east-2" in regions.stdout
    assert {line.partition("=")[0] for line in exports.stdout.splitlines()} > {
        "export AWS_ENDPOINT_URL_LIGHTSAIL",
        "export AWS_DEFAULT_REGION",
        "export AWS_ACCESS_KEY_ID",
        "export AWS_SECRET_ACCESS_KEY",
    }


def test_env_without_a_server_says_how_to_start_one(run_dir: Path) -> None:
    done = mooringd("env", "--data", run_dir / "nothing")

    assert (done.returncode, done.stdout) == (2, "")
    assert "mooringd serve" in done.stderr
    assert not (run_dir / "nothing").exists()


def test_doctor_finds_a_damaged_disk(deployment: Deployment) -> None:
    assert mooringd("doctor", "--data", deployment.data).returncode == 0
    deployment.start()
    deployment.disk("data")
    beside = mooringd("doctor", "--data", deployment.data)
    assert beside.returncode == 0, beside.stdout
    assert "a server runs" in beside.stdout
    deployment.server.stop()
    well = mooringd("doctor", "--data", deployment.data)
    assert well.returncode == 0, well.stdout
    assert "ok   disk data in us-east-2a" in well.stdout

    next((deployment.data / "zones" / "us-east-2a").rglob("*base*")).unlink()
    ill = mooringd("doctor", "--data", deployment.data)

    assert ill.returncode == 1
    assert "BAD  disk data in us-east-2a" in ill.stdout
    assert "Traceback" not in ill.stderr


def test_doctor_names_missing_programs(run_dir: Path) -> None:
    done = mooringd("doctor", "--data", run_dir / "nothing", PATH=str(run_dir))

    assert done.returncode == 1
    assert "BAD  qemu-storage-daemon" in done.stdout
    assert "apt-get install" in done.stdout


def test_secrets_are_kept(deployment: Deployment) -> None:
    (deployment.folder / "debug.toml").write_text('[log]\nlevel = "debug"\n')
    program = str(OWN_PROGRAMS / "mooringd")
    deployment.start(
        program, "serve", "--port", "0", "--config", str(deployment.folder / "debug.toml")
    )
    secret = deployment.server.environment()["AWS_SECRET_ACCESS_KEY"]
    crew = deployment.crew(deployment.used_disk(), BLOCKS, rate=300)
    deployment.snapshot("first")
    with pytest.raises(RefusedError):
        deployment.call("GetDisk", diskName=secret)
    deployment.ended("first")

    listed = processes.naming(deployment.data)
    assert len(listed) >= 3  # the server, a storage daemon, the writer
    assert not [command for command in listed.values() if secret in command]
    assert not [pid for pid in listed if pid != os.getpid() and secret in environment_of(pid)]
    assert deployment.server.log.stat().st_size > 0
    assert not [path for path in files(deployment.folder) if holds(path, secret)]
    assert crew.stop()


def test_files_are_for_their_owner_only(deployment: Deployment) -> None:
    before = os.umask(0)
    try:
        deployment.start()
    finally:
        os.umask(before)
    deployment.used_disk()
    deployment.snapshot("first")
    deployment.ended("first")

    found = [deployment.data, *deployment.data.rglob("*")]
    modes = {path: stat.S_IMODE(path.lstat().st_mode) for path in found}

    assert len(modes) > 15
    assert not {path: oct(mode) for path, mode in modes.items() if mode & 0o077}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[listen]\nprot = 1\n", "there is no setting listen.prot; did you mean listen.port?"),
        ("[lissten]\nport = 1\n", "there is no setting lissten; did you mean listen?"),
        ('[listen]\nport = "x"\n', "listen.port must be a whole number, not 'x'"),
        ("[listen]\nport = 70000\n", "listen.port must be 0 to 65535"),
        ("[listen\n", "is not a TOML file"),
        ('[regions.here]\nzones = ["a/../b"]\n', "must be made of letters, digits and hyphens"),
        ('[engine]\nkind = "qumu"\n', 'engine.kind must be qemu or memory; it is "qumu"'),
    ],
)
def test_wrong_settings_are_refused(run_dir: Path, text: str, said: str) -> None:
    file = run_dir / "mooring.toml"
    file.write_text(text)

    done = mooringd("serve", "--config", file, "--data", run_dir / "d")

    assert done.returncode == 2
    assert said in done.stderr
    assert str(file) in done.stderr
    assert "Traceback" not in done.stderr
    assert not (run_dir / "d").exists()


def files(folder: Path) -> Iterator[Path]:
    """Regular files that are not meant to hold secrets."""
    return (path for path in folder.rglob("*") if path.is_file() and path.name != "credentials")


def holds(path: Path, secret: str) -> bool:
    """Whether the secret is in the file; of sparse disks the first part is enough."""
    with path.open("rb") as file:
        return secret.encode() in file.read(8 * 1024 * 1024)


def environment_of(pid: int) -> str:
    """The environment of a process."""
    return Path(f"/proc/{pid}/environ").read_bytes().decode(errors="replace")
