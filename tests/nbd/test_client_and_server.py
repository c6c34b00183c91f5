"""Our client against our server."""

from __future__ import annotations

import asyncio
import errno
import random
import stat
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from mooring.model.errors import (
    ConfigurationError,
    NbdDisconnectedError,
    NbdError,
    NbdRequestError,
)
from mooring.nbd.blocking import BlockingNbdClient
from mooring.nbd.client import NbdClient, list_exports
from mooring.nbd.protocol import TransmissionFlag
from mooring.nbd.server import NbdServer
from mooring.nbd.server_transmission import Limits
from mooring.nbd.uri import NbdUri
from tests.nbd.exports import ImageExports, SparseImage, serving

MIB = 1024 * 1024


@pytest.fixture
def socket(run_dir: Path) -> Path:
    return run_dir / "nbd"


def uri(socket: Path, export: str = "d") -> NbdUri:
    return NbdUri(export, socket=str(socket))


def test_reads_any_range_in_any_order(socket: Path) -> None:
    image = SparseImage(4 * MIB)
    chance = random.Random(2)

    async def scenario() -> None:
        async with serving(socket, {"d": image}), await NbdClient.connect(uri(socket)) as client:
            assert client.info.size == image.size
            assert client.info.read_only

            async def read_one() -> None:
                offset = chance.randrange(image.size)
                length = chance.randrange(min(image.size - offset, 3 * MIB) + 1)
                assert await client.read(offset, length) == image.content[offset : offset + length]

            await asyncio.gather(*(read_one() for _ in range(200)))

    asyncio.run(scenario())
    assert image.closed >= 1


def test_tells_where_the_data_is(socket: Path) -> None:
    image = SparseImage(4 * MIB)

    async def scenario() -> set[int]:
        async with serving(socket, {"d": image}), await NbdClient.connect(uri(socket)) as client:
            runs = [item async for item in client.map()]
            assert sum(extent.length for _, extent in runs) == image.size
            # In the middle of a block, too.
            (first,) = await client.block_status(100, 50, one=True)
            assert first.length == 50
            return {
                block
                for offset, extent in runs
                if extent.flags == 0
                for block in range(offset, offset + extent.length, 4096)
            }

    assert asyncio.run(scenario()) == set(image.filled)


def test_lists_exports(socket: Path) -> None:
    async def scenario() -> None:
        images = {name: SparseImage(4096) for name in ("one", "zwei", "três")}
        async with serving(socket, images):
            assert await list_exports(uri(socket)) == [(name, f"about {name}") for name in images]
            with pytest.raises(NbdError, match="no export is named 'four'"):
                await NbdClient.connect(uri(socket, "four"))

    asyncio.run(scenario())


def test_nothing_can_be_changed(socket: Path) -> None:
    async def scenario() -> None:
        image = SparseImage(MIB)
        before = bytes(image.content)
        async with serving(socket, {"d": image}), await NbdClient.connect(uri(socket)) as client:
            for request in (
                client.write(0, bytes(8192)),
                client.trim(0, 4096),
                client.write_zeroes(0, 4096),
            ):
                with pytest.raises(NbdRequestError, match="read-only") as caught:
                    await request
                assert caught.value.errno == errno.EPERM
            await client.flush()
            # The refused writes have not put the stream out of step.
            assert await client.read(0, MIB) == before

    asyncio.run(scenario())


def test_a_failed_read_leaves_the_connection_usable(socket: Path) -> None:
    async def scenario() -> None:
        image = SparseImage(4 * MIB)
        image.fail_at = 3 * MIB
        async with serving(socket, {"d": image}), await NbdClient.connect(uri(socket)) as client:
            with pytest.raises(NbdRequestError, match="worn out") as caught:
                await client.read(0, 4 * MIB)
            assert caught.value.errno == errno.EIO
            assert await client.read(0, 3 * MIB) == image.content[: 3 * MIB]
            with pytest.raises(NbdRequestError, match="outside the export"):
                await client.read(image.size - 1, 2)

    asyncio.run(scenario())


