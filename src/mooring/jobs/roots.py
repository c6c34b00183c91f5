"""The snapshots that the catalog calls completed, compared with the roots that a vault has.

    missing    completed, and without a root: lost, or in another vault
    returned   were missing, and have their root again
    unknown    a root that belongs to no snapshot or job in the catalog

A missing snapshot becomes `error`, and `completed` again when its root is back. As long as one is
missing nothing is collected: what hid its root may have hidden others. If the newest of all is
among them, the vault is an older copy of what it was; what would be stored in it would be lost
again when the vault is next replaced, so it is only read until somebody accepts it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mooring.catalog.database import Catalog
from mooring.catalog.transaction import Transaction
from mooring.model.counts import counted
from mooring.model.resources.job import Job
from mooring.model.resources.job_arguments import ExpireSnapshots, OfSnapshot
from mooring.model.resources.snapshot import DiskSnapshot, Lost, SnapshotState

if TYPE_CHECKING:
    from mooring.vault.vault import Vault


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """What was found. `missing` are also those that were known to be; oldest first."""

    missing: list[DiskSnapshot]
    returned: list[DiskSnapshot]
    unknown: list[str]
    older: bool

    def told(self, region: str) -> list[str]:
        """The problems, a sentence for each; what the catalog does not know is none."""
        lines = [
            f"snapshot {one.name} of disk {one.disk_name} ({one.id}) has no root in the vault of "
            f"{region}: put its root or the right vault back, or delete the snapshot"
            for one in self.missing
        ]
        if self.older:
            lines.append(self.why_closed(region))
        return lines

    def strangers(self, region: str) -> str | None:
        """A sentence about the snapshots that only the vault knows; None if there are none."""
        if not self.unknown:
            return None
        named = ", ".join(self.unknown[:3]) + (", ..." if len(self.unknown) > 3 else "")
        return (
            f"the vault of {region} has {counted(len(self.unknown), 'snapshot')} that this catalog "
            f"does not know ({named}): another server's, or taken after the copy from which the "
            "catalog was restored; `mooringd usage` lists them, `mooringd export` reads them"
        )

    def why_closed(self, region: str) -> str:
        """Why nothing is written to an older vault."""
        return (
            f"the vault of {region} is older than the catalog: it lacks "
            f"{counted(len(self.missing), 'completed snapshot')}, {self.missing[-1].name} of disk "
            f"{self.missing[-1].disk_name} among them, which is the newest. Nothing is written to "
            "it: put the right vault back, or continue with this one with `mooringd accept "
            f"--region {region}`"
        )


def compare(catalog: Catalog, region: str, vault: Vault) -> Comparison:
    """Look, and change nothing. Raises VaultError."""
    # The roots first: what is completed meanwhile has its root later than they were listed.
    roots = set(vault.snapshot_ids())
    with catalog.read() as transaction:
        stored = transaction.snapshots.rooted(region)
        strangers = roots.difference(one.id for one in stored)
        strangers -= transaction.snapshots.known(strangers)
        busy = {one for job in transaction.jobs.all() for one in _snapshots_of(job)}
    gone = [one.id for one in stored if one.id not in roots and not vault.has(one.id)]
    with catalog.read() as transaction:
        # What was deleted meanwhile is not missed.
        absent = transaction.snapshots.among(gone)
        away = set(gone)
        back = [one.id for one in stored if one.lost is not None and one.id not in away]
        returned = transaction.snapshots.among(back)
    expected = [one for one in stored if one.lost is not Lost.GIVEN_UP]
    newest = max(expected, key=lambda one: one.age, default=None)
    return Comparison(
        missing=[one for one in absent if one.lost is not Lost.GIVEN_UP],
        returned=[one for one in returned if one.lost is not None],
        unknown=sorted(one for one in strangers - busy if vault.has(one)),
        older=newest is not None and newest.id in {one.id for one in absent},
    )


def _snapshots_of(job: Job) -> frozenset[str]:
    """The snapshots that the job reads, makes or deletes."""
    arguments = job.arguments
    made = {arguments.snapshot} if isinstance(arguments, OfSnapshot) else set()
    expired = arguments.snapshots if isinstance(arguments, ExpireSnapshots) else ()
    return arguments.reads | made | set(expired)


def record(transaction: Transaction, found: Comparison, lost: Lost = Lost.MISSING) -> None:
    """Let the catalog say so; `lost` is what is thought of those that are missing."""
    for one in found.missing:
        if one.lost is not lost:
            transaction.snapshots.change(one.id, state=SnapshotState.ERROR, lost=lost)
    for one in found.returned:
        transaction.snapshots.change(one.id, state=SnapshotState.COMPLETED, lost=None)


def rooted(catalog: Catalog, region: str) -> list[str]:
    """The ids of the snapshots that have a root, or should have, or did until it was lost."""
    with catalog.read() as transaction:
        return [one.id for one in transaction.snapshots.rooted(region)]


def expected_roots(catalog: Catalog, region: str) -> list[str]:
    """The ids of the snapshots that must have a root for anything to be collected."""
    with catalog.read() as transaction:
        stored = transaction.snapshots.rooted(region)
    return [one.id for one in stored if one.lost is not Lost.GIVEN_UP]
