"""The front door behind a real server, with botocore and raw sockets as peers."""

from __future__ import annotations

import json
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import botocore.session
import pytest
import uvicorn
from botocore.config import Config
from botocore.exceptions import ClientError

from mooring.api import http_server
from mooring.api.app import create_app
from mooring.api.health import no_problem
from mooring.api.http_server import HttpServer
from mooring.config.settings import Limits
from mooring.model.clock import SystemClock
from mooring.model.errors import NotFoundException, ThrottlingException
from mooring.model.ids import RandomIds
from mooring.protocol import service_model
from mooring.service.context import Context
from mooring.service.credentials.keys import Key

KEY, SECRET = "AKIAMOORINGEXAMPLE77", "s3cr3t-of-the-tests"
LIMITS = Limits(body_bytes=64 * 1024, request_seconds=0.5)
DISK = {"name": "d", "createdAt": 1569625129739, "sizeInGb": 8, "tags": [{"key": "k"}]}


class Service:
    """Handlers for a few operations, and the contexts that they were called with."""

    def __init__(self) -> None:
        self.contexts: list[Context] = []

    def get_disk(self, context: Context, params: Mapping[str, Any]) -> Mapping[str, Any]:
        self.contexts.append(context)
        if params["diskName"] == "busy" and len(self.contexts) < 3:
            raise ThrottlingException("Too many requests.")
        if params["diskName"] not in {"d", "busy"}:
            raise NotFoundException(f"The Disk does not exist: {params['diskName']}")
        return {"disk": DISK}

    def get_disks(self, context: Context, params: Mapping[str, Any]) -> Mapping[str, Any]:
        return {"disks": [DISK] * 2000}


@pytest.fixture
def service() -> Service:
    return Service()


@pytest.fixture
def address(service: Service) -> Iterator[tuple[str, int]]:
    """A server in a thread of its own, on a free port."""
    with serving(service) as found:
        yield found


@contextmanager
def serving(
    service: Service,
    limits: Limits = LIMITS,
    tls: ssl.SSLContext | None = None,
    problem: Callable[[], str | None] = no_problem,
    **options: Any,
) -> Iterator[tuple[str, int]]:
    app = create_app(
        model=service_model.load(),
        handlers={"GetDisk": service.get_disk, "GetDisks": service.get_disks},
        own_requests={},
        own_handlers={},
        find_key={KEY: Key(KEY, SECRET)}.get,
        regions=["us-east-2", "us-west-2"],
        clock=SystemClock(),
        ids=RandomIds(),
        limits=limits,
        problem=problem,
    )
    config = uvicorn.Config(
        app, log_config=None, access_log=False, lifespan="off", ws="none", **options
    )
    server = HttpServer(config, limits, tls)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        try:
            yield listener.getsockname()
        finally:
            server.should_exit = True
            thread.join(10)
        assert not thread.is_alive()


def client(address: tuple[str, int], **options: Any) -> Any:
    keys = {"aws_access_key_id": KEY, "aws_secret_access_key": SECRET, "region_name": "us-east-2"}
    config = Config(retries={"max_attempts": 2, "mode": "standard"})
    url = f"http://{address[0]}:{address[1]}"
    return botocore.session.Session().create_client(
        "lightsail", endpoint_url=url, config=config, **{**keys, **options}
    )


def test_botocore_gets_an_answer(address: tuple[str, int]) -> None:
    answer = client(address).get_disk(diskName="d")

    assert answer["disk"]["name"] == "d"
    assert answer["disk"]["createdAt"] == datetime(2019, 9, 27, 22, 58, 49, 739000, UTC)
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 200
    assert answer["ResponseMetadata"]["RequestId"]
    assert answer["ResponseMetadata"]["HTTPHeaders"]["date"].endswith(" GMT")


def test_botocore_gets_a_long_answer(address: tuple[str, int]) -> None:
    assert len(client(address).get_disks()["disks"]) == 2000


