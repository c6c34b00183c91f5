"""Queries and inputs that are too much for the program end in a sentence."""

from __future__ import annotations

import resource
import subprocess
import sys

import pytest

from tests.cli.conftest import Run
from tests.cli.recording_server import RecordingServer, answer

TOO_DEEP = "nested too deeply"
DEEP = {
    "parentheses": "(" * 3000 + "disks" + ")" * 3000,
    "lists": "[" * 3000 + "disks" + "]" * 3000,
    "hashes": "{a:" * 3000 + "disks" + "}" * 3000,
    "negations": "!" * 3000 + "disks",
    "pipes": "|".join(["@"] * 3000),
    "alternatives": "||".join(["nothing"] * 3000),
    "flattened": "disks" + "[]" * 3000,
    "literal": "`" + "[" * 60_000 + "]" * 60_000 + "`",
}


@pytest.mark.parametrize("output", ["json", "text", "table", "yaml"])
@pytest.mark.parametrize("query", DEEP)
def test_deep_queries(mooring: Run, server: RecordingServer, query: str, output: str) -> None:
    server.reset([answer({"disks": [{"name": "data"}]})])
    words = ("get-disks", "--query", DEEP[query], "--output", output)

    result = mooring(*words)

    assert (result.status, result.stdout) == (255, "")
    assert TOO_DEEP in result.stderr
    assert len(result.stderr) < 200


def test_a_deep_input(mooring: Run) -> None:
    deep = '{"tags":' + "[" * 100_000 + "]" * 100_000 + "}"

    result = mooring("create-disk", "--cli-input-json", deep)

    assert result.status == 255
    assert TOO_DEEP in result.stderr


def test_results_larger_than_memory() -> None:
    """Each step doubles what the one before made."""
    query = "|".join(["'" + "a" * 1000 + "'", *["join('', [@, @])"] * 40])
    given = ["--query", query, "--endpoint-url", "http://127.0.0.1:9"]
    command = [sys.executable, "-m", "mooring.cli.main", "get-disks", *given]
    size = 512 * 1024 * 1024

    result = subprocess.run(
        [*command, "--generate-cli-skeleton", "output"],
        env={"AWS_DEFAULT_REGION": "us-east-2"},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (size, size)),
        capture_output=True,
        text=True,
        check=False,
    )

    assert (result.returncode, result.stdout) == (255, "")
    assert "more memory than is available" in result.stderr
