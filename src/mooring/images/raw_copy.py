"""Copies an image into a raw file, resumably; compares both."""

from __future__ import annotations

import os
from collections.abc import Callable

from mooring.images.compare import DiffersError, compare
from mooring.images.fill import fill
from mooring.images.image_file import ImagePart, Tell, untold
from mooring.images.pieces import STEPS, Steps, data_bytes, nothing
from mooring.model.errors import StoreError
from mooring.model.extents import Image


def copy(
    image: Image,
    part: ImagePart,
    facts: dict[str, object],
    tell: Tell = untold,
    steps: Steps = STEPS,
    give_up: Callable[[], None] = nothing,
) -> None:
    """Bring the image into the part, sparse, and compare; `facts` say which content it is.

    A part that an earlier copy with the same facts has left is continued. `give_up` is as of
    `fill`. Raises what the image raises, and StoreError if the file cannot be written or is not
    the same in the end.
    """
    facts = {**facts, "size": image.size}
    start = part.reached(facts)
    if not start:
        part.begin(image.size)
    total = max(data_bytes(image), 1)
    before = sum(
        max(0, min(extent.end, start) - extent.offset)
        for extent in image.extents()
        if not extent.zero
    )

    def copied(done: int) -> None:
        tell("copy", (before + done) / total)

    def reached(position: int, durable: bool) -> None:
        if durable:
            part.mark(facts, position)

    def compared(done: int) -> None:
        tell("compare", done / total)

    copied(0)
    try:
        fill(part.fd, image, copied, start=start, reached=reached, steps=steps, give_up=give_up)
        os.fdatasync(part.fd)
        compare(part.fd, image, compared, steps=steps, give_up=give_up)
    except DiffersError as error:
        # Taken over by the next try, it would be wrong again.
        part.discard()
        raise StoreError(
            f"{part.path} is not what was written there, near byte {error.offset}: it was "
            "removed; check the disk that it is on"
        ) from None
    except OSError as error:
        raise StoreError(f"{part.path} cannot be written: {error.strerror}") from error
