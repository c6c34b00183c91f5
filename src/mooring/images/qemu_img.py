"""`qemu-img`, which writes what an export holds into images of other formats."""

from __future__ import annotations

import asyncio
import contextlib
import re
from pathlib import Path

from mooring.images.image_file import Tell, untold
from mooring.model.errors import ConfigurationError, StoreError

_PERCENT = re.compile(rb"\(([0-9.]+)/100%\)")


async def convert(uri: str, image_format: str, part: Path, tell: Tell = untold) -> None:
    """Write an export into an image, then compare both.

    Raises ConfigurationError if there is no qemu-img, StoreError if it fails or they differ.
    """
    await _run("copy", tell, "convert", "-f", "raw", "-O", image_format, uri, str(part))
    await _run("compare", tell, "compare", "-f", "raw", "-F", image_format, uri, str(part))


async def _run(what: str, tell: Tell, command: str, *arguments: str) -> None:
    try:
        process = await asyncio.create_subprocess_exec(
            "qemu-img",
            command,
            "-p",
            *arguments,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
    except FileNotFoundError:
        raise ConfigurationError(
            "qemu-img is missing, which writes images: apt-get install qemu-utils"
        ) from None
    said = b""
    try:
        assert process.stdout is not None
        while piece := await process.stdout.read(4096):
            said = (said + piece)[-4096:]
            if percent := _PERCENT.findall(said):
                tell(what, float(percent[-1]) / 100)
        await process.wait()
    except BaseException:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        raise
    if process.returncode:
        words = _PERCENT.sub(b"", said).decode(errors="replace")
        last = words.replace("\r", "\n").strip().splitlines()[-1:]
        raise StoreError(
            f"qemu-img {command} failed: {''.join(last).strip() or process.returncode}; nothing "
            "was left"
        )