def test_a_cancelled_request_disturbs_no_other(socket: Path) -> None:
    async def scenario() -> None:
        image = SparseImage(2 * MIB)
        async with serving(socket, {"d": image}), await NbdClient.connect(uri(socket)) as client:
            for _ in range(20):
                doomed = asyncio.create_task(client.read(0, 2 * MIB))
                await asyncio.sleep(0)
                doomed.cancel()
                assert await client.read(4096, 4096) == image.content[4096:8192]

    asyncio.run(scenario())


def test_a_server_that_ends_fails_all_requests(socket: Path) -> None:
    async def scenario() -> None:
        async with serving(socket, {"d": SparseImage(4 * MIB)}) as server:
            client = await NbdClient.connect(uri(socket))
            reads = [asyncio.create_task(client.read(0, 4 * MIB)) for _ in range(8)]
            await asyncio.sleep(0)
            await server.close()
            results = await asyncio.gather(*reads, return_exceptions=True)
            assert any(isinstance(result, NbdDisconnectedError) for result in results)
            with pytest.raises(NbdDisconnectedError):
                await client.read(0, 1)
            await client.close()
        assert not socket.exists()

    asyncio.run(scenario())


def test_a_peer_that_says_nothing_is_cut_off(socket: Path) -> None:
    async def scenario() -> None:
        limits = Limits(handshake_seconds=0.05)
        async with serving(socket, {"d": SparseImage(4096)}, limits):
            reader, writer = await asyncio.open_unix_connection(str(socket))
            assert (await reader.read()).startswith(b"NBDMAGICIHAVEOPT")
            writer.close()

    asyncio.run(scenario())


def test_a_server_that_says_nothing_is_given_up(socket: Path) -> None:
    async def scenario() -> None:
        callers: list[asyncio.StreamWriter] = []

        def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            callers.append(writer)

        silent = await asyncio.start_unix_server(say_nothing, str(socket))
        with pytest.raises(NbdDisconnectedError, match=r"did not answer within 0\.05 s"):
            await NbdClient.connect(uri(socket), timeout=0.05)
        for caller in callers:
            caller.close()
        silent.close()

    asyncio.run(scenario())


def test_a_client_that_does_not_read_is_cut_off(socket: Path) -> None:
    async def scenario() -> None:
        limits = Limits(stall_seconds=0.1)
        image = SparseImage(16 * MIB, filled=0)
        async with serving(socket, {"d": image}, limits) as server:
            client = await NbdClient.connect(uri(socket))
            client._wire.hold()
            reads = [asyncio.create_task(client.read(0, 16 * MIB)) for _ in range(4)]
            async with asyncio.timeout(10):
                while server.connections:
                    await asyncio.sleep(0.02)
            await client.close()
            await asyncio.gather(*reads, return_exceptions=True)

    asyncio.run(scenario())


def test_an_idle_client_is_cut_off_only_if_wanted(socket: Path) -> None:
    async def scenario() -> None:
        async with serving(socket, {"d": SparseImage(4096)}, Limits(idle_seconds=0.1)):
            client = await NbdClient.connect(uri(socket))
            await asyncio.sleep(0.3)
            with pytest.raises(NbdDisconnectedError):
                await client.read(0, 1)
            await client.close()

    asyncio.run(scenario())


def test_too_many_connections_are_refused(socket: Path) -> None:
    async def scenario() -> None:
        image = SparseImage(4096)
        async with serving(socket, {"d": image}, Limits(connections=2)) as server:
            first = await NbdClient.connect(uri(socket))
            second = await NbdClient.connect(uri(socket))
            with pytest.raises(NbdDisconnectedError):
                await NbdClient.connect(uri(socket))
            await second.close()
            async with asyncio.timeout(5):
                while server.connections > 1:
                    await asyncio.sleep(0.01)
            async with await NbdClient.connect(uri(socket)) as third:
                assert await third.read(0, 4096) == image.content
            await first.close()

    asyncio.run(scenario())


