"""Calls operations: checks, signs, sends, tries again, reads the answer."""

from __future__ import annotations

import json
import sys

from mooring.cli.connection import answers, transport
from mooring.model.errors import CommandError
from mooring.protocol import client_validation, sigv4
from mooring.version import VERSION

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from mooring.cli.connection.credentials import Credentials
    from mooring.model.clock import Clock
    from mooring.protocol.service_model import Operation, ServiceModel

_LONGEST_STANDARD_PAUSE = 20.0


class ServiceFailure(CommandError):
    """The service answered with an error; `error_code` is its name."""

    def __init__(self, message: str, error_code: str) -> None:
        super().__init__(message, "service")
        self.error_code = error_code


class Unreachable(CommandError):
    """No answer came; the server may be back later."""


class Connection:
    """Where and how to call: endpoint, region, keys (None for unsigned), time limits, attempts.

    `validates` tells whether parameters are checked before they are sent.
    """

    def __init__(
        self,
        url: str,
        region: str,
        credentials: Credentials | None,
        signs: bool,
        settings: transport.Settings,
        attempts: int,
        standard_pauses: bool,
        found_here: bool,
        debug: bool,
        validates: bool,
    ) -> None:
        self.url = url
        self.region = region
        self.credentials = credentials
        self.signs = signs
        self.settings = settings
        self.attempts = attempts
        self.standard_pauses = standard_pauses
        self.found_here = found_here
        self.debug = debug
        self.validates = validates


