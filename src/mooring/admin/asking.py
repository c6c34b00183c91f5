"""Sending one of Mooring's own requests to a running server."""

from __future__ import annotations

import json
import ssl
import urllib.error
import urllib.request
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode, urlsplit

from mooring.model.clock import Clock
from mooring.model.errors import ConfigurationError
from mooring.protocol.sigv4 import sign

ANSWER_SECONDS = 300.0
"""A server that looks after many disks whose daemons hang takes its time."""


def unwell(environment: Mapping[str, str], seconds: float = ANSWER_SECONDS) -> str | None:
    """What the server reports to monitors that is wrong; None if nothing is, or it is silent."""
    try:
        url = f"{environment['AWS_ENDPOINT_URL_LIGHTSAIL']}/healthz"
        with urllib.request.urlopen(url, timeout=seconds, context=_trusted(environment)):
            return None
    except urllib.error.HTTPError as error:
        return error.read().decode(errors="replace").strip() if error.code == 503 else None
    except OSError:
        return None


def ask(
    environment: Mapping[str, str],
    question: str,
    clock: Clock,
    seconds: float = ANSWER_SECONDS,
    /,
    **members: str,
) -> dict[str, Any]:
    """The answer; `environment` has what `mooringd env` prints. Raises ConfigurationError.

    With `AWS_CA_BUNDLE` in it, a server that these certificates vouch for is trusted, too.
    """
    target = f"/mooring/{question}?{urlencode(members)}"
    return _send(environment, "GET", target, b"", clock, seconds)


def act(
    environment: Mapping[str, str], action: str, clock: Clock, **members: object
) -> dict[str, Any]:
    """The same for what changes something."""
    body = json.dumps(members).encode()
    return _send(environment, "POST", f"/mooring/{action}", body, clock, ANSWER_SECONDS)


def _send(
    environment: Mapping[str, str],
    method: str,
    target: str,
    body: bytes,
    clock: Clock,
    seconds: float,
) -> dict[str, Any]:
    url = environment["AWS_ENDPOINT_URL_LIGHTSAIL"]
    headers = {"Host": urlsplit(url).netloc}
    if body:
        headers["Content-Type"] = "application/json"
    moment = datetime.fromtimestamp(clock.now_ms() / 1000, UTC)
    headers |= sign(
        method,
        target,
        headers,
        body,
        access_key=environment["AWS_ACCESS_KEY_ID"],
        secret_key=environment["AWS_SECRET_ACCESS_KEY"],
        region=environment["AWS_DEFAULT_REGION"],
        service="lightsail",
        amz_date=moment.strftime("%Y%m%dT%H%M%SZ"),
    )
    request = urllib.request.Request(url + target, body or None, headers, method=method)
    try:
        trusted = _trusted(environment)
        with urllib.request.urlopen(request, timeout=seconds, context=trusted) as reply:
            return dict(json.load(reply))
    except urllib.error.HTTPError as error:
        told = error.read().decode(errors="replace")
        raise ConfigurationError(_message(told) or f"{target}: {told}") from error
    except OSError as error:
        raise ConfigurationError(f"the server at {url} does not answer: {error}") from error


def _message(told: str) -> str | None:
    """What an error of the API says to people; None if it is none."""
    try:
        message = json.loads(told)["message"]
    except (ValueError, KeyError, TypeError):
        return None
    return message if isinstance(message, str) else None


def _trusted(environment: Mapping[str, str]) -> ssl.SSLContext:
    """Raises OSError if the certificates cannot be read."""
    trusted = ssl.create_default_context()
    if environment.get("AWS_CA_BUNDLE"):
        trusted.load_verify_locations(environment["AWS_CA_BUNDLE"])
    return trusted
