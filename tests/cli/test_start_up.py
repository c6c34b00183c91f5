"""What a plain command loads, and how it behaves as a process of its own."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.cli.recording_server import RecordingServer, answer

# Every module costs each command time. A new one has to be worth that.
PLAIN = {
    "mooring", "mooring.cli", "mooring.cli.connect", "mooring.cli.connection",
    "mooring.cli.connection.answers", "mooring.cli.connection.client",
    "mooring.cli.connection.credentials", "mooring.cli.connection.endpoint",
    "mooring.cli.connection.ini", "mooring.cli.connection.session",
    "mooring.cli.connection.transport", "mooring.cli.input", "mooring.cli.input.arguments",
    "mooring.cli.input.names", "mooring.cli.input.paramfile", "mooring.cli.input.parser",
    "mooring.cli.main", "mooring.cli.operation", "mooring.cli.options", "mooring.cli.output",
    "mooring.cli.output.render", "mooring.cli.own", "mooring.cli.own.command",
    "mooring.cli.own.table", "mooring.cli.own.tables", "mooring.cli.own.tables.disks",
    "mooring.cli.own.tables.looking", "mooring.cli.own.tables.others",
    "mooring.cli.own.tables.snapshots", "mooring.cli.pages", "mooring.cli.style",
    "mooring.model", "mooring.model.clock", "mooring.model.errors", "mooring.protocol",
    "mooring.protocol.client_validation", "mooring.protocol.service_model",
    "mooring.protocol.sigv4", "mooring.streams", "mooring.version",
    "argparse", "gettext", "locale", "re", "enum", "types", "operator", "functools",
    "collections", "keyword", "reprlib", "copyreg", "itertools", "json", "os", "stat", "posixpath",
    "genericpath", "hashlib", "hmac", "warnings", "socket", "selectors", "select", "math", "array",
    "datetime", "encodings", "importlib", "errno",
}  # fmt: skip

PROBE = """
import sys
sys.argv[0] = "mooring"
before = set(sys.modules)
from mooring.cli.main import main
status = main(sys.argv[1:])
loaded = {name for name in set(sys.modules) - before if not name.split(".")[0].startswith("_")}
print("\\n".join(sorted(loaded)), file=sys.stderr)
sys.exit(status)
"""


@pytest.fixture
def environment(server: RecordingServer, tmp_path: Path) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "AWS_ACCESS_KEY_ID": "AKIAEXAMPLEEXAMPLE00",
        "AWS_SECRET_ACCESS_KEY": "example",
        "AWS_DEFAULT_REGION": "us-east-2",
        "AWS_ENDPOINT_URL": server.url,
    }


def loaded_by(environment: dict[str, str], *arguments: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", f"import sys; sys.path[:] = {sys.path!r}\n{PROBE}",
         *arguments],
        env=environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return set(done.stderr.split())


@pytest.mark.parametrize(
    "arguments",
    [
        ["get-disks"],
        ["create-disk-snapshot", "--disk-name", "D", "--disk-snapshot-name", "S"],
    ],
)
def test_a_plain_command_loads_only_this(arguments: list[str], environment: dict[str, str]) -> None:
    loaded = loaded_by(environment, *arguments)

    assert {name for name in loaded if name.startswith("mooring")} <= PLAIN
    assert {name.partition(".")[0] for name in loaded} <= {name.partition(".")[0] for name in PLAIN}
    assert "mooring.cli.connection.client" in loaded


def test_a_skeleton_loads_nothing_of_the_network(environment: dict[str, str]) -> None:
    loaded = loaded_by(environment, "create-disk-snapshot", "--generate-cli-skeleton")

    assert not loaded & {"mooring.cli.connection.client", "hashlib", "jmespath", "ssl"}


def start(environment: dict[str, str], *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "mooring.cli.main", *arguments],
        env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def test_an_interrupt_ends_it_with_130(environment: dict[str, str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        environment["AWS_ENDPOINT_URL"] = f"http://127.0.0.1:{silent.getsockname()[1]}"
        process = start(environment, "get-disks")
        connection, _ = silent.accept()
        with connection:
            process.send_signal(signal.SIGINT)
            try:
                stdout, stderr = process.communicate(timeout=5)
            except subprocess.TimeoutExpired:
                # Python sees a signal only afterwards that comes just before a system call that
                # waits: once in a hundred runs here, as the first is sent at that very moment.
                process.send_signal(signal.SIGINT)
                stdout, stderr = process.communicate(timeout=20)

    assert (process.returncode, stdout, stderr) == (130, "\n", "")


def test_a_reader_that_goes_away_is_no_error(
    environment: dict[str, str], server: RecordingServer
) -> None:
    disks = [{"name": f"disk-{number}" * 10} for number in range(5000)]
    server.reset([answer({"disks": disks})])
    process = start(environment, "get-disks")
    assert process.stdout is not None
    assert process.stderr is not None
    with process.stdout, process.stderr:
        assert process.stdout.readline() == "{\n"
        process.stdout.close()
        assert process.wait(20) == 0
        assert process.stderr.read() == ""


def test_nor_of_what_is_printed_as_it_comes(
    environment: dict[str, str], server: RecordingServer
) -> None:
    extents = [{"offset": 4096 * number, "length": 4096, "zero": False} for number in range(9000)]
    told = {"from": None, "to": "B", "sizeInBytes": 1 << 33, "extents": extents, "nextOffset": None}
    server.reset([answer(told)])
    process = start(environment, "diff", "--to", "B")
    assert process.stdout is not None
    assert process.stderr is not None
    with process.stdout, process.stderr:
        assert process.stdout.readline() == "{\n"
        process.stdout.close()
        assert process.wait(20) == 0
        assert process.stderr.read() == ""


def test_it_tries_again_while_the_server_starts(
    environment: dict[str, str], server: RecordingServer
) -> None:
    server.reset([answer({"message": "starting"}, 503), answer({"disks": []})])
    process = start(environment, "get-disks")
    stdout, stderr = process.communicate(timeout=30)

    assert (process.returncode, stderr) == (0, "")
    assert '"disks": []' in stdout
    assert len(server.requests) == 2


@pytest.mark.full  # the pauses between the attempts take seven seconds
def test_five_attempts_are_made(environment: dict[str, str], server: RecordingServer) -> None:
    server.reset([answer({"__type": "Broken", "message": "m"}, 500)])
    started = time.monotonic()
    process = start(environment, "get-disks")
    _, stderr = process.communicate(timeout=60)

    assert process.returncode == 255
    assert "(reached max retries: 4): m" in stderr
    assert len(server.requests) == 5
    assert time.monotonic() - started < 20