class Client:
    """Calls operations of one server."""

    def __init__(
        self,
        model: ServiceModel,
        connection: Connection,
        read_time: Callable[[Any], Any],
        clock: Clock,
    ) -> None:
        self.model = model
        self.connection = connection
        self._read_time = read_time
        self._clock = clock

    def check(self, operation: Operation, parameters: dict[str, Any]) -> None:
        """Raises CommandError if the parameters do not fit the operation's shape."""
        if not self.connection.validates:
            client_validation.known(self.model, self.model.shape(operation.input), parameters)
            return
        problems = client_validation.report(self.model, operation, parameters)
        if problems:
            raise CommandError(f"Parameter validation failed:\n{problems}", "parameter")

    def call(self, operation: Operation, parameters: dict[str, Any]) -> Any:
        """The operation's answer. Raises CommandError, of kind `service` if the service failed."""
        self.check(operation, parameters)
        if not self.connection.validates:
            parameters = client_validation.known(
                self.model, self.model.shape(operation.input), parameters
            )
        body = json.dumps(parameters).encode("ascii")
        headers = {
            "Accept-Encoding": "identity",
            "X-Amz-Target": f"{self.model.target_prefix}.{operation.name}",
            "Content-Type": f"application/x-amz-json-{self.model.json_version}",
            "User-Agent": f"mooring/{VERSION}",
        }
        reply, failure, retries = self._send("POST", "", headers, body)
        if failure is None:
            return answers.result(self.model, operation, reply, self._read_time)
        exhausted = failure.is_worth_retrying and retries == self.connection.attempts - 1
        tried = f" (reached max retries: {retries})" if exhausted else ""
        raise ServiceFailure(
            f"An error occurred ({failure.code}) when calling the {operation.name} operation"
            f"{tried}: {failure.message}",
            str(failure.code),
        )

    def get(self, question: str, members: dict[str, str]) -> transport.Reply:
        """The reply to one of Mooring's own questions. Raises CommandError if none comes."""
        query = "&".join(f"{name}={_escaped(value)}" for name, value in sorted(members.items()))
        target = f"/mooring/{question}?{query}"
        reply, _, _ = self._send("GET", target, {"User-Agent": f"mooring/{VERSION}"}, b"")
        return reply

    def ask(
        self, question: str, members: dict[str, str], about: str, keys: tuple[str, ...] = ()
    ) -> dict[str, Any]:
        """The answer to one of Mooring's own questions, with these keys at least.

        `about` is what messages say was asked for. Raises CommandError, of kind `service` if the
        service failed.
        """
        return self._told(self.get(question, members), about, keys)

    def act(
        self, action: str, members: dict[str, Any], about: str, keys: tuple[str, ...] = ()
    ) -> dict[str, Any]:
        """The same for one of Mooring's own actions, which change something."""
        headers = {"Content-Type": "application/json", "User-Agent": f"mooring/{VERSION}"}
        body = json.dumps(members).encode("ascii")
        reply, _, _ = self._send("POST", f"/mooring/{action}", headers, body)
        return self._told(reply, about, keys)

    def _told(self, reply: transport.Reply, about: str, keys: tuple[str, ...]) -> dict[str, Any]:
        failure = answers.failure(reply)
        if failure is not None:
            raise ServiceFailure(
                f"An error occurred ({failure.code}) when asking for {about}: {failure.message}",
                str(failure.code),
            )
        try:
            told = dict(json.loads(reply.body))
            return {**told, **{key: told[key] for key in keys}}
        except (ValueError, KeyError, TypeError):
            raise self.misunderstood() from None

    def misunderstood(self) -> CommandError:
        """The error to raise for an answer that makes no sense."""
        return CommandError(f"{self.connection.url} does not answer like a Mooring server.")

    def _send(
        self, method: str, target: str, headers: dict[str, str], body: bytes
    ) -> tuple[transport.Reply, answers.Failure | None, int]:
        """Send until it works or attempts run out: the reply, its error, the number of retries."""
        invocation = _random_uuid()
        attempt = 1
        while True:
            try:
                reply = self._send_once(method, target, headers, body, invocation, attempt)
            except transport.TransportError as error:
                self._note(f"attempt {attempt}: {error}")
                if (
                    attempt >= self.connection.attempts
                    or error.lasting
                    or (error.refused and self.connection.found_here)
                ):
                    raise self._unreachable(error) from None
            else:
                failure = answers.failure(reply)
                self._note(f"attempt {attempt}: status {reply.status}, body {reply.body!r}")
                if (
                    failure is None
                    or not failure.is_worth_retrying
                    or attempt >= self.connection.attempts
                ):
                    return reply, failure, attempt - 1
            self._clock.sleep(self._pause(attempt))
            attempt += 1

    def _send_once(
        self,
        method: str,
        target: str,
        headers: dict[str, str],
        body: bytes,
        invocation: str,
        attempt: int,
    ) -> transport.Reply:
        url = self._url(target)
        headers = dict(headers)
        if self.connection.signs:
            headers.update(self._signature(method, transport.Url(url), headers, body))
        headers["amz-sdk-invocation-id"] = invocation
        headers["amz-sdk-request"] = f"attempt={attempt}"
        self._note(f"{method} {url} {_without_signature(headers)} body {body!r}")
        return transport.send(method, url, headers, body, self.connection.settings)

    def _signature(
        self, method: str, url: transport.Url, headers: dict[str, str], body: bytes
    ) -> dict[str, str]:
        credentials = self.connection.credentials
        if credentials is None:
            raise CommandError(_NO_CREDENTIALS, "configuration", "NoCredentials")
        return sigv4.sign(
            method,
            url.target,
            {"Host": transport.host_header(url), **headers},
            body,
            access_key=credentials.access_key,
            secret_key=credentials.secret_key,
            region=self.connection.region,
            service=self.model.signing_name,
            amz_date=amz_date(self._clock.now_ms()),
            session_token=credentials.token,
        )

    def _url(self, target: str) -> str:
        parts = transport.Url(self.connection.url)
        return f"{parts.scheme}://{parts.netloc}{target or parts.target}"

    def _unreachable(self, error: transport.TransportError) -> Unreachable:
        if not (error.refused and self.connection.found_here):
            return Unreachable(str(error))
        return Unreachable(
            f"{error}\nThe server on this host is not running. Start it: mooringd serve"
        )

    def _pause(self, attempt: int) -> float:
        import random

        if self.connection.standard_pauses:
            return min(random.random() * 2.0**attempt, _LONGEST_STANDARD_PAUSE)
        return random.random() * 2.0 ** (attempt - 1)

    def _note(self, text: str) -> None:
        if self.connection.debug:
            sys.stderr.write(f"mooring: {text}\n")


_NO_CREDENTIALS = (
    "Unable to locate credentials. You can set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or "
    "name a profile of ~/.aws/credentials with --profile."
)


def _random_uuid() -> str:
    """A version 4 UUID, without the weight of the uuid module."""
    import os

    raw = bytearray(os.urandom(16))
    raw[6] = raw[6] & 0x0F | 0x40
    raw[8] = raw[8] & 0x3F | 0x80
    text = raw.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def _escaped(text: str) -> str:
    """Percent-encoded as a signature wants it: all but letters, digits and four marks."""
    return "".join(
        letter if letter.isascii() and (letter.isalnum() or letter in "-_.~") else _bytes(letter)
        for letter in text
    )


def _bytes(letter: str) -> str:
    return "".join(f"%{byte:02X}" for byte in letter.encode())


def _without_signature(headers: dict[str, str]) -> dict[str, str]:
    return {
        name: value.partition("Signature=")[0] if name == "Authorization" else value
        for name, value in headers.items()
        if name != "X-Amz-Security-Token"
    }


def amz_date(now_ms: int) -> str:
    """A moment as `20261123T090937Z`."""
    from datetime import UTC, datetime

    return datetime.fromtimestamp(now_ms // 1000, UTC).strftime("%Y%m%dT%H%M%SZ")
