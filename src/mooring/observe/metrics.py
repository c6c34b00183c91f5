"""Every metric, with its meaning; served at /metrics."""

from __future__ import annotations

from collections.abc import Mapping

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)

CONTENT_TYPE = CONTENT_TYPE_LATEST

# They would double every family, and no alarm needs them.
disable_created_metrics()  # type: ignore[no-untyped-call]

_REQUESTS = Counter(
    "mooring_requests_total",
    "Requests answered, by operation and error type (empty when it succeeded).",
    ["operation", "error"],
)
_REQUEST_SECONDS = Histogram(
    "mooring_request_seconds",
    "Time from a request's arrival to its reply.",
    ["operation"],
    buckets=(0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.2, 0.5, 1, 5),
)
_FREEZE_SECONDS = Histogram(
    "mooring_freeze_pause_seconds",
    "How long a disk's writes were held back by a freeze.",
    buckets=(0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1),
)
_PASSED_SECONDS = Histogram(
    "mooring_passed_on_seconds",
    "How long requests took that were passed on to the host that has their disks.",
    buckets=(0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 5, 30),
)
_REST_SECONDS = Histogram(
    "mooring_quiesce_seconds",
    "How long the users of disks were held at rest for a snapshot, from freeze to thaw.",
    buckets=(0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10),
)
_CONSISTENCY = Counter(
    "mooring_snapshots_frozen_total",
    "Disks frozen for snapshots, by the kind of consistency.",
    ["consistency"],
)
_STORED_BYTES = Counter("mooring_snapshot_stored_bytes_total", "Bytes that snapshots have added.")
_CHANGED_BYTES = Counter(
    "mooring_snapshot_changed_bytes_total", "Bytes that had changed when snapshots were stored."
)
_FILLED_BYTES = Counter(
    "mooring_disk_filled_bytes_total",
    "Bytes of their snapshots' ranges that new disks have been filled with.",
)
_JOBS = Counter("mooring_jobs_total", "Jobs ended, by kind and outcome.", ["kind", "outcome"])

_THREAD_FAILURES = Counter(
    "mooring_thread_failures_total",
    "Errors after which a thread of the server continued, by its name; `other`: that ended a "
    "thread.",
    ["thread"],
)
_DAEMON_DEATHS = Counter(
    "mooring_storage_daemon_deaths_total",
    "Storage daemons that died; what their clients had not flushed may be lost.",
)
_AUDIT_FAILURES = Counter(
    "mooring_audit_failures_total", "Lines of the audit log that could not be written."
)
_LINES_LEFT_OUT = Counter(
    "mooring_log_lines_left_out_total", "Log lines that repeated an earlier one."
)
_FREED_BYTES = Counter("mooring_vault_freed_bytes_total", "Bytes that collections reclaimed.")
_DAMAGED = Gauge(
    "mooring_vault_damaged_snapshots",
    "Snapshots in which the last verification found damage, by region.",
    ["region"],
)
_VAULT_BYTES = Gauge(
    "mooring_vault_bytes",
    "What a vault held after its last collection: `stored` in total, of which snapshots need "
    "`live` and nothing needs `dead`; `logical` is what full copies of all snapshots would take.",
    ["region", "kind"],
)
_VAULT_SNAPSHOTS = Gauge(
    "mooring_vault_snapshots", "Snapshots in a vault at its last collection.", ["region"]
)
_FREE_BYTES = Gauge(
    "mooring_file_system_free_bytes",
    "Bytes free, for this user, on the file system of each use.",
    ["use"],
)
_SIZE_BYTES = Gauge(
    "mooring_file_system_size_bytes", "Size of the file system of each use.", ["use"]
)
_VAULT_AWAY = Gauge(
    "mooring_vault_away",
    "1 while a region's vault is away, not the right one, older than the catalog, or read-only.",
    ["region"],
)
_ZONE_AWAY = Gauge(
    "mooring_zone_away",
    "1 while what a zone's disks lie in has not answered since the server's start.",
    ["zone"],
)
_PLACE_AWAY = Gauge(
    "mooring_file_system_away",
    "1 while the file system that something is on is not mounted.",
    ["use"],
)
_MISSING_ROOTS = Gauge(
    "mooring_vault_missing_snapshots",
    "Snapshots that were completed and have no root in the vault, by region.",
    ["region"],
)
_UNKNOWN_ROOTS = Gauge(
    "mooring_vault_unknown_snapshots",
    "Snapshots in a vault that the catalog does not know, by region.",
    ["region"],
)
_REPLICA_BYTES = Counter(
    "mooring_replica_copied_bytes_total", "Bytes written to the copy of a vault.", ["region"]
)
_REPLICA_PROBLEMS = Gauge(
    "mooring_replica_snapshots_not_copied",
    "Snapshots that the last run could not copy into the copy of the vault.",
    ["region"],
)
_REPLICA_TIME = Gauge(
    "mooring_replica_complete_timestamp_seconds",
    "When the copy of the vault was last brought up to date in full.",
    ["region"],
)
_AUTO_STORED = {
    kind: Gauge(
        f"mooring_{prefix}auto_snapshot_last_success_timestamp_seconds",
        f"When the newest stored automatic snapshot was taken, by {kind}.",
        ["region", kind],
    )
    for kind, prefix in (("disk", ""), ("instance", "instance_"))
}
_AUTO_DUE = {
    kind: Gauge(
        f"mooring_{prefix}auto_snapshot_due_timestamp_seconds",
        f"When the next automatic snapshot is due, by {kind}: in the past while it fails.",
        ["region", kind],
    )
    for kind, prefix in (("disk", ""), ("instance", "instance_"))
}
_auto_labels: dict[Gauge, set[tuple[str, str]]] = {}

