"""A store round another one, which passes on what a subclass does not change."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from mooring.model.extents import Buffer
from mooring.vault.store.interface import Store, Upload


class StoreWrapper:
    """Passes every call on to `inner`."""

    def __init__(self, inner: Store) -> None:
        self.inner = inner

    @property
    def description(self) -> str:
        return self.inner.description

    @property
    def can_punch(self) -> bool:
        return self.inner.can_punch

    def hold_to(self, name: str, content: bytes) -> None:
        self.inner.hold_to(name, content)

    def check(self, *, writes: bool = False) -> None:
        self.inner.check(writes=writes)

    def upload(self) -> Upload:
        return self.inner.upload()

    def put(self, name: str, data: Buffer, *, replace: bool = True) -> bool:
        return self.inner.put(name, data, replace=replace)

    def get(self, name: str, offset: int = 0, length: int | None = None) -> bytes:
        return self.inner.get(name, offset, length)

    def tail(self, name: str, length: int) -> tuple[bytes, int]:
        return self.inner.tail(name, length)

    def names(self, prefix: str) -> Iterator[str]:
        return self.inner.names(prefix)

    def begins(self, folder: str, name: str) -> bool:
        return self.inner.begins(folder, name)

    def marked(self, prefix: str) -> Iterator[tuple[str, str]]:
        return self.inner.marked(prefix)

    def rename(self, old: str, new: str) -> None:
        self.inner.rename(old, new)

    def delete(self, name: str) -> None:
        self.inner.delete(name)

    def barrier(self, names: Iterable[str]) -> None:
        self.inner.barrier(names)

    def allocated(self, name: str) -> int:
        return self.inner.allocated(name)

    def punch(self, name: str, ranges: Sequence[tuple[int, int]]) -> None:
        self.inner.punch(name, ranges)

    def sweep(self, before_ms: int) -> int:
        return self.inner.sweep(before_ms)

    def close(self) -> None:
        self.inner.close()


class UploadWrapper:
    """Passes every call on to the upload of another store."""

    def __init__(self, inner: Upload) -> None:
        self.inner = inner

    def write(self, data: Buffer) -> None:
        self.inner.write(data)

    def commit(self, name: str) -> None:
        self.inner.commit(name)

    def abort(self) -> None:
        self.inner.abort()
