"""Limits hold from a connection's first byte, whoever connects."""

from __future__ import annotations

import datetime as dt
import select
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from mooring.api import http_server, places
from mooring.api.connections import HEAD_BYTES, QUEUED
from mooring.api.places import KEPT_SECONDS, LEAST_WAIT_SECONDS, Places, client_of
from tests.api.test_server import LIMITS, Service, is_answered, serving

SHORT = replace(LIMITS, head_seconds=0.3)
GET = b"GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n"
CHUNKED = b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.fixture
def service() -> Service:
    return Service()


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """TLS of the server, and of a client that trusts it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    public = certificate.public_bytes(serialization.Encoding.PEM)
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    file = tmp_path_factory.mktemp("tls") / "pem"
    file.write_bytes(public + private)
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server.load_cert_chain(file)
    return server, ssl.create_default_context(cadata=public.decode())


def everything(client: socket.socket) -> bytes:
    """What the server sends until it closes the connection."""
    parts = []
    try:
        while part := client.recv(65536):
            parts.append(part)
    except ConnectionResetError:
        pass
    return b"".join(parts)


def pour(client: socket.socket, piece: bytes, times: int) -> bool:
    """Send so many pieces; whether the server took them all."""
    try:
        for _ in range(times):
            client.sendall(piece)
    except OSError:
        return False
    return True


def many_headers() -> Iterator[bytes]:
    yield b"POST / HTTP/1.1\r\nHost: x\r\n"
    for _ in range(200):
        yield b"".join(b"a%d: b\r\n" % number for number in range(1000))


def one_value() -> Iterator[bytes]:
    yield b"POST / HTTP/1.1\r\nHost: x\r\nA: "
    for _ in range(200):
        yield b"v" * 10_000


def one_target() -> Iterator[bytes]:
    yield b"GET /"
    for _ in range(200):
        yield b"t" * 10_000


def empty_lines() -> Iterator[bytes]:
    for _ in range(200):
        yield b"\r\n" * 5000


@pytest.mark.parametrize("head", [many_headers, one_value, one_target, empty_lines])
def test_a_head_without_end_is_refused(
    service: Service, head: Callable[[], Iterator[bytes]]
) -> None:
    limits = replace(LIMITS, head_seconds=600)
    with serving(service, limits) as address, socket.create_connection(address, 10) as client:
        for piece in head():
            if not pour(client, piece, 1):
                break
        # The answer may be lost with what was sent after it.
        assert everything(client)[:13] in {b"", b"HTTP/1.1 431 "}
        assert is_answered(address)


def test_a_head_that_is_too_large_gets_the_reason(service: Service) -> None:
    with serving(service) as address, socket.create_connection(address, 10) as client:
        value = b"v" * (HEAD_BYTES // 2)
        client.sendall(b"GET /healthz HTTP/1.1\r\nHost: h\r\nA: " + value + b"\r\n\r\n")
        answer = client.recv(4096)
        while not answer.endswith(b"\r\n\r\nok\n"):  # head and body may come apart
            answer += client.recv(4096)
        assert answer.startswith(b"HTTP/1.1 200")
        client.sendall(
            b"GET /healthz HTTP/1.1\r\nHost: h\r\nA: " + value + b"\r\nB: " + value + b"\r\n\r\n"
        )
        answer = everything(client)
        assert answer.startswith(b"HTTP/1.1 431 ")
        assert b"larger than 65536 bytes" in answer


def test_requests_that_wait_on_a_connection_are_few(service: Service) -> None:
    """Each takes a hundred times what it has in bytes, so a few MiB would take all memory."""
    with serving(service) as address:
        with socket.create_connection(address, 10) as client:
            pour(client, GET * 2000, 50)
            assert everything(client).count(b"HTTP/1.1 200") <= QUEUED + 1
        assert is_answered(address)


def test_some_requests_may_wait_on_a_connection(service: Service) -> None:
    with serving(service) as address, socket.create_connection(address, 10) as client:
        last = GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
        client.sendall(GET * (QUEUED - 1) + last)
        assert everything(client).count(b"HTTP/1.1 200") == QUEUED


@pytest.mark.parametrize("beginning", [b"", b"G", GET[:-2], b"\r\n", GET + b"G", GET + GET[:-1]])
def test_a_head_that_does_not_end_is_given_up(service: Service, beginning: bytes) -> None:
    with serving(service, SHORT) as address, socket.create_connection(address, 10) as client:
        client.sendall(beginning)
        answer = everything(client)
        late = answer.count(b"HTTP/1.1 408 ")
        assert answer.count(b"HTTP/1.1 200 ") == beginning.count(GET)
        assert late == (1 if beginning else 0)


@pytest.mark.parametrize(
    ("beginning", "drop"), [(b"GET /", b"x"), (b"", b"\r\n"), (GET[:-2] + b"A: ", b"x")]
)
def test_a_head_in_drops_is_given_up_as_well(
    service: Service, beginning: bytes, drop: bytes
) -> None:
    """The time counts from the first byte, not from the last."""
    with serving(service, SHORT) as address, socket.create_connection(address, 10) as client:
        client.sendall(beginning)
        deadline = time.monotonic() + 20
        while not select.select([client], [], [], 0.05)[0]:
            client.sendall(drop)
            assert time.monotonic() < deadline
        assert everything(client).startswith(b"HTTP/1.1 408 ")


@pytest.mark.parametrize(
    "piece", [b"0\r\n" + b"a: b\r\n" * 2000, b"0;" + b"x" * 12_000, b"0\r\na: " + b"v" * 12_000]
)
def test_what_surrounds_a_body_is_bounded(service: Service, piece: bytes) -> None:
    limits = replace(LIMITS, request_seconds=60)
    with serving(service, limits) as address, socket.create_connection(address, 10) as client:
        client.sendall(CHUNKED + piece)
        assert not pour(client, piece.removeprefix(b"0\r\n"), 2000)


def test_a_body_in_chunks_of_a_byte_is_taken(service: Service) -> None:
    with serving(service) as address, socket.create_connection(address, 10) as client:
        client.sendall(CHUNKED + b"1\r\n{\r\n" * 60_000 + b"0\r\n\r\n")
        assert client.recv(4096).startswith(b"HTTP/1.1 400 ")


def test_who_does_not_read_the_answers_is_cut_off(service: Service) -> None:
    with serving(service, SHORT) as address, socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.settimeout(20)
        client.connect(address)
        ask = b"GET /metrics HTTP/1.1\r\nHost: h\r\n\r\n" * 100
        assert not pour(client, ask, 20_000)


def test_connections_count_before_tls(
    service: Service, tls: tuple[ssl.SSLContext, ssl.SSLContext]
) -> None:
    server, trusting = tls
    with (
        serving(service, replace(LIMITS, connections=4), server) as address,
        ExitStack() as kept,
    ):
        silent = [kept.enter_context(socket.create_connection(address, 10)) for _ in range(4)]
        # Those that say nothing have to go for who does.
        assert answers_in_tls(address, trusting)
        assert everything(silent[0]) == b""


def answers_in_tls(address: tuple[str, int], context: ssl.SSLContext) -> bool:
    try:
        with (
            socket.create_connection(address, 5) as plain,
            context.wrap_socket(plain, server_hostname="localhost") as client,
        ):
            client.sendall(GET)
            return client.recv(4096).startswith(b"HTTP/1.1 200")
    except OSError:
        return False


@pytest.mark.parametrize("askers", [1, 40])
def test_whoever_is_refused_has_an_answer(
    service: Service, monkeypatch: pytest.MonkeyPatch, askers: int
) -> None:
    """Not a connection that is reset, also when more come than can be told at once."""
    monkeypatch.setattr(http_server, "PATIENCE_SECONDS", 0.05)
    monkeypatch.setattr(http_server, "PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(http_server, "WITHOUT_PLACE", 3)
    limits = replace(LIMITS, connections=2, request_seconds=60)
    with serving(service, limits) as address, ExitStack() as kept:
        for _ in range(2):
            client = kept.enter_context(socket.create_connection(address, 10))
            client.sendall(GET)
            assert client.recv(4096).startswith(b"HTTP/1.1 200")
            client.sendall(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\n{")
        more = [kept.enter_context(socket.create_connection(address, 60)) for _ in range(askers)]
        for one in more:
            one.sendall(GET + b"x" * 100_000)
        for one in more:
            assert everything(one) == http_server.REFUSAL
            one.close()


def test_a_new_connection_has_the_place_of_one_that_says_nothing(service: Service) -> None:
    with serving(service, replace(LIMITS, connections=3)) as address, ExitStack() as kept:
        silent = [kept.enter_context(socket.create_connection(address, 10)) for _ in range(5)]
        assert is_answered(address)
        # Without a reset, so that an answer that was under way would have arrived.
        assert silent[0].recv(1) == b""


def test_a_share_is_refused_at_once(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(places, "client_of", lambda host: host)
    limits = replace(LIMITS, connections_per_address=1)
    with serving(service, limits) as address, socket.create_connection(address, 10) as first:
        first.sendall(GET)
        assert first.recv(4096).startswith(b"HTTP/1.1 200")
        with socket.create_connection(address, 10) as second:
            second.sendall(GET)
            assert everything(second) == http_server.REFUSAL
        first.sendall(GET)
        assert first.recv(4096).startswith(b"HTTP/1.1 200")


def test_connections_that_wait_make_room_for_new_ones(service: Service) -> None:
    limits = replace(LIMITS, connections=3, head_seconds=60)
    with serving(service, limits) as address, ExitStack() as kept:
        for _ in range(3):
            client = kept.enter_context(socket.create_connection(address, 10))
            client.sendall(b"G")
        deadline = time.monotonic() + 20
        while not is_answered(address):
            assert time.monotonic() < deadline


def test_a_connection_that_cannot_be_let_in_keeps_no_other_out(
    service: Service, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with serving(service) as address:
        with monkeypatch.context() as patch:
            patch.setattr(Places, "take", lambda *_: bytes(1 << 62))  # MemoryError
            with socket.create_connection(address, 10) as client:
                assert everything(client) == b""
        assert is_answered(address)
    assert "a connection could not be let in" in caplog.text


def test_monitors_are_told_that_nothing_can_be_recorded(service: Service) -> None:
    found: list[str | None] = [None]
    with serving(service, problem=lambda: found[0]) as address:

        def ask() -> bytes:
            with socket.create_connection(address, 10) as client:
                client.sendall(GET[:-2] + b"Connection: close\r\n\r\n")
                return everything(client)

        assert ask().startswith(b"HTTP/1.1 200 ")
        found[0] = "nothing can be recorded for now"
        deadline = time.monotonic() + 20
        while (answer := ask()).startswith(b"HTTP/1.1 200 "):
            assert time.monotonic() < deadline
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert answer.endswith(b"nothing can be recorded for now\n")
        found[0] = None
        while not is_answered(address):
            assert time.monotonic() < deadline


# --- who has a place -----------------------------------------------------------------------------


def test_one_address_has_its_share() -> None:
    places = Places(10, 3)
    taken = [places.take("192.0.2.1", 0.0) for _ in range(5)]

    assert [place is not None for place in taken] == [True] * 3 + [False] * 2
    assert places.take("192.0.2.2", 0.0) is not None
    assert taken[0] is not None
    taken[0].leave()
    taken[0].leave()
    assert places.take("192.0.2.1", 0.0) is not None
    assert places.take("192.0.2.1", 0.0) is None
    assert len(places) == 4


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("2001:db8::1", "2001:db8::2", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("192.0.2.1", "::ffff:192.0.2.1", True),
        ("192.0.2.1", "192.0.2.2", False),
        ("fe80::1%eth0", "fe80::2%eth0", True),
    ],
)
def test_whom_an_address_stands_for(one: str, other: str, same: bool) -> None:
    assert (client_of(one) == client_of(other)) is same


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"])
def test_this_host_has_all_places(host: str) -> None:
    places = Places(10, 3)

    assert all(places.take(host, 0.0) for _ in range(10))
    assert places.take(host, 0.0) is None


def test_who_has_waited_longest_goes_first_and_nobody_at_work() -> None:
    places = Places(4, 4)
    gone: list[str] = []
    working, served, first, second = (places.take("127.0.0.1", 0.0) for _ in range(4))
    assert working
    assert served
    assert first
    assert second
    working.wait(0.0, lambda: gone.append("working"))
    served.work()
    served.wait(0.0, lambda: gone.append("served"))
    first.wait(0.1, lambda: gone.append("first"))
    second.wait(0.2, lambda: gone.append("second"))
    working.work()

    assert places.take("127.0.0.1", LEAST_WAIT_SECONDS) is None
    assert places.take("127.0.0.1", 0.1 + LEAST_WAIT_SECONDS)
    first.wait(0.0, lambda: gone.append("never"))
    assert places.take("127.0.0.1", 0.3 + LEAST_WAIT_SECONDS)
    assert places.take("127.0.0.1", KEPT_SECONDS - 0.1) is None
    assert places.take("127.0.0.1", KEPT_SECONDS)
    assert places.take("127.0.0.1", 99.0) is None
    assert gone == ["first", "second", "served"]
