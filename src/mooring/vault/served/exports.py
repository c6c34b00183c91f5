"""The snapshots of a vault as NBD exports, named by their ids."""

from __future__ import annotations

import asyncio
import re
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Executor
from contextlib import suppress
from functools import partial
from typing import TypeVar
from weakref import WeakSet

import structlog

from mooring.model.clock import Clock
from mooring.model.errors import (
    DamageError,
    MooringError,
    SnapshotNotInVaultError,
    StoreError,
    VaultError,
)
from mooring.model.extents import BLOCK_SIZE, Buffer
from mooring.nbd.export import Export
from mooring.nbd.image_export import ImageExport
from mooring.nbd.protocol import MAX_PAYLOAD, STATUS_ZERO, StatusExtent
from mooring.vault.reading.reader import SnapshotReader
from mooring.vault.served.grants import Grant, Grants
from mooring.vault.vault import Vault

T = TypeVar("T")

log = structlog.get_logger("mooring.vault")

PATIENCE_SECONDS = 5.0
"""How long a read waits for a vault that is slow or away.

Shorter than a storage daemon may take to answer: a freeze waits for the reads under way.
"""

RETRY_SECONDS = 0.1

LOOK_SECONDS = 0.5
"""How long a connection may not notice that its grant was withdrawn."""

RENEW_SECONDS = 10 * 60.0
RENEWALS = 4
"""How often a grant that ends when it is not used is renewed in that time."""

CHECKED_PIECE = 2 * 1024 * 1024
KEPT = 8 * 1024 * 1024
"""Bytes of one connection that were read for a status and may be wanted at once."""

_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class SnapshotExports:
    """Every completed snapshot of the vault."""

    def __init__(
        self,
        vault: Vault,
        executor: Executor,
        clock: Clock,
        grants: Grants,
        patience: float = PATIENCE_SECONDS,
    ) -> None:
        self._vault = vault
        self._executor = executor
        self._clock = clock
        self._grants = grants
        self._patience = patience
        # Weak, for a connection that broke while it began closes nothing.
        self._open: WeakSet[CheckedExport | GrantedExport] = WeakSet()

    @property
    def readers(self) -> int:
        """How many connections may read; one whose grant has ended may not, and never again."""
        return sum(one.may_read for one in self._open)

    def granted_only(self) -> GrantedExports:
        """The same, but only what somebody has been allowed to read, by the name of the grant."""
        return GrantedExports(self, self._grants, self._executor)

    async def names(self) -> Sequence[tuple[str, str]]:
        """None: whoever may use a snapshot knows its id."""
        return []

    async def open(self, name: str) -> Export | None:
        """Open a snapshot by its id or by a grant; None without one. Raises VaultError."""
        loop = asyncio.get_running_loop()
        grant = await loop.run_in_executor(self._executor, self._grants.find, name)
        if grant is None:
            if not _ID.fullmatch(name):
                return None
            reader = await loop.run_in_executor(self._executor, self._vault.open, name)
            return self._counted(CheckedExport(self._patient(name, reader)))
        # The snapshot may be deleted: what the grant promises is kept.
        open_claimed = partial(self._vault.open, grant.snapshot_id, claim=True)
        reader = await loop.run_in_executor(self._executor, open_claimed)
        inner = self._patient(grant.snapshot_id, reader)
        return self._counted(GrantedExport(inner, name, grant, self._grants, self._clock))

    def _counted(self, export: CheckedExport | GrantedExport) -> Export:
        self._open.add(export)
        return export

    def _patient(self, snapshot_id: str, reader: SnapshotReader) -> PatientExport:
        inner = ImageExport(reader, self._executor)
        return PatientExport(
            inner, self._vault, snapshot_id, self._executor, self._clock, self._patience
        )


class GrantedExports:
    """For clients that come from elsewhere."""

    def __init__(self, exports: SnapshotExports, grants: Grants, executor: Executor) -> None:
        self._exports = exports
        self._grants = grants
        self._executor = executor

    async def names(self) -> Sequence[tuple[str, str]]:
        return []

    async def open(self, name: str) -> Export | None:
        """Open by a grant; None without one. Raises VaultError."""
        loop = asyncio.get_running_loop()
        if await loop.run_in_executor(self._executor, self._grants.find, name) is None:
            return None
        return await self._exports.open(name)


