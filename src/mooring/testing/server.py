"""A server for tests, a process that ends with whoever started it."""

from __future__ import annotations

import json
import os
import re
import selectors
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

START_SECONDS = 60.0
END_SECONDS = 20.0
ANSWER_SECONDS = 60.0

KEY = "test"
"""Access key and secret: any would do."""

REGION = "us-east-1"
"""Where clients are that name no region: any would do."""

_ELSEWHERE = (
    "AWS_PROFILE",
    "AWS_DEFAULT_PROFILE",
    "AWS_SESSION_TOKEN",
    "AWS_SECURITY_TOKEN",
    "AWS_USE_FIPS_ENDPOINT",
    "AWS_USE_DUALSTACK_ENDPOINT",
)
"""What would lead a client elsewhere, or keep it from naming an endpoint."""


class MooringServerError(Exception):
    """The server did not start, or refused what it was asked."""


class MooringServer:
    """Serves Lightsail's API at `url`, to this host alone; close it, or use `with`.

    What it has begins anew with `reset`. The other methods let happen what a test is about.
    """

    def __init__(self, engine: str = "memory") -> None:
        """Start one; `ready` waits for it. With the engine `qemu` its disks can be used."""
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the server
        command = [sys.executable, "-P", "-m", "mooring.admin.main", "serve", "--development"]
        command += ["--port", "0", "--until-input-ends", "--engine", engine]
        # Its standard input ends with this process, however that ends.
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log
        )
        self._url = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def url(self) -> str:
        """The endpoint for clients. Raises MooringServerError if the server does not start."""
        if not self._url:
            self._url = self._read_url()
        return self._url

    @property
    def environment(self) -> Mapping[str, str]:
        """The environment variables by which clients find the server."""
        return {
            "AWS_ENDPOINT_URL_LIGHTSAIL": self.url,
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": KEY,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_REGION": REGION,
            "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "false",
            **{name: _with_loopback(os.environ.get(name, "")) for name in ("NO_PROXY", "no_proxy")},
        }

    unset = _ELSEWHERE
    """The environment variables that clients must not have beside these."""

    @property
    def log(self) -> str:
        """What the server has said so far."""
        return os.pread(self._log.fileno(), 1 << 20, 0).decode(errors="replace")

    def reset(self) -> None:
        """Forget all disks, snapshots and instances, what was asked for below, and the time."""
        self._ask("reset")

    def hold(self, name: str | None = None, *, percent: int = 40) -> None:
        """Hold snapshots at `pending`, at so many per cent, until they are released.

        `name` is that of a snapshot, or of the disk or instance that it is of; without one, all are
        held. Those to come are meant as well.
        """
        self._ask("hold", resourceName=name, percent=percent)

    def release(self, name: str | None = None) -> None:
        """Let snapshots that are held go on; without a name, all."""
        self._ask("release", resourceName=name)

    def fail(self, name: str | None = None, *, reason: str, times: int = 1) -> None:
        """Let the next snapshots fail while they are stored: state `error`, operation `Failed`.

        `reason` is the `errorDetails` of the operation. The name is as in `hold`.
        """
        self._ask("fail", resourceName=name, reason=reason, times=times)

    def lose_answer(self, operation: str, *, times: int = 1) -> None:
        """Do what the next such operation asks for, and break the connection instead of answering.

        boto3 repeats such a request: it gets the answer that was lost, as from the real service.
        Lose as many as it tries, five by default, and it raises ConnectionClosedError.
        """
        self._ask("lose", operation=operation, times=times)

    def advance(self, seconds: int) -> float:
        """Put the server's clock forward, past automatic snapshots; returns its time."""
        return float(self._ask("advance", seconds=seconds)["now"])

    def advance_to_automatic_snapshot(self) -> float:
        """Put the clock forward to when the next is due, and have it taken; returns the time."""
        return float(self._ask("advance", toNextAutomaticSnapshot=True)["now"])

    def close(self) -> None:
        """End the server."""
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            pipe.close()
        try:
            self._process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._log.close()

    def _read_url(self) -> str:
        out = self._process.stdout
        assert out is not None
        with selectors.DefaultSelector() as waiting:
            waiting.register(out, selectors.EVENT_READ)
            said = out.readline().decode() if waiting.select(START_SECONDS) else ""
        if (found := re.search(r"AWS_ENDPOINT_URL_LIGHTSAIL=(\S+)", said)) is None:
            self._process.kill()
            self._process.wait()
            raise MooringServerError(f"the server did not start: {self.log.strip() or 'no answer'}")
        return found.group(1)

    def _ask(self, request: str, **members: object) -> dict[str, Any]:
        given = {name: value for name, value in members.items() if value is not None}
        asked = urllib.request.Request(
            f"{self.url}/mooring/{request}",
            json.dumps(given).encode(),
            {"Content-Type": "application/json"},
        )
        # No proxy has a way to this host's loopback interface.
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with direct.open(asked, timeout=ANSWER_SECONDS) as answer:
                told: dict[str, Any] = json.load(answer)
                return told
        except urllib.error.HTTPError as error:
            with error:
                message = json.loads(error.read()).get("message", str(error))
            raise MooringServerError(message) from None


def _with_loopback(spared: str) -> str:
    return ",".join(filter(None, [spared, "127.0.0.1"]))
