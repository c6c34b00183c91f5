"""A signed client of the API inside the test's own process."""

from __future__ import annotations

import http.client
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from mooring.protocol.sigv4 import sign

TARGET = "Lightsail_20161128"
CONTENT_TYPE = "application/x-amz-json-1.1"
ANSWER_SECONDS = 60.0


class RefusedError(Exception):
    """The server answered with an error: `status` of HTTP, type and code of the error."""

    def __init__(self, status: int, answer: Mapping[str, Any]) -> None:
        self.status = status
        self.type = str(answer.get("__type", ""))
        self.code = str(answer.get("code", ""))
        super().__init__(f"{status} {self.type} {self.code}: {answer.get('message')}")


class Client:
    """Calls operations as the AWS clients do, each on a connection of its own.

    `environment` has the variables that `mooringd env` prints. Any thread may call.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._address = urlsplit(environment["AWS_ENDPOINT_URL_LIGHTSAIL"]).netloc
        self._environment = environment

    def call(self, operation: str, **members: object) -> Any:
        """The answer of an operation. Raises RefusedError; OSError if none came."""
        body = json.dumps(members).encode()
        headers = {"Content-Type": CONTENT_TYPE, "X-Amz-Target": f"{TARGET}.{operation}"}
        return self.send("POST", "/", headers, body)

    def act(self, action: str, **members: object) -> Any:
        """The same for one of Mooring's own requests that change something."""
        headers = {"Content-Type": "application/json"}
        return self.send("POST", f"/mooring/{action}", headers, json.dumps(members).encode())

    def send(self, method: str, target: str, headers: dict[str, str], body: bytes) -> Any:
        """Sign and send a request."""
        headers = {"Host": self._address, **headers}
        headers |= sign(
            method,
            target,
            headers,
            body,
            access_key=self._environment["AWS_ACCESS_KEY_ID"],
            secret_key=self._environment["AWS_SECRET_ACCESS_KEY"],
            region=self._environment["AWS_DEFAULT_REGION"],
            service="lightsail",
            amz_date=datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ"),
        )
        connection = http.client.HTTPConnection(self._address, timeout=ANSWER_SECONDS)
        try:
            connection.request(method, target, body, headers)
            reply = connection.getresponse()
            answer = json.loads(reply.read())
        except http.client.HTTPException as error:
            raise ConnectionError(f"{target}: the connection broke: {error!r}") from error
        finally:
            connection.close()
        if reply.status != 200:
            raise RefusedError(reply.status, answer)
        return answer
