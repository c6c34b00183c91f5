"""The vault: what holds frozen disks, and everything that can be done with it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial

from mooring.host.pace import Pace, lower_priority
from mooring.model.clock import Clock
from mooring.model.errors import (
    DiskFullError,
    MooringError,
    ObjectNotFoundError,
    SnapshotNotInVaultError,
    VaultAwayError,
    VaultError,
    VaultReadOnlyError,
)
from mooring.model.extents import BLOCK_SIZE, Extent
from mooring.model.ids import Ids, RandomIds
from mooring.vault.claims.claims import Claims
from mooring.vault.format.cipher import Cipher
from mooring.vault.format.frame import Packer
from mooring.vault.format.header import (
    create_header,
    has_header,
    has_more_than_key,
    open_cipher,
    read_header,
)
from mooring.vault.format.key import change_secret
from mooring.vault.format.layout import (
    HEADER_NAME,
    SEGMENT_BYTES,
    root_name,
)
from mooring.vault.format.root import Root, SnapshotInfo, check_size, decode_root
from mooring.vault.keeping.burial import bury
from mooring.vault.keeping.collect import Collection as CollectionResult
from mooring.vault.keeping.collect import Collector
from mooring.vault.keeping.mend import Mender, Mending, Readable
from mooring.vault.keeping.replicate import (
    OnCopied,
    Replica,
    Replication,
    Replicator,
    check_copy,
    make_copy,
)
from mooring.vault.keeping.scrub import scrub
from mooring.vault.keeping.usage import Usage, UsageReport
from mooring.vault.keeping.verify import Damage, Verification, damaged_roots
from mooring.vault.options import DEFAULTS, VaultOptions
from mooring.vault.reading.diff import changed_extents
from mooring.vault.reading.frames import Frames
from mooring.vault.reading.reachable import Walk
from mooring.vault.reading.reader import SnapshotReader
from mooring.vault.reading.roots import Roots
from mooring.vault.reading.workshop import Workshop
from mooring.vault.store.abreast import Abreast
from mooring.vault.store.interface import Store
from mooring.vault.writing.digest_index import DigestIndex
from mooring.vault.writing.sharing import Sharing
from mooring.vault.writing.writer import SnapshotWriter, WriterTools

__all__ = [
    "Damage",
    "Mending",
    "Readable",
    "Replica",
    "Replication",
    "Root",
    "SnapshotInfo",
    "SnapshotReader",
    "SnapshotWriter",
    "Usage",
    "Vault",
    "VaultOptions",
    "change_secret",
    "has_header",
    "has_more_than_key",
    "scrub",
]


class Vault:
    """Safe to use from any thread, and beside other processes on the same store.

    Every method may raise StoreError.
    """

    def __init__(
        self,
        vault_id: str,
        store: Store,
        clock: Clock,
        ids: Ids,
        cipher: Cipher,
        options: VaultOptions,
    ) -> None:
        """Use `create_or_open`."""
        self.id = vault_id
        self._store = store
        self._clock = clock
        self._ids = ids
        self._cipher = cipher
        self._options = options
        polite = partial(lower_priority, options.nice)
        self._workers = ThreadPoolExecutor(options.threads, "vault-frames", polite)
        self._sealers = ThreadPoolExecutor(2, "vault-segments", polite)
        frames = Frames(store, cipher)
        self._abreast = Abreast(polite)
        self._roots = Roots(store, cipher, self._abreast)
        self._claims = Claims(store, clock, ids, cipher, options.margins)
        self._workshop = Workshop(
            store=store,
            clock=clock,
            claims=self._claims,
            frames=frames,
            roots=self._roots,
            walk=Walk(frames, self._abreast),
            workers=self._workers,
            abreast=self._abreast,
        )
        self._sharing = None
        if options.index_bytes:
            folder = options.index and options.index / vault_id
            index = DigestIndex(folder, options.index_bytes)
            self._sharing = Sharing(self._claims, frames, index, self._abreast)
        self._tools = WriterTools(
            packer=Packer(options.level, cipher),
            sealers=self._sealers,
            segment_bytes=min(options.segment_bytes, SEGMENT_BYTES),
            sharing=self._sharing,
            pace=Pace(clock, options.bytes_per_second),
            consolidate_frames=options.consolidate_frames,
        )
        self._collector = Collector(self._workshop)
        self._usage: list[Usage] | None = None
        self._closed_for: str | None = None

    @classmethod
    def create_or_open(
        cls,
        store: Store,
        clock: Clock,
        options: VaultOptions = DEFAULTS,
        *,
        ids: Ids | None = None,
        create: bool = True,
        secret: bytes | None = None,
    ) -> Vault:
        """Open the vault in the store; with `create` make one if the store is empty.

        With a `secret`, of any length, all content is sealed with a key that the secret unwraps.
        A vault has a key from the beginning or never.

        Raises VaultError if the store holds something else, a vault of another format version, or
        one with a key when there is no secret, or the other way round; WrongKeyError, DamageError,
        DiskFullError.
        """
        ids = RandomIds() if ids is None else ids
        try:
            header = store.get(HEADER_NAME)
        except ObjectNotFoundError:
            if not create:
                raise VaultError(
                    f"there is no vault in {store.description}: its object 'vault' is missing"
                ) from None
            header = create_header(store, clock, ids.new_id(), secret)
        vault_id, scheme = read_header(header, store.description)
        store.hold_to(HEADER_NAME, header)
        cipher = open_cipher(store, vault_id, scheme, secret)
        return cls(vault_id, store, clock, ids, cipher, options)

    def close(self) -> None:
        """End threads and free memory. Writers and readers must be done."""
        if self._sharing is not None:
            self._sharing.close()
        self._workers.shutdown(cancel_futures=True)
        self._sealers.shutdown()
        self._abreast.close()
        self._store.close()

    def __enter__(self) -> Vault:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    # --- being there

    def check(self, *, writes: bool = False) -> None:
        """See that the vault is where it was opened, and with `writes` that it may be written to.

        Raises VaultAwayError. Whatever writes looks by itself, before it begins and before it
        names a root.
        """
        self._store.check(writes=writes)
        if writes and self._closed_for is not None:
            raise VaultAwayError(self._closed_for)

    def close_for_writing(self, why: str | None) -> None:
        """Only read from it, from now on, for this reason; None lifts that."""
        self._closed_for = why

    # --- storing

    def begin(self, info: SnapshotInfo, parent: str | None = None) -> SnapshotWriter:
        """Start storing a snapshot; what is not written is as in `parent`, or zeros without.

        Raises VaultError if the snapshot is in the vault already or the disk was larger in the
        parent, SnapshotNotInVaultError if the parent is not there, DamageError if its root
        cannot be read.
        """
        check_size(info.size)
        self.check(writes=True)
        if self.has(info.id):
            raise VaultError(f"snapshot {info.id} is already in the vault")
        held = b"" if parent is None else self._roots.stored(parent)
        claim = self._claims.to_write(info.id, parent, held)
        try:
            base = None
            if parent is not None:
                # Only now the claim protects what the parent names.
                base = self._roots.claimed(parent)
                if base.info.size > info.size:
                    raise VaultError(
                        f"snapshot {info.id} of {info.size} bytes cannot follow {parent} of "
                        f"{base.info.size} bytes: a disk does not shrink"
                    )
            return SnapshotWriter(info, base, claim, self._workshop, self._tools)
        except MooringError:
            claim.release()
            raise

    def confirm(self, snapshot_id: str) -> Root | None:
        """Return the root if the snapshot is stored, and durable now; None if it is not.

        For work that is repeated after a crash: begin only when this says None.
        """
        try:
            root = self.root(snapshot_id)
        except SnapshotNotInVaultError:
            return None
        self._store.barrier([root_name(snapshot_id)])
        return root

    def delete(self, snapshot_id: str) -> None:
        """Remove a snapshot, durably. Its space is freed by `collect`. Not there: nothing."""
        # Without this a vault that is away would have no such snapshot, and keep it forever.
        self.check(writes=True)
        self._store.barrier(bury(self._workshop, snapshot_id))

    def delete_all(self, snapshot_ids: Iterable[str]) -> None:
        """The same for many, side by side, which become durable together."""
        self.check(writes=True)
        buried = self._abreast.map(partial(bury, self._workshop), snapshot_ids)
        self._store.barrier([name for names in buried for name in names])

    # --- reading

    def open(self, snapshot_id: str, *, claim: bool = False) -> SnapshotReader:
        """Open a snapshot for reading; with `claim` it stays readable even if it is deleted.

        A reader with a claim must be read from, or closed, within an hour. In a vault that can
        only be read there are no claims: should another host delete and collect there, reading
        fails. Raises SnapshotNotInVaultError, DamageError.
        """
        data = self._roots.stored(snapshot_id)
        root = decode_root(data, snapshot_id, self._cipher)
        held = None
        if claim:
            with suppress(VaultReadOnlyError):
                held = self._claims.to_read(snapshot_id, data)
        if held is not None:
            try:
                self._roots.claimed(snapshot_id)
            except MooringError:
                held.release()
                raise
        frames = self._workshop.frames
        return SnapshotReader(root, frames, self._workers, lambda: self.has(snapshot_id), held)

    def has(self, snapshot_id: str) -> bool:
        """Whether the snapshot has a root, whole or not."""
        return self._roots.has(snapshot_id)

    def root(self, snapshot_id: str) -> Root:
        """The root of a snapshot. Raises SnapshotNotInVaultError, DamageError."""
        return self._roots.get(snapshot_id)

    def readable_roots(self, *, anew: bool = False) -> tuple[list[Root], dict[str, str]]:
        """The roots in the order of their making; of those that are damaged, what is wrong.

        With `anew` even those are read that are known, to see whether they still can be.
        """
        self._store.check()
        roots, damaged = self._roots.readable(anew=anew)
        return sorted(roots, key=lambda root: (root.info.created_ms, root.id)), damaged

    def snapshot_ids(self) -> Iterator[str]:
        """Yield the ids of all snapshots, also of those whose root cannot be read."""
        self._store.check()
        yield from self._roots.ids()

    def diff(self, old: str | None, new: str, start: int = 0) -> Iterator[Extent]:
        """Yield the ranges of `new` that changed since `old`; without it, all that is not zero.

        Ascending, from the byte `start` on; `zero` says that a range reads as zeros now. What was
        written again with the content that it had may be among them. Raises
        SnapshotNotInVaultError, DamageError.
        """
        before = None if old is None else self.root(old)
        return changed_extents(before, self.root(new), self._workshop.frames, start // BLOCK_SIZE)

    # --- keeping

    def collect(self, *, dry_run: bool = False, expected: Collection[str] = ()) -> CollectionResult:
        """Free what no snapshot needs; see collect.py for why that is safe beside anything else.

        `expected`: snapshots that must have a root. Raises RootsMissingError if one has none, and
        DamageError if a root or a map is damaged: then nothing is deleted.
        """
        self.check(writes=not dry_run)
        return self._collector.run(dry_run=dry_run, expected=expected)

    def verify(self, ids: Iterable[str] | None = None, sample: float = 1.0) -> list[Damage]:
        """Read back all frames of the snapshots (None: of all), or a random part of them.

        Maps and roots are always checked in full. Raises SnapshotNotInVaultError for an id that
        is not there.
        """
        roots, broken = self.readable_roots(anew=True) if ids is None else self._roots.readable(ids)
        frames = Frames(self._store, self._cipher)
        found = Verification(frames, self._abreast).run(roots, sample)
        # What was deleted meanwhile may have been collected meanwhile.
        return [*damaged_roots(broken), *(one for one in found if self.has(one.snapshot_id))]

    def usage(self, *, continued: bool = False) -> list[Usage]:
        """What each snapshot takes alone, and what it shares. Raises DamageError.

        Snapshots whose roots cannot be read are left out: `verify` names them. Walks all maps;
        asked again while the snapshots are the same, it answers at once. If `continued`, it answers
        as before, if it was asked before, without looking whether they are: for the next page.
        """
        if continued and self._usage is not None:
            return list(self._usage)
        roots = sorted(self.readable_roots()[0], key=lambda root: root.id)
        ids = [root.id for root in roots]
        known = self._usage
        if known is None or [one.snapshot_id for one in known] != ids:
            self._usage = known = UsageReport(self._workshop).run(roots)
        return list(known)

    def replicate(
        self,
        target: Store,
        *,
        delete: bool = False,
        known: Collection[str] = (),
        expected: bool = False,
        on_copied: OnCopied = lambda *_: None,
    ) -> Replication:
        """Bring a copy of this vault in another store up to date; make it if the store is empty.

        With `delete`, snapshots that were copied and are not here any more are deleted there, and
        their room is given back, but for those that are `known` to whoever keeps account. With
        `expected` a copy must be there. Raises VaultAwayError if it is not, or one of the two goes
        away meanwhile; DiskFullError, StoreError; VaultError if the target holds something else,
        or a collection on it does not end; DamageError if a collection there meets damage.
        Snapshots that cannot be read here are told in the result.
        """
        self.check()
        make_copy(self._store, target, self.id, expected=expected)
        replicator = Replicator(self._workshop, target)
        try:
            result = replicator.run(on_copied)
        except DiskFullError:
            if delete:  # which may make the room that is needed
                self._follow(target, replicator.gone(known))
            raise
        if delete:
            result.deleted += self._follow(target, replicator.gone(known))
        return result

    def _follow(self, target: Store, gone: Sequence[str]) -> Sequence[str]:
        """Delete in a copy what is gone here, and give its room back; returns it."""
        if gone:
            with self._beside(target) as copy:
                for snapshot_id in gone:
                    copy.delete(snapshot_id)
                copy.collect()
        return gone

    def mend(self, copies: Sequence[Store], disks: Sequence[Readable] = ()) -> Mending:
        """Verify all, and put in place what is damaged here and sound in `copies` of this vault.

        Data may also come from `disks`, which had it once at the same place and may be in use:
        only bytes with the right digest are taken. Raises DiskFullError, StoreError; VaultError
        if a copy is that of another vault, or somebody copies into this one.
        """
        self.check(writes=True)
        for copy in copies:
            check_copy(copy, self.id)
        return Mender(self._workshop, copies, disks).run()

    def _beside(self, store: Store) -> Vault:
        """This very vault as another store has it."""
        options = VaultOptions(threads=1, index_bytes=0, margins=self._options.margins)
        return Vault(self.id, store, self._clock, self._ids, self._cipher, options)
