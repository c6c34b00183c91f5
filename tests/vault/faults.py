"""Stores that crash, and forget what was not made durable."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterable, Sequence

from mooring.model.extents import Buffer
from mooring.vault.store.directory import DirectoryStore
from mooring.vault.store.memory import MemoryStore, MemoryUpload


class WithoutHoles(DirectoryStore):
    """On a file system that makes no holes in files."""

    @property
    def can_punch(self) -> bool:
        return False

    def punch(self, name: str, ranges: Sequence[tuple[int, int]]) -> None:
        raise AssertionError("nobody may ask for that")


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
