"""The vaults of regions in memory: made when first used, gone with the process."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from mooring.model.clock import Clock

if TYPE_CHECKING:
    from mooring.vault.vault import Vault


class MemoryVaults(Mapping[str, "Vault"]):
    """The vaults by region, for servers that keep nothing; none of them is ever away."""

    def __init__(self, regions: Iterable[str], clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._vaults: dict[str, Vault | None] = dict.fromkeys(regions)

    def __getitem__(self, region: str) -> Vault:
        with self._lock:
            vault = self._vaults[region]
            if vault is None:
                # Their libraries take their time to load, and many servers of tests have no
                # snapshots.
                from mooring.vault.store.memory import MemoryStore
                from mooring.vault.vault import Vault, VaultOptions

                options = VaultOptions(threads=1)
                vault = Vault.create_or_open(MemoryStore(), self._clock, options)
                self._vaults[region] = vault
            return vault

    def __contains__(self, region: object) -> bool:
        return region in self._vaults

    def __iter__(self) -> Iterator[str]:
        return iter(tuple(self._vaults))

    def __len__(self) -> int:
        return len(self._vaults)

    def add(self, region: str) -> None:
        """Have the vault of another region, too."""
        self._vaults[region] = None

    def is_writable(self, region: str) -> bool:
        """Whether room can be set aside for the vault: there is no file system to do that on."""
        del region
        return False

    def close(self) -> None:
        """Close those that were made."""
        with self._lock:
            for vault in self._vaults.values():
                if vault is not None:
                    vault.close()
