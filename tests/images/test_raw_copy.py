"""Exports copied into raw files: sparse, continued where they were interrupted, compared."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from mooring.images import raw_copy
from mooring.images.export_image import ExportImage
from mooring.images.image_file import ImagePart, Tell
from mooring.images.pieces import STEPS, Steps
from mooring.model.errors import ConfigurationError, MooringError, NbdError, StoreError
from mooring.nbd.uri import NbdUri
from tests.nbd.exports import SparseImage, serving

MIB = 1024 * 1024
FACTS: dict[str, object] = {"snapshot": "s"}


def copy(
    run_dir: Path,
    image: SparseImage,
    part: ImagePart,
    steps: Steps = STEPS,
    copied: Callable[[], object] = lambda: None,
) -> list[tuple[str, float]]:
    """What was told; `copied` is called between copying and comparing."""
    told: list[tuple[str, float]] = []

    def tell(what: str, done: float) -> None:
        told.append((what, done))
        if (what, done) == ("copy", 1.0):
            copied()

    async def scenario() -> None:
        async with serving(run_dir / "nbd", {"d": image}):
            uri = str(NbdUri("d", socket=str(run_dir / "nbd")))
            await asyncio.to_thread(copy_export, uri, part, tell, steps)

    asyncio.run(scenario())
    return told


def copy_export(uri: str, part: ImagePart, tell: Tell, steps: Steps) -> None:
    with closing(ExportImage(uri)) as image:
        raw_copy.copy(image, part, FACTS, tell, steps, give_up=image.close)


def spoil(path: Path, place: int) -> None:
    with path.open("rb+") as file:
        file.seek(place)
        file.write(b"x")


def test_copy_is_the_same_and_sparse(run_dir: Path, tmp_path: Path) -> None:
    image = SparseImage(32 * MIB, filled=0.02)
    with ImagePart(tmp_path / "image") as part:
        told = copy(run_dir, image, part)
        part.finish()

    file = tmp_path / "image"
    assert file.read_bytes() == image.content
    assert file.stat().st_blocks * 512 < 16 * MIB
    assert file.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["image"]
    assert told[0] == ("copy", 0.0)
    assert ("copy", 1.0) in told
    assert told[-1] == ("compare", 1.0)
    assert [done for what, done in told if what == "copy"] == sorted(
        done for what, done in told if what == "copy"
    )


def test_interrupted_copy_goes_on(run_dir: Path, tmp_path: Path) -> None:
    small = Steps(piece=64 * 1024, flush=MIB)
    image = SparseImage(16 * MIB, filled=1.0)
    image.fail_at = 12 * MIB
    with ImagePart(tmp_path / "image") as part, pytest.raises(NbdError, match="worn out"):
        copy(run_dir, image, part, small)
    assert not (tmp_path / "image").exists()

    image.fail_at = None
    with ImagePart(tmp_path / "image") as part:
        assert part.found
        reached = part.reached({**FACTS, "size": image.size})
        assert 10 * MIB <= reached <= 12 * MIB
        assert part.reached({"snapshot": "another", "size": image.size}) == 0
        told = copy(run_dir, image, part, small)
        part.finish()
    assert told[0] == ("copy", reached / image.size)
    assert (tmp_path / "image").read_bytes() == image.content


def test_copy_is_given_up_although_the_server_hangs(run_dir: Path, tmp_path: Path) -> None:
    image = SparseImage(16 * MIB, filled=1.0)
    read, hangs, over = image.read, threading.Event(), threading.Event()

    def hanging(offset: int, length: int) -> bytes:
        if offset >= 2 * MIB:
            hangs.set()
            assert over.wait(60)
        return read(offset, length)

    def interrupt(what: str, done: float) -> None:
        if done:
            assert hangs.wait(60)
            raise KeyboardInterrupt

    async def scenario(part: ImagePart) -> None:
        async with serving(run_dir / "nbd", {"d": image}):
            uri = str(NbdUri("d", socket=str(run_dir / "nbd")))
            try:
                await asyncio.to_thread(stopped, uri, part)
            finally:
                over.set()

    def stopped(uri: str, part: ImagePart) -> None:
        with pytest.raises(KeyboardInterrupt):
            copy_export(uri, part, interrupt, Steps(piece=MIB))
        assert not over.is_set()

    image.read = hanging  # type: ignore[method-assign]
    with ImagePart(tmp_path / "image") as part:
        asyncio.run(scenario(part))


def test_part_of_another_snapshot_begins_anew(run_dir: Path, tmp_path: Path) -> None:
    image, other = SparseImage(8 * MIB, seed=1), SparseImage(8 * MIB, seed=2)
    with ImagePart(tmp_path / "image") as part:
        part.begin(other.size)
        os.pwrite(part.fd, other.content, 0)
        part.mark({"snapshot": "other", "size": other.size}, other.size)
    with ImagePart(tmp_path / "image") as part:
        copy(run_dir, image, part, Steps(flush=MIB))
        part.finish()
    assert (tmp_path / "image").read_bytes() == image.content


@pytest.mark.parametrize("hole", [False, True])
def test_what_was_changed_on_the_way_is_noticed(hole: bool, run_dir: Path, tmp_path: Path) -> None:
    image = SparseImage(8 * MIB)
    place = next(
        at for at in range(0, image.size, 4096) if any(image.content[at : at + 4096]) != hole
    )
    with ImagePart(tmp_path / "image") as part, pytest.raises(StoreError, match="is not what was"):
        copy(run_dir, image, part, copied=lambda: spoil(part.path, place + 7))
    assert not list(tmp_path.iterdir())


def test_nothing_is_overwritten(run_dir: Path, tmp_path: Path) -> None:
    image = SparseImage(MIB)
    with ImagePart(tmp_path / "image") as part:
        copy(run_dir, image, part)
        (tmp_path / "image").write_text("precious")
        with pytest.raises(ConfigurationError, match="exists and was left as it is"):
            part.finish()
    with pytest.raises(ConfigurationError, match="exists and was left as it is"):
        ImagePart(tmp_path / "image")
    assert (tmp_path / "image").read_text() == "precious"


def test_two_at_once(tmp_path: Path) -> None:
    with (
        ImagePart(tmp_path / "image"),
        pytest.raises(ConfigurationError, match="written by another process"),
    ):
        ImagePart(tmp_path / "image")
    ImagePart(tmp_path / "image").close()


def test_part_that_is_no_file(tmp_path: Path) -> None:
    (tmp_path / "image.part").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(MooringError, match="cannot be written"):
        ImagePart(tmp_path / "image")
    assert not (tmp_path / "elsewhere").exists()
