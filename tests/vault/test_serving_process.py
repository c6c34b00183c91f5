"""The process that serves snapshots: another one for another vault, and nobody else's is ended."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mooring.host.processes.folder_process import LOCK_NAME
from mooring.model.clock import SystemClock
from mooring.model.errors import VaultAwayError
from mooring.vault.served.process import ServingProcess

pytestmark = pytest.mark.full

SERVER = """
import argparse, socket, time
from pathlib import Path
from mooring.host.processes.process_lock import inherit
parser = argparse.ArgumentParser()
parser.add_argument("--vault")
parser.add_argument("--run-dir", type=Path)
parser.add_argument("--lock-fd", type=int)
options = parser.parse_args()
inherit(options.lock_fd)
(options.run_dir / "vault").write_text(options.vault)
place = options.run_dir / "nbd.sock"
place.unlink(missing_ok=True)
listener = socket.socket(socket.AF_UNIX)
listener.bind(str(place))
listener.listen()
time.sleep(600)
"""


class Serving:
    """What a server would have for its region, with these settings."""

    def __init__(self, run: Path) -> None:
        self.run = run
        self.vault_id: str | None = "first"

    def at(self, vault: str) -> ServingProcess:
        command = [sys.executable, "-c", SERVER, "--vault", vault, "--run-dir", str(self.run)]
        return ServingProcess(self.run, command, SystemClock(), "", self._id)

    def _id(self) -> str:
        if self.vault_id is None:
            raise VaultAwayError("the vault is away")
        return self.vault_id

    @property
    def pid(self) -> int:
        return int((self.run / LOCK_NAME).read_text())

    @property
    def vault(self) -> str:
        return (self.run / "vault").read_text()


def runs(pid: int) -> bool:
    """Whether it does; one that has ended and that nobody has waited for does not."""
    try:
        return " Z " not in Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False


@pytest.fixture
def serving(run_dir: Path) -> Iterator[Serving]:
    made = Serving(run_dir / "served")
    yield made
    made.vault_id = "first"
    made.at("/any").end()


def test_one_that_serves_the_same_is_left_alone(serving: Serving) -> None:
    serving.at("/vault").ensure()
    before = serving.pid
    serving.at("/vault").ensure()
    assert serving.pid == before


def test_one_that_serves_another_place_or_vault_is_ended(serving: Serving) -> None:
    serving.at("/vault").ensure()
    first = serving.pid
    serving.at("/moved").ensure()
    assert serving.vault == "/moved"
    second = serving.pid
    serving.vault_id = "second"
    serving.at("/moved").ensure()
    assert len({first, second, serving.pid}) == 3
    assert not [pid for pid in (first, second) if runs(pid)]


def test_one_that_does_not_listen_to_signals_is_ended_all_the_same(serving: Serving) -> None:
    serving.at("/vault").ensure()
    first = serving.pid
    subprocess.run(["kill", "-STOP", str(first)], check=True)
    serving.at("/moved").ensure()
    assert serving.vault == "/moved"


def test_nobody_serves_a_vault_that_is_away(serving: Serving) -> None:
    serving.vault_id = None
    with pytest.raises(VaultAwayError):
        serving.at("/vault").ensure()
    assert not serving.at("/vault").alive()


def test_a_process_that_has_the_number_now_is_not_ended(serving: Serving) -> None:
    serving.at("/vault").ensure()
    ours = serving.pid
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]) as another:
        try:
            # As it is between a process's death and the next one's first line.
            (serving.run / LOCK_NAME).write_text(str(another.pid))
            serving.at("/vault").end()
            assert another.poll() is None
        finally:
            another.send_signal(signal.SIGKILL)
    (serving.run / LOCK_NAME).write_text(str(ours))
