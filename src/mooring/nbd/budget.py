"""A number of bytes that many tasks share."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress


class Budget:
    """Lets tasks hold at most `total` bytes together; first come, first served."""

    def __init__(self, total: int) -> None:
        self.total = total
        self._free = total
        self._queue: deque[tuple[int, asyncio.Future[None]]] = deque()

    @property
    def free(self) -> int:
        """Bytes that nobody holds."""
        return self._free

    @property
    def wanted(self) -> bool:
        """Whether somebody waits for bytes that others hold."""
        return bool(self._queue)

    @asynccontextmanager
    async def hold(self, size: int) -> AsyncIterator[None]:
        """Hold `size` bytes, or all there are if it is more than that."""
        size = min(size, self.total)
        await self._take(size)
        try:
            yield
        finally:
            self._give(size)

    async def _take(self, size: int) -> None:
        if not self._queue and size <= self._free:
            self._free -= size
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        entry = (size, turn)
        self._queue.append(entry)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._give(size)
            else:
                # Another's turn may have come since, and passed over this one.
                with suppress(ValueError):
                    self._queue.remove(entry)
                self._serve()
            raise

    def _give(self, size: int) -> None:
        self._free += size
        self._serve()

    def _serve(self) -> None:
        while self._queue:
            size, turn = self._queue[0]
            # A cancelled task hears of it only when it runs, its future has at once.
            if not turn.done():
                if size > self._free:
                    return
                self._free -= size
                turn.set_result(None)
            self._queue.popleft()


class Memory:
    """What all connections of a server may hold of data, in two halves.

    One half is for large reads, so that no number of those keeps a small one waiting.
    """

    def __init__(self, total: int, largest_small: int) -> None:
        self._largest_small = largest_small
        self._small, self._large = Budget(total - total // 2), Budget(total // 2)

    def of(self, size: int) -> Budget:
        """The half that a read of that size is held in."""
        return self._small if size <= self._largest_small else self._large

    @property
    def wanted(self) -> bool:
        """Whether somebody waits for bytes that others hold."""
        return self._small.wanted or self._large.wanted
