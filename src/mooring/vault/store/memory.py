"""A store in memory, for tests and demonstrations."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Sequence

from blake3 import blake3

from mooring.model.errors import (
    ObjectNotFoundError,
    StoreError,
    VaultAwayError,
    VaultReadOnlyError,
)
from mooring.model.extents import Buffer
from mooring.vault.store.interface import check_largest
from mooring.vault.store.names import check_name


class MemoryStore:
    """Objects in a dictionary. Closing it keeps them: a vault can be opened on it again."""

    description = "memory"

    def __init__(self, *, can_punch: bool = True) -> None:
        self.can_punch = can_punch
        self.objects: dict[str, bytes] = {}
        self.holes: dict[str, int] = {}
        self._lock = threading.Lock()
        self._held: tuple[str, bytes] | None = None
        self.read_only = False

    def hold_to(self, name: str, content: bytes) -> None:
        self._held = check_name(name), content

    def check(self, *, writes: bool = False) -> None:
        if self._held is not None:
            name, content = self._held
            if self.objects.get(name) != content:
                raise VaultAwayError(f"the vault {self.description} is away: put it back")
        if writes and self.read_only:
            raise VaultReadOnlyError(f"the vault {self.description} can only be read")

    def upload(self) -> MemoryUpload:
        return MemoryUpload(self)

    def put(self, name: str, data: Buffer, *, replace: bool = True) -> bool:
        check_name(name)
        self.check(writes=True)
        with self._lock:
            if not replace and name in self.objects:
                return False
            self.objects[name] = bytes(data)
            self.holes.pop(name, None)
            return True

    def get(self, name: str, offset: int = 0, length: int | None = None) -> bytes:
        data = self._find(name)
        if length is None:
            check_largest(len(data) - offset, name, self.description)
        return data[offset:] if length is None else data[offset : offset + length]

    def tail(self, name: str, length: int) -> tuple[bytes, int]:
        data = self._find(name)
        return data[max(0, len(data) - length) :], len(data)

    def names(self, prefix: str) -> Iterator[str]:
        with self._lock:
            found = [name for name in self.objects if name.startswith(prefix)]
        yield from found

    def begins(self, folder: str, name: str) -> bool:
        start = folder + name
        return any(one.startswith(start) and one != start for one in self.names(folder))

    def marked(self, prefix: str) -> Iterator[tuple[str, str]]:
        with self._lock:
            found = [(name, data) for name, data in self.objects.items() if name.startswith(prefix)]
        return ((name, blake3(data).hexdigest()) for name, data in found)

    def rename(self, old: str, new: str) -> None:
        check_name(new)
        self.check(writes=True)
        with self._lock:
            data = self._find(old)
            self.objects[new] = data
            del self.objects[old]

    def delete(self, name: str) -> None:
        self.check(writes=True)
        with self._lock:
            self.objects.pop(check_name(name), None)
            self.holes.pop(name, None)

    def barrier(self, names: Iterable[str]) -> None:
        for name in names:
            check_name(name)
        self.check()

    def allocated(self, name: str) -> int:
        return len(self._find(name)) - self.holes.get(name, 0)

    def punch(self, name: str, ranges: Sequence[tuple[int, int]]) -> None:
        self.check(writes=True)
        data = bytearray(self._find(name))
        for offset, length in ranges:
            data[offset : offset + length] = bytes(len(data[offset : offset + length]))
        with self._lock:
            if name in self.objects:
                self.objects[name] = bytes(data)
                self.holes[name] = sum(length for _, length in ranges)

    def sweep(self, before_ms: int) -> int:
        return 0

    def close(self) -> None:
        self._held = None

    def _find(self, name: str) -> bytes:
        try:
            return self.objects[check_name(name)]
        except KeyError:
            raise ObjectNotFoundError(f"{self.description} has no object {name}") from None


class MemoryUpload:
    """An object of a MemoryStore in the making."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store
        self._data: bytearray | None = bytearray()

    def write(self, data: Buffer) -> None:
        if self._data is None:
            raise StoreError("the upload is over")
        self._data += data

    def commit(self, name: str) -> None:
        if self._data is None:
            raise StoreError("the upload is over")
        data, self._data = self._data, None
        self._store.put(name, data)

    def abort(self) -> None:
        self._data = None
