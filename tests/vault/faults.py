"""Stores that fail, are interrupted, crash, and forget what was not made durable."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence

from mooring.model.extents import Buffer
from mooring.vault.store.directory import DirectoryStore
from mooring.vault.store.interface import Store, Upload
from mooring.vault.store.memory import MemoryStore, MemoryUpload
from mooring.vault.store.wrapper import StoreWrapper, UploadWrapper


class WithoutHoles(DirectoryStore):
    """On a file system that makes no holes in files."""

    @property
    def can_punch(self) -> bool:
        return False

    def punch(self, name: str, ranges: Sequence[tuple[int, int]]) -> None:
        raise AssertionError("nobody may ask for that")


Before = Callable[[str, str], object]
"""Called with an operation and the name that it is about; what it raises, the operation raises."""


class InterruptedStore(StoreWrapper):
    """Lets something happen before each operation; to give an uploaded object its name is `put`."""

    def __init__(self, inner: Store, before: Before) -> None:
        super().__init__(inner)
        self.before = before

    def upload(self) -> Upload:
        self.before("upload", "")
        return _InterruptedUpload(self.inner.upload(), self)

    def put(self, name: str, data: Buffer, *, replace: bool = True) -> bool:
        self.before("put", name)
        return super().put(name, data, replace=replace)

    def get(self, name: str, offset: int = 0, length: int | None = None) -> bytes:
        self.before("get", name)
        return super().get(name, offset, length)

    def tail(self, name: str, length: int) -> tuple[bytes, int]:
        self.before("tail", name)
        return super().tail(name, length)

    def names(self, prefix: str) -> Iterator[str]:
        self.before("names", prefix)
        yield from list(super().names(prefix))

    def begins(self, folder: str, name: str) -> bool:
        self.before("names", folder)
        return super().begins(folder, name)

    def marked(self, prefix: str) -> Iterator[tuple[str, str]]:
        self.before("names", prefix)
        yield from list(super().marked(prefix))

    def rename(self, old: str, new: str) -> None:
        self.before("rename", old)
        super().rename(old, new)

    def delete(self, name: str) -> None:
        self.before("delete", name)
        super().delete(name)

    def barrier(self, names: Iterable[str]) -> None:
        chosen = list(names)
        self.before("barrier", "")
        super().barrier(chosen)

    def punch(self, name: str, ranges: Sequence[tuple[int, int]]) -> None:
        self.before("punch", name)
        super().punch(name, ranges)


class _InterruptedUpload(UploadWrapper):
    def __init__(self, inner: Upload, store: InterruptedStore) -> None:
        super().__init__(inner)
        self._store = store

    def commit(self, name: str) -> None:
        self._store.before("put", name)
        super().commit(name)


def once(wanted: Callable[[str, str], bool], act: Callable[[], object]) -> Before:
    """Does that before the first operation that is wanted."""
    waiting = [act]

    def before(operation: str, name: str) -> None:
        if waiting and wanted(operation, name):
            waiting.pop()()

    return before


class Crash(BaseException):
    """The process is gone; nothing catches that."""


class CrashingStore(MemoryStore):
    """Crashes at the given operation that changes something, and at each one after it."""

    def __init__(self, crash_at: int | None = None) -> None:
        super().__init__()
        self.crash_at = crash_at
        self.operations = 0
        self._undurable: dict[str, bytes | None] = {}
        self._counting = threading.Lock()

    def upload(self) -> CrashingUpload:
        self._count()
        return CrashingUpload(self)

    def put(self, name: str, data: Buffer, *, replace: bool = True) -> bool:
        self._count()
        self.remember(name)
        return super().put(name, data, replace=replace)

    def rename(self, old: str, new: str) -> None:
        self._count()
        self.remember(old)
        self.remember(new)
        super().rename(old, new)

    def delete(self, name: str) -> None:
        self._count()
        self.remember(name)
        super().delete(name)

    def barrier(self, names: Iterable[str]) -> None:
        chosen = list(names)
        self._count()
        with self._counting:
            for name in chosen:
                self._undurable.pop(name, None)

    def punch(self, name: str, ranges: Sequence[tuple[int, int]]) -> None:
        self._count()
        super().punch(name, ranges)

    def remember(self, name: str) -> None:
        """What the object was when it was last durable."""
        with self._counting:
            self._undurable.setdefault(name, self.objects.get(name))

    def after_power_cut(self, rng: random.Random) -> CrashingStore:
        """What is found afterwards: of each change not made durable either the old or the new."""
        other = CrashingStore()
        other.can_punch = self.can_punch
        other.objects = dict(self.objects)
        for name, old in self._undurable.items():
            if rng.random() < 0.5:
                if old is None:
                    other.objects.pop(name, None)
                else:
                    other.objects[name] = old
        return other

    def _count(self) -> None:
        with self._counting:
            if self.crash_at is not None and self.operations >= self.crash_at:
                raise Crash
            self.operations += 1


class CrashingUpload(MemoryUpload):
    """Counts its operations with those of its store."""

    def __init__(self, store: CrashingStore) -> None:
        super().__init__(store)
        self._crashing = store

    def write(self, data: Buffer) -> None:
        self._crashing._count()
        super().write(data)
