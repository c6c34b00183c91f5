"""Rows of jobs, and the lease by which one server takes one."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Text,
    and_,
    bindparam,
    delete,
    exists,
    func,
    insert,
    or_,
    select,
    update,
)

from mooring.catalog.instant import LEASE_NOW
from mooring.catalog.locks import alone, locks_rows
from mooring.catalog.tables import schema
from mooring.catalog.tables.job_rows import UNTYPED, columns_of, job_of
from mooring.model.errors import LeaseLostError
from mooring.model.resources.job import HELD_MS, LONGEST_WAIT_MS, Job
from mooring.model.resources.job_kind import JobKind
from mooring.model.resources.server import Reach

# Statements are made once: to make one takes longer than to execute it.

_table, _before = schema.jobs, schema.jobs.alias("before")
_reads = schema.job_reads

_waits = exists().where(_before.c.key == _table.c.key, _before.c.seq < _table.c.seq)
"""Whether a job is not the first in the line of its key."""

_of_kinds = _table.c.kind.in_(bindparam("kinds", expanding=True, type_=Text))
_now: ColumnElement[int] = bindparam("now_ms", type_=BigInteger)
_of = or_(_table.c.id == bindparam("waited_for"), _table.c.group_id == bindparam("waited_for"))

# Walked in the order of seq: it ends at the first that fits, however many wait.
_TAKE = (
    select(_table)
    .where(
        ~_waits,
        _of_kinds,
        or_(
            _table.c.not_before_ms <= _now,
            _table.c.not_before_ms.between(_now + LONGEST_WAIT_MS, HELD_MS - 1),
        ),
        _table.c.lease_until_ms <= LEASE_NOW,
        _table.c.id.not_in(bindparam("except_ids", expanding=True, type_=Text)),
    )
    .order_by(_table.c.seq)
    .limit(1)
    # Whoever else is about to take it, or to record it, has it.
    .with_for_update(of=_table, skip_locked=True)
)
# Walked in the order of an index: what was never put off, then what has been due for longest.
# Leases that have ended are left to the other.
_TAKE_BY_DUE = (
    select(_table)
    .where(
        ~_waits,
        _of_kinds,
        _table.c.not_before_ms <= _now,
        _table.c.lease_until_ms == 0,
        _table.c.id.not_in(bindparam("except_ids", expanding=True, type_=Text)),
    )
    .order_by(_table.c.not_before_ms, _table.c.seq)
    .limit(1)
    .with_for_update(of=_table, skip_locked=True)
)
_within = and_(
    _table.c.region.in_(bindparam("regions", expanding=True, type_=Text)),
    _table.c.zone.not_in(bindparam("elsewhere", expanding=True, type_=Text)),
    _table.c.server.in_(["", bindparam("by", type_=Text)]),
)
_TAKE_WITHIN, _TAKE_BY_DUE_WITHIN = _TAKE.where(_within), _TAKE_BY_DUE.where(_within)
_NEXT_DUE = select(func.min(_table.c.not_before_ms)).where(
    _of_kinds, _table.c.lease_until_ms == 0, ~_waits
)
_NEXT_DUE_WITHIN = _NEXT_DUE.where(_within)
_FIRST_IN_LINE = (
    select(_table.c.kind).where(_table.c.key == bindparam("key")).order_by(_table.c.seq).limit(1)
)
_ADD = insert(_table)
_disks, _instances = schema.disks, schema.instances
_at: ColumnElement[str] = bindparam("at", type_=Text)
_ADD_AT_HOST = insert(_table).values(
    server=func.coalesce(
        select(_disks.c.host).where(_disks.c.id == _at).scalar_subquery(),
        select(_instances.c.host).where(_instances.c.id == _at).scalar_subquery(),
        "",
    )
)
_CHANGE = update(_table).where(_table.c.id == bindparam("job_id"))
_until = LEASE_NOW + bindparam("lease_ms", type_=BigInteger)
# Also for one that was taken since it was read.
_LET_GO = _CHANGE.values(owner=None, lease_until_ms=0, generation=_table.c.generation + 1)
_LEASE = _CHANGE.values(owner=bindparam("by"), generation=bindparam("taken"), lease_until_ms=_until)
_RENEW = (
    update(_table)
    .where(
        _table.c.owner == bindparam("by"),
        _table.c.id.in_(bindparam("job_ids", expanding=True, type_=Text)),
    )
    .values(lease_until_ms=_until)
    .returning(_table.c.id, _table.c.generation)
)
_OURS = and_(
    _table.c.id == bindparam("job_id"), _table.c.generation == bindparam("taken", type_=BigInteger)
)
_RECORD = update(_table).where(_OURS)
_IS_OURS = select(_table.c.id).where(_OURS)
_HOLD_OURS = _IS_OURS.with_for_update()
_CONFIRM = update(_table).where(_of).values(not_before_ms=0).returning(_table.c.kind)
_LEFT = select(_table.c.id).where(_of).limit(1)
_REMOVE = delete(_table).where(_OURS)
_FORGET_READS = delete(_reads).where(_reads.c.job_id == bindparam("job_id"))
_REMOVE_ALL = delete(_table).where(_of).returning(_table.c.key, _table.c.id)
_ADD_READS = insert(_reads)
_IS_READ = select(_reads.c.job_id).where(_reads.c.snapshot_id == bindparam("snapshot_id")).limit(1)


class Jobs:
    """Work after the reply. A job that is done is deleted.

    `runnable` has the kinds of the jobs that could be run since this transaction, one for each.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.runnable: list[JobKind] = []

    def add(self, job: Job) -> None:
        """Add a job behind those of its key.

        One that names a zone, and no server, is its disk's host's.
        """
        # Whoever has added one before has committed, so the order of seq is that of the commits.
        alone(self._connection, f"jobs of {job.key}")
        if not job.is_held:
            self.runnable.append(job.kind)
        columns = columns_of(job)
        # A file has one server, which is every disk's host.
        if locks_rows(self._connection) and job.zone and not job.server:
            del columns["server"]
            self._connection.execute(_ADD_AT_HOST, {**columns, "at": job.arguments.at})
        else:
            self._connection.execute(_ADD, columns)
        self._note_reads(job)

    def take(
        self,
        owner: str,
        kinds: Collection[JobKind],
        now_ms: int,
        lease_ms: int,
        except_ids: Collection[str],
        reach: Reach | None = None,
        by_due: bool = False,
    ) -> Job | None:
        """Lease the oldest job that is due and first in the line of its key, for so long.

        With `by_due` one that was never put off, or else the one that has been due for longest.

        `except_ids` are those that the owner runs now: a clock that jumps ahead ends their
        leases, but nobody shall run them twice. `reach` says which jobs the owner can run; None:
        all, for there is no other server.
        """
        asked: dict[str, Any] = {"now_ms": now_ms, "kinds": list(kinds)}
        asked["except_ids"] = list(except_ids)
        if reach is not None:
            asked |= _asked_within(owner, reach)
        row = None
        if by_due:
            statement = _TAKE_BY_DUE if reach is None else _TAKE_BY_DUE_WITHIN
            row = self._connection.execute(statement, asked).one_or_none()
        if row is None:
            statement = _TAKE if reach is None else _TAKE_WITHIN
            row = self._connection.execute(statement, asked).one_or_none()
        if row is None:
            return None
        job = job_of(row)
        job = replace(job, generation=job.generation + 1)
        leased = {"by": owner, "taken": job.generation, "now_ms": now_ms, "lease_ms": lease_ms}
        self._connection.execute(_LEASE, {"job_id": job.id, **leased})
        return job

    def next_due_ms(
        self, kinds: Collection[JobKind], owner: str = "", reach: Reach | None = None
    ) -> int | None:
        """When the next job of these kinds may be taken that nobody holds and none precedes."""
        asked: dict[str, Any] = {"kinds": list(kinds)}
        if reach is None:
            return self._connection.execute(_NEXT_DUE, asked).scalar()
        asked |= _asked_within(owner, reach)
        return self._connection.execute(_NEXT_DUE_WITHIN, asked).scalar()

    def renew(
        self, owner: str, generations: Mapping[str, int], now_ms: int, lease_ms: int
    ) -> set[str]:
        """Hold the leases longer; returns the ids of those that are lost, or whose jobs are gone.

        `generations` has that of each job, by its id.
        """
        asked = {"by": owner, "job_ids": list(generations), "now_ms": now_ms, "lease_ms": lease_ms}
        held = {row.id: row.generation for row in self._connection.execute(_RENEW, asked)}
        return {one for one, taken in generations.items() if held.get(one) != taken}

    def tell_ended(self, now_ms: int) -> None:
        """Count those as runnable whose lease has ended, if there are any."""
        ended = [_table.c.owner.is_not(None), _table.c.lease_until_ms <= LEASE_NOW]
        kinds = self._connection.execute(select(_table.c.kind).where(*ended), {"now_ms": now_ms})
        self.runnable += map(JobKind, kinds.scalars())

    def check_held(self, job: Job) -> None:
        """Raise LeaseLostError if the job was taken again since, or removed.

        In a transaction that writes nobody takes it before that ends.
        """
        statement = _HOLD_OURS if locks_rows(self._connection) else _IS_OURS
        taken = {"job_id": job.id, "taken": job.generation}
        _check_ours(job, len(self._connection.execute(statement, taken).all()))

    def record(self, job: Job, *, release: bool = False) -> None:
        """Write down how far the job is; with `release` it can be taken again.

        Raises LeaseLostError if it was taken again since, or removed: what the transaction records
        with it must not be.
        """
        columns: dict[str, Any] = {
            "step": job.step,
            "attempts": job.attempts,
            "not_before_ms": job.not_before_ms,
            "undoing": job.undoing,
            "error_code": job.error_code,
            "error_details": job.error_details,
        }
        if release:
            columns |= {"owner": None, "lease_until_ms": 0}
        taken = {"job_id": job.id, "taken": job.generation}
        _check_ours(job, self._connection.execute(_RECORD, {**taken, **columns}).rowcount)

    def confirm(self, waited_for: str) -> bool:
        """Let a held job run, or all of a group; False if there is none any more."""
        kinds = self._connection.execute(_CONFIRM, {"waited_for": waited_for}).scalars().all()
        self.runnable += map(JobKind, kinds)
        return bool(kinds)

    def remove(self, job: Job) -> None:
        """Forget a job that has ended. Raises LeaseLostError as `record` does."""
        if job.group is not None:
            # The last one of a group ends what waits for it, and must know that it is the last.
            alone(self._connection, f"group {job.group}")
        done = self._connection.execute(_REMOVE, {"job_id": job.id, "taken": job.generation})
        _check_ours(job, done.rowcount)
        if job.arguments.reads:
            self._connection.execute(_FORGET_READS, {"job_id": job.id})
        self._moved_up(job.key)

    def remove_all(self, waited_for: str) -> None:
        """Forget the job, or all of a group."""
        for key, job_id in self._connection.execute(_REMOVE_ALL, {"waited_for": waited_for}).all():
            self._connection.execute(_FORGET_READS, {"job_id": job_id})
            self._moved_up(key)

    def is_read(self, snapshot_id: str) -> bool:
        """Whether a job reads the snapshot."""
        found = self._connection.execute(_IS_READ, {"snapshot_id": snapshot_id})
        return found.first() is not None

    def upgrade(self) -> None:
        """Let jobs of an earlier program say what those of this one say."""
        table = schema.jobs
        rows = self._connection.execute(select(table).where(table.c.version == UNTYPED)).all()
        for job in map(job_of, rows):
            known = ("zone", "arguments", "version")
            columns = {name: value for name, value in columns_of(job).items() if name in known}
            self._connection.execute(_CHANGE, {"job_id": job.id, **columns})
            self._note_reads(job)

    def bind(self, ids: Collection[str], server: str) -> None:
        """Let what works on these disks and instances be that server's, unless it is one's."""
        rows = self._connection.execute(
            select(_table).where(_table.c.zone != "", _table.c.server == "")
        ).all()
        for job in map(job_of, rows):
            if job.arguments.at in ids:
                self._connection.execute(_CHANGE, {"job_id": job.id, "server": server})

    def of_server(self, server: str) -> list[Job]:
        """The jobs that only this server can run, in the order of their making."""
        rows = self._connection.execute(
            select(_table).where(_table.c.server == server).order_by(_table.c.seq)
        )
        return [job_of(row) for row in rows]

    def taken_of(self, server: str) -> set[str]:
        """The ids of those that only this server can run, and that it has not given back."""
        query = select(_table.c.id).where(_table.c.server == server, _table.c.owner.is_not(None))
        return set(self._connection.execute(query).scalars())

    def set_free(self, job: Job) -> None:
        """Let any server run a job, without the host's disks; whoever holds it has it no more."""
        self._give(job, server="", zone="")

    def give(self, job: Job, server: str, key: str | None = None) -> None:
        """Let that server run a job, or any host of its zone if it is empty.

        Perhaps in another line than it was. Whoever holds it has it no more.
        """
        self._give(job, server=server, zone=job.zone, key=key or job.key)
        if key is not None:
            self._moved_up(job.key)

    def give_at_rest(self, job: Job, server: str) -> bool:
        """As `give`, unless somebody has the job, or had it and did not give it back."""
        at_rest = _CHANGE.where(_table.c.owner.is_(None))
        changed = self._connection.execute(at_rest, {"job_id": job.id, "server": server}).rowcount
        if changed:
            self.runnable.append(job.kind)
        return bool(changed)

    def _give(self, job: Job, **to: str) -> None:
        self._connection.execute(_LET_GO, {"job_id": job.id, **to})
        self.runnable.append(job.kind)

    def left(self, waited_for: str) -> bool:
        """Whether the job is there, or any of the group."""
        return self._connection.execute(_LEFT, {"waited_for": waited_for}).first() is not None

    def take_over(self, owner: str) -> None:
        """Free what the server of that id leased before it was started again.

        A SQLite file has one server: whoever held a lease there, by whatever id, has ended.
        """
        sole = self._connection.dialect.name == "sqlite"
        self._free([_table.c.owner.is_not(None) if sole else _table.c.owner == owner])

    def release(self, owner: str, except_ids: Collection[str]) -> None:
        """Free the leases of a server that ends, but those of jobs that it still runs."""
        self._free([_table.c.owner == owner, _table.c.id.not_in(except_ids)])

    def _free(self, which: Sequence[ColumnElement[bool]]) -> None:
        """Free leases; whoever held one records nothing any more."""
        free = {"owner": None, "lease_until_ms": 0, "generation": _table.c.generation + 1}
        query = update(_table).where(*which).values(free).returning(_table.c.kind)
        self.runnable += map(JobKind, self._connection.execute(query).scalars())

    def hasten(self, key: str, not_before_ms: int) -> bool:
        """Whether a job of that key waits; one never begun may then be taken by that time."""
        table = schema.jobs
        waiting = [table.c.key == key, table.c.lease_until_ms == 0]
        later = [table.c.generation == 0, table.c.not_before_ms > not_before_ms]
        done = self._connection.execute(
            update(table)
            .where(*waiting, *later)
            .values(not_before_ms=not_before_ms)
            .returning(table.c.kind)
        )
        self.runnable += map(JobKind, done.scalars())
        return self._connection.execute(select(table.c.id).where(*waiting)).first() is not None

    def of_kind(self, kind: JobKind) -> list[Job]:
        return self.of_kinds([kind])

    def of_kinds(self, kinds: Collection[JobKind]) -> list[Job]:
        """The jobs of these kinds, in the order of their making."""
        table = schema.jobs
        rows = self._connection.execute(
            select(table).where(table.c.kind.in_(kinds)).order_by(table.c.seq)
        )
        return [job_of(row) for row in rows]

    def all(self) -> list[Job]:
        rows = self._connection.execute(select(schema.jobs).order_by(schema.jobs.c.seq))
        return [job_of(row) for row in rows]

    def pulse(self, region: str) -> tuple[int, ...]:
        """Numbers that are others once a job of the region was added, failed, or ended."""
        c = schema.jobs.c
        query = select(
            func.count(), func.coalesce(func.max(c.seq), 0), func.coalesce(func.sum(c.attempts), 0)
        ).where(c.region == region)
        return tuple(int(one) for one in self._connection.execute(query).one())

    def by_id(self, job_id: str) -> Job | None:
        row = self._connection.execute(
            select(schema.jobs).where(schema.jobs.c.id == job_id)
        ).one_or_none()
        return None if row is None else job_of(row)

    def _note_reads(self, job: Job) -> None:
        read = [{"job_id": job.id, "snapshot_id": one} for one in sorted(job.arguments.reads)]
        if read:
            self._connection.execute(_ADD_READS, read)

    def _moved_up(self, key: str) -> None:
        """Another job is the first in that line now, if there is one."""
        kind = self._connection.execute(_FIRST_IN_LINE, {"key": key}).scalar()
        if kind is not None:
            self.runnable.append(JobKind(kind))


def _asked_within(owner: str, reach: Reach) -> dict[str, Any]:
    return {"by": owner, "regions": list(reach.regions), "elsewhere": list(reach.elsewhere)}


def _check_ours(job: Job, changed: int) -> None:
    if not changed:
        raise LeaseLostError(
            f"the job {job.id} ({job.kind}) was taken by another server, or removed"
        )
