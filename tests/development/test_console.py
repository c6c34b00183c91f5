"""The console of a server for development: a look at what a test has made."""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from urllib.parse import urlencode, urlsplit

import pytest

from mooring.testing.server import MooringServer
from tests.development.conftest import MakeClient
from tests.development.waiting import make_disk

AT_ONCE_SECONDS = 8.0
"""Less than a reset waits for requests that do not end."""


class Browser:
    """As much of one as the console needs."""

    def __init__(self, server: MooringServer) -> None:
        self.place = urlsplit(server.url).netloc
        self._cookie = ""
        self._opened = ExitStack()

    def ask(
        self, method: str, path: str, body: str = "", **headers: str
    ) -> http.client.HTTPResponse:
        connection = http.client.HTTPConnection(self.place, timeout=60)
        self._opened.callback(connection.close)
        told = {"Cookie": self._cookie, "Origin": f"http://{self.place}", **headers}
        connection.request(method, path, body, told)
        return self._opened.enter_context(connection.getresponse())

    def close(self) -> None:
        self._opened.close()

    def sign_in(self, key: str, secret: str) -> int:
        reply = self.ask("POST", "/console/sign-in", urlencode({"key": key, "secret": secret}))
        self._cookie = (reply.headers["Set-Cookie"] or "").partition(";")[0]
        return reply.status

    def see(self, path: str) -> str:
        reply = self.ask("GET", path)
        assert reply.status == 200, reply.headers["location"]
        return reply.read().decode()


@pytest.fixture
def browser(server: MooringServer) -> Iterator[Browser]:
    browser = Browser(server)
    yield browser
    browser.close()


def test_it_shows_what_there_is(
    server: MooringServer, client: MakeClient, browser: Browser
) -> None:
    make_disk(client("eu-west-3"), "made-by-a-test")
    assert browser.sign_in("test", "test") == 303

    assert "made-by-a-test" in browser.see("/console/eu-west-3/disks")
    assert "made-by-a-test" not in browser.see("/console/us-east-1/disks")
    server.reset()
    assert "made-by-a-test" not in browser.see("/console/us-east-1/disks")


@pytest.mark.parametrize(("key", "secret"), [("test", "other"), ("other", "test")])
def test_another_key_does_not_sign_in(browser: Browser, key: str, secret: str) -> None:
    assert browser.sign_in(key, secret) == 403


def test_it_is_not_for_other_names_of_this_host(browser: Browser) -> None:
    assert browser.ask("GET", "/console/", Host="attacker.example").status == 403


def test_a_page_that_waits_for_news_holds_up_no_reset(
    server: MooringServer, browser: Browser
) -> None:
    browser.sign_in("test", "test")
    news = browser.ask("GET", "/console/us-east-1/events")
    assert news.readline() == b"retry: 5000\n"
    ended = threading.Event()

    def read_on() -> None:
        news.read()
        ended.set()

    reader = threading.Thread(target=read_on)
    reader.start()
    began = time.monotonic()
    server.reset()

    assert time.monotonic() - began < AT_ONCE_SECONDS
    # Its browser asks again, and is told of the new world.
    assert ended.wait(30)
    reader.join()
