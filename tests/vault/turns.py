"""Several servers on one store: after each operation another may go on."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence

from mooring.model.extents import Buffer
from mooring.vault.store.memory import MemoryStore, MemoryUpload


class Turns:
    """Lets the threads of one store go on for a few operations, then those of another."""

    def __init__(self, rng: random.Random, longest: int) -> None:
        self._rng = rng
        self._longest = longest
        self._changed = threading.Condition()
        self._playing: list[object] = []
        self._turn: object = None
        self._left = 0

    def take(self, store: object) -> None:
        """Wait for the store's turn; to be called before each of its operations."""
        with self._changed:
            while store in self._playing and self._turn is not store:
                assert self._changed.wait(60)
            self._left -= 1
            if self._left < 0:
                self._choose()

    def play(self, games: Sequence[tuple[TurnStore, Callable[[], object]]]) -> None:
        """Run all at once, each on its store; raise what any of them raised."""
        problems: list[BaseException] = []

        def run(store: object, work: Callable[[], object]) -> None:
            try:
                work()
            except BaseException as error:  # noqa: BLE001 - raised below
                problems.append(error)
            with self._changed:
                self._playing.remove(store)
                self._choose()

        self._playing = [store for store, _ in games]
        threads = [threading.Thread(target=run, args=game) for game in games]
        with self._changed:
            self._choose()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if problems:
            raise problems[0]

    def _choose(self) -> None:
        if self._playing:
            self._turn = self._rng.choice(self._playing)
            self._left = self._rng.randint(0, self._longest)
        self._changed.notify_all()


class TurnStore(MemoryStore):
    """One server's way to the objects of a store that it has in common with others."""

    def __init__(self, common: MemoryStore, turns: Turns) -> None:
        super().__init__(can_punch=common.can_punch)
        self.objects = common.objects
        self.holes = common.holes
        self._lock = common._lock
        self._turns = turns

    def upload(self) -> MemoryUpload:
        self._turns.take(self)
        return super().upload()

    def put(self, name: str, data: Buffer, *, replace: bool = True) -> bool:
        self._turns.take(self)
        return super().put(name, data, replace=replace)

    def get(self, name: str, offset: int = 0, length: int | None = None) -> bytes:
        self._turns.take(self)
        return super().get(name, offset, length)

    def tail(self, name: str, length: int) -> tuple[bytes, int]:
        self._turns.take(self)
        return super().tail(name, length)

    def names(self, prefix: str) -> Iterator[str]:
        self._turns.take(self)
        yield from list(super().names(prefix))

    def rename(self, old: str, new: str) -> None:
        self._turns.take(self)
        super().rename(old, new)

    def delete(self, name: str) -> None:
        self._turns.take(self)
        super().delete(name)

    def barrier(self, names: Iterable[str]) -> None:
        chosen = list(names)
        self._turns.take(self)
        super().barrier(chosen)

    def punch(self, name: str, ranges: Sequence[tuple[int, int]]) -> None:
        self._turns.take(self)
        super().punch(name, ranges)