_ABSENT_DISKS = Gauge(
    "mooring_disks_not_served",
    "Disks of a zone that is not in the settings, by zone.",
    ["zone"],
)

_VERIFIED = Gauge(
    "mooring_vault_verified_timestamp_seconds",
    "When the last verification of a region's vault ended.",
    ["region"],
)
_AUTO_FAILURES = {
    kind: Gauge(
        f"mooring_{prefix}auto_snapshot_failures",
        f"Tries of automatic snapshots that failed since the newest that is stored, by {kind}.",
        ["region", kind],
    )
    for kind, prefix in (("disk", ""), ("instance", "instance_"))
}

_COPY_TIME = Gauge("mooring_catalog_copy_timestamp_seconds", "When the catalog was last copied.")
_COPY_FAILURES = Counter(
    "mooring_catalog_copy_failures_total", "Copies of the catalog that could not be made."
)


def request_done(operation: str, error: str, seconds: float) -> None:
    """A request was answered."""
    _REQUESTS.labels(operation, error).inc()
    _REQUEST_SECONDS.labels(operation).observe(seconds)


def passed_on(seconds: float) -> None:
    """A request was answered by the host that it was passed on to."""
    _PASSED_SECONDS.observe(seconds)


def frozen(pause_seconds: float) -> None:
    """A disk was frozen."""
    _FREEZE_SECONDS.observe(pause_seconds)


def at_rest(seconds: float) -> None:
    """Users of disks were held at rest so long."""
    _REST_SECONDS.observe(seconds)


def consistent(kind: str) -> None:
    """A disk was frozen for a snapshot of that kind of consistency."""
    _CONSISTENCY.labels(kind).inc()


def snapshot_stored(changed_bytes: int, stored_bytes: int) -> None:
    """A snapshot is safe in the vault."""
    _CHANGED_BYTES.inc(changed_bytes)
    _STORED_BYTES.inc(stored_bytes)


def disk_filled(range_bytes: int) -> None:
    """So much more of a snapshot's range has come into a new disk."""
    _FILLED_BYTES.inc(range_bytes)


def job_ended(kind: str, outcome: str) -> None:
    """A job has ended: `succeeded` or `failed`."""
    _JOBS.labels(kind, outcome).inc()


def thread_failed(name: str) -> None:
    """A thread met an error that nothing in it expected."""
    _THREAD_FAILURES.labels(name).inc()


def storage_daemon_died() -> None:
    """A storage daemon has ended that nobody had asked to."""
    _DAEMON_DEATHS.inc()


