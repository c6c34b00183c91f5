"""Arbitrary bytes on the wire: nothing crashes, nothing hangs, framing is kept."""

from __future__ import annotations

import asyncio
import struct
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest
import structlog
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from mooring.model.errors import NbdError
from mooring.nbd import protocol as p
from mooring.nbd.client import NbdClient, list_exports
from mooring.nbd.server_transmission import Limits
from mooring.nbd.uri import NbdUri
from tests.nbd.exports import SparseImage, serving

pytestmark = pytest.mark.usefixtures("quiet_loop")

LIMITS = Limits(handshake_seconds=2, idle_seconds=2, stall_seconds=2)
HANG = 20.0
SIZE = 64 * 1024
IMAGE = SparseImage(SIZE, filled=0.5)

fuzz = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest.fixture
def quiet_loop() -> Iterator[list[structlog.typing.EventDict]]:
    """Fails the test if the server has logged a fault of its own."""
    with structlog.testing.capture_logs() as logs:
        yield logs
    assert not [entry for entry in logs if entry["event"] == "nbd_connection_failed"]


def run(work: Callable[[Path], Awaitable[None]]) -> None:
    async def limited() -> None:
        with tempfile.TemporaryDirectory(prefix="m-") as folder:
            async with asyncio.timeout(HANG):
                await work(Path(folder) / "nbd")

    asyncio.run(limited())


async def send(path: Path, data: bytes, *, leave: bool = False) -> bytes:
    """Send all to the server and return all that it answers until it hangs up.

    With `leave`, the end of the stream follows at once, so that nothing more is waited for.
    """
    reader, writer = await asyncio.open_unix_connection(str(path))
    writer.write(data)
    if leave:
        writer.write_eof()
    try:
        return await reader.read()
    except ConnectionError:
        return b""
    finally:
        writer.close()


async def still_serves(path: Path) -> None:
    async with await NbdClient.connect(NbdUri("d", socket=str(path))) as client:
        assert await client.read(0, SIZE) == IMAGE.content


def option(kind: int, data: bytes) -> bytes:
    return p.OPTION.pack(p.OPTION_MAGIC, kind, len(data)) + data


def request(flags: int, command: int, cookie: int, offset: int, length: int) -> bytes:
    return p.REQUEST.pack(p.REQUEST_MAGIC, flags, command, cookie, offset, length)


FLAGS = p.CLIENT_FLAGS.pack(3)
NAME = p.U32.pack(1) + b"d"
GO = option(p.Option.GO, NAME + p.U16.pack(0))
STRUCTURED = option(p.Option.STRUCTURED_REPLY, b"")
CONTEXT = option(
    p.Option.SET_META_CONTEXT, NAME + p.U32.pack(1) + p.U32.pack(15) + b"base:allocation"
)

numbers = st.one_of(
    st.integers(0, 20), st.integers(0, 2**32 - 1), st.sampled_from([SIZE, 2**31, 2**32 - 1])
)
options = st.one_of(
    st.builds(option, numbers, st.binary(max_size=100)),
    st.builds(
        option,
        st.integers(0, 12),
        st.builds(lambda count, rest: NAME + p.U16.pack(count) + rest, st.integers(0, 3),
                  st.binary(max_size=8)),
    ),
    st.builds(
        option,
        st.sampled_from([9, 10]),
        st.builds(lambda count, rest: NAME + p.U32.pack(count) + rest, numbers,
                  st.binary(max_size=40)),
    ),
    st.builds(lambda kind, length: p.OPTION.pack(p.OPTION_MAGIC, kind, length), numbers, numbers),
    st.sampled_from([STRUCTURED, CONTEXT, option(p.Option.LIST, b"")]),
)  # fmt: skip
requests = st.builds(
    request,
    st.integers(0, 2**16 - 1) | st.integers(0, 31),
    st.integers(0, 9) | st.integers(0, 2**16 - 1),
    st.integers(0, 2**64 - 1),
    st.integers(0, SIZE + 1) | st.integers(0, 2**64 - 1),
    st.integers(0, 8192) | numbers,
)