def test_little_memory_is_enough_for_many_large_reads(socket: Path) -> None:
    async def scenario() -> None:
        image = SparseImage(8 * MIB)
        limits = Limits(memory=MIB)
        async with (
            serving(socket, {"d": image}, limits),
            await NbdClient.connect(uri(socket)) as client,
        ):
            for data in await asyncio.gather(*(client.read(0, 8 * MIB) for _ in range(8))):
                assert data == image.content

    asyncio.run(scenario())


def test_several_connections_are_allowed_and_announced(socket: Path) -> None:
    async def scenario() -> None:
        image = SparseImage(MIB)
        async with serving(socket, {"d": image}):
            clients = [await NbdClient.connect(uri(socket)) for _ in range(4)]
            assert all(TransmissionFlag.CAN_MULTI_CONN in one.info.flags for one in clients)
            for data in await asyncio.gather(*(one.read(0, MIB) for one in clients)):
                assert data == image.content
            await asyncio.gather(*(one.close() for one in clients))

    asyncio.run(scenario())


def test_tcp_works_and_stays_on_this_host() -> None:
    async def scenario() -> None:
        image = SparseImage(MIB)
        exports = ImageExports({"d": image})
        server = NbdServer(exports)
        try:
            port = await server.listen_tcp("127.0.0.1")
            async with await NbdClient.connect(f"nbd://127.0.0.1:{port}/d") as client:
                assert await client.read(0, MIB) == image.content
            with pytest.raises(ConfigurationError, match="unprotected"):
                await server.listen_tcp("0.0.0.0")
            with pytest.raises(ConfigurationError, match=str(port)):
                await server.listen_tcp("127.0.0.1", port)
        finally:
            await server.close()
            exports.executor.shutdown()

    asyncio.run(scenario())


def test_the_socket_is_private_and_taken_over_only_from_the_dead(socket: Path) -> None:
    async def scenario() -> None:
        images = {"d": SparseImage(4096)}
        async with serving(socket, images):
            assert stat.S_IMODE(socket.stat().st_mode) == 0o600
            with pytest.raises(ConfigurationError, match="in use"):
                async with serving(socket, images):
                    pass
            # As a killed server leaves it: there, but with nobody behind it.
            socket.rename(socket.with_name("left"))
        async with serving(socket.with_name("left"), images):
            assert await list_exports(uri(socket.with_name("left")))
        file = socket.with_name("file")
        file.write_text("precious")
        with pytest.raises(ConfigurationError, match="in use"):
            async with serving(file, images):
                pass
        assert file.read_text() == "precious"
        with pytest.raises(ConfigurationError, match="shorter directory"):
            async with serving(socket.with_name(120 * "x"), images):
                pass

    asyncio.run(scenario())


def test_the_blocking_client_does_the_same(socket: Path) -> None:
    image = SparseImage(MIB)

    async def scenario() -> None:
        async with serving(socket, {"d": image}):
            await asyncio.to_thread(use)

    def use() -> None:
        with BlockingNbdClient(uri(socket)) as client:
            assert client.info.size == MIB
            assert client.read(100, 5000) == image.content[100:5100]
            assert sum(extent.length for _, extent in client.map()) == MIB
            with pytest.raises(NbdRequestError):
                client.write(0, b"x")

    asyncio.run(scenario())


def test_closing_the_blocking_client_ends_the_reads_of_other_threads(socket: Path) -> None:
    image = SparseImage(MIB)
    read, hangs, over = image.read, threading.Event(), threading.Event()

    def hanging(offset: int, length: int) -> bytes:
        hangs.set()
        assert over.wait(60)
        return read(offset, length)

    image.read = hanging  # type: ignore[method-assign]

    async def scenario() -> None:
        async with serving(socket, {"d": image}):
            try:
                await asyncio.to_thread(use)
            finally:
                over.set()

    def use() -> None:
        client = BlockingNbdClient(uri(socket))
        with ThreadPoolExecutor(1) as pool:
            reading = pool.submit(client.read, 0, 4096)
            assert hangs.wait(60)
            client.close()
            with pytest.raises(NbdDisconnectedError):
                reading.result(60)
        with pytest.raises(NbdDisconnectedError):
            client.read(0, 4096)
        client.close()

    asyncio.run(scenario())
