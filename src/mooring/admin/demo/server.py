"""A server as a process of its own, and the clients that talk to it."""

from __future__ import annotations

import json
import os
import ssl
import subprocess
import sys
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mooring.admin.access.env import for_clients, variables
from mooring.admin.asking import ask
from mooring.admin.running_server import find_server
from mooring.config.settings import Settings
from mooring.model.clock import SystemClock
from mooring.model.errors import ConfigurationError, MooringError
from mooring.model.paths import Paths

START_SECONDS = 60.0
COMMAND_SECONDS = 120.0
OWN_PROGRAMS = Path(sys.executable).parent


class DemoError(MooringError):
    """A command failed, or something took too long."""


@dataclass(frozen=True, slots=True)
class Ran:
    """A command that has run: what it printed, and when (seconds of the monotonic clock)."""

    output: str
    began: float
    ended: float

    @property
    def seconds(self) -> float:
        return self.ended - self.began

    def json(self) -> Any:
        return json.loads(self.output)


def pause(seconds: float) -> None:
    """Do nothing for a while."""
    SystemClock().sleep(seconds)


def client_program(name: str) -> Path:
    """The path of `mooring`, or of somebody else's client in an environment of its own."""
    if name.startswith("mooring"):
        return OWN_PROGRAMS / name
    default = OWN_PROGRAMS.parent.parent / ".venv-clients"
    return Path(os.environ.get("MOORING_CLIENTS", default)) / "bin" / name


class ServerProcess:
    """`mooringd serve` on a data directory, on a port of its own choice.

    `ca_bundle` is a file with the authority of its certificate, if it has one that few know.
    """

    def __init__(
        self,
        data: Path,
        command: Sequence[str] | None = None,
        ca_bundle: Path | None = None,
        settings: Sequence[str] = (),
    ) -> None:
        self.data = data
        self._ca_bundle = ca_bundle
        self.clock = SystemClock()
        self.log = data / "server.log"
        default = [sys.executable, "-m", "mooring.admin.main", "serve", "--port", "0"]
        self._command = [*(command or default), *settings, "--data", str(data)]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start, and wait until the server answers. Raises DemoError."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        deadline = self.clock.monotonic() + START_SECONDS
        while not self.answers():
            if self._process.poll() is not None or self.clock.monotonic() > deadline:
                text = self.log.read_text(errors="replace")
                raise DemoError(f"the server did not start:\n{text[-3000:]}")
            pause(0.05)

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """How the process ended; None while it runs, negative for a signal."""
        return None if self._process is None else self._process.poll()

    def kill(self) -> None:
        """SIGKILL: no chance to tidy up."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def wait(self, seconds: float) -> bool:
        """Wait for its end; False if it still runs then."""
        assert self._process is not None
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        return True

    def stop(self) -> None:
        """SIGTERM, as an operator would, and SIGKILL if that does not help."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            if not self.wait(30):
                self.kill()

    def answers(self) -> bool:
        """Whether this very process serves requests."""
        server = find_server(Paths(self.data).server)
        if server is None or server.pid != self.pid:
            return False
        health = f"{server.url}/healthz"
        try:
            with urllib.request.urlopen(health, timeout=5, context=self._tls()) as reply:
                return bool(reply.status == 200)
        except (OSError, ValueError):
            return False

    def _tls(self) -> ssl.SSLContext | None:
        bundle = self._ca_bundle
        return None if bundle is None else ssl.create_default_context(cafile=bundle)

    def environment(self) -> dict[str, str]:
        """The environment of a client: what `mooringd env` prints, and nothing else of AWS."""
        inherited = {key: value for key, value in os.environ.items() if not key.startswith("AWS_")}
        trusted = {} if self._ca_bundle is None else {"AWS_CA_BUNDLE": str(self._ca_bundle)}
        return {
            **for_clients(inherited, variables(Settings(data=str(self.data)))),
            **trusted,
            "MOORING_DATA": str(self.data),
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        }

    def run(self, *words: str, script: str = "") -> Ran:
        """Run a client, with `script` as its input. Raises DemoError when it fails."""
        began = self.clock.monotonic()
        done = subprocess.run(
            [str(client_program(words[0])), *words[1:]],
            env=self.environment(),
            input=script,
            capture_output=True,
            text=True,
            timeout=COMMAND_SECONDS,
            check=False,
        )
        ended = self.clock.monotonic()
        if done.returncode:
            raise DemoError(f"{' '.join(words)}: exit code {done.returncode}\n{done.stderr}")
        return Ran(done.stdout, began, ended)

    def ask(self, question: str, **members: str) -> Mapping[str, Any]:
        """One of Mooring's own questions, signed. Raises DemoError."""
        try:
            return ask(self.environment(), question, self.clock, **members)
        except ConfigurationError as error:
            raise DemoError(str(error)) from error

    # --- waiting

    def until(self, wanted: str, *words: str, member: str, seconds: float = 120.0) -> Any:
        """Ask with `mooring` until `member` (as a.b.c) is `wanted`; returns the whole answer."""
        deadline = self.clock.monotonic() + seconds
        while True:
            answer = self.run("mooring", *words).json()
            found = answer
            for name in member.split("."):
                found = found[name]
            if found == wanted:
                return answer
            if found == "error" or self.clock.monotonic() > deadline:
                raise DemoError(f"{' '.join(words)}: {member} is {found}, not {wanted}")
            pause(0.05)

    def available(self, disk: str) -> None:
        """Wait until the disk can be used."""
        self.until("available", "get-disk", "--disk-name", disk, member="disk.state")

    def attached(self, disk: str) -> str:
        """Wait until the disk is served, and return its NBD URI."""
        self.until("attached", "get-disk", "--disk-name", disk, member="disk.attachmentState")
        return str(self.ask("uri", diskName=disk)["uri"])