def test_botocore_raises_the_right_exception(address: tuple[str, int]) -> None:
    peer = client(address)
    with pytest.raises(peer.exceptions.NotFoundException, match="The Disk does not exist: no"):
        peer.get_disk(diskName="no")


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"aws_secret_access_key": "wrong"}, "InvalidSignatureException"),
        ({"aws_access_key_id": "AKIAUNKNOWN"}, "UnrecognizedClientException"),
        ({"region_name": "eu-west-1"}, "InvalidSignatureException"),
    ],
)
def test_botocore_is_refused_with_wrong_keys(
    address: tuple[str, int], options: dict[str, str], code: str
) -> None:
    with pytest.raises(ClientError) as caught:
        client(address, **options).get_disk(diskName="d")

    assert caught.value.response["Error"]["Code"] == code


def test_a_session_token_does_not_disturb(address: tuple[str, int]) -> None:
    assert client(address, aws_session_token="left over").get_disk(diskName="d")["disk"]


def test_the_region_of_the_client_is_the_region_of_the_request(
    address: tuple[str, int], service: Service
) -> None:
    client(address, region_name="us-west-2").get_disk(diskName="d")

    assert service.contexts[0].region == "us-west-2"


def test_tries_of_one_call_have_one_invocation_id(
    address: tuple[str, int], service: Service
) -> None:
    peer = client(address)
    peer.get_disk(diskName="busy")
    peer.get_disk(diskName="d")
    ids = [context.invocation_id for context in service.contexts]

    assert None not in ids
    assert ids[0] == ids[1] == ids[2] != ids[3]


def test_botocore_is_told_what_is_not_served(address: tuple[str, int]) -> None:
    peer = client(address)
    with pytest.raises(peer.exceptions.InvalidInputException) as caught:
        peer.get_domain(domainName="x")

    assert caught.value.response["code"] == "UnsupportedOperation"


def test_botocore_is_told_that_its_body_is_too_large(address: tuple[str, int]) -> None:
    peer = client(address)
    with pytest.raises(peer.exceptions.InvalidInputException, match="larger than 65536 bytes"):
        peer.get_disk(diskName="d" * 5_000_000)


