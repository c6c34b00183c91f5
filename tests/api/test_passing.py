"""What servers tell each other of requests that they pass on."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace

import pytest
from starlette.requests import Request

from mooring.api.exchange import Exchange
from mooring.api.passing.passing import Passing
from mooring.api.passing.seal import HEADER, SEAL, Passed, sealed, unsealed
from mooring.backend.cluster_key import ClusterKey, new_cluster_key
from mooring.backend.hosts import HostBook
from mooring.model.errors import HostElsewhereException
from mooring.model.resources.host import Host, HostState, SeenHost
from tests.api.door import KEY, NOW_MS

SECRET = "known to servers of the catalog"
PASSED = Passed("front", "192.0.2.7", "the-request", NOW_MS + 1000)


def secret_of(host_id: str) -> str:
    return SECRET if host_id == "alpha" else "that of another host"


class Book(HostBook):
    """Knows one host, which is this one."""

    def __init__(self, seen: SeenHost) -> None:
        super().__init__()
        self.seen = seen

    def find(self, host_id: str) -> SeenHost | None:
        return self.seen if host_id == self.seen.host.id else None

    def now_ms(self) -> int:
        return NOW_MS


@pytest.fixture
def book() -> Book:
    host = Host(id="alpha", name="alpha", zones=["us-east-2a"])
    return Book(SeenHost(host=host, state=HostState.UP, generation=1, silent_ms=0))


@pytest.fixture
def passing(book: Book) -> Iterator[Passing]:
    passing = Passing(book, "alpha", secret_of)
    yield passing
    passing.close()


def test_a_seal_covers_all_that_is_told() -> None:
    headers = sealed(PASSED, SECRET, "signature", b"body")
    text, seal = headers[HEADER], headers[SEAL]

    assert unsealed(text, seal, SECRET, "signature", b"body") == PASSED
    assert unsealed(text, seal, SECRET, "other", b"body") is None
    assert unsealed(text, seal, SECRET, "signature", b"else") is None
    assert unsealed(text.replace("front", "force"), seal, SECRET, "signature", b"body") is None
    assert unsealed(text, seal, "guessed", "signature", b"body") is None
    assert unsealed(text, "é\udcff", SECRET, "signature", b"body") is None
    assert unsealed(text, seal, "", "signature", b"body") is None


def test_the_clusters_key_gives_each_host_a_secret_of_its_own() -> None:
    key = ClusterKey(bytes(32))
    told = {key.passing_secret("alpha"), key.passing_secret("beta")}
    assert len(told) == 2
    assert ClusterKey(bytes(32)).passing_secret("alpha") in told
    assert new_cluster_key().passing_secret("alpha") not in told


def arrived(passing: Passing, headers: dict[str, str], source: str = "198.51.100.9") -> Exchange:
    """A request with these headers, after the step."""
    exchange = exchange_of(headers, source)
    asyncio.run(passing.arrive(exchange))
    return exchange


def exchange_of(headers: dict[str, str], source: str) -> Exchange:
    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    scope = {"type": "http", "method": "POST", "path": "/", "headers": raw, "query_string": b""}
    request = Request({**scope, "client": (source, 1)})
    return Exchange(None, request, "own-id", NOW_MS, body=b"body")  # type: ignore[arg-type]


def test_whoever_passed_a_request_on_is_known_by_the_seal(passing: Passing) -> None:
    headers = sealed(PASSED, SECRET, KEY, b"body") | {"authorization": KEY}
    exchange = arrived(passing, headers)

    assert (exchange.passed_by, exchange.source) == ("front", "192.0.2.7")
    assert exchange.request_id == "the-request"
    assert arrived(passing, {}).passed_by == ""
    other = sealed(PASSED, secret_of("beta"), KEY, b"body") | {"authorization": KEY}
    for wrong in ({**headers, SEAL: "0" * 64}, other):
        with pytest.raises(Exception, match="is for servers of this catalog"):
            arrived(passing, wrong)


def test_what_comes_late_is_not_begun(passing: Passing) -> None:
    late = replace(PASSED, until_ms=NOW_MS - 1)
    with pytest.raises(Exception, match="came too late"):
        arrived(passing, sealed(late, SECRET, "", b"body"))


def test_a_request_is_passed_on_once(passing: Passing) -> None:
    exchange = arrived(passing, sealed(PASSED, SECRET, "", b"body"))
    needed = HostElsewhereException("moved", "beta", "us-east-2a")
    with pytest.raises(Exception, match="is being moved to another host"):
        asyncio.run(passing.pass_on(exchange, needed))


@pytest.mark.parametrize(
    ("state", "silent_ms", "told"),
    [
        (HostState.FENCED, 0, "was fenced"),
        (HostState.UP, 60_000, "not been heard of for 60 seconds"),
        (HostState.ENDED, 60_000, "was stopped"),
    ],
)
def test_a_host_that_is_not_up_is_not_asked(
    book: Book, passing: Passing, state: HostState, silent_ms: int, told: str
) -> None:
    book.seen = replace(book.seen, state=state, silent_ms=silent_ms)
    needed = HostElsewhereException("elsewhere", "alpha", "us-east-2a")
    with pytest.raises(Exception, match=told):
        asyncio.run(passing.pass_on(exchange_of({}, "198.51.100.9"), needed))


def test_a_host_for_other_servers_only(book: Book) -> None:
    passing = Passing(book, "alpha", secret_of, only=True)
    with pytest.raises(Exception, match="ask one that runs `mooringd serve`"):
        arrived(passing, {})
    assert arrived(passing, {}, "127.0.0.1").passed_by == ""
    assert arrived(passing, sealed(PASSED, SECRET, "", b"body")).passed_by == "front"
