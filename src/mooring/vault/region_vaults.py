"""The vaults of regions: opened when they are there, found again when they come back."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping

from mooring.model.errors import MooringError, StoreError
from mooring.vault.vault import Vault

PATIENCE_SECONDS = 2.0
"""How long somebody who asks whether a vault is there waits for a mount that hangs."""


class RegionVaults(Mapping[str, Vault]):
    """The vaults by region. A region is always among the keys, whether its vault is there or not.

    `[region]` raises VaultAwayError, or whatever else keeps the vault from being opened, as long
    as that lasts; a vault that has come back, or another that is accepted now, is opened anew.
    """

    def __init__(self, openers: Mapping[str, Callable[[], Vault]]) -> None:
        """`openers` raise StoreError while a vault is away, other errors for what is wrong."""
        self._openers = openers
        self._vaults: dict[str, Vault] = {}
        self._locks = {region: threading.Lock() for region in openers}
        self._looks: dict[str, _Look] = {}

    def __getitem__(self, region: str) -> Vault:
        with self._locks[region]:
            vault = self._vaults.get(region)
            if vault is None:
                vault = self._vaults[region] = self._openers[region]()
            return vault

    def __contains__(self, region: object) -> bool:
        return region in self._openers

    def __iter__(self) -> Iterator[str]:
        return iter(self._openers)

    def __len__(self) -> int:
        return len(self._openers)

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
                # The other may be in use; it is let go by whoever reads from it last.
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
        look = self._looks.get(region)
        if look is None or look.done.is_set():
            look = self._looks[region] = _Look(self, region)
        if not look.done.wait(PATIENCE_SECONDS):
            return f"the vault of {region} does not answer: see to its mount or its network"
        return look.writing if writes else look.reading

    def close(self) -> None:
        """Close those that are open."""
        for vault in self._vaults.values():
            vault.close()


class _Look:
    """One look at one vault, in a thread of its own that nobody has to wait for."""

    def __init__(self, vaults: RegionVaults, region: str) -> None:
        self.done = threading.Event()
        self.reading: str | None = None
        self.writing: str | None = None
        self._vaults, self._region = vaults, region
        threading.Thread(target=self._run, name=f"vault-look-{region}", daemon=True).start()

    def _run(self) -> None:
        try:
            vault = self._vaults.there(self._region)
            try:
                vault.check(writes=True)
            except MooringError as error:
                self.writing = str(error)
        except Exception as error:  # noqa: BLE001 - whoever asked is told
            self.reading = self.writing = str(error) or repr(error)
        finally:
            self.done.set()
