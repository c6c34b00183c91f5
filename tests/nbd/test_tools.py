"""Our server against the tools of QEMU and libnbd; our client against QEMU's server."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import subprocess
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from mooring.model.errors import NbdDisconnectedError, NbdError, NbdRequestError
from mooring.nbd.client import NbdClient, list_exports
from mooring.nbd.protocol import STATUS_ZERO
from mooring.nbd.uri import NbdUri
from tests.nbd.exports import SparseImage, run, serving

pytestmark = pytest.mark.full

MIB = 1024 * 1024
SIZE = 16 * MIB

Scenario = Callable[[NbdUri], Coroutine[Any, Any, None]]


# --- our server ----------------------------------------------------------------------------------


@pytest.fixture
def image() -> SparseImage:
    return SparseImage(SIZE)


@pytest.fixture
def serve(run_dir: Path, image: SparseImage) -> Callable[[Scenario], None]:
    """Runs a scenario beside a server with the export `d`."""

    def call(scenario: Scenario) -> None:
        async def main() -> None:
            path = run_dir / "nbd"
            async with serving(path, {"d": image, "empty": SparseImage(MIB, filled=0)}):
                await scenario(NbdUri("d", socket=str(path)))

        asyncio.run(main())

    return call


async def output(*command: str) -> str:
    """What a command that succeeds prints, without its warnings."""
    code, text, errors = await run(*command)
    assert code == 0, errors
    return text


@pytest.mark.requires("nbdinfo")
def test_nbdinfo_sees_the_export(serve: Callable[[Scenario], None], image: SparseImage) -> None:
    async def scenario(uri: NbdUri) -> None:
        told = json.loads(await output("nbdinfo", "--json", str(uri)))
        assert told["protocol"] == "newstyle-fixed"
        assert told["structured"] is True
        (export,) = told["exports"]
        assert export["export-size"] == SIZE
        assert export["is_read_only"] is True
        assert export["can_multi_conn"] is True
        assert export["can_df"] is True
        assert export["contexts"] == ["base:allocation"]
        assert export["block_size_maximum"] == 32 * MIB

        listed = json.loads(await output("nbdinfo", "--list", "--json", str(uri)))
        assert {one["export-name"] for one in listed["exports"]} == {"d", "empty"}

        mapped = json.loads(await output("nbdinfo", "--map", "--json", str(uri)))
        data = [one for one in mapped if one["type"] == 0]
        assert sum(one["length"] for one in mapped) == SIZE
        assert sum(one["length"] for one in data) == 4096 * len(image.filled)

        code, _, text = await run("nbdinfo", str(NbdUri("nope", socket=uri.socket)))
        assert code == 1
        assert "for export: nope" in text

    serve(scenario)


@pytest.mark.requires("nbdcopy")
@pytest.mark.parametrize("options", [[], ["--synchronous"], ["--connections=4", "--threads=2"]])
def test_nbdcopy_copies_it(
    serve: Callable[[Scenario], None], image: SparseImage, tmp_path: Path, options: list[str]
) -> None:
    copy = tmp_path / "copy"

    async def scenario(uri: NbdUri) -> None:
        await output("nbdcopy", *options, str(uri), str(copy))

    serve(scenario)
    assert copy.read_bytes() == image.content
    # Holes stay holes.
    assert copy.stat().st_blocks * 512 < SIZE // 2


@pytest.mark.requires("qemu-img")
def test_qemu_img_agrees(
    serve: Callable[[Scenario], None], image: SparseImage, tmp_path: Path
) -> None:
    original, copy = tmp_path / "original", tmp_path / "copy"
    original.write_bytes(image.content)

    async def scenario(uri: NbdUri) -> None:
        same = await output(
            "qemu-img", "compare", "-f", "raw", "-F", "raw", str(original), str(uri)
        )
        assert "identical" in same
        mapped = json.loads(await output("qemu-img", "map", "--output=json", "-f", "raw", str(uri)))
        assert sum(one["length"] for one in mapped if one["data"]) == 4096 * len(image.filled)
        await output("qemu-img", "convert", "-f", "raw", "-O", "raw", "-W", "-m", "8",
                     str(uri), str(copy))  # fmt: skip

    serve(scenario)
    assert copy.read_bytes() == image.content


@pytest.mark.requires("qemu-io")
def test_qemu_io_reads_and_cannot_write(
    serve: Callable[[Scenario], None], image: SparseImage
) -> None:
    block = image.filled[3]
    image.content[block : block + 4096] = 4096 * b"\x5a"

    async def scenario(uri: NbdUri) -> None:
        text = await output(
            "qemu-io", "-r", "-f", "raw", "-c", f"read -P 0x5a {block} 4096",
            "-c", f"read -P 0x5a {block + 7} 13", "-c", f"read {SIZE - 512} 512", str(uri),
        )  # fmt: skip
        assert "verification failed" not in text
        assert text.count("ops;") == 3
        code, _, text = await run("qemu-io", "-f", "raw", "-c", "write 0 4096", str(uri))
        assert code == 1
        assert "Permission denied" in text

    serve(scenario)


@pytest.mark.requires("fio")
def test_fio_reads_at_depth(serve: Callable[[Scenario], None]) -> None:
    async def scenario(uri: NbdUri) -> None:
        told = await output(
            "fio", "--name=r", "--ioengine=nbd", f"--uri={uri}", "--rw=randread", "--bs=4k",
            "--iodepth=32", f"--size={SIZE}", "--output-format=json",
        )  # fmt: skip
        (job,) = json.loads(told[told.index("{") :])["jobs"]
        assert job["error"] == 0
        assert job["read"]["total_ios"] == SIZE // 4096

    serve(scenario)


@pytest.mark.requires("qemu-img")
@pytest.mark.requires("qemu-io")
def test_a_disk_can_grow_on_top_of_it(
    serve: Callable[[Scenario], None], image: SparseImage, tmp_path: Path
) -> None:
    # What a lazy restore does: an overlay, larger than its backing, filled by reading through.
    overlay, flat = tmp_path / "overlay", tmp_path / "flat"

    async def scenario(uri: NbdUri) -> None:
        await output("qemu-img", "create", "-q", "-f", "qcow2", "-b", str(uri), "-F", "raw",
                     str(overlay), str(SIZE + MIB))  # fmt: skip
        await output("qemu-io", "-f", "qcow2", "-c", "write -P 1 5000 3", str(overlay))
        await output("qemu-img", "convert", "-f", "qcow2", "-O", "raw", str(overlay), str(flat))

    serve(scenario)
    image.content[5000:5003] = b"\1\1\1"
    assert flat.read_bytes() == image.content + bytes(MIB)


# --- our client ----------------------------------------------------------------------------------


@pytest.fixture
def daemon(run_dir: Path, requires: Callable[[str], str]) -> Iterator[NbdUri]:
    """QEMU's storage daemon with the writable export `d` and the read-only one `r`."""
    disk = run_dir / "disk"
    with disk.open("wb") as file:
        file.truncate(SIZE)
    path = run_dir / "qsd"
    process = subprocess.Popen(
        [
            requires("qemu-storage-daemon"),
            "--blockdev", f"driver=file,node-name=file,filename={disk},discard=unmap",
            "--blockdev", "driver=raw,node-name=disk,file=file,discard=unmap",
            "--nbd-server", f"addr.type=unix,addr.path={path}",
            "--export", "type=nbd,id=d,node-name=disk,name=d,writable=on,allocation-depth=on",
            "--export", "type=nbd,id=r,node-name=disk,name=r,writable=off",
            "--pidfile", str(run_dir / "pid"),
        ]
    )  # fmt: skip
    try:
        yield NbdUri("d", socket=str(path))
    finally:
        process.kill()
        process.wait()


