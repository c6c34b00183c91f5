"""Who uses a block device: its mounts in any namespace, its openers."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mooring.model.errors import HostError

_BLOCK = Path("/sys/class/block")


@dataclass(frozen=True, slots=True)
class Mount:
    """A mounted file system: where it is for people, and how this process gets there."""

    device: str
    shown: str
    reached: str


def family(device: str) -> list[str]:
    """Names below /dev of the device, its partitions, and what is stacked on any of them."""
    found = [Path(os.path.realpath(device)).name]
    for name in found:
        folder = _BLOCK / name
        parts = sorted(path.parent.name for path in folder.glob(f"{name}*/partition"))
        holders = sorted(path.name for path in folder.glob("holders/*"))
        found += [other for other in (*parts, *holders) if other not in found]
    return found


def mounts_of(device: str) -> list[Mount]:
    """The file systems on the device, each once, in the order of their mounting.

    Those of other mount name spaces, such as containers', are found as well. Raises HostError
    if there is no such device.
    """
    numbers: dict[str, str] = {}
    sources: dict[str, str] = {}
    for name in family(device):
        try:
            numbers[(_BLOCK / name / "dev").read_text().strip()] = name
        except OSError as error:
            raise HostError(f"there is no block device {device}: {error.strerror}") from error
        sources[f"/dev/{name}"] = name
    found: dict[str, Mount] = {}
    for root, lines in _mount_tables():
        for line in lines:
            fields = line.split(" ")
            number, point = fields[2], unescape(fields[4])
            source = unescape(fields[fields.index("-") + 2])
            # btrfs and the like have numbers of their own, and only name the device.
            name = numbers.get(number) or sources.get(source) or ""
            if name and number not in found:
                found[number] = Mount(f"/dev/{name}", point, f"{root}{point}")
    return list(found.values())


def is_claimed(device: str) -> bool:
    """Whether the device is mounted, or held by something like a mount. Raises HostError."""
    try:
        os.close(os.open(device, os.O_RDONLY | os.O_EXCL))
    except OSError as error:
        if error.errno == errno.EBUSY:
            return True
        raise HostError(f"{device} cannot be opened: {error.strerror}") from error
    return False


def users_of(device: str) -> str:
    """Says for people who uses the device; empty if nobody that can be seen does."""
    mounts = mounts_of(device)
    if mounts:
        return "mounted at " + ", ".join(mount.shown for mount in mounts)
    stacked = family(device)[1:]
    if is_claimed(device):
        return f"claimed by {', '.join(stacked) or 'the kernel (swap?)'}"
    pids = _openers(device)
    return f"open in process {', '.join(pids)}" if pids else ""


def _mount_tables() -> Iterator[tuple[str, list[str]]]:
    """The mounts of each name space, this one first, with the path to its root."""
    seen = {_name_space("self")}
    yield "", Path("/proc/self/mountinfo").read_text(errors="surrogateescape").splitlines()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            space = _name_space(folder.name)
            if space in seen:
                continue
            table = (folder / "mountinfo").read_text(errors="surrogateescape")
        except OSError:
            continue  # it has ended, or is not ours to look at
        seen.add(space)
        yield f"/proc/{folder.name}/root", table.splitlines()


def _name_space(pid: str) -> str:
    return str(Path(f"/proc/{pid}/ns/mnt").readlink())


def _openers(device: str) -> list[str]:
    numbers = {Path(f"/dev/{name}").stat().st_rdev for name in family(device)}
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            links = list((folder / "fd").iterdir())
        except OSError:
            continue
        for link in links:
            try:
                opened = str(link.readlink()).startswith("/dev/") and link.stat().st_rdev in numbers
            except OSError:
                continue
            if opened:
                found.append(folder.name)
                break
    return found


def unescape(text: str) -> str:
    """A path as it is, from a table of mounts."""
    for code, character in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        text = text.replace(code, character)
    return text