@fuzz
@given(st.binary(max_size=400))
@example(FLAGS + GO + b"x" * 28)
def test_server_survives_noise(noise: bytes) -> None:
    async def work(path: Path) -> None:
        async with serving(path, {"d": IMAGE}, LIMITS):
            await send(path, noise, leave=True)
            await still_serves(path)

    run(work)


@fuzz
@given(st.lists(options, max_size=6), st.booleans(), st.lists(requests, max_size=6))
def test_server_survives_almost_right_messages(
    negotiation: list[bytes], go: bool, transmission: list[bytes]
) -> None:
    async def work(path: Path) -> None:
        async with serving(path, {"d": IMAGE}, LIMITS):
            stream = FLAGS + b"".join(negotiation) + GO * go + b"".join(transmission)
            await send(path, stream, leave=True)
            await still_serves(path)

    run(work)


@fuzz
@given(st.lists(options, max_size=8))
def test_every_option_is_answered_in_step(negotiation: list[bytes]) -> None:
    # Without those that end the handshake, and those whose data would be missing.
    whole = [
        item for item in negotiation
        if len(item) == p.OPTION.size + p.OPTION.unpack_from(item)[2]
        and p.OPTION.unpack_from(item)[1] not in (p.Option.EXPORT_NAME, p.Option.ABORT, p.Option.GO)
    ]  # fmt: skip
    wanted = [p.OPTION.unpack_from(item)[1] for item in whole]

    async def work(path: Path) -> None:
        async with serving(path, {"d": IMAGE}, LIMITS):
            answer = await send(path, FLAGS + b"".join(whole) + option(p.Option.ABORT, b""))
            assert finals(answer[p.GREETING.size :]) == [*wanted, p.Option.ABORT]

    run(work)


def finals(answer: bytes) -> list[int]:
    """The options answered, in order; fails if the bytes are not whole replies."""
    found = []
    while answer:
        magic, about, kind, length = p.OPTION_REPLY.unpack_from(answer)
        assert magic == p.OPTION_REPLY_MAGIC
        assert len(answer) >= p.OPTION_REPLY.size + length
        answer = answer[p.OPTION_REPLY.size + length :]
        if kind == p.Reply.ACK or kind & p.REPLY_ERROR:
            found.append(about)
    return found


@fuzz
@given(st.lists(requests, max_size=10), st.booleans())
def test_every_request_is_answered_in_step(sent: list[bytes], structured: bool) -> None:
    fields = {}
    stream = []
    for cookie, item in enumerate(sent):
        _, flags, command, _, offset, length = p.REQUEST.unpack(item)
        length %= 2 * SIZE
        if command != p.Command.DISC:
            fields[cookie] = (command, length)
            stream.append(request(flags, command, cookie, offset, length))
            if command == p.Command.WRITE:
                stream.append(bytes(length))
    goodbye = request(0, p.Command.DISC, 99, 0, 0)
    start = FLAGS + (STRUCTURED + CONTEXT) * structured + GO

    async def work(path: Path) -> None:
        async with serving(path, {"d": IMAGE}, LIMITS):
            only_start = await send(path, start + goodbye)
            answer = await send(path, start + b"".join(stream) + goodbye)
            assert answer.startswith(only_start)
            assert answered(answer[len(only_start) :], fields) == set(fields)

    run(work)


def answered(answer: bytes, fields: dict[int, tuple[int, int]]) -> set[int]:
    """The requests answered completely; fails if the bytes are not whole replies."""
    done: set[int] = set()
    while answer:
        (magic,) = p.U32.unpack_from(answer)
        if magic == p.SIMPLE_REPLY_MAGIC:
            _, error, cookie = p.SIMPLE_REPLY.unpack_from(answer)
            command, length = fields[cookie]
            size = length if command == p.Command.READ and not error else 0
            rest = answer[p.SIMPLE_REPLY.size :]
            last = True
        else:
            magic, flags, _, cookie, size = p.STRUCTURED_REPLY.unpack_from(answer)
            assert magic == p.STRUCTURED_REPLY_MAGIC
            rest = answer[p.STRUCTURED_REPLY.size :]
            last = bool(flags & p.CHUNK_DONE)
        assert len(rest) >= size
        assert cookie not in done
        answer = rest[size:]
        if last:
            done.add(cookie)
    return done


# --- the client, against a server that says anything ---------------------------------------------