@asynccontextmanager
async def connected(uri: NbdUri, *contexts: str) -> AsyncIterator[NbdClient]:
    """Connect as soon as the daemon is ready."""
    async with asyncio.timeout(10):
        while True:
            try:
                client = await NbdClient.connect(uri, contexts=["base:allocation", *contexts])
            except NbdError:
                await asyncio.sleep(0.02)
            else:
                break
    async with client:
        yield client


def test_client_keeps_its_word_against_qemu(daemon: NbdUri) -> None:
    chance = random.Random(4)
    model = bytearray(SIZE)

    async def scenario() -> None:
        async with connected(daemon) as client:
            assert client.structured
            assert not client.info.read_only
            assert client.info.size == SIZE

            async def change(part: int, parts: int) -> None:
                """Keep to one stripe, so that no two writes overlap."""
                stripe = SIZE // parts
                for _ in range(40):
                    length = chance.randrange(1, 64 * 1024)
                    offset = part * stripe + chance.randrange(stripe - length)
                    if chance.random() < 0.7:
                        data = chance.randbytes(length)
                        await client.write(offset, data, fua=chance.random() < 0.05)
                        model[offset : offset + length] = data
                    else:
                        await client.write_zeroes(offset, length, punch=chance.random() < 0.5)
                        model[offset : offset + length] = bytes(length)
                    read = await client.read(offset, length)
                    assert read == model[offset : offset + length]

            await asyncio.gather(*(change(part, 16) for part in range(16)))
            await client.flush()
            assert await client.read(0, SIZE) == model

    asyncio.run(scenario())
    assert (Path(daemon.socket or "").parent / "disk").read_bytes() == model


