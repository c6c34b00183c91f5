"""mooringd recover: fill an empty catalog from vaults and live disks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from mooring.admin.recovery.disks import Entered, enter_disks, read_descriptions
from mooring.admin.vaults.believing import sort_out
from mooring.admin.vaults.chosen import opened
from mooring.catalog.transaction import Transaction
from mooring.config.settings import Settings
from mooring.model.automatic.rules import AutoSource, name_as_manual, name_of
from mooring.model.counts import counted
from mooring.model.errors import ConfigurationError
from mooring.model.extents import BLOCK_SIZE, GIB
from mooring.model.names import MAX_NAME_LENGTH
from mooring.model.resources.consistency import consistency_told
from mooring.model.resources.instance_snapshot import InstanceSnapshot, Snapshot, part_name, recall
from mooring.model.resources.job_arguments import DeleteSnapshot, ExpireSnapshots
from mooring.model.resources.job_kind import JobKind
from mooring.model.resources.snapshot import DiskSnapshot, SnapshotState
from mooring.model.resources.snapshot_origin import with_origin
from mooring.vault.store.place import spelling
from mooring.vault.vault import Root
from mooring.wiring.build_server import build_server
from mooring.wiring.vaults import vault_place


def recover(settings: Settings, directory: str | None = None, *, add: bool = False) -> int:
    """Enter all completed snapshots, and live disks; returns 1 if some cannot be read or
    believed.

    `directory`: only snapshots, of this vault, which a region of the settings must name. `add`:
    also what a catalog lacks that has something. Raises ConfigurationError if the catalog is not
    empty otherwise, and ServerRunningError beside a server;
    nothing is changed then.
    """
    region = None if directory is None else _region_of(settings, directory)
    roots: list[Root] = []
    damaged: dict[str, str] = {}
    with opened(settings, region) as vaults:
        for _, vault in vaults:
            readable, unreadable = vault.readable_roots()
            roots += readable
            damaged |= unreadable
    roots, unbelievable = sort_out(roots)
    damaged |= unbelievable
    _check_regions(settings, roots)
    mooring = build_server(settings)
    try:
        mooring.backend.catalog.migrate()
        disks, unreadable = (
            ([], {}) if directory else read_descriptions(mooring.backend, settings.regions)
        )
        damaged |= unreadable
        with mooring.backend.catalog.write() as transaction:
            if not add:
                _check_empty(transaction, settings)
            entered = enter_disks(transaction, mooring.backend, disks)
            wholes, singles = _sort(transaction, _missing(transaction, roots))
            renamed = _enter(transaction, wholes, singles)
    finally:
        mooring.stop()
    _report(singles, wholes, renamed, damaged)
    _report_disks(entered)
    return int(bool(damaged))


def _region_of(settings: Settings, place: str) -> str:
    wanted = spelling(place)
    for name in settings.regions:
        if spelling(vault_place(settings, name)) == wanted:
            return name
    name = next(iter(settings.regions))
    raise ConfigurationError(
        f"no region of the settings has its vault in {wanted}, so a server would not find the "
        f'snapshots there: set regions.<name>.vault, for example vault = "{wanted}" under '
        f"[regions.{name}], in the file that --config names"
    )


def _check_regions(settings: Settings, roots: Iterable[Root]) -> None:
    missing = sorted({root.info.region for root in roots} - set(settings.regions))
    if missing:
        raise ConfigurationError(
            f"the vault holds snapshots of regions that are not in the settings: "
            f"{', '.join(missing)}; add them as [regions.{missing[0]}] with zones and vault"
        )


def _check_empty(transaction: Transaction, settings: Settings) -> None:
    counts = {
        "instance snapshot": len(transaction.instance_snapshots.all()),
        "disk": len(transaction.disks.all()),
        "snapshot": len(transaction.snapshots.all()),
        "instance": len(transaction.instances.all()),
        "job": sum(job.kind is not JobKind.COLLECT_VAULT for job in transaction.jobs.all()),
    }
    found = ", ".join(counted(count, what) for what, count in counts.items() if count)
    if found:
        raise ConfigurationError(
            f"the catalog of {settings.data_directory} is not empty ({found}) and was left as it "
            "is: name an empty data directory with --data, or move its catalog away first"
        )


def _missing(transaction: Transaction, roots: Iterable[Root]) -> list[Root]:
    """Those that the catalog does not have, and is not about to delete."""
    jobs = transaction.jobs.of_kind(JobKind.DELETE_SNAPSHOT)
    leaving = {job.given(DeleteSnapshot).snapshot for job in jobs}
    for job in transaction.jobs.of_kind(JobKind.EXPIRE_SNAPSHOTS):
        leaving |= set(job.given(ExpireSnapshots).snapshots)
    return [
        root
        for root in roots
        if root.id not in leaving and transaction.snapshots.by_id(root.id) is None
    ]


def _sort(
    transaction: Transaction, roots: list[Root]
) -> tuple[list[InstanceSnapshot], list[DiskSnapshot]]:
    """Instance snapshots with all their parts, and all other snapshots.

    Where a part is missing, because it was not stored yet or is deleted already, the others are
    of no one instant any more as a set; each is recovered as a snapshot of its disk. What was
    taken automatically of a disk or instance that the catalog has stays so: it continues to be
    retained, and is found by that. Without it nobody would find it, so it becomes a manual one.
    """
    snapshots = {root.id: _snapshot(transaction, root) for root in roots}
    wholes: dict[str, InstanceSnapshot] = {}
    for root in roots:
        known = recall(root.info.extra)
        if known is None:
            continue
        if known.whole.id not in wholes and all(one in snapshots for one in known.part_ids):
            parts = [snapshots.pop(one) for one in known.part_ids]
            whole = known.whole
            if _instance_is_there(transaction, whole):
                wholes[whole.id] = _as_automatic(whole, parts, {one.id: one for one in roots})
            else:
                wholes[whole.id] = replace(_as_manual(whole), parts=parts)
    singles = [
        one if one.part_of is None else replace(one, part_of=None, name=_own_name(one.name))
        for one in snapshots.values()
    ]
    return list(wholes.values()), singles


def _own_name(part_name: str) -> str:
    return part_name.replace("/", "-")[:MAX_NAME_LENGTH].rstrip("-._")


def _instance_is_there(transaction: Transaction, whole: InstanceSnapshot) -> bool:
    instance = transaction.instances.by_id(whole.instance_id)
    return whole.auto is not None and instance is not None and instance.region == whole.region


def _as_automatic(
    whole: InstanceSnapshot, parts: Iterable[DiskSnapshot], roots: Mapping[str, Root]
) -> InstanceSnapshot:
    """Its parts have the tags that their disks had, for those say who may see them."""
    kept = [replace(one, from_auto=False, tags=dict(roots[one.id].info.tags)) for one in parts]
    return replace(whole, name=name_of(whole.instance_name, whole.created_ms), parts=kept)


def _as_manual(whole: InstanceSnapshot) -> InstanceSnapshot:
    """An automatic one as a manual one: its instance is gone."""
    if whole.auto is None:
        return whole
    name = name_as_manual(whole.instance_name, whole.created_ms)
    return replace(whole, name=name, auto=None, from_auto=True)


def _enter(
    transaction: Transaction, wholes: list[InstanceSnapshot], singles: list[DiskSnapshot]
) -> list[tuple[str, str]]:
    """Enter the snapshots; returns old and new names of those whose name was taken twice.

    The newest keeps the name: an older one of that name was deleted before it was made, and
    its root had not been removed yet.
    """
    newest: dict[tuple[str, str], str] = {}
    ordered: list[Snapshot] = [*wholes, *singles]
    ordered.sort(key=lambda one: (one.created_ms, one.id))
    for one in ordered:
        newest[one.region, one.name] = one.id
    renamed = []
    for one in ordered:
        name = one.name
        if newest[one.region, name] != one.id or transaction.names.taken(one.region, [name]):
            ending = f"-{one.id}"
            name = name[: MAX_NAME_LENGTH - len(ending)] + ending
            renamed.append((one.name, name))
        if isinstance(one, InstanceSnapshot):
            parts = [replace(part, name=part_name(name, part.disk_name)) for part in one.parts]
            transaction.instance_snapshots.add(replace(one, name=name, parts=parts))
        else:
            transaction.snapshots.add(replace(one, name=name))
    return renamed


def _auto_of(transaction: Transaction, root: Root) -> AutoSource | None:
    """Why its disk, which is there, has it as an automatic snapshot; None for others."""
    info = root.info
    disk = transaction.disks.by_id(info.disk_id)
    if disk is None or disk.region != info.region or info.extra.get("auto") not in list(AutoSource):
        return None
    return AutoSource(info.extra["auto"])


def _snapshot(transaction: Transaction, root: Root) -> DiskSnapshot:
    info = root.info
    known = recall(info.extra)
    whole = None if known is None else known.whole
    auto, was_auto = _auto_of(transaction, root), "auto" in info.extra
    name = info.name
    if was_auto:
        naming = name_as_manual if auto is None else name_of
        name = naming(info.disk_name, info.created_ms)
    if whole is not None and whole.auto is not None:
        name = part_name(_as_manual(whole).name, info.disk_name)
    found = DiskSnapshot(
        id=info.id,
        region=info.region,
        name=name,
        created_ms=info.created_ms,
        support_code=info.support_code,
        size_gb=info.size // GIB,
        disk_id=info.disk_id,
        disk_name=info.disk_name,
        disk_zone=info.disk_zone,
        state=SnapshotState.COMPLETED,
        frozen=True,
        progress=100,
        parent_id=root.parent,
        changed_bytes=root.statistics.changed_blocks * BLOCK_SIZE,
        stored_bytes=root.statistics.stored_bytes,
        completed_ms=root.completed_ms,
        consistency=consistency_told(info.extra, info.tags if known is None else {}),
        part_of=None if whole is None else whole.id,
        disk_path=None if known is None else known.disk_path,
        content_id=info.extra.get("content"),
        auto=auto,
        from_auto=(was_auto and auto is None)
        or "from-auto" in info.extra
        or (whole is not None and (whole.from_auto or whole.auto is not None)),
        tags={} if known is not None else dict(info.tags),
    )
    return with_origin(found, info.extra)


def _report_disks(entered: Entered) -> None:
    if entered.disks:
        print(f"{counted(len(entered.disks), 'disk')} recovered: {', '.join(entered.disks)}")
    if entered.instances:
        count = counted(len(entered.instances), "instance")
        print(f"{count} recovered: {', '.join(entered.instances)}")
    if entered.changed:
        count = counted(len(entered.changed), "disk")
        print(f"attached as found, no longer as recorded: {count}")
    if entered.grown:
        print(f"grown since: {', '.join(entered.grown)}")
    for old, new in entered.renamed:
        print(f"  the name {old} is taken; it is now {new}")


def _report(
    singles: list[DiskSnapshot],
    wholes: list[InstanceSnapshot],
    renamed: list[tuple[str, str]],
    damaged: dict[str, str],
) -> None:
    print(f"{counted(len(singles), 'snapshot')} recovered")
    if wholes:
        print(f"{counted(len(wholes), 'instance snapshot')} recovered")
    for one in singles:
        if one.disk_path is not None:
            print(f"  {one.name} was part of an instance snapshot that is not complete")
    for old, new in renamed:
        print(f"  the name {old} is taken by a newer snapshot; the older one is now {new}")
    for snapshot_id, problem in damaged.items():
        print(f"NOT recovered: {snapshot_id}: {problem}")
