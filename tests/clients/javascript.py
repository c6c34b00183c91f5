"""The AWS SDK for JavaScript in a process of its own, asked by the tests."""

from __future__ import annotations

import itertools
import json
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mooring.admin.demo.server import client_program

WORKER = Path(__file__).with_name("js") / "worker.cjs"
OLDEST_NODE = 20
"""The SDK's own condition."""


def why_missing() -> str:
    """Why the SDK cannot be used here; empty if it can."""
    node = shutil.which("node")
    if node is None:
        return "node is not installed: install Node.js 20 or newer with npm, then run scripts/setup"
    version = subprocess.run([node, "--version"], capture_output=True, text=True, check=True).stdout
    if int(version.strip().lstrip("v").partition(".")[0]) < OLDEST_NODE:
        return f"node {version.strip()} is too old: the SDK needs Node.js {OLDEST_NODE}"
    if not (modules() / "@aws-sdk" / "client-lightsail").exists():
        return "the AWS SDK for JavaScript is not installed: install npm, then run scripts/setup"
    return ""


def modules() -> Path:
    """Where scripts/setup installs it."""
    return client_program("python").parent.parent / "js" / "node_modules"


class JavaScript:
    """Asks the worker, one call after the other."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        trusted = environment.get("AWS_CA_BUNDLE")
        self._process = subprocess.Popen(
            ["node", WORKER],
            env={
                **environment,
                "NODE_PATH": str(modules()),
                **({"NODE_EXTRA_CA_CERTS": trusted} if trusted else {}),
            },
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._ids = itertools.count()

    def ask(self, operation: str, *, client: Mapping[str, Any] | None = None, **params: Any) -> Any:
        """The reply: `result`, or `error`."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        call = {"id": next(self._ids), "operation": operation, "params": params}
        self._process.stdin.write(json.dumps({**call, "client": dict(client or {})}) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line, "the process that runs the SDK has ended"
        reply = json.loads(line)
        assert reply["id"] == call["id"]
        return reply

    def call(self, operation: str, **params: Any) -> Any:
        """The result of a call that succeeds."""
        reply = self.ask(operation, **params)
        assert "error" not in reply, reply
        return reply["result"]

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        try:
            self._process.wait(30)
        finally:
            self._process.kill()
            self._process.wait()
            self._process.stdout.close()