def test_client_maps_what_was_written(daemon: NbdUri) -> None:
    async def scenario() -> None:
        async with connected(daemon, "qemu:allocation-depth") as client:
            assert set(client.contexts) == {"base:allocation", "qemu:allocation-depth"}
            await client.write(MIB, bytes(range(256)) * 256)
            await client.write(3 * MIB, b"x" * MIB)
            await client.trim(3 * MIB, MIB // 2)
            zero = [
                (offset, extent.length)
                for offset, extent in [item async for item in client.map()]
                if not extent.flags & STATUS_ZERO
            ]
            assert zero == [(MIB, 65536), (3 * MIB + MIB // 2, MIB // 2)]
            depths = [item async for item in client.map("qemu:allocation-depth")]
            assert sum(extent.length for _, extent in depths) == SIZE
            with pytest.raises(NbdError, match="does not offer nope:nope"):
                await client.block_status(0, 4096, "nope:nope")

    asyncio.run(scenario())


def test_client_tells_what_qemu_refuses(daemon: NbdUri) -> None:
    async def scenario() -> None:
        async with connected(daemon):
            assert [name for name, _ in await list_exports(daemon)] == ["d", "r"]
            async with await NbdClient.connect(NbdUri("r", socket=daemon.socket)) as client:
                assert client.info.read_only
                with pytest.raises(NbdRequestError):
                    await client.write(0, b"x")
                assert await client.read(0, 1) == b"\0"
            with pytest.raises(NbdError, match="not present"):
                await NbdClient.connect(NbdUri("nope", socket=daemon.socket))

    asyncio.run(scenario())


def test_client_notices_a_killed_daemon(daemon: NbdUri) -> None:
    async def scenario() -> None:
        async with connected(daemon) as client:
            pid = int((Path(daemon.socket or "").parent / "pid").read_text())
            writes = [asyncio.create_task(client.write(0, bytes(MIB))) for _ in range(50)]
            await asyncio.sleep(0)
            os.kill(pid, signal.SIGKILL)
            results = await asyncio.gather(*writes, return_exceptions=True)
            assert {type(result) for result in results} <= {type(None), NbdDisconnectedError}
            with pytest.raises(NbdDisconnectedError):
                await client.flush()

    asyncio.run(scenario())
