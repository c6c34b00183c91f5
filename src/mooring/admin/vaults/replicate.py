"""mooringd replicate: keep a copy of a vault in another place."""

from __future__ import annotations

from mooring.admin.vaults.chosen import opened, regions
from mooring.admin.vaults.roots import copy_known, known_snapshots, note_copy, note_run
from mooring.catalog.watching.vault_runs import VaultRun
from mooring.config.settings import Settings
from mooring.model.amounts import amount
from mooring.model.clock import SystemClock
from mooring.model.counts import counted
from mooring.model.errors import ConfigurationError, VaultAwayError
from mooring.model.resources.job_kind import JobKind
from mooring.streams import one_line
from mooring.vault.store.place import open_place, spelling
from mooring.vault.vault import Replication, Root, Vault
from mooring.wiring.vaults import full_place, open_store, replica_place, s3_options, vault_place


def replicate(
    settings: Settings,
    *,
    region: str | None = None,
    to: str | None = None,
    delete: bool = False,
    new: bool = False,
) -> int:
    """Bring the copies up to date, or that in `to`; returns 1 if a snapshot was not copied.

    With `delete`, or if the settings say so, snapshots that were deleted are deleted there too.
    With `new`, a copy is made also where one is expected and none is. Raises ConfigurationError,
    VaultError, StoreError.
    """
    follow = delete or settings.vault.replica_deletions == "follow"
    problems = 0
    for name, place in _places(settings, region, to):
        with opened(settings, name) as vaults:
            for _, vault in vaults:
                problems += _copy(settings, name, vault, place, follow=follow, new=new)
    return int(problems > 0)


def _places(settings: Settings, region: str | None, to: str | None) -> list[tuple[str, str]]:
    names = regions(settings, region)
    if to is None:
        found = [(name, place) for name in names if (place := replica_place(settings, name))]
        if not found:
            raise ConfigurationError(
                "no place for a copy is known: name one with --to, or set regions.<name>.replica"
            )
        return found
    there = [name for name in names if open_store(settings, name) is not None]
    if len(there) > 1:
        raise ConfigurationError(
            f"one place holds one copy: name the region with --region ({', '.join(there)})"
        )
    return [(name, full_place(to)) for name in there or names[:1]]


def _copy(
    settings: Settings, region: str, vault: Vault, place: str, *, follow: bool, new: bool
) -> int:
    if spelling(place) == spelling(vault_place(settings, region)):
        raise ConfigurationError(f"{place} is the vault itself: name another place for the copy")
    expected = not new and copy_known(settings, region, place) == vault.id
    try:
        target = open_place(place, s3_options(settings), make=not expected)
    except VaultAwayError as error:
        raise ConfigurationError(
            f"the copy of the vault of {region}: {error}; `mooringd replicate --new` starts a new "
            "one"
        ) from error
    try:
        done = vault.replicate(
            target,
            delete=follow,
            known=known_snapshots(settings, region) if follow else (),
            expected=expected,
            on_copied=lambda root, size: _tell(region, root, size),
        )
    finally:
        target.close()
    note_copy(settings, region, place, vault)
    if place == replica_place(settings, region):
        now = SystemClock().now_ms()
        run = VaultRun(region, JobKind.REPLICATE_VAULT, now, len(done.problems))
        note_run(settings, vault, run)
    _report(region, place, done)
    return len(done.problems)


def _tell(region: str, root: Root, size: int) -> None:
    print(f"{region}: {one_line(root.info.name)} copied, {amount(size)}", flush=True)


def _report(region: str, place: str, done: Replication) -> None:
    for snapshot_id, problem in done.problems.items():
        print(f"NOT copied: {snapshot_id}: {problem}")
    state = "incomplete" if done.problems else "complete"
    deleted = f", {len(done.deleted)} deleted" if done.deleted else ""
    print(
        f"{region}: {counted(len(done.copied), 'snapshot')} copied{deleted}, "
        f"{amount(done.copied_bytes)} written; the copy in {place} is {state}"
    )
