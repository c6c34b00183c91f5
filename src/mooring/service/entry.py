"""A line of a table of what is served, and what it needs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum, StrEnum
from typing import Generic, TypeVar

from mooring.model.access import Need
from mooring.service.reach import Through

Function = TypeVar("Function", bound=Callable[..., object])
Function_co = TypeVar("Function_co", bound=Callable[..., object], covariant=True)


class Takes(StrEnum):
    """What takes the room that something needs."""

    DISKS = "disks"
    VAULT = "vault"
    IMAGE_FILES = "image-files"


class Use(Enum):
    """What is done with the vault sooner or later."""

    READ = "read"
    WRITE = "write"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry(Generic[Function_co]):
    """What is served.

    `on` are the members of the input that name resources which must be there: access by tags is
    decided by them, and `through` says what else they stand for. `region` is the member that says
    in which region they are, empty for that of the request. `notes` are other members that belong
    into the audit log. `makes` is the member that names what is made:
    who is bound to tags must give them in the request. `takes` says what has to have more room
    than its margin. `vault` says that it is no use without the region's
    vault. `inherits` says that the request has no tags for what it makes, which gets those that
    bind the key. `shared` says that it gives out what is the whole region's: to no key that is
    bound to tags.
    """

    function: Function_co
    need: Need
    on: tuple[str, ...] = ()
    region: str = ""
    makes: str = ""
    notes: tuple[str, ...] = ()
    through: Through = Through.NOTHING
    takes: tuple[Takes, ...] = ()
    vault: Use | None = None
    inherits: bool = False
    shared: bool = False


AnyEntry = Entry[Callable[..., object]]
"""Whatever it is called with."""


def reads(
    function: Function,
    *,
    on: Sequence[str] = (),
    through: Through = Through.NOTHING,
    shared: bool = False,
) -> Entry[Function]:
    """It only tells; nothing is made or changed, and no data of a disk can be reached by it."""
    return Entry(function=function, need=Need.READ, on=tuple(on), through=through, shared=shared)


def changes(
    function: Function,
    *,
    on: Sequence[str] = (),
    region: str = "",
    makes: str = "",
    notes: Sequence[str] = (),
    through: Through = Through.NOTHING,
    takes: Sequence[Takes] = (),
    vault: Use | None = None,
    inherits: bool = False,
    shared: bool = False,
) -> Entry[Function]:
    """It makes, changes or deletes resources, or opens a way to the data of a disk."""
    return Entry(
        function=function,
        need=Need.CHANGE,
        on=tuple(on),
        region=region,
        makes=makes,
        notes=tuple(notes),
        through=through,
        takes=tuple(takes),
        vault=vault,
        inherits=inherits,
        shared=shared,
    )


def administers(function: Function, *, notes: Sequence[str] = ()) -> Entry[Function]:
    """It is for those who run the server."""
    return Entry(function=function, need=Need.ADMINISTER, notes=tuple(notes))
