"""The vaults of regions: opened when present, found again when they return."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING

from mooring.model.errors import MooringError, StoreError

if TYPE_CHECKING:
    from mooring.vault.vault import Vault


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """How long who waits for whom when vaults are looked at."""

    patience_seconds: float = 2.0
    """How long somebody who asks whether a vault is there waits for a mount that hangs."""

    idle_seconds: float = 5.0
    """How long a thread that looks waits for more to do: a new one costs more than a look."""


WAITING = Waiting()


class RegionVaults(Mapping[str, "Vault"]):
    """The vaults by region. A region is always among the keys, whether its vault is there or not.

    `[region]` raises VaultAwayError, or whatever else keeps the vault from being opened, as long
    as that lasts; a vault that has come back, or another that is accepted now, is opened again.
    """

    def __init__(
        self, openers: Mapping[str, Callable[[], Vault]], waiting: Waiting = WAITING
    ) -> None:
        """`openers` raise StoreError while a vault is away, other errors for what is wrong."""
        self._openers = dict(openers)
        self.waiting = waiting
        self._vaults: dict[str, Vault] = {}
        self._locks = {region: threading.Lock() for region in openers}
        self._lookers = {region: _Looker(self, region) for region in openers}

    def __getitem__(self, region: str) -> Vault:
        with self._locks[region]:
            vault = self._vaults.get(region)
            if vault is None:
                vault = self._vaults[region] = self._openers[region]()
            return vault

    def __contains__(self, region: object) -> bool:
        return region in self._openers

    def __iter__(self) -> Iterator[str]:
        return iter(tuple(self._openers))

    def __len__(self) -> int:
        return len(self._openers)

    def add(self, region: str, opener: Callable[[], Vault]) -> None:
        """Have the vault of another region, too."""
        self._locks[region] = threading.Lock()
        self._lookers[region] = _Looker(self, region)
        self._openers[region] = opener

    def there(self, region: str, *, writes: bool = False) -> Vault:
        """The vault as it is now; with `writes` one that may be written to.

        Raises VaultAwayError, or whatever else keeps it from being used.
        """
        vault = self[region]
        try:
            vault.check()
        except StoreError:
            # Perhaps another one is right now.
            opened = self._openers[region]()
            with self._locks[region]:
                # The other may be in use; whoever reads from it last closes it.
                self._vaults[region] = vault = opened
        if writes:
            vault.check(writes=True)
        return vault

    def is_writable(self, region: str) -> bool:
        """Whether the vault is open, is still where it was opened, and may be written to."""
        vault = self._vaults.get(region)
        if vault is None:
            return False
        try:
            vault.check(writes=True)
        except MooringError:
            return False
        return True

    def problem(self, region: str, *, writes: bool = False) -> str | None:
        """Why the vault cannot be used, or not be written to; None if it can.

        Looks in a thread, for a mount may hang; one that hangs longer is a problem, too.
        """
        look = self._lookers[region].look()
        if not look.done.wait(self.waiting.patience_seconds):
            return f"the vault of {region} does not answer: check its mount or its network"
        return look.writing if writes else look.reading

    def close(self) -> None:
        """Close those that are open."""
        for looker in self._lookers.values():
            looker.close()
        for vault in self._vaults.values():
            vault.close()


class _Look:
    """What one look at one vault found, once it is done."""

    def __init__(self) -> None:
        self.done = threading.Event()
        self.reading: str | None = None
        self.writing: str | None = None


class _Looker:
    """Looks at one vault when asked to, in a thread of its own that nobody has to wait for."""

    def __init__(self, vaults: RegionVaults, region: str) -> None:
        self._vaults, self._region = vaults, region
        self._lock = threading.Lock()
        self._asked: SimpleQueue[_Look | None] = SimpleQueue()
        self._runs = False
        self._latest: _Look | None = None

    def look(self) -> _Look:
        """A look that has begun; the one under way, if there is one: it may hang."""
        with self._lock:
            if self._latest is None or self._latest.done.is_set():
                if not self._runs:
                    name = f"vault-look-{self._region}"
                    threading.Thread(target=self._run, name=name, daemon=True).start()
                    self._runs = True
                self._latest = _Look()
                self._asked.put(self._latest)
            return self._latest

    def close(self) -> None:
        """Let the thread end, if it is not held up."""
        with self._lock:
            if self._runs:
                self._asked.put(None)

    def _run(self) -> None:
        while True:
            try:
                look = self._asked.get(timeout=self._vaults.waiting.idle_seconds)
            except Empty:
                look = None
            if look is not None:
                self._answer(look)
                continue
            with self._lock:
                if self._asked.empty():
                    self._runs = False
                    return

    def _answer(self, look: _Look) -> None:
        try:
            vault = self._vaults.there(self._region)
            try:
                vault.check(writes=True)
            except MooringError as error:
                look.writing = str(error)
        except Exception as error:  # noqa: BLE001 - whoever asked is told
            look.reading = look.writing = str(error) or repr(error)
        finally:
            look.done.set()
