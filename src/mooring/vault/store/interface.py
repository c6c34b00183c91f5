"""The small interface between the vault and what keeps its objects."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

from mooring.model.errors import DamageError, ObjectNotFoundError
from mooring.model.extents import Buffer

LARGEST_BYTES = 64 * 1024 * 1024
"""Of what is read whole: lists of a million snapshots have less. Segments are not read so."""


def check_largest(size: int, name: str, description: str) -> None:
    """Raise DamageError for an object that nobody stored to be read whole."""
    if size > LARGEST_BYTES:
        raise DamageError(
            f"the object {name} of {description} has {size} bytes, more than any that is read whole"
        )


class Upload(Protocol):
    """An object in the making, written from front to back by one thread at a time."""

    def write(self, data: Buffer) -> None:
        """Append. Raises DiskFullError, StoreError."""
        ...

    def commit(self, name: str) -> None:
        """Give the object its name. Its content is durable on return, its name after `barrier`.

        Raises DiskFullError, StoreError; nothing is left then.
        """
        ...

    def abort(self) -> None:
        """Leave nothing behind. After `commit` it does nothing."""
        ...


class Store(Protocol):
    """Keeps immutable objects by name; safe to call from any thread.

    What a store must guarantee: an object appears whole or not at all; whoever reads or lists after
    a change was made sees the change, also from another process; an object keeps its content
    until it is deleted or replaced. Clocks and orders of listings are not relied on.

    Every method raises StoreError when the store fails; trying again may help.
    """

    @property
    def description(self) -> str:
        """What a message calls this store, for example its path."""
        ...

    @property
    def can_punch(self) -> bool:
        """Whether `punch` gives space back."""
        ...

    def hold_to(self, name: str, content: bytes) -> None:
        """From now on change something only where that object is, with that content.

        So nothing comes into the empty place that an unmounted store leaves, nor into another
        store that takes its place: what changes something raises VaultAwayError then. A store that
        cannot be unmounted may leave that to `check`.
        """
        ...

    def check(self, *, writes: bool = False) -> None:
        """See that the store is there, and is the one that it was held to.

        Raises VaultAwayError; with `writes` VaultReadOnlyError if it can only be read.
        """
        ...

    def upload(self) -> Upload:
        """Begin an object whose name is not known yet. Raises DiskFullError."""
        ...

    def put(self, name: str, data: Buffer, *, replace: bool = True) -> bool:
        """Store a small object; durable after `barrier`. Raises DiskFullError.

        Without `replace`, an object that exists stays as it is, and the answer is False: of
        several callers at once exactly one gets True.
        """
        ...

    def get(self, name: str, offset: int = 0, length: int | None = None) -> bytes:
        """Return `length` bytes from `offset`, fewer only where the object ends before.

        Raises ObjectNotFoundError; DamageError for all of an object that is larger than any that
        is ever read whole.
        """
        ...

    def tail(self, name: str, length: int) -> tuple[bytes, int]:
        """Return the last `length` bytes, or all if it has fewer, and the object's size.

        Raises ObjectNotFoundError.
        """
        ...

    def names(self, prefix: str) -> Iterator[str]:
        """Yield the names below `prefix`, a folder ending in a slash or empty for all."""
        ...

    def begins(self, folder: str, name: str) -> bool:
        """Whether a name in the folder, ending in a slash, begins so and goes on.

        In a bucket one request tells, however many there are.
        """
        ...

    def marked(self, prefix: str) -> Iterator[tuple[str, str]]:
        """Yield the names below `prefix` as `names` does, each with a mark of its object.

        An object of another content has another mark. Empty: this store cannot tell.
        """
        ...

    def rename(self, old: str, new: str) -> None:
        """Give an object another name; at no time is it without one. Durable after `barrier`.

        Works on a full disk where it can. Raises ObjectNotFoundError, DiskFullError.
        """
        ...

    def delete(self, name: str) -> None:
        """Remove; durable after `barrier`. No such object: nothing to do."""
        ...

    def barrier(self, names: Iterable[str]) -> None:
        """Return when the appearance or removal of these names survives a power cut."""
        ...

    def allocated(self, name: str) -> int:
        """The bytes that the object occupies now. Raises ObjectNotFoundError."""
        ...

    def punch(self, name: str, ranges: Sequence[tuple[int, int]]) -> None:
        """Give the space of the (offset, length) ranges back; they read as anything then."""
        ...

    def sweep(self, before_ms: int) -> int:
        """Remove what killed uploads left before that time; return how many there were."""
        ...

    def close(self) -> None:
        """Let go; further calls do nothing."""
        ...


def exists(store: Store, name: str) -> bool:
    """Whether the store has an object of that name. Raises StoreError."""
    try:
        store.get(name, 0, 1)
    except ObjectNotFoundError:
        return False
    return True
