"""boto3 in a process of its own, asked by the tests."""

from __future__ import annotations

import itertools
import json
import subprocess
import threading
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mooring.admin.demo.server import client_program
from tests.clients.shapes import check_answer

WORKER = Path(__file__).with_name("boto_worker.py")
SECONDS = 120.0


class Refused(Exception):
    """What boto3 raised.

    `type` is the name of the exception's class: that of the modelled error, `ClientError` for any
    other of the service, or one of botocore's own. `code` and `message` are what the exception
    shows, `modelled` the other members of its response.
    """

    def __init__(self, error: Mapping[str, Any]) -> None:
        super().__init__(error["text"])
        self.type: str = error["type"]
        self.code: str = error.get("Code", "")
        self.message: str = error.get("Message", "")
        self.text: str = error["text"]
        self.modelled: Mapping[str, Any] = error.get("modelled", {})

    @property
    def status(self) -> int:
        return int(self.modelled["ResponseMetadata"]["HTTPStatusCode"])

    @property
    def body_code(self) -> str:
        """The member `code` of the modelled error."""
        return str(self.modelled.get("code", ""))


@dataclass(frozen=True, slots=True)
class Reply:
    """What came of a call: one body for each page, or try that got an answer."""

    operation: str
    result: Any
    error: Refused | None
    bodies: list[str] = field(default_factory=list)

    def get(self) -> Any:
        """The result, each of whose pages fits the client's model. Raises Refused."""
        if self.error is not None:
            raise self.error
        for body in self.bodies:
            assert check_answer(self.operation, body) == []
        return self.result


class Boto:
    """Asks the worker. The environment says where the server is."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._process = subprocess.Popen(
            [client_program("python"), WORKER],
            env=dict(environment),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._ids = itertools.count()
        self._waiting: dict[int, tuple[str, Future[Reply]]] = {}
        self._lock = threading.Lock()
        self._reader = threading.Thread(target=self._read, name="boto-replies")
        self._reader.start()

    def begin(
        self,
        operation: str,
        params: Mapping[str, Any],
        *,
        client: Mapping[str, Any] | None = None,
        twist: Mapping[str, Any] | None = None,
        paginate: Mapping[str, Any] | None = None,
    ) -> Future[Reply]:
        """Send a call; several can be under way. See the worker for the arguments."""
        future: Future[Reply] = Future()
        with self._lock:
            number = next(self._ids)
            self._waiting[number] = (operation, future)
            call: dict[str, Any] = {"id": number, "operation": operation, "params": dict(params)}
            call |= {"client": dict(client or {}), "twist": dict(twist or {})}
            if paginate is not None:
                call["paginate"] = dict(paginate)
            assert self._process.stdin is not None
            self._process.stdin.write(json.dumps(call) + "\n")
            self._process.stdin.flush()
        return future

    def reply(self, operation: str, params: Mapping[str, Any], **options: Any) -> Reply:
        """One call with its reply; the options are those of `begin`."""
        return self.begin(operation, params, **options).result(SECONDS)

    def call(self, operation: str, **params: Any) -> Mapping[str, Any]:
        """One call as users make it; its answer fits the model. Raises Refused."""
        return dict(self.reply(operation, params).get())

    def close(self) -> None:
        """End the worker."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(30)
        finally:
            self._process.kill()
            self._process.wait()
            self._reader.join()
            assert self._process.stdout is not None
            self._process.stdout.close()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            reply = json.loads(line)
            operation, future = self._waiting.pop(reply["id"])
            error = Refused(reply["error"]) if "error" in reply else None
            future.set_result(Reply(operation, reply.get("result"), error, reply["raw"]))
        for _, future in self._waiting.values():
            future.set_exception(EOFError("the process that runs boto3 has ended"))
