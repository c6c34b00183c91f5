"""The server's answers to what a careful client never sends, and in its other modes."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import errno
import socket
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from mooring.model.errors import NbdDisconnectedError, NbdError
from mooring.nbd import protocol as p
from mooring.nbd.client import NbdClient, list_exports
from mooring.nbd.protocol import Command, CommandFlag, Option, Reply
from mooring.nbd.server_transmission import Limits
from mooring.nbd.uri import NbdUri
from mooring.nbd.wire import Wire
from tests.nbd.exports import SparseImage, serving

SIZE = 64 * 1024
IMAGE = SparseImage(SIZE, filled=0.5)
NAME = p.U32.pack(1) + b"d"
GO = NAME + p.U16.pack(0)
ONE_CONTEXT = p.U32.pack(1) + p.U32.pack(15) + b"base:allocation"


@pytest.fixture
def talk(run_dir: Path) -> Callable[[Callable[[Wire], Awaitable[None]]], None]:
    """Runs a scenario with a greeted connection to a server with the export `d`."""

    def call(scenario: Callable[[Wire], Awaitable[None]]) -> None:
        async def main() -> None:
            async with serving(run_dir / "s", {"d": IMAGE}, Limits(handshake_seconds=5)):
                wire = await connect(run_dir / "s")
                try:
                    async with asyncio.timeout(10):
                        await scenario(wire)
                finally:
                    wire.abort()

        asyncio.run(main())

    return call


async def connect(path: Path, flags: int = 3) -> Wire:
    wire = Wire()
    await asyncio.get_running_loop().create_unix_connection(lambda: wire, str(path))
    await wire.read(p.GREETING.size)
    wire.write(p.CLIENT_FLAGS.pack(flags))
    return wire


async def ask(wire: Wire, option: int, data: bytes = b"") -> list[tuple[int, bytes]]:
    """Send an option; return type and data of its replies, up to the last."""
    wire.write(p.OPTION.pack(p.OPTION_MAGIC, option, len(data)), data)
    found = []
    while True:
        magic, about, kind, length = p.OPTION_REPLY.unpack(await wire.read(p.OPTION_REPLY.size))
        assert (magic, about) == (p.OPTION_REPLY_MAGIC, option)
        found.append((kind, await wire.read(length)))
        if kind == Reply.ACK or kind & p.REPLY_ERROR:
            return found


async def request(
    wire: Wire, command: int, offset: int, length: int, flags: int = 0, payload: bytes = b""
) -> int:
    """Send a request without structured replies; return the error and drop the data."""
    wire.write(p.REQUEST.pack(p.REQUEST_MAGIC, flags, command, 5, offset, length), payload)
    magic, error, cookie = p.SIMPLE_REPLY.unpack(await wire.read(p.SIMPLE_REPLY.size))
    assert (magic, cookie) == (p.SIMPLE_REPLY_MAGIC, 5)
    if not error and command == Command.READ:
        assert await wire.read(length) == IMAGE.content[offset : offset + length]
    return int(error)


Talk = Callable[[Callable[[Wire], Awaitable[None]]], None]


@pytest.mark.parametrize("rounds", range(8))
def test_who_comes_while_it_closes_is_cut_off(run_dir: Path, rounds: int) -> None:
    """However far the event loop has got with them when the server is closed."""

    async def main() -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as late:
            late.setblocking(False)
            async with serving(run_dir / "s", {"d": IMAGE}):
                late.connect(str(run_dir / "s"))
                for _ in range(rounds):
                    await asyncio.sleep(0)
            with contextlib.suppress(ConnectionResetError):
                async with asyncio.timeout(10):
                    while await asyncio.get_running_loop().sock_recv(late, 100):
                        pass

    asyncio.run(main())


@pytest.mark.parametrize(
    ("option", "data", "answer"),
    [
        (Option.LIST, b"x", Reply.ERR_INVALID),
        (Option.STARTTLS, b"", Reply.ERR_UNSUP),
        (Option.STRUCTURED_REPLY, b"x", Reply.ERR_INVALID),
        (Option.SET_META_CONTEXT, NAME + ONE_CONTEXT, Reply.ERR_INVALID),
        (Option.GO, b"", Reply.ERR_INVALID),
        (Option.GO, NAME, Reply.ERR_INVALID),
        (Option.GO, NAME + p.U16.pack(2) + p.U16.pack(3), Reply.ERR_INVALID),
        (Option.GO, p.U32.pack(5000) + bytes(5000) + p.U16.pack(0), Reply.ERR_INVALID),
        (Option.INFO, p.U32.pack(2) + b"\xff\xff" + p.U16.pack(0), Reply.ERR_INVALID),
        (Option.GO, p.U32.pack(1) + b"e" + p.U16.pack(0), Reply.ERR_UNKNOWN),
        (4, b"", Reply.ERR_UNSUP),
        (11, b"", Reply.ERR_UNSUP),
        (77, bytes(100), Reply.ERR_UNSUP),
        (77, bytes(65537), Reply.ERR_TOO_BIG),
        (Option.GO, bytes(1024 * 1024), Reply.ERR_TOO_BIG),
    ],
)
def test_refuses_an_option_and_goes_on(talk: Talk, option: int, data: bytes, answer: Reply) -> None:
    async def scenario(wire: Wire) -> None:
        assert [kind for kind, _ in await ask(wire, option, data)] == [answer]
        assert (await ask(wire, Option.GO, GO))[-1][0] == Reply.ACK
        assert await request(wire, Command.READ, 0, SIZE) == 0

    talk(scenario)


@pytest.mark.parametrize(
    ("option", "data", "contexts"),
    [
        (Option.LIST_META_CONTEXT, p.U32.pack(0), ["base:allocation"]),
        (Option.LIST_META_CONTEXT, p.U32.pack(1) + p.U32.pack(5) + b"base:", ["base:allocation"]),
        (Option.LIST_META_CONTEXT, p.U32.pack(1) + p.U32.pack(5) + b"qemu:", []),
        (Option.SET_META_CONTEXT, ONE_CONTEXT, ["base:allocation"]),
        (Option.SET_META_CONTEXT, p.U32.pack(0), []),
        (Option.SET_META_CONTEXT, p.U32.pack(1) + p.U32.pack(5) + b"base:", []),
    ],
)
def test_offers_one_context(talk: Talk, option: int, data: bytes, contexts: list[str]) -> None:
    async def scenario(wire: Wire) -> None:
        await ask(wire, Option.STRUCTURED_REPLY)
        *found, (last, _) = await ask(wire, option, NAME + data)
        assert last == Reply.ACK
        assert [text[4:].decode() for _, text in found] == contexts

    talk(scenario)


@pytest.mark.parametrize(
    ("command", "offset", "length", "flags", "error"),
    [
        (Command.READ, 0, 1, 0, 0),
        (Command.READ, SIZE, 0, 0, 0),
        (Command.READ, 0, SIZE, CommandFlag.FUA, 0),
        (Command.READ, SIZE, 1, 0, errno.EINVAL),
        (Command.READ, 2**64 - 1, 2, 0, errno.EINVAL),
        (Command.READ, 0, 2**32 - 1, 0, errno.EINVAL),
        # Without structured replies there is nothing to fragment.
        (Command.READ, 0, 1, CommandFlag.DF, errno.EINVAL),
        (Command.READ, 0, 1, 1 << 15, errno.EINVAL),
        (Command.BLOCK_STATUS, 0, 1, 0, errno.EINVAL),
        (Command.CACHE, 0, 1, 0, errno.EINVAL),
        (99, 0, 1, 0, errno.EINVAL),
        (Command.TRIM, 0, 1, 0, errno.EPERM),
        (Command.WRITE_ZEROES, 0, 1, 0, errno.EPERM),
        (Command.WRITE, 0, 10, 0, errno.EPERM),
        (Command.FLUSH, 0, 0, 0, 0),
    ],
)
def test_answers_a_request_with_the_right_error_and_goes_on(
    talk: Talk, command: int, offset: int, length: int, flags: int, error: int
) -> None:
    async def scenario(wire: Wire) -> None:
        await ask(wire, Option.GO, GO)
        payload = bytes(length) if command == Command.WRITE else b""
        assert await request(wire, command, offset, length, flags, payload) == error
        assert await request(wire, Command.READ, 4096, 8192) == 0

    talk(scenario)


@pytest.mark.parametrize("no_zeroes", [True, False])
def test_the_oldest_way_to_an_export_works(run_dir: Path, no_zeroes: bool) -> None:
    async def scenario() -> None:
        async with serving(run_dir / "s", {"d": IMAGE}):
            wire = await connect(run_dir / "s", 3 if no_zeroes else 1)
            wire.write(p.OPTION.pack(p.OPTION_MAGIC, Option.EXPORT_NAME, 1), b"d")
            size, flags = p.EXPORT_NAME_REPLY.unpack(await wire.read(p.EXPORT_NAME_REPLY.size))
            assert (size, flags & 3) == (SIZE, 3)
            if not no_zeroes:
                assert await wire.read(124) == bytes(124)
            assert await request(wire, Command.READ, 0, SIZE) == 0
            wire.abort()
            wire = await connect(run_dir / "s")
            wire.write(p.OPTION.pack(p.OPTION_MAGIC, Option.EXPORT_NAME, 1), b"e")
            with pytest.raises(NbdDisconnectedError):
                await wire.read(1)

    asyncio.run(scenario())


def test_the_context_of_one_export_is_not_that_of_another(run_dir: Path) -> None:
    async def scenario() -> None:
        async with serving(run_dir / "s", {"d": IMAGE, "e": IMAGE}):
            wire = await connect(run_dir / "s")
            await ask(wire, Option.STRUCTURED_REPLY)
            await ask(wire, Option.SET_META_CONTEXT, NAME + ONE_CONTEXT)
            await ask(wire, Option.GO, p.U32.pack(1) + b"e" + p.U16.pack(0))
            wire.write(p.REQUEST.pack(p.REQUEST_MAGIC, 0, Command.BLOCK_STATUS, 5, 0, 4096))
            head = await wire.read(p.STRUCTURED_REPLY.size)
            assert p.STRUCTURED_REPLY.unpack(head)[2] == p.Chunk.ERROR
            wire.abort()

    asyncio.run(scenario())


# --- TLS -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def contexts(module_run_dir: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
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
    (module_run_dir / "pem").write_bytes(public + private)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(module_run_dir / "pem")
    return server, ssl.create_default_context(cadata=public.decode())


def test_tls_protects_everything(
    run_dir: Path, contexts: tuple[ssl.SSLContext, ssl.SSLContext]
) -> None:
    server_tls, client_tls = contexts
    large = SparseImage(4 * 1024 * 1024)

    async def scenario() -> None:
        async with serving(run_dir / "s", {"d": large}, tls=server_tls):
            safe = NbdUri("d", socket=str(run_dir / "s"), tls=True)
            assert await list_exports(safe, tls=client_tls) == [("d", "about d")]
            async with await NbdClient.connect(safe, tls=client_tls) as client:
                reads = (client.read(0, large.size) for _ in range(4))
                for data in await asyncio.gather(*reads):
                    assert data == large.content
            with pytest.raises(NbdError, match="TLS could not be negotiated"):
                await NbdClient.connect(safe, tls=ssl.create_default_context())

    asyncio.run(scenario())


def test_without_tls_nothing_is_told(
    run_dir: Path, contexts: tuple[ssl.SSLContext, ssl.SSLContext]
) -> None:
    async def scenario() -> None:
        async with serving(run_dir / "s", {"d": IMAGE}, tls=contexts[0]):
            plain = NbdUri("d", socket=str(run_dir / "s"))
            with pytest.raises(NbdError, match="TLS_REQD"):
                await NbdClient.connect(plain)
            with pytest.raises(NbdError, match="TLS_REQD"):
                await list_exports(plain)
            wire = await connect(run_dir / "s")
            wire.write(p.OPTION.pack(p.OPTION_MAGIC, Option.EXPORT_NAME, 1), b"d")
            with pytest.raises(NbdDisconnectedError):
                await wire.read(1)

    asyncio.run(scenario())


def test_what_is_sent_before_tls_is_not_taken_for_protected(
    run_dir: Path, contexts: tuple[ssl.SSLContext, ssl.SSLContext]
) -> None:
    async def scenario() -> None:
        async with serving(run_dir / "s", {"d": IMAGE}, tls=contexts[0]):
            wire = await connect(run_dir / "s")
            starttls = p.OPTION.pack(p.OPTION_MAGIC, Option.STARTTLS, 0)
            smuggled = p.OPTION.pack(p.OPTION_MAGIC, Option.LIST, 0)
            wire.write(starttls + smuggled)
            # The acknowledgement may come, but then the connection must end at once.
            async with asyncio.timeout(3):
                with pytest.raises(NbdDisconnectedError):
                    await wire.read(p.OPTION_REPLY.size + 1)

    asyncio.run(scenario())


def test_a_server_without_tls_says_so(
    run_dir: Path, contexts: tuple[ssl.SSLContext, ssl.SSLContext]
) -> None:
    async def scenario() -> None:
        async with serving(run_dir / "s", {"d": IMAGE}):
            safe = NbdUri("d", socket=str(run_dir / "s"), tls=True)
            with pytest.raises(NbdError, match="TLS is not set up"):
                await NbdClient.connect(safe, tls=contexts[1])

    asyncio.run(scenario())
