"""A visitor of a running server's console, as a browser without JavaScript."""

from __future__ import annotations

import re
import urllib.error
import urllib.request
from collections.abc import Mapping
from html import unescape
from urllib.parse import urlencode

PAGES = "/console/us-east-2"


class ConsoleVisitor:
    """Signed in with the key of a client's environment."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._url = environment["AWS_ENDPOINT_URL_LIGHTSAIL"]
        self._opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
        self._token = ""
        key, secret = environment["AWS_ACCESS_KEY_ID"], environment["AWS_SECRET_ACCESS_KEY"]
        self._send("/console/sign-in", {"key": key, "secret": secret})

    def see(self, page: str, **query: str) -> str:
        """The text of a page, without its elements."""
        return self._send(f"{PAGES}/{page}?{urlencode(query)}")

    def do(self, page: str, **form: str) -> str:
        """Post a form of the page that was seen last; the text of the page that it leads to."""
        return self._send(f"{PAGES}/{page}", {"token": self._token, **form})

    def _send(self, target: str, form: Mapping[str, str] | None = None) -> str:
        body = None if form is None else urlencode(form).encode()
        request = urllib.request.Request(self._url + target, body, {"Origin": self._url})
        try:
            with self._opener.open(request, timeout=60) as reply:
                text = reply.read().decode()
        except urllib.error.HTTPError as error:
            text = error.read().decode()
        found = re.search(r'name="token" value="([0-9a-f]+)"', text)
        if found:
            self._token = found[1]
        return " ".join(unescape(re.sub(r"<[^>]+>", " ", text)).split())
