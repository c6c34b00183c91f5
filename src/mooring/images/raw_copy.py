"""Copies an export into a raw file, resumably; compares both."""

from __future__ import annotations

import os

from mooring.images.compare import DiffersError, compare
from mooring.images.export_image import ExportImage
from mooring.images.fill import fill
from mooring.images.image_file import ImagePart, Tell, untold
from mooring.images.pieces import STEPS, Steps
from mooring.model.errors import StoreError


def copy(
    uri: str,
    part: ImagePart,
    facts: dict[str, object],
    tell: Tell = untold,
    steps: Steps = STEPS,
) -> None:
    """Bring the export into the part, sparse, and compare; `facts` say which content it is.

    A part that an earlier copy with the same facts has left is continued. Raises NbdError,
    StoreError if the file cannot be written or is not the same in the end.
    """
    with ExportImage(uri) as image:
        facts = {**facts, "size": image.size}
        start = part.reached(facts)
        if not start:
            part.begin(image.size)
        try:
            _fill(part, image, facts, start, tell, steps)
            _compare(part, image, tell, steps)
        except OSError as error:
            raise StoreError(f"{part.path} cannot be written: {error.strerror}") from error


def _fill(
    part: ImagePart,
    image: ExportImage,
    facts: dict[str, object],
    start: int,
    tell: Tell,
    steps: Steps,
) -> None:
    total = max(image.data_bytes(), 1)
    before = sum(max(0, min(extent.end, start) - extent.offset) for extent in image.extents())

    def progress(done: int) -> None:
        tell("copy", (before + done) / total)

    def reached(position: int, durable: bool) -> None:
        if durable:
            part.mark(facts, position)

    progress(0)
    fill(
        part.fd,
        image,
        progress,
        start=start,
        reached=reached,
        steps=steps,
        give_up=image.close,
    )
    os.fdatasync(part.fd)


def _compare(part: ImagePart, image: ExportImage, tell: Tell, steps: Steps) -> None:
    total = max(image.data_bytes(), 1)

    def progress(done: int) -> None:
        tell("compare", done / total)

    try:
        compare(part.fd, image, progress, steps=steps, give_up=image.close)
    except DiffersError as error:
        # Taken over by the next try, it would be wrong again.
        part.discard()
        raise StoreError(
            f"{part.path} is not what was written there, near byte {error.offset}: it was "
            "removed; check the disk that it is on"
        ) from None