async def face(
    path: Path, say: bytes, use: Callable[[NbdUri], Awaitable[object]], match: str | None = None
) -> None:
    """Let the client talk to a server that sends `say` whatever it is asked."""
    writers: list[asyncio.StreamWriter] = []

    def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        writer.write(say)
        writer.write_eof()

    server = await asyncio.start_unix_server(speak, str(path))
    try:
        with pytest.raises(NbdError, match=match):
            await use(NbdUri("d", socket=str(path)))
    finally:
        server.close()
        for writer in writers:
            writer.close()


GREETING = p.GREETING.pack(p.SERVER_MAGIC, p.OPTION_MAGIC, 3)


def reply(about: int, kind: int, data: bytes) -> bytes:
    return p.OPTION_REPLY.pack(p.OPTION_REPLY_MAGIC, about, kind, len(data)) + data


WELCOME = (
    GREETING
    + reply(p.Option.STRUCTURED_REPLY, p.Reply.ACK, b"")
    + reply(p.Option.SET_META_CONTEXT, p.Reply.META_CONTEXT, p.U32.pack(7) + b"base:allocation")
    + reply(p.Option.SET_META_CONTEXT, p.Reply.ACK, b"")
    + reply(p.Option.GO, p.Reply.INFO, p.INFO_EXPORT_DATA.pack(0, SIZE, 1))
    + reply(p.Option.GO, p.Reply.ACK, b"")
)

option_replies = st.builds(
    reply,
    st.integers(0, 12),
    st.integers(0, 5) | st.integers(0x80000000, 0x8000000A) | numbers,
    st.binary(max_size=30) | st.just(p.INFO_EXPORT_DATA.pack(0, SIZE, 1)),
)
chunks = st.builds(
    lambda magic, flags, kind, cookie, data: (
        p.STRUCTURED_REPLY.pack(magic, flags, kind, cookie, len(data)) + data
    ),
    st.sampled_from([p.STRUCTURED_REPLY_MAGIC, p.SIMPLE_REPLY_MAGIC]),
    st.integers(0, 3),
    st.integers(0, 6) | st.sampled_from([0x8001, 0x8002, 0x8003]),
    st.integers(0, 4),
    st.one_of(
        st.binary(max_size=40),
        st.builds(struct.Struct(">QI").pack, st.integers(0, SIZE), numbers),
        st.builds(struct.Struct(">III").pack, st.just(7), numbers, st.integers(0, 3)),
    ),
)


@fuzz
@given(st.binary(max_size=200) | st.lists(option_replies, max_size=6).map(b"".join))
def test_client_survives_any_handshake(noise: bytes) -> None:
    async def connect(place: NbdUri) -> None:
        client = await NbdClient.connect(place)
        try:
            await client.read(0, SIZE)
        finally:
            await client.close()

    async def work(path: Path) -> None:
        await face(path, GREETING + noise, connect)
        path.unlink(missing_ok=True)
        await face(path, noise, list_exports)

    run(work)


@fuzz
@given(st.binary(max_size=200) | st.lists(chunks, max_size=6).map(b"".join))
def test_client_survives_any_reply(noise: bytes) -> None:
    async def use(place: NbdUri) -> None:
        client = await NbdClient.connect(place)
        try:
            # The stream ends too early for all of these to be answered.
            results = await asyncio.gather(
                *(client.read(0, SIZE) for _ in range(2)),
                *(client.block_status(0, SIZE) for _ in range(2)),
                return_exceptions=True,
            )
        finally:
            await client.close()
        for result in results:
            if isinstance(result, BaseException):
                raise result

    async def work(path: Path) -> None:
        await face(path, WELCOME + noise, use)

    run(work)


def test_client_does_not_take_in_more_than_it_asked_for() -> None:
    data = p.OFFSET.pack(0) + bytes(SIZE)
    chunk = p.STRUCTURED_REPLY.pack(p.STRUCTURED_REPLY_MAGIC, 0, p.Chunk.OFFSET_DATA, 1, len(data))

    async def use(place: NbdUri) -> None:
        async with await NbdClient.connect(place) as client:
            await client.read(0, SIZE)

    async def work(path: Path) -> None:
        await face(path, WELCOME + 3 * (chunk + data), use, match="too much")

    run(work)
