"""mooringd verify --mend: mend damage from a copy of the vault or a disk."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack

from mooring.admin.vaults.chosen import opened, regions
from mooring.admin.vaults.images import opened_images
from mooring.admin.vaults.verify import note_verified, print_damage
from mooring.config.settings import Settings
from mooring.model.clock import SystemClock
from mooring.model.counts import counted
from mooring.model.errors import ConfigurationError
from mooring.vault.store.place import Store, is_missing, open_place
from mooring.vault.vault import Mending
from mooring.wiring.vaults import full_place, open_store, replica_place, s3_options


def mend(
    settings: Settings,
    *,
    region: str | None = None,
    copies: Sequence[str] = (),
    images: Sequence[str] = (),
) -> int:
    """Verify all of each vault, mend what can be mended, print the rest; returns 1 if any is left.

    `copies`: places of copies, else those that the settings name; `images`: raw images, block
    devices or NBD URIs of disks. Raises ConfigurationError, VaultError, StoreError.
    """
    left = 0
    for name in regions(settings, region):
        if region is None and open_store(settings, name) is None:
            continue
        with ExitStack() as stack:
            vaults = stack.enter_context(opened(settings, name))
            stores = _stores(settings, name, copies, stack)
            if not stores and not images:
                raise ConfigurationError(
                    "there is nothing to mend from: name a copy of the vault with --from, or "
                    "something with the disk's content with --image, or set regions.<name>.replica"
                )
            disks = stack.enter_context(opened_images(images))
            for place, vault in vaults:
                begun_ms = SystemClock().now_ms()
                done = vault.mend(stores, disks)
                by_id = {root.id: root for root in vault.readable_roots()[0]}
                for damage in done.left:
                    print_damage(damage, by_id)
                _report(place, done)
                note_verified(settings, place, vault, done.left, begun_ms, percent=100)
                left += len(done.left)
    return int(left > 0)


def _stores(
    settings: Settings, region: str, copies: Sequence[str], stack: ExitStack
) -> list[Store]:
    places = [full_place(place) for place in copies]
    if not places and (replica := replica_place(settings, region)):
        places = [replica]
    stores = []
    for place in places:
        if is_missing(place):
            raise ConfigurationError(f"there is no copy of the vault in {place}: mount it")
        store = open_place(place, s3_options(settings))
        stack.callback(store.close)
        stores.append(store)
    return stores


def _report(place: str, done: Mending) -> None:
    left = len(done.left)
    result = f"still damaged: {counted(left, 'snapshot')}" if left else "no damage is left"
    print(
        f"{place}: {counted(len(done.roots), 'root')} and {counted(done.frames, 'frame')} in "
        f"{counted(done.segments, 'segment')} mended: {result}"
    )
