"""A trouble as a value: what people are told of until it ends."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    """`critical`: snapshots or disks are at risk now; `warning`: they will be."""

    WARNING = "warning"
    CRITICAL = "critical"


class TroubleKind(StrEnum):
    """What can be wrong. The words are for programs, too: they do not change."""

    SNAPSHOT_FAILED = "snapshot-failed"
    SNAPSHOT_MISSED = "snapshot-missed"
    DISK_NOT_WELL = "disk-not-well"
    ZONE_AWAY = "zone-away"
    VAULT_AWAY = "vault-away"
    VAULT_DAMAGED = "vault-damaged"
    SNAPSHOTS_LOST = "snapshots-lost"
    REPLICA_LATE = "replica-late"
    SPACE_SHORT = "space-short"
    SPACE_FULL = "space-full"
    FILE_SYSTEM_AWAY = "file-system-away"
    CERTIFICATE_ENDS = "certificate-ends"
    KEY_ENDS = "key-ends"
    THREAD_FAILS = "thread-fails"
    SERVER_SILENT = "server-silent"
    HOST_SILENT = "host-silent"
    HOST_NOT_FENCED = "host-not-fenced"


WARNINGS = frozenset(
    {
        TroubleKind.SPACE_SHORT,
        TroubleKind.REPLICA_LATE,
        TroubleKind.CERTIFICATE_ENDS,
        TroubleKind.KEY_ENDS,
        TroubleKind.THREAD_FAILS,
    }
)
"""Kinds that leave time to do something; all others are critical."""

SOON_MS = 14 * 86_400_000
"""So long before a certificate or a key ends somebody is told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """What is wrong with what: a sentence, with the way out where there is one.

    `server` is the id of the server that alone sees it, empty if all see it alike. `resource` is
    the name of a disk, of an instance, of a file system's use, whatever the kind is about.
    """

    kind: TroubleKind
    text: str
    region: str = ""
    resource: str = ""
    server: str = ""

    @property
    def key(self) -> str:
        """The same for the same trouble, however its sentence changes."""
        return f"{self.server}|{self.kind}|{self.region}|{self.resource}"

    @property
    def severity(self) -> Severity:
        return Severity.WARNING if self.kind in WARNINGS else Severity.CRITICAL


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownTrouble:
    """A trouble that the catalog knows since `since_ms`; `ended_ms` is None while it lasts."""

    trouble: Trouble
    since_ms: int
    noted_ms: int
    ended_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Untold:
    """What is to be told in one place: what has begun, what still lasts, and what has ended."""

    begun: tuple[KnownTrouble, ...] = ()
    lasting: tuple[KnownTrouble, ...] = ()
    ended: tuple[KnownTrouble, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.begun or self.lasting or self.ended)
