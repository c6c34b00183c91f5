"""Several servers on one store: after each operation another may go on."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Sequence

from mooring.vault.store.memory import MemoryStore
from tests.vault.faults import InterruptedStore


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


class TurnStore(InterruptedStore):
    """One server's way to a store that it has in common with others."""

    def __init__(self, common: MemoryStore, turns: Turns) -> None:
        super().__init__(common, lambda *_: turns.take(self))
