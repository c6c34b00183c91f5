"""Writes a snapshot into an image file, with progress."""

from __future__ import annotations

import asyncio
import os
import sys
from contextlib import closing
from pathlib import Path

from mooring.cli.progress import Progress, size
from mooring.images import qemu_img, raw_copy
from mooring.images.export_image import ExportImage
from mooring.images.image_file import FORMATS, ImagePart, format_of
from mooring.model.clock import SystemClock
from mooring.model.errors import CommandError, ConfigurationError, MooringError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from typing import Any


def write(
    granted: AbstractContextManager[Any], snapshot: str, image_format: str | None, output: str
) -> int:
    """Bring a snapshot into the new file `output`; the server serves it within `granted`.

    Without a format, that of the file's name. Raises CommandError. An interrupted raw image is
    left for the next call to continue.
    """
    path = Path(output)
    if image_format is None:
        try:
            image_format = format_of(path)
        except ConfigurationError as error:
            raise CommandError(str(error), "usage") from None
    if image_format not in FORMATS:
        raise CommandError(
            f"Mooring does not write {image_format!r}: choose one of {', '.join(FORMATS)}.", "usage"
        )
    try:
        with ImagePart(path) as part:
            try:
                with granted as answer:
                    _write_part(part, answer, image_format)
                part.finish()
            except BaseException:
                # Of a raw image, what there is can be continued.
                if image_format != "raw" or not os.fstat(part.fd).st_size:
                    part.discard()
                raise
    except CommandError:
        raise
    except MooringError as error:
        raise CommandError(str(error)) from error
    name, on_disk = answer.get("diskSnapshotName", snapshot), size(path.stat().st_blocks * 512)
    sys.stdout.write(
        f"{name} is in {output}: {image_format}, {size(answer['sizeInBytes'])}, {on_disk} on "
        "disk, compared with the snapshot\n"
    )
    return 0


def _write_part(part: ImagePart, answer: Any, image_format: str) -> None:
    """Bring the snapshot into the part; `answer` is what the server said about it."""
    facts: dict[str, object] = {"snapshot": answer["id"]}
    total = int(answer["sizeInBytes"])
    _say_what_is_left(part, image_format, part.reached({**facts, "size": total}))
    teller = _Teller(part.output.name)
    try:
        if image_format == "raw":
            with closing(ExportImage(answer["uri"])) as image:
                raw_copy.copy(image, part, facts, teller.tell, give_up=image.close)
        else:
            part.begin()
            asyncio.run(qemu_img.convert(answer["uri"], image_format, part.path, teller.tell))
    finally:
        teller.clear()


class _Teller:
    """A bar for the copying, then another for the comparison."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._what = ""
        self._bar: Progress | None = None

    def tell(self, what: str, fraction: float) -> None:
        if self._bar is None or what != self._what:
            self.clear()
            self._what = what
            title = self._name if what == "copy" else f"comparing {self._name}"
            self._bar = Progress(title, SystemClock())
        self._bar.show(fraction, None)

    def clear(self) -> None:
        if self._bar is not None:
            self._bar.clear()


def _say_what_is_left(part: ImagePart, image_format: str, reached: int) -> None:
    if not part.found:
        return
    if image_format == "raw" and reached:
        text = f"resumes at {size(reached)}, where an earlier attempt was interrupted"
    else:
        text = "starts over: what an earlier attempt left cannot be resumed"
    sys.stderr.write(f"{part.path} {text}.\n")
