"""Metrics that exist for alarms: what waits, what is wrong, what ends."""

from __future__ import annotations

from collections.abc import Mapping

from prometheus_client import Counter, Gauge

from mooring.model.trouble import TroubleKind
from mooring.version import VERSION

_BUILD = Gauge("mooring_build_info", "Always 1; its label says which Mooring runs.", ["version"])
_BUILD.labels(VERSION).set(1)
_PENDING = Gauge("mooring_pending_snapshots", "Snapshots that are not stored yet.", ["region"])
_OLDEST_PENDING = Gauge(
    "mooring_oldest_pending_snapshot_timestamp_seconds",
    "When the oldest snapshot was taken that is not stored yet; absent while there is none.",
    ["region"],
)
_waiting: set[str] = set()
_NOT_WELL = Gauge(
    "mooring_disks_not_well", "Disks of this server that cannot be used as they should.", ["region"]
)
_CERTIFICATES = Gauge(
    "mooring_certificate_end_timestamp_seconds", "When a certificate ends, by its use.", ["use"]
)
_KEYS = Gauge("mooring_key_end_timestamp_seconds", "When an access key ends.", ["key"])
_THREADS_FAILING = Gauge(
    "mooring_threads_failing", "Threads of the server that have ended, or fail again and again."
)
_TROUBLES = Gauge(
    "mooring_troubles", "What is wrong now, as notifications tell it, by kind.", ["kind"]
)
_NOTIFICATIONS = Counter(
    "mooring_notifications_total",
    "Notifications, and heartbeats, by channel and outcome: `sent` or `failed`.",
    ["channel", "outcome"],
)


def pending(region: str, snapshots: int, oldest_seconds: float | None) -> None:
    """So many snapshots are not stored yet; the oldest was taken at that moment."""
    _PENDING.labels(region).set(snapshots)
    if oldest_seconds is not None:
        _OLDEST_PENDING.labels(region).set(oldest_seconds)
        _waiting.add(region)
    elif region in _waiting:
        _OLDEST_PENDING.remove(region)
        _waiting.discard(region)


def disks_not_well(by_region: Mapping[str, int]) -> None:
    """A round of all disks has ended, and found so many not well."""
    for region, disks in by_region.items():
        _NOT_WELL.labels(region).set(disks)


def ends(kind: TroubleKind, name: str, end_seconds: float) -> None:
    """A certificate or a key ends at that moment."""
    gauge = _KEYS if kind is TroubleKind.KEY_ENDS else _CERTIFICATES
    gauge.labels(name).set(end_seconds)


def troubles(by_kind: Mapping[TroubleKind, int]) -> None:
    """What is wrong now."""
    for kind in TroubleKind:
        _TROUBLES.labels(kind).set(by_kind.get(kind, 0))
    _THREADS_FAILING.set(by_kind.get(TroubleKind.THREAD_FAILS, 0))


def notified(channel: str, sent: bool) -> None:
    """A notification, or a heartbeat, was sent, or could not be."""
    _NOTIFICATIONS.labels(channel, "sent" if sent else "failed").inc()
