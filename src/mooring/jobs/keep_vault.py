"""Keeping a vault in order: collecting, verifying a sample, copying.

    collect   free what no snapshot needs any more, and what killed processes left
    verify    read back all maps and a sample of the data; damage is logged and counted
    replicate bring the copy of the vault up to date

All are jobs of a region, keyed so that those of one kind run one after the other. The next one
does whatever one leaves undone.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

import structlog

from mooring.backend.backend import Backend
from mooring.catalog.transaction import Transaction
from mooring.catalog.watching.vault_runs import VaultRun
from mooring.host.rooms import of_copy, of_vault
from mooring.jobs.roots import expected_roots, rooted
from mooring.jobs.running.procedure import Change, Procedure, Step, Work
from mooring.jobs.watching.vaults import VaultWatch
from mooring.model.errors import PostponedError, RootsMissingError, VaultAwayError, VaultBusyError
from mooring.model.resources.job import Job
from mooring.model.resources.job_arguments import OfVault, VerifyVault
from mooring.model.resources.job_kind import JobKind
from mooring.observe import metrics
from mooring.vault.store.place import open_place
from mooring.vault.store.roomy import RoomyStore

if TYPE_CHECKING:
    from mooring.vault.vault import Damage  # which loads what a start has no need of

BUSY_SECONDS = 5 * 60.0
"""When a copy is tried again that somebody else is at, or was until it was killed."""

log = structlog.get_logger("mooring.jobs")

_KEYS = {
    JobKind.COLLECT_VAULT: "collect",
    JobKind.VERIFY_VAULT: "verify",
    JobKind.REPLICATE_VAULT: "replicate",
}


def enqueue(
    transaction: Transaction,
    backend: Backend,
    arguments: OfVault,
    region: str,
    *,
    after_seconds: float = 0,
) -> bool:
    """Record the job, to be begun by then, unless one like it waits already; says whether it did.

    The one that waits is begun sooner if need be.
    """
    key = f"{_KEYS[arguments.kind]} {region}"
    not_before = backend.clock.now_ms() + round(after_seconds * 1000) if after_seconds else 0
    if transaction.jobs.hasten(key, not_before):
        return False
    transaction.jobs.add(
        Job(
            id=backend.ids.new_id(),
            key=key,
            region=region,
            created_ms=backend.clock.now_ms(),
            arguments=arguments,
            not_before_ms=not_before,
        )
    )
    return True


def collect(work: Work) -> None:
    """Free what no snapshot needs any more."""
    vault = work.vault
    # Only in a vault that is open anything is given up.
    work.backend.rooms.make_way(of_vault(work.job.region))
    expected = expected_roots(work.catalog, work.job.region)
    try:
        done = vault.collect(expected=expected)
    except RootsMissingError as error:
        # One deleted just now is not missing; of the others the watch has told, or will tell.
        log.error("nothing is collected", region=work.job.region, problem=str(error))
        compare_roots(work)
        return
    metrics.collected(done.bytes_freed)
    if (totals := done.totals) is not None:
        size = {
            "stored": totals.stored_bytes,
            "live": totals.live_bytes,
            "dead": totals.dead_bytes,
            "logical": totals.logical_bytes,
        }
        metrics.vault_holds(work.job.region, totals.snapshots, size)


def verify(work: Work) -> Change:
    """Read back a part of the vault; the job's argument says how many per cent."""
    compare_roots(work)
    begun_ms, percent = work.backend.clock.now_ms(), work.given(VerifyVault).percent
    found = _damage(work, percent)
    metrics.verified(work.job.region, len(found), work.backend.clock.now_ms() / 1000)
    for damage in found:
        log.error(
            "a snapshot is damaged; `mooringd verify` reads everything",
            snapshot=damage.snapshot_id,
            ranges=[(extent.offset, extent.length) for extent in damage.extents[:10]],
            problem=damage.problem,
        )
    damaged = tuple(damage.snapshot_id for damage in found)
    return _ended(work, len(found), begun_ms, percent, damaged)


def _damage(work: Work, percent: float) -> Sequence[Damage]:
    """What is damaged in a part of the data, and in all of what was damaged the last time.

    Damage is known until it is mended or its snapshot deleted, whatever else is read meanwhile.
    """
    found = work.vault.verify(sample=percent / 100)
    with work.catalog.read() as transaction:
        before = transaction.vault_runs.of(work.job.region, work.job.kind)
    seen = {damage.snapshot_id for damage in found}
    known = before.damaged if before is not None else ()
    again = [one for one in known if one not in seen and work.vault.has(one)]
    return [*found, *work.vault.verify(again)] if again else found


def _ended(
    work: Work,
    problems: int,
    begun_ms: int | None = None,
    percent: float | None = None,
    damaged: tuple[str, ...] = (),
) -> Change:
    """Let the catalog know how it ended: whoever watches shall know it after a restart, too."""
    now = work.backend.clock.now_ms()
    run = VaultRun(work.job.region, work.job.kind, now, problems, begun_ms, percent, damaged)
    return lambda transaction: transaction.vault_runs.put(run)


def compare_roots(work: Work) -> None:
    """Compare the vault's roots with the catalog, and let that say what is missing."""
    VaultWatch(work.backend).compare(work.job.region)


def replicate(work: Work) -> Change | None:
    """Bring the copy of the vault up to date, if the settings still name one."""
    region = work.job.region
    replica = work.backend.replicas.get(region)
    if replica is None:
        return None
    vault = work.vault
    with work.catalog.read() as transaction:
        known = transaction.vaults.of_copy(region, replica.place) == vault.id
    try:
        target = RoomyStore(
            open_place(replica.place, replica.options, make=not known),
            partial(work.backend.rooms.check, of_copy(region)),
        )
    except VaultAwayError as error:
        raise PostponedError(f"the copy of the vault is not kept: {error}", BUSY_SECONDS) from error
    try:
        done = vault.replicate(
            target,
            delete=replica.delete,
            known=rooted(work.catalog, region) if replica.delete else (),
            expected=known,
        )
    except VaultBusyError as error:
        raise PostponedError(str(error), BUSY_SECONDS) from error
    finally:
        target.close()
    metrics.replicated(
        work.job.region, done.copied_bytes, len(done.problems), work.backend.clock.now_ms() / 1000
    )
    for snapshot_id, problem in done.problems.items():
        log.error("a snapshot was not copied", snapshot=snapshot_id, problem=problem)
    now = work.backend.clock.now_ms()
    ended = _ended(work, len(done.problems))

    def change(transaction: Transaction) -> None:
        transaction.vaults.note_copy(region, replica.place, vault.id, now)
        ended(transaction)

    return change


def nothing_to_tell(_transaction: Transaction, _job: Job) -> None:
    """No client waits for it; the log has the reason."""


COLLECT = Procedure(JobKind.COLLECT_VAULT, (Step("collect", collect),), nothing_to_tell)
REPLICATE = Procedure(JobKind.REPLICATE_VAULT, (Step("replicate", replicate),), nothing_to_tell)
VERIFY = Procedure(JobKind.VERIFY_VAULT, (Step("verify", verify),), nothing_to_tell)
