"""A server that is asked to end while it starts ends."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.full

VICTIM = """
import os, signal, sys
from mooring.admin import main
from mooring.admin.serving import announcement

class Freed:
    def __del__(self):
        # Python ignores what a handler raises here.
        os.kill(os.getpid(), signal.SIGTERM)
        for _ in range(1000):
            pass

written = announcement.Announcement.write

def write(self):
    written(self)
    Freed()

announcement.Announcement.write = write
sys.exit(main.main(["serve", "--port", "0", "--data", sys.argv[1]]))
"""


def test_a_signal_that_python_ignores(run_dir: Path) -> None:
    data = run_dir / "d"

    ended = subprocess.run(
        [sys.executable, "-c", VICTIM, str(data)],
        timeout=60,
        check=False,
        capture_output=True,
        text=True,
    )

    assert "Exception ignored" in ended.stderr
    assert ended.returncode == 0, ended.stderr
    assert not (data / "server.json").exists()
