"""Two minutes of the soak in bench/soak.py: everything at once, against a model."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bench.soak import soak

pytestmark = [pytest.mark.full, pytest.mark.timeout(600)]

SECONDS = float(os.environ.get("MOORING_SOAK_SECONDS", "120"))


@pytest.mark.requires("qemu-storage-daemon")
def test_everything_at_once(run_dir: Path) -> None:
    counts = soak(run_dir, SECONDS, seed=11)

    # The test is worth nothing if too little happened.
    assert counts["compared"] > 10
    assert counts["kill_server"] + counts["kill_both"] > 0
    assert counts["kill_daemons"] + counts["kill_both"] > 0
    assert counts["restored"] > 0
    assert counts["growths"] > 0
    assert counts["forks compared"] > 0
    assert counts["instance forks compared"] > 0
    assert counts["reverted"] > 0
    assert counts["revert_and_kill"] > 0
