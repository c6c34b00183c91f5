"""A message, or a heartbeat, by HTTP."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Callable
from http.client import HTTPException
from typing import Any
from urllib.parse import urlsplit

from mooring.model.errors import NotifyError
from mooring.notify.message import Message
from mooring.version import VERSION

SECONDS = 10.0
"""For how long the other side may be silent."""


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A message goes where the settings say, and nowhere else: its address may hold a secret."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


class Webhook:
    """Posts messages as JSON. `url` gives the address each time: the file with it may change."""

    name = "webhook"

    def __init__(self, url: Callable[[], str], seconds: float = SECONDS) -> None:
        self._url, self._seconds = url, seconds

    def send(self, message: Message) -> None:
        body = json.dumps(message.fields).encode()
        call(self._url(), self.name, body, self._seconds)


def call(url: str, what: str, body: bytes | None = None, seconds: float = SECONDS) -> None:
    """POST the body, or GET without one. Raises NotifyError, which names the host alone."""
    host = urlsplit(url).hostname or "?"
    headers = {"User-Agent": f"mooringd/{VERSION}"}
    if body is not None:
        headers["Content-Type"] = "application/json"
    request = urllib.request.Request(url, data=body, headers=headers)
    try:
        opener = urllib.request.build_opener(_NoRedirect)
        with opener.open(request, timeout=seconds):
            return
    except urllib.error.HTTPError as error:
        error.close()
        problem = f"answers {error.code}"
    except urllib.error.URLError as error:
        problem = f"cannot be reached: {error.reason}"
    except TimeoutError:
        problem = f"has not answered for {seconds:g} s"
    except (OSError, HTTPException, ValueError) as error:
        problem = f"cannot be reached: {type(error).__name__}"
    # The errors of before could show the address.
    raise NotifyError(f"the {what} at {host} {problem}") from None
