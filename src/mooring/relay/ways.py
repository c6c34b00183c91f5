"""Which instances' disks may be reached over the network: one file for each."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from mooring.files import WRITING, write_whole

FOLDER = "ways"


@dataclass(frozen=True, slots=True)
class Way:
    """The way to an instance's disks: the socket of its daemon.

    `shared` are the names of disks that several machines may use at once.
    """

    region: str
    instance: str
    instance_id: str
    socket: str
    shared: Sequence[str] = ()

    def export(self, disk: str) -> str:
        """The name under which clients on other hosts ask for a disk."""
        return f"{self.region}/{self.instance}/{disk}"

    def serves(self, names: Sequence[str]) -> bool:
        """Whether a certificate with these names may use the instance's disks."""
        return self.instance in names or f"{self.instance}.{self.region}" in names


class Ways:
    """The files, by region and instance. They are there also when no server runs."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / FOLDER

    def find(self, region: str, instance: str) -> Way | None:
        """The way to an instance, if there is one. The names may be anybody's."""
        if not _is_name(region) or not _is_name(instance):
            return None
        return _read(self._folder / region / instance)

    def all(self) -> Iterator[Way]:
        """All ways there are."""
        for path in sorted(self._folder.glob("*/*")):
            if path.name.endswith(WRITING):
                continue
            if (way := _read(path)) is not None:
                yield way

    def open(self, way: Way) -> None:
        """Let there be this way, instead of one to an instance that had the name before."""
        path = self._folder / way.region / way.instance
        if _read(path) != way:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_whole(path, json.dumps(asdict(way)), durable=False)

    def close(self, region: str, instance: str) -> None:
        """Let there be no way to the instance: whoever uses one is cut off within seconds."""
        if _is_name(region) and _is_name(instance):
            (self._folder / region / instance).unlink(missing_ok=True)


def parse_export(name: str) -> tuple[str, str, str] | None:
    """Region, instance and disk in the name that a client asks for."""
    parts = name.split("/", 2)
    return (parts[0], parts[1], parts[2]) if len(parts) == 3 and all(parts) else None


def _is_name(text: str) -> bool:
    return bool(text) and text[0] != "." and "/" not in text and "\0" not in text


def _read(path: Path) -> Way | None:
    with contextlib.suppress(OSError, ValueError, TypeError):
        told = json.loads(path.read_text(encoding="utf-8"))
        return Way(**{**told, "shared": tuple(told["shared"])})
    return None
