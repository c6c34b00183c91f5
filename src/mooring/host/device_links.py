"""Names for block devices that stay: /dev/mooring/<disk>, links to whatever device it is now."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

FOLDER = Path("/dev/mooring")


class DeviceLinks:
    """A folder of links. It is for people and fstab: what cannot be linked works without."""

    def __init__(self, folder: Path = FOLDER) -> None:
        self._folder = folder

    def put(self, name: str, device: str) -> None:
        """Let the name lead to the device, unless it leads to another one that is there.

        The first disk of a name, of any region or server, has the link.
        """
        if not name or name.startswith(".") or "/" in name:
            return
        link = self._folder / name
        with contextlib.suppress(OSError):
            if link.is_symlink():
                target = os.readlink(link)  # noqa: PTH115 - as it is written
                if target == device or _is_bound(target):
                    return
            elif link.exists():
                return
            self._folder.mkdir(mode=0o755, exist_ok=True)
            new = self._folder / f".{name}.new"
            new.unlink(missing_ok=True)
            new.symlink_to(device)
            new.rename(link)

    def remove(self, device: str) -> None:
        """Remove what leads to the device, which is about to go."""
        with contextlib.suppress(OSError):
            for link in list(self._folder.iterdir()):
                if link.is_symlink() and os.readlink(link) == device:  # noqa: PTH115
                    link.unlink()
            self._folder.rmdir()


def _is_bound(device: str) -> bool:
    """Whether the loop device has a file: one that has none serves no disk."""
    return Path("/sys/block", Path(device).name, "loop/backing_file").exists()
