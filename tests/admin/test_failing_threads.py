"""A thread that keeps failing, or ends, is told by doctor and to monitors."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.processes import until

pytestmark = pytest.mark.full

PROGRAM = """
import sys, threading
from mooring.observe import loop

loop.PAUSES = (0.001,)

def body():
    raise ValueError("the tide is out")

failing = loop.Loop("tide-watcher", body)
failing.start()
if sys.argv.pop(1) == "ended":
    # As if its interpreter had ended it: nothing within a body does.
    failing._stop.set()
    failing._thread.join()
sys.argv[0] = "mooringd"
from mooring.admin.main import main
sys.exit(main())
"""


@pytest.fixture(params=["failing", "ended"])
def served(request: pytest.FixtureRequest, run_dir: Path) -> Iterator[tuple[str, Path, str]]:
    config = run_dir / "mooring.toml"
    config.write_text(
        f'data = "{run_dir / "data"}"\nlog.level = "warning"\n[engine]\nkind = "memory"\n'
    )
    words = ["serve", "--port", "0", "--config", str(config)]
    with subprocess.Popen([sys.executable, "-c", PROGRAM, request.param, *words]) as server:
        try:
            told = run_dir / "data" / "server.json"
            until(told.exists, "the server to listen")
            yield request.param, config, json.loads(told.read_text(encoding="utf-8"))["url"]
        finally:
            server.terminate()


def health(url: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"{url}/healthz", timeout=30) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_it_is_told(served: tuple[str, Path, str]) -> None:
    how, config, url = served

    done = subprocess.run(
        [sys.executable, "-m", "mooring.admin.main", "doctor", "--config", str(config)],
        capture_output=True,
        text=True,
        check=False,
    )
    status, said = health(url)

    assert done.returncode == 1, done.stdout
    assert "the thread tide-watcher" in done.stdout
    if how == "ended":
        assert "has ended: restart the server" in done.stdout
        assert (status, said) == (
            503, "the thread tide-watcher has ended: restart the server\n",
        )  # fmt: skip
    else:
        assert "times in a row: ValueError: the tide is out" in done.stdout
        assert (status, said) == (200, "ok\n")
