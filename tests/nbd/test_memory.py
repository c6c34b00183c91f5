"""The server's memory, with clients that leave it or do not read."""

from __future__ import annotations

import asyncio
import random
import socket as sockets
import struct
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest

from mooring.model.errors import NbdError
from mooring.nbd import protocol as p
from mooring.nbd.blocking import BlockingNbdClient
from mooring.nbd.budget import Budget
from mooring.nbd.client import NbdClient
from mooring.nbd.server_handshake import Handshake
from mooring.nbd.server_transmission import Limits
from mooring.nbd.uri import NbdUri
from mooring.nbd.wire import Wire
from tests.nbd.exports import ImageExports, SparseImage, serving

MIB = 1024 * 1024
SIZE = 8 * MIB


@contextmanager
def plain_client(path: Path) -> Iterator[sockets.socket]:
    """A connection in transmission without structured replies, of which the test decides all."""
    with sockets.socket(sockets.AF_UNIX) as client:
        client.settimeout(30)
        client.connect(str(path))
        take(client, 18)
        name = p.U32.pack(1) + b"d" + p.U16.pack(0)
        client.sendall(p.U32.pack(3) + p.OPTION.pack(p.OPTION_MAGIC, 7, len(name)) + name)
        while True:
            _, _, kind, length = p.OPTION_REPLY.unpack(take(client, p.OPTION_REPLY.size))
            take(client, length)
            if kind == 1:
                break
        yield client


def take(client: sockets.socket, length: int) -> bytes:
    parts = []
    while length and (part := client.recv(length)):
        parts.append(part)
        length -= len(part)
    return b"".join(parts)


def ask(client: sockets.socket, length: int, times: int) -> None:
    for cookie in range(times):
        client.sendall(p.REQUEST.pack(p.REQUEST_MAGIC, 0, 0, cookie, 0, length))


def test_a_budget_survives_those_who_leave_the_queue_together() -> None:
    """Cancelled at once, in any order, while others give back: nothing is lost."""

    async def scenario(seed: int) -> None:
        chance = random.Random(seed)
        budget = Budget(4)

        async def work() -> None:
            async with budget.hold(chance.randrange(1, 7)):
                await asyncio.sleep(0)

        tasks = [asyncio.create_task(work()) for _ in range(30)]
        for _ in range(chance.randrange(1, 6)):
            await asyncio.sleep(0)
        for task in chance.sample(tasks, 20):
            task.cancel()
        async with asyncio.timeout(10):
            ends = await asyncio.gather(*tasks, return_exceptions=True)
        assert {type(end) for end in ends} <= {asyncio.CancelledError, type(None)}
        assert (budget.free, budget.wanted) == (budget.total, False)

    for seed in range(100):
        asyncio.run(scenario(seed))


@pytest.mark.parametrize("memory", [2 * MIB, 4 * SIZE])
def test_clients_that_leave_amid_reads_leave_the_memory_to_others(
    run_dir: Path, memory: int
) -> None:
    path = run_dir / "nbd"

    async def scenario() -> None:
        image = SparseImage(SIZE)

        def leave() -> None:
            for _ in range(5):
                with ExitStack() as stack:
                    for _ in range(3):
                        ask(stack.enter_context(plain_client(path)), SIZE, 8)

        async with serving(path, {"d": image}, Limits(memory=memory)):
            await asyncio.to_thread(leave)
            async with (
                asyncio.timeout(20),
                await NbdClient.connect(NbdUri("d", socket=str(path))) as client,
            ):
                assert await client.read(0, SIZE) == image.content

    asyncio.run(scenario())


def test_a_small_read_does_not_wait_for_large_ones_that_nobody_takes(run_dir: Path) -> None:
    path = run_dir / "nbd"

    async def scenario() -> None:
        image = SparseImage(SIZE)
        # Nothing but the halves of the memory can help: nobody is cut off in this test's time.
        limits = Limits(memory=2 * SIZE, stall_seconds=600, contended_seconds=600)
        async with serving(path, {"d": image}, limits):
            with ExitStack() as stack:
                for _ in range(4):
                    unread = await asyncio.to_thread(_entered, path, stack)
                    ask(unread, SIZE, 8)
                async with (
                    asyncio.timeout(20),
                    await NbdClient.connect(NbdUri("d", socket=str(path))) as client,
                ):
                    assert await client.read(0, 4096) == image.content[:4096]

    asyncio.run(scenario())


def test_who_does_not_read_is_cut_off_once_another_waits(run_dir: Path) -> None:
    path = run_dir / "nbd"

    async def scenario() -> None:
        image = SparseImage(SIZE)
        limits = Limits(memory=2 * SIZE, stall_seconds=600, contended_seconds=0.2)
        async with serving(path, {"d": image}, limits):
            with ExitStack() as stack:
                unread = await asyncio.to_thread(_entered, path, stack)
                ask(unread, SIZE, 4)
                waiting = await asyncio.to_thread(_entered, path, stack)
                ask(waiting, SIZE, 1)
                taken = await asyncio.to_thread(take, waiting, SIZE + 16)
                assert taken[16:] == image.content

    asyncio.run(scenario())


def test_who_does_not_read_is_left_in_peace_while_nobody_waits(run_dir: Path) -> None:
    path = run_dir / "nbd"

    async def scenario() -> None:
        image = SparseImage(SIZE)
        limits = Limits(memory=2 * SIZE, stall_seconds=600, contended_seconds=0.05)
        async with serving(path, {"d": image}, limits):
            with ExitStack() as stack:
                slow = await asyncio.to_thread(_entered, path, stack)
                ask(slow, SIZE, 1)
                await asyncio.sleep(0.5)
                taken = await asyncio.to_thread(take, slow, SIZE + 16)
                assert struct.unpack(">II", taken[:8]) == (p.SIMPLE_REPLY_MAGIC, 0)
                assert taken[16:] == image.content

    asyncio.run(scenario())


def _entered(path: Path, stack: ExitStack) -> sockets.socket:
    return stack.enter_context(plain_client(path))


def test_a_server_that_does_not_answer_is_told_as_one(run_dir: Path) -> None:
    with sockets.socket(sockets.AF_UNIX) as listener:
        listener.bind(str(run_dir / "nbd"))
        listener.listen()

        def answer_nothing() -> None:
            """Agree on everything, and leave the reads alone."""
            peer, _ = listener.accept()
            with peer:
                loop = asyncio.new_event_loop()
                loop.run_until_complete(_handshake_only(peer))
                loop.close()

        thread = threading.Thread(target=answer_nothing)
        thread.start()
        uri = NbdUri("d", socket=str(run_dir / "nbd"))
        with (
            BlockingNbdClient(uri, patience=0.2) as client,
            pytest.raises(NbdError, match="does not answer: a read has waited"),
        ):
            client.read(0, 4096)
        thread.join(20)
        assert not thread.is_alive()


async def _handshake_only(peer: sockets.socket) -> None:
    entered = asyncio.get_running_loop().create_future()
    _, wire = await asyncio.get_running_loop().connect_accepted_socket(
        lambda: Wire(entered.set_result), peer
    )
    exports = ImageExports({"d": SparseImage(MIB)})
    session = await Handshake(wire, exports, None).run()
    assert session is not None
    with suppress(NbdError):
        while True:
            await wire.read(1)
    await session.export.close()
    exports.executor.shutdown()
    wire.abort()
