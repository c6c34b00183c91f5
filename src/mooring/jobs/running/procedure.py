"""What a procedure is: steps that can be killed and repeated."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mooring.backend.backend import Backend
from mooring.catalog.database import Catalog
from mooring.catalog.transaction import Transaction
from mooring.engine.interface import Engine
from mooring.model.errors import CanceledError, PostponedError, ZoneAbsentError, ZoneAwayError
from mooring.model.resources.disk import Disk
from mooring.model.resources.job import Given, Job
from mooring.model.resources.job_arguments import OfDisk
from mooring.model.resources.job_kind import JobKind

if TYPE_CHECKING:
    from mooring.vault.vault import Vault

ABSENT_SECONDS = 60.0
"""When a job looks again whose zone or region is not in the settings."""

AWAY_SECONDS = 3.0
"""When a job looks again whose zone is away."""

Change = Callable[[Transaction], None]
"""What a step changes in the catalog, in the transaction that records it as done."""


@dataclass(frozen=True, slots=True)
class Work:
    """One run of one job."""

    job: Job
    backend: Backend

    @property
    def catalog(self) -> Catalog:
        return self.backend.catalog

    @property
    def engine(self) -> Engine:
        """The engine of the zone that the job names; the job waits while there is none."""
        try:
            return self.backend.engines[self.job.zone]
        except ZoneAwayError as error:
            raise PostponedError(str(error), AWAY_SECONDS) from None
        except ZoneAbsentError as error:
            raise PostponedError(str(error), ABSENT_SECONDS) from None

    @property
    def vault(self) -> Vault:
        """The vault of the job's region; the job waits while there is none."""
        return self.vault_of(self.job.region)

    def vault_of(self, region: str) -> Vault:
        """The same of another region."""
        if region not in self.backend.vaults:
            raise PostponedError(f"the region {region} is not in the settings", ABSENT_SECONDS)
        return self.backend.vaults[region]

    def disk(self) -> Disk:
        """The disk that the job is of. Raises CanceledError if it was deleted, or moved."""
        disk_id = self.given(OfDisk).disk
        with self.catalog.read() as transaction:
            disk = transaction.disks.by_id(disk_id)
        if disk is None:
            raise CanceledError(f"the disk {disk_id} was deleted")
        if disk.host not in ("", self.backend.host):
            raise CanceledError(f"the disk {disk_id} is on another host")
        return disk

    def check_held(self) -> None:
        """Raise LeaseLostError if another server has the job meanwhile.

        For a step to ask before what others see, and after what it cannot be kept from.
        """
        with self.catalog.read() as transaction:
            transaction.jobs.check_held(self.job)

    def given(self, of: type[Given]) -> Given:
        """The job's arguments, which are of that class, or of one below it."""
        return self.job.given(of)


def nothing(_work: Work) -> None:
    """The undo of a step whose effect needs none."""


@dataclass(frozen=True, slots=True)
class Step:
    """One step.

    `do` may be killed at any point and called again; it returns what to change in the
    catalog once it is done. `undo` takes back what `do` did, wholly or in part; it too may be
    repeated.
    """

    name: str
    do: Callable[[Work], Change | None]
    undo: Callable[[Work], None] = nothing


@dataclass(frozen=True, slots=True)
class Procedure:
    """The steps of one kind of job, and what the catalog says when they failed.

    `version` grows when the steps change so that a job under way cannot continue with them.
    """

    kind: JobKind
    steps: Sequence[Step]
    failed: Callable[[Transaction, Job], None]
    version: int = 1
