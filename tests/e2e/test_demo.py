"""The demonstration as a newcomer runs it: every proof holds, and nothing is left."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from mooring.admin.demo.server import OWN_PROGRAMS
from tests.e2e import processes

pytestmark = [pytest.mark.full, pytest.mark.requires("fio"), pytest.mark.timeout(900)]


def test_demo_proves_everything_and_cleans_up(run_dir: Path) -> None:
    # The parent, because the paths of the demo's sockets must fit into 107 bytes.
    temporary = run_dir.parent
    environment = {**os.environ, "TMPDIR": str(temporary)}

    done = subprocess.run(
        [OWN_PROGRAMS / "mooringd", "demo"],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout
    proofs = re.findall(r"^(yes|NO ) ", done.stdout, re.MULTILINE)
    assert len(proofs) >= 8, done.stdout
    assert set(proofs) == {"yes"}, done.stdout
    assert not list(temporary.glob("mooring-*"))
    assert not processes.naming(temporary / "mooring-")
