"""mooringd verify: read snapshots back, and list what is damaged."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from functools import partial

from mooring.admin.vaults.chosen import find_all, nothing_there, opened, regions
from mooring.admin.vaults.roots import differences, missing_vault, note_run
from mooring.catalog.watching.vault_runs import VaultRun
from mooring.config.settings import Settings
from mooring.model.amounts import amount
from mooring.model.clock import SystemClock
from mooring.model.counts import counted
from mooring.model.errors import ConfigurationError
from mooring.model.resources.job_kind import JobKind
from mooring.model.resources.snapshot import DiskSnapshot
from mooring.streams import one_line
from mooring.vault.vault import Damage, Root, Vault, scrub
from mooring.wiring.vaults import open_store, open_vault


def verify(
    settings: Settings,
    *,
    region: str | None = None,
    disk: str | None = None,
    snapshot: str | None = None,
    percent: float = 100.0,
) -> int:
    """Print the damage; returns 1 if there is any. Raises ConfigurationError.

    Disks and snapshots go by name or id, as the vault knows them: no catalog is needed; automatic
    ones also by `DISK@DATE`.
    `percent` of the frames of data are read, and all of the maps. The catalog, if there is one,
    learns how it ended where whole vaults are verified.
    """
    if not 0 < percent <= 100:
        raise ConfigurationError(f"--sample must be more than 0 and at most 100, not {percent:g}")
    wanted = disk or snapshot
    chosen = damaged = 0
    of, names = None, _names(settings, region, snapshot) if snapshot else None
    if wanted:
        of = partial(_of, disk=disk, names=names or ())
    lost = _compare(settings, region, of)
    damaged += lost
    with opened(settings, region) as vaults:
        for place, vault in vaults:
            roots, unreadable = vault.readable_roots()
            ids = {root.id for root in roots if _matches(root, disk, names)}
            # Whose an unreadable root is, only its id tells.
            ids |= {one for one in unreadable if not wanted or one == snapshot}
            if wanted and not ids:
                continue
            chosen += len(ids)
            begun_ms = SystemClock().now_ms()
            found = _verify(place, vault, roots, sorted(ids) if wanted else None, percent)
            damaged += len(found)
            if not wanted:
                note_verified(settings, place, vault, found, begun_ms, percent)
    if wanted and not chosen and not lost:
        kind = "disk" if disk else "snapshot"
        raise ConfigurationError(
            f"no vault has a {kind} {wanted}: `mooringd usage` lists all snapshots"
        )
    return int(damaged > 0)


def note_verified(
    settings: Settings,
    region: str,
    vault: Vault,
    damage: Collection[Damage],
    begun_ms: int,
    percent: float,
) -> None:
    """Remember, as of a scheduled one, how a verification of the whole vault ended just now."""
    kind, now = JobKind.VERIFY_VAULT, SystemClock().now_ms()
    ids = tuple(one.snapshot_id for one in damage)
    note_run(settings, vault, VaultRun(region, kind, now, len(damage), begun_ms, percent, ids))


def _names(settings: Settings, region: str | None, snapshot: str) -> frozenset[str]:
    """By what the snapshots go that somebody means with a name or an id."""
    meant = set()
    if "@" in snapshot:
        # What no vault has, the catalog may know by its whole name.
        with opened(settings, region) as vaults, suppress(ConfigurationError):
            meant = {root.id for _, _, root in find_all(vaults, snapshot)}
    return frozenset({snapshot, *meant})


def _of(one: DiskSnapshot, disk: str | None, names: Collection[str]) -> bool:
    if disk is not None:
        return disk in (one.disk_id, one.disk_name)
    return one.id in names or one.name in names


def _compare(
    settings: Settings, region: str | None, of: Callable[[DiskSnapshot], bool] | None
) -> int:
    """Print what catalog and vaults say differently; returns how much that is."""
    told = 0
    for name in regions(settings, region):
        vault = open_vault(settings, name)
        if vault is None:
            lines = [f"the vault {one}"] if (one := missing_vault(settings, name)) else []
        else:
            with vault:
                lines = differences(settings, name, vault, of, print)
        for line in lines:
            print(f"DIFFERS {name}: {line}")
        told += len(lines)
    return told


def verify_stored(settings: Settings, *, region: str | None = None) -> int:
    """Check all stored bytes without any key; returns 1 if some are damaged."""
    seen = damaged = 0
    for place in regions(settings, region):
        store = open_store(settings, place)
        if store is None:
            continue
        seen += 1
        found = scrub(store)
        store.close()
        for name, problem in found.problems:
            print(f"DAMAGED {name}: {problem}")
        damaged += len(found.problems)
        result = f"{len(found.problems)} damaged" if found.problems else "no damage"
        size = amount(found.stored_bytes)
        held = f"{counted(found.objects, 'object')}, {counted(found.frames, 'frame')}"
        print(f"{place}: {held}, {size} stored: {result}")
        if found.punched:
            print(
                f"  reclaimed: {counted(found.punched, 'frame')}; `mooringd verify` without "
                "--stored shows whether a snapshot needs one"
            )
    if not seen:
        raise nothing_there(settings)
    return int(damaged > 0)


def _matches(root: Root, disk: str | None, names: Collection[str] | None) -> bool:
    if disk is not None:
        return disk in (root.info.disk_id, root.info.disk_name)
    return names is None or root.id in names or root.info.name in names


def _verify(
    place: str, vault: Vault, roots: Collection[Root], ids: list[str] | None, percent: float
) -> list[Damage]:
    found = vault.verify(ids, percent / 100)
    by_id = {root.id: root for root in roots}
    for damage in found:
        print_damage(damage, by_id)
    part = "all data" if percent == 100 else f"{percent:g} % of the data"
    result = f"{len(found)} damaged" if found else "no damage"
    count = len(roots) if ids is None else len(ids)
    print(f"{place}: {counted(count, 'snapshot')}, {part} read back: {result}")
    return found


def print_damage(damage: Damage, roots: Mapping[str, Root]) -> None:
    """Tell the snapshot, the byte ranges and the problem; `roots` by id."""
    root = roots.get(damage.snapshot_id)
    named = "" if root is None else one_line(f" {root.info.name} of disk {root.info.disk_name}")
    print(f"DAMAGED snapshot{named} ({damage.snapshot_id})")
    for extent in damage.extents:
        print(f"  bytes {extent.offset} to {extent.end - 1}")
    if not damage.extents:
        print("  all of it")
    print(f"  {damage.problem}")