class GrantedExport:
    """A snapshot for as long as its grant lasts."""

    def __init__(
        self, inner: PatientExport, name: str, grant: Grant, grants: Grants, clock: Clock
    ) -> None:
        self._inner = inner
        self._grant = grant
        self._clock = clock
        self._holds = partial(grants.holds, name)
        self._use = partial(grants.use, name)
        self._look_again = float("-inf")
        self._closed = False
        self._renewing = asyncio.get_running_loop().create_task(self._renew())

    @property
    def size(self) -> int:
        return self._inner.size

    async def read(self, offset: int, length: int) -> Buffer:
        """Raises VaultError when the time is over, or the grant withdrawn."""
        self._check()
        return await self._inner.read(offset, length)

    async def block_status(self, offset: int, length: int, most: int) -> Sequence[StatusExtent]:
        self._check()
        return await self._inner.block_status(offset, length, most)

    async def close(self) -> None:
        self._closed = True
        self._renewing.cancel()
        await self._inner.close()

    @property
    def may_read(self) -> bool:
        """Whether it is open, and its grant holds."""
        return not self._closed and not self._is_over() and self._holds()

    def _is_over(self) -> bool:
        return self._clock.now_ms() >= self._grant.expires_ms

    def _check(self) -> None:
        if self._is_over():
            raise VaultError(
                f"the export of snapshot {self._grant.snapshot_id} has expired: request a new one "
                "with `mooring export`"
            )
        if self._clock.monotonic() >= self._look_again:
            if not self._holds():
                raise VaultError(
                    f"the export of snapshot {self._grant.snapshot_id} was withdrawn: by "
                    "`mooringd grants`, or with the access key that requested it"
                )
            self._look_again = self._clock.monotonic() + LOOK_SECONDS

    async def _renew(self) -> None:
        """Read now and then, so that nothing expires that a client who is idle needs."""
        pause = RENEW_SECONDS
        if self._grant.idle_ms is not None:
            pause = min(pause, self._grant.idle_ms / 1000 / RENEWALS)
        while self.may_read:
            self._use()
            await asyncio.sleep(pause)
            try:
                with suppress(MooringError):  # whoever reads learns of it
                    await self._inner.read(0, BLOCK_SIZE)
            except Exception:
                # Or what an idle client reads could be collected below it.
                log.exception("an export could not be renewed", snapshot=self._grant.snapshot_id)


class CheckedExport:
    """A snapshot below a disk: no status is told of what cannot be read.

    QEMU's NBD server asks for the status of what a client wants to read, and reads then. When the
    reading fails it cuts the client off; when the status fails it tells the client, and goes on. So
    what is read is read when the status is asked for, and kept for the moment until it is wanted.
    """

    def __init__(self, inner: PatientExport) -> None:
        self._inner = inner
        self._kept: deque[tuple[int, Buffer]] = deque()
        self.may_read = True
        """Until it is closed."""

    @property
    def size(self) -> int:
        return self._inner.size

    async def read(self, offset: int, length: int) -> Buffer:
        """As of what is below."""
        for begin, data in self._kept:
            if begin <= offset and offset + length <= begin + len(data):
                return data[offset - begin : offset - begin + length]
        return await self._inner.read(offset, length)

    async def block_status(self, offset: int, length: int, most: int) -> Sequence[StatusExtent]:
        """Raises what `read` would; of more than one read, what can be told without."""
        found = await self._inner.block_status(offset, length, most)
        if length > MAX_PAYLOAD:
            return found
        at, end = offset, offset + length
        for extent in found:
            upto = min(at + extent.length, end)
            if not extent.flags & STATUS_ZERO:
                await self._check(at, upto)
            at = upto
        return found

    async def close(self) -> None:
        self.may_read = False
        self._kept.clear()
        await self._inner.close()

    async def _check(self, begin: int, end: int) -> None:
        for at in range(begin, end, CHECKED_PIECE):
            data = await self.read(at, min(CHECKED_PIECE, end - at))
            self._kept.append((at, data))
            while sum(len(data) for _, data in self._kept) > KEPT:
                self._kept.popleft()


class PatientExport:
    """A snapshot whose vault may be away for a while."""

    def __init__(
        self,
        inner: ImageExport,
        vault: Vault,
        snapshot_id: str,
        executor: Executor,
        clock: Clock,
        patience: float,
    ) -> None:
        self._inner = inner
        self._vault = vault
        self._snapshot_id = snapshot_id
        self._executor = executor
        self._clock = clock
        self._patience = patience

    @property
    def size(self) -> int:
        return self._inner.size

    async def read(self, offset: int, length: int) -> Buffer:
        """Raises DamageError at once if the blocks are damaged, VaultError when time runs out."""
        return await self._patiently(partial(self._inner.read, offset, length))

    async def block_status(self, offset: int, length: int, most: int) -> Sequence[StatusExtent]:
        """As of a read: what is a hole is in the vault as well."""
        return await self._patiently(partial(self._inner.block_status, offset, length, most))

    async def close(self) -> None:
        await self._inner.close()

    async def _patiently(self, call: Callable[[], Awaitable[T]]) -> T:
        deadline = self._clock.monotonic() + self._patience
        try:
            async with asyncio.timeout(self._patience):
                while True:
                    try:
                        return await call()
                    except DamageError:
                        # An object that is missing is damage, but not if all are missing.
                        if await self._has_root():
                            raise
                        if self._clock.monotonic() + RETRY_SECONDS > deadline:
                            raise
                    except (StoreError, SnapshotNotInVaultError):
                        # Nobody deletes a snapshot that is read from, so the vault is away.
                        if self._clock.monotonic() + RETRY_SECONDS > deadline:
                            raise
                    await asyncio.sleep(RETRY_SECONDS)
        except TimeoutError:
            raise VaultError(
                f"snapshot {self._snapshot_id} could not be read within {self._patience:g} s: "
                "the vault is slow or away"
            ) from None

    async def _has_root(self) -> bool:
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._executor, self._vault.has, self._snapshot_id)
        except MooringError:
            return False