def audit_failed(lines: int) -> None:
    """So many lines are missing from the audit log."""
    _AUDIT_FAILURES.inc(lines)


def log_line_left_out() -> None:
    """A line of the log was not written, because it repeats others."""
    _LINES_LEFT_OUT.inc()


def collected(freed_bytes: int) -> None:
    """A collection has given room back."""
    _FREED_BYTES.inc(freed_bytes)


def vault_holds(region: str, snapshots: int, size: Mapping[str, int]) -> None:
    """What a vault holds after a collection; `size` in bytes by kind."""
    _VAULT_SNAPSHOTS.labels(region).set(snapshots)
    for kind, value in size.items():
        _VAULT_BYTES.labels(region, kind).set(value)


def room_left(use: str, free_bytes: int, size_bytes: int) -> None:
    """How much room the file system of a use has."""
    _FREE_BYTES.labels(use).set(free_bytes)
    _SIZE_BYTES.labels(use).set(size_bytes)


def place_there(use: str, there: bool) -> None:
    """Whether the file system of a use is mounted."""
    _PLACE_AWAY.labels(use).set(0 if there else 1)


def verified(region: str, damaged: int, ended_seconds: float) -> None:
    """A verification has ended at that moment, and found so many snapshots damaged."""
    _DAMAGED.labels(region).set(damaged)
    _VERIFIED.labels(region).set(ended_seconds)


def vault_there(region: str, there: bool) -> None:
    """Whether a vault can be used as it should be."""
    _VAULT_AWAY.labels(region).set(0 if there else 1)


def zone_there(zone: str, *, there: bool) -> None:
    """Whether the disks of a zone can be served."""
    _ZONE_AWAY.labels(zone).set(0 if there else 1)


def roots_compared(region: str, missing: int, unknown: int) -> None:
    """The roots of a vault were compared with the catalog."""
    _MISSING_ROOTS.labels(region).set(missing)
    _UNKNOWN_ROOTS.labels(region).set(unknown)


def replicated(region: str, copied_bytes: int, problems: int, now_seconds: float) -> None:
    """A run that copies a vault has ended."""
    _REPLICA_BYTES.labels(region).inc(copied_bytes)
    _REPLICA_PROBLEMS.labels(region).set(problems)
    if not problems:
        _REPLICA_TIME.labels(region).set(now_seconds)


def replica_was(region: str, problems: int, ended_seconds: float) -> None:
    """How the last run ended that copied a vault, perhaps by another server."""
    _REPLICA_PROBLEMS.labels(region).set(problems)
    if not problems:
        _REPLICA_TIME.labels(region).set(ended_seconds)


def not_served(zone: str, disks: int) -> None:
    """So many disks are in a zone that the settings do not name."""
    _ABSENT_DISKS.labels(zone).set(disks)


def catalog_copied(now_seconds: float) -> None:
    """A copy of the catalog was made."""
    _COPY_TIME.set(now_seconds)


def catalog_copy_failed() -> None:
    """A copy of the catalog could not be made."""
    _COPY_FAILURES.inc()


def auto_snapshots(
    newest: Mapping[tuple[bool, str, str], float],
    due: Mapping[tuple[bool, str, str], float],
    failures: Mapping[tuple[bool, str, str], float],
) -> None:
    """When automatic snapshots were stored last and are due, in seconds since 1970; failed tries.

    By whether it is a disk, or an instance; region; name. Others are shown no more.
    """
    for gauges, values in (
        (_AUTO_STORED, newest),
        (_AUTO_DUE, due),
        (_AUTO_FAILURES, failures),
    ):
        for kind, gauge in gauges.items():
            wanted = {
                (region, name): value
                for (is_disk, region, name), value in values.items()
                if is_disk == (kind == "disk")
            }
            for labels in _auto_labels.get(gauge, set()) - wanted.keys():
                gauge.remove(*labels)
            for labels, value in wanted.items():
                gauge.labels(*labels).set(value)
            _auto_labels[gauge] = set(wanted)


def text() -> bytes:
    """All metrics in the text format of Prometheus."""
    return generate_latest()
