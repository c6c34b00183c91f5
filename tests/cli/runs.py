"""Runs a command line through aws and through mooring against one server."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.cli.recording_server import Recorded, RecordingServer, Scripted, answer

CHECKOUT = Path(__file__).resolve().parent.parent.parent
WORKER = Path(__file__).with_name("command_worker.py")


def clients_python() -> Path:
    """The interpreter of the environment that has the real aws."""
    home = os.environ.get("MOORING_CLIENTS") or str(CHECKOUT / ".venv-clients")
    return Path(home) / "bin" / "python"


@dataclass(frozen=True)
class Case:
    """One command line, what surrounds it, and what the server answers.

    `{url}` in arguments, environment values and files stands for the server's address. In the
    environment, None removes a variable of the usual ones. `encoding` is that of standard output;
    `output` is `file`, or `full` or `closed` where nothing can be written.
    """

    arguments: list[str]
    environment: dict[str, str | None] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    script: list[Scripted] = field(default_factory=lambda: [answer({})])
    encoding: str = "utf-8"
    output: str = "file"


@dataclass(frozen=True)
class Outcome:
    status: int
    stdout: str
    stderr: str
    requests: list[Recorded]


class Worker:
    """A process that runs command lines of one program."""

    def __init__(self, program: str) -> None:
        self.program = program
        python = clients_python() if program == "aws" else Path(sys.executable)
        self._process = subprocess.Popen(
            [python, WORKER, program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def run(self, case: Case, server: RecordingServer, directory: Path) -> Outcome:
        server.reset(case.script)
        arguments = [argument.replace("{url}", server.url) for argument in case.arguments]
        if self.program == "aws":
            arguments = ["lightsail", *arguments]
        request = {
            "arguments": arguments,
            "environment": environment(case, server, directory),
            "directory": str(directory),
            "has_files": bool(case.files),
            "encoding": case.encoding,
            "output": case.output,
        }
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        reply: dict[str, Any] = json.loads(self._process.stdout.readline())
        texts = [
            reply[name].encode("latin-1").decode(encoding)
            for name, encoding in (("stdout", case.encoding), ("stderr", "utf-8"))
        ]
        return Outcome(
            reply["status"], texts[0], normalized(texts[1], self.program), list(server.requests)
        )

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(20)
        self._process.stdout.close()


def environment(case: Case, server: RecordingServer, directory: Path) -> dict[str, str]:
    """What every command line finds: keys, region and endpoint, and an empty home."""
    usual: dict[str, str | None] = {
        "HOME": str(directory),
        "PATH": os.environ.get("PATH", ""),
        "LANG": "C.UTF-8",
        "TZ": "UTC",
        "AWS_ACCESS_KEY_ID": "AKIAEXAMPLEEXAMPLE00",
        "AWS_SECRET_ACCESS_KEY": "example",
        "AWS_DEFAULT_REGION": "us-west-2",
        "AWS_ENDPOINT_URL": server.url,
        "AWS_MAX_ATTEMPTS": "1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    usual.update(case.environment)
    return {
        name: value.replace("{url}", server.url)
        for name, value in usual.items()
        if value is not None
    }


def write_files(case: Case, server: RecordingServer, directory: Path) -> None:
    for name, text in case.files.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.replace("{url}", server.url).encode("utf-8", "surrogateescape"))


_USAGE = re.compile(r"usage: .*?(?:aws <command> <subcommand>|mooring <command>) help\n", re.DOTALL)


def normalized(text: str, program: str) -> str:
    """Standard error without the program's name and its usage block."""
    text = _USAGE.sub("USAGE\n", text)
    return re.sub(rf"^{program}: error: ", "PROGRAM: error: ", text, flags=re.MULTILINE)
