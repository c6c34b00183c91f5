"""Machines on other hosts: their certificates, and what they do with disks over TCP."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from mooring.host.processes.lasting_process import LastingProcess, find
from mooring.model.errors import NbdError
from mooring.nbd.blocking import BlockingNbdClient
from mooring.nbd.uri import parse_uri
from tests.conftest import find_tool
from tests.e2e.authority import Authority, pem
from tests.e2e.deployment import Deployment
from tests.e2e.processes import PATIENCE, until


class Remotes:
    """The certificates of a server and of machines, in folders as QEMU and libnbd want them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._authority = Authority("ours")
        self._authority.issue(folder / "server", "server")

    def machine(self, *names: str) -> Path:
        """The folder of a machine whose certificate has these names."""
        folder = self.folder / f"client-{'-'.join(names)}"
        self._authority.issue(folder, "client", *names)
        return folder

    def nobody(self) -> Path:
        """The folder of a machine without a certificate."""
        folder = self.folder / "nobody"
        folder.mkdir(exist_ok=True)
        (folder / "ca-cert.pem").write_bytes(pem(self._authority.own))
        return folder

    def start(self, deployment: Deployment, *more: str, host: str = "127.0.0.1") -> None:
        """Start a server that serves attached disks to other hosts."""
        server = self.folder / "server"
        lines = [
            "[nbd_disks]",
            f'host = "{host}"',
            "port = 0",
            'name = "localhost"',
            f'certificate = "{server}/server-cert.pem"',
            f'key = "{server}/server-key.pem"',
            *(more or (f'client_authority = "{server}/ca-cert.pem"',)),
        ]
        config = deployment.folder / "mooring.toml"
        config.write_text("\n".join(lines) + "\n")
        serve = [sys.executable, "-m", "mooring.admin.main", "serve", "--port", "0"]
        deployment.start(*serve, "--config", str(config))


def tcp_uri(deployment: Deployment, disk: str = "data") -> str:
    return str(deployment.act("tcp-uri", diskName=disk)["uri"])


def relay(deployment: Deployment) -> LastingProcess | None:
    """The relay's process, if it runs."""
    folder = deployment.data / "run" / ".relay"
    return find(folder / "lock", folder)


def kill_relay(deployment: Deployment) -> None:
    process = relay(deployment)
    assert process is not None
    with process:
        process.kill()


def options(uri: str, certificates: Path, host: str = "127.0.0.1") -> list[str]:
    """What QEMU's tools are told of the disk."""
    place = parse_uri(uri)
    creds = f"tls-creds-x509,id=t,dir={certificates},endpoint=client"
    image = f"driver=nbd,server.type=inet,server.host={host},server.port={place.port}"
    image += f",export={place.export},tls-creds=t,tls-hostname=localhost,reconnect-delay=60"
    return ["--object", creds, "--image-opts", image]


def qemu_io(
    uri: str,
    certificates: Path,
    *commands: str,
    host: str = "127.0.0.1",
    before: Sequence[str] = (),
) -> subprocess.CompletedProcess[str]:
    """Run commands of qemu-io on the disk."""
    words = [word for command in commands for word in ("-c", command)]
    return subprocess.run(
        [*before, find_tool("qemu-io"), *options(uri, certificates, host), *words],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@contextlib.contextmanager
def machine(
    folder: Path,
    uri: str,
    certificates: Path,
    *,
    host: str = "127.0.0.1",
    before: Sequence[str] = (),
) -> Iterator[str]:
    """The disk as QEMU on another machine shows it, which comes again by itself."""
    socket = folder / "machine.sock"
    command = [*before, find_tool("qemu-nbd"), *options(uri, certificates, host)]
    command += ["--socket", str(socket), "--persistent", "--shared=8", "--export-name=disk"]
    process = subprocess.Popen(command)
    try:
        until(socket.exists, "qemu-nbd to start")
        shown = f"nbd+unix:///disk?socket={socket}"
        until(lambda: has_answered(shown) or process.poll() is not None, "it to have the disk")
        yield shown
    finally:
        process.terminate()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()  # it waits for its disk, which it may not have any more
            process.wait(30)
        socket.unlink(missing_ok=True)


def has_answered(uri: str) -> bool:
    """Whether qemu-nbd has opened its disk: it listens before that."""
    try:
        BlockingNbdClient(uri, timeout=PATIENCE).close()
    except NbdError:
        return False
    return True


def nbdinfo(uri: str, certificates: Path) -> subprocess.CompletedProcess[str]:
    place = f"{uri}?tls-certificates={certificates}"
    return subprocess.run(
        ["nbdinfo", "--size", place], capture_output=True, text=True, timeout=60, check=False
    )
