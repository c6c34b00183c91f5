"""Where things lie, also below long paths."""

from __future__ import annotations

from pathlib import Path

from mooring.model.paths import run_directory

ZONES = ["us-east-2a", "us-west-2b"]


def test_sockets_lie_under_data_where_their_paths_fit() -> None:
    data = Path("/home/ann/.local/share/mooring")

    assert run_directory(data, ZONES, uid=1000) == data / "run"


def test_a_long_data_directory_has_its_sockets_elsewhere() -> None:
    data = Path("/home/bartholomew/.local/share/mooring")

    run = run_directory(data, ZONES, uid=1000)

    assert str(run).startswith("/tmp/mooring-1000-")
    assert run == run_directory(data, ZONES, uid=1000)
    assert run != run_directory(data / "other", ZONES, uid=1000)
    assert str(run_directory(data, ZONES, uid=0)).startswith("/run/mooring-")