class Wire:
    """A connection on which anything can be sent."""

    def __init__(self, address: tuple[str, int]) -> None:
        self.socket = socket.create_connection(address, timeout=10)

    def __enter__(self) -> Wire:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, text: bytes) -> None:
        self.socket.sendall(text)

    def reply(self) -> tuple[int, dict[str, str], bytes]:
        """Status, headers in lower case, body."""
        received = b""
        while b"\r\n\r\n" not in received:
            received += self._more()
        head, _, body = received.partition(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        headers = {name.lower(): text for name, text in (line.split(": ", 1) for line in lines)}
        while len(body) < int(headers["content-length"]):
            body += self._more()
        return int(first.split()[1]), headers, body

    def _more(self) -> bytes:
        part = self.socket.recv(65536)
        assert part, "the server closed the connection"
        return part

    def is_closed(self) -> bool:
        return self.socket.recv(1) == b""


HEAD = (
    b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-amz-json-1.1\r\n"
    b"X-Amz-Target: Lightsail_20161128.GetDisks\r\n"
)


def test_a_slow_body_is_given_up(address: tuple[str, int]) -> None:
    began = time.monotonic()
    with Wire(address) as wire:
        wire.send(HEAD + b"Content-Length: 10\r\n\r\n{")
        status, headers, body = wire.reply()

        assert status == 408
        assert headers["x-amzn-errortype"] == "RequestTimeoutException"
        assert "did not arrive within 0.5 seconds" in json.loads(body)["message"]
        assert wire.is_closed()
    assert time.monotonic() - began < 5


def test_a_client_that_goes_away_disturbs_no_one(address: tuple[str, int]) -> None:
    with Wire(address) as wire:
        wire.send(HEAD + b"Content-Length: 10\r\n\r\n{")

    assert client(address).get_disk(diskName="d")["disk"]


def test_one_connection_serves_many_requests_good_and_bad(address: tuple[str, int]) -> None:
    with Wire(address) as wire:
        for body in (b"{}", b" " * 70_000, b"{"):
            wire.send(HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body)
            status, headers, _ = wire.reply()
            assert status == 400
            assert headers["x-amzn-requestid"]
        wire.send(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert wire.reply()[2] == b"ok\n"


def test_a_body_in_chunks_is_read(address: tuple[str, int]) -> None:
    with Wire(address) as wire:
        wire.send(HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n")
        status, headers, _ = wire.reply()

    assert (status, headers["x-amzn-errortype"]) == (400, "MissingAuthenticationTokenException")


def test_what_is_left_of_a_huge_body_is_not_taken_for_a_request(
    address: tuple[str, int],
) -> None:
    with Wire(address) as wire:
        wire.send(HEAD + b"Content-Length: 1000000000\r\n\r\nGET /healthz HTTP/1.1\r\n\r\n")
        status, headers, body = wire.reply()

        assert (status, headers["connection"]) == (400, "close")
        assert json.loads(body)["code"] == "RequestTooLarge"
        assert wire.is_closed()


@pytest.mark.parametrize(
    ("request_line", "status"),
    [
        (b"POST /nothing", 404),
        (b"PUT /", 404),
        (b"DELETE /healthz", 404),
        (b"PATCH /mooring/uri", 404),
        (b"GET /nothing", 404),
        (b"GET /", 200),
        (b"GET /healthz", 200),
        (b"GET /metrics", 200),
        (b"GET /mooring/uri", 400),
        (b"POST /", 400),
        (b"POST /ls/api/2016-11-28/GetDisks", 404),
    ],
)
def test_who_sends_head_and_body_apart_reads_the_answer(
    address: tuple[str, int], request_line: bytes, status: int
) -> None:
    with Wire(address) as wire:
        for _ in range(2):  # and the connection goes on
            wire.send(request_line + b" HTTP/1.1\r\nHost: h\r\nContent-Length: 40000\r\n\r\n")
            time.sleep(0.02)  # what is answered before the body is, is answered now
            for _ in range(40):
                wire.send(b"x" * 1000)
            assert wire.reply()[0] == status


def test_a_client_that_asks_first_need_not_send_in_vain(address: tuple[str, int]) -> None:
    with Wire(address) as wire:
        wire.send(HEAD + b"Content-Length: 1000000000\r\nExpect: 100-continue\r\n\r\n")

        assert wire.reply()[0] == 400


def test_what_is_no_http_is_refused(address: tuple[str, int]) -> None:
    with Wire(address) as wire:
        wire.send(b"NBDMAGIC\r\n\r\n")

        assert wire.reply()[0] == 400


def test_monitors_need_no_keys(address: tuple[str, int]) -> None:
    with Wire(address) as wire:
        wire.send(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")
        status, _, body = wire.reply()

    assert status == 200
    assert b"mooring_requests_total" in body


def test_connections_beyond_the_limit_are_refused_and_told_once(
    service: Service, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_server, "PATIENCE_SECONDS", 0.0)
    with serving(service, replace(LIMITS, connections=4)) as address, ExitStack() as kept:
        for _ in range(4):
            client = kept.enter_context(socket.create_connection(address, 5))
            client.sendall(b"GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n")
            assert client.recv(4096).startswith(b"HTTP/1.1 200")
        for _ in range(3):
            with socket.create_connection(address, 5) as more:
                assert more.recv(4096) == http_server.REFUSAL
                assert closed(more)
        assert [one.getMessage() for one in caplog.records if one.name == "mooring.api"] == [
            "4 connections open: more wait or are refused (limits.connections)"
        ]
        kept.close()
        deadline = time.monotonic() + 10
        while not is_answered(address):
            assert time.monotonic() < deadline


def test_a_connection_that_says_nothing_is_closed(service: Service) -> None:
    with (
        serving(service, timeout_keep_alive=1) as address,
        socket.create_connection(address, 10) as silent,
    ):
        assert closed(silent)


def closed(client: socket.socket) -> bool:
    """Whether the server closes the connection."""
    try:
        return client.recv(1) == b""
    except ConnectionResetError:
        return True


def is_answered(address: tuple[str, int]) -> bool:
    """Whether the server lets a new connection ask."""
    with socket.create_connection(address, 5) as one:
        try:
            one.sendall(b"GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n")
            return one.recv(4096).startswith(b"HTTP/1.1 200")
        except ConnectionError:
            return False
