"""What settings may contain, and which of them go together."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import fields
from urllib.parse import urlsplit

from mooring.config.settings import (
    AuditSettings,
    CatalogCopySettings,
    EngineSettings,
    HostsSettings,
    InstanceSettings,
    Limits,
    Listen,
    LogSettings,
    NbdDisksSettings,
    NbdSettings,
    NotifySettings,
    QuiesceSettings,
    Region,
    Settings,
    SnapshotSettings,
    Throttle,
    VaultSettings,
)
from mooring.model.automatic.rhythm import parse_rhythms
from mooring.model.counts import counted
from mooring.model.errors import ConfigurationError, InvalidInputException

_PLACE = re.compile(r"[A-Za-z0-9]+(-[A-Za-z0-9]+)*", re.ASCII)
"""Names of regions and zones: they become names of directories, and parts of signatures."""


def check_host(settings: Settings) -> None:
    """Whether `mooringd host` can serve disks. Raises ConfigurationError."""
    if not settings.catalog.startswith("postgresql"):
        raise ConfigurationError(
            "a host needs other servers, and so a catalog on PostgreSQL (the setting catalog): "
            "use `mooringd serve`"
        )
    if not any(region.zones for region in settings.regions.values()):
        raise ConfigurationError(
            "a host needs zones, of whose disks some are here: name them as zones of a region"
        )


def check(settings: Settings) -> None:
    """Raise ConfigurationError, which names the setting and what it may be."""
    _require(
        re.fullmatch(r"[0-9]{12}", settings.account) is not None,
        f'account must have 12 digits; it is "{settings.account}"',
    )
    _check_listen(settings.listen)
    _check_copies(settings.catalog_copies)
    _check_regions(settings.regions, settings.catalog.startswith("postgres"))
    _check_ceph(settings)
    _check_engine(settings.engine)
    _check_vault(settings.vault)
    _at_least("room.margin_mib", settings.room.margin_mib, 0)
    _check_snapshots(settings.snapshots)
    _at_least("operations.keep_days", settings.operations.keep_days, 0)
    _check_nbd(settings.nbd, len(settings.regions))
    _check_nbd_disks(settings.nbd_disks)
    _check_limits(settings.limits)
    _check_quiesce(settings.quiesce)
    _check_instances(settings.instances)
    _check_throttle(settings.throttle)
    _check_audit(settings.audit)
    _check_notify(settings.notify)
    _check_hosts(settings.hosts)
    _check_log(settings.log)


def _check_listen(listen: Listen) -> None:
    _in_range("listen.port", listen.port, 0, 65535)
    _require(
        bool(listen.certificate) == bool(listen.key),
        "listen.certificate and listen.key belong together: give both or neither",
    )
    _require(
        listen.is_loopback or listen.uses_tls or listen.insecure,
        f"listen.host {listen.host} can be reached from other hosts, and without TLS others on the "
        "network could read and replay requests: give listen.certificate and listen.key, or set "
        "listen.insecure = true if something else protects the connection",
    )


def _check_copies(copies: CatalogCopySettings) -> None:
    for name in ("hours", "keep"):
        _at_least(f"catalog_copies.{name}", getattr(copies, name), 0)


def _check_regions(regions: Mapping[str, Region], many: bool) -> None:
    known: set[str] = set()
    for name, region in regions.items():
        _require(
            _PLACE.fullmatch(name) is not None,
            f"the region {name!r} must be made of letters, digits and hyphens",
        )
        _require(
            bool(region.zones or region.elsewhere) or many,
            f'regions.{name}.zones must name a zone, such as "{name}a"',
        )
        _require(
            many or not region.elsewhere,
            f"regions.{name}.elsewhere names zones of other servers, and only a catalog on "
            "PostgreSQL can have several: name it with the setting catalog",
        )
        for zone in (*region.zones, *region.elsewhere):
            _require(zone not in known, f"the zone {zone} is in two regions, or twice in one")
            _require(
                _PLACE.fullmatch(zone) is not None,
                f"the zone {zone!r} must be made of letters, digits and hyphens",
            )
            known.add(zone)


def _check_ceph(settings: Settings) -> None:
    zones = {zone for region in settings.regions.values() for zone in region.zones}
    places: dict[tuple[str, str, str], str] = {}
    for zone, place in settings.ceph.items():
        known = ", ".join(sorted(zones))
        _require(zone in zones, f"ceph.{zone} is for no zone of this server; it has {known}")
        _require(bool(place.pool), f"ceph.{zone}.pool must name a pool of the cluster")
        for name in ("pool", "namespace", "user"):
            value = getattr(place, name)
            _require(
                re.fullmatch(r"[A-Za-z0-9._-]*", value, re.ASCII) is not None,
                f"ceph.{zone}.{name} may have letters, digits, dots, hyphens and underscores; "
                f'it is "{value}"',
            )
        # Whoever the user is: what is recorded there of this host is one zone's.
        other = places.setdefault((place.conf, place.pool, place.namespace), zone)
        _require(
            other == zone,
            f"ceph.{zone} and ceph.{other} are one place: give each zone a name space of its own",
        )


def _check_engine(engine: EngineSettings) -> None:
    _one_of("engine.kind", engine.kind, "qemu", "memory")
    for name in ("fill_mib_per_second", "merge_mib_per_second"):
        _at_least(f"engine.{name}", getattr(engine, name), 0)
    _positive("engine.answer_seconds", engine.answer_seconds)


def _check_vault(vault: VaultSettings) -> None:
    _in_range("vault.level", vault.level, -7, 19)
    _require(vault.level != 0, "vault.level must be -7 to -1, or 1 to 19; there is no level 0")
    _in_range("vault.threads", vault.threads, 0, 256)
    _in_range("vault.nice", vault.nice, 0, 19)
    _in_range("vault.consolidate_frames", vault.consolidate_frames, 0, 128)
    for name in (
        "upload_mib_per_second",
        "index_mib",
        "collect_minutes",
        "verify_hours",
        "replicate_minutes",
    ):
        _at_least(f"vault.{name}", getattr(vault, name), 0)
    _one_of("vault.replica_deletions", vault.replica_deletions, "keep", "follow")
    _require(
        0 < vault.verify_percent <= 100,
        f"vault.verify_percent must be more than 0 and at most 100; it is {vault.verify_percent:g}",
    )


def _check_snapshots(snapshots: SnapshotSettings) -> None:
    for name, rhythms in (
        ("rhythms", snapshots.rhythms),
        ("instance_rhythms", snapshots.instance_rhythms),
    ):
        try:
            if rhythms:
                parse_rhythms(rhythms)
        except InvalidInputException as error:
            raise ConfigurationError(f"snapshots.{name}: {error.message}") from None


def _check_nbd(nbd: NbdSettings, regions: int) -> None:
    _require(
        not nbd.host or bool(nbd.certificate),
        "nbd.host needs nbd.certificate: snapshots leave this host only with TLS",
    )
    _require(
        nbd.port >= 0 and nbd.port + regions - 1 < 65536,
        f"nbd.port must be 0 to {65536 - regions}; it is {nbd.port}, and each of "
        f"{counted(regions, 'region')} takes one, counting up from it",
    )


def _check_nbd_disks(disks: NbdDisksSettings) -> None:
    _require(
        not disks.host or bool(disks.certificate),
        "nbd_disks.host needs nbd_disks.certificate: disks leave this host only with TLS",
    )
    _require(
        not disks.host or bool(disks.client_authority) != disks.any_client,
        "nbd_disks.host needs nbd_disks.client_authority, whose certificates name the instances "
        "that a client may use; or, instead of it, nbd_disks.any_client = true, if whoever reaches "
        "the port may use the disks",
    )
    _require(0 <= disks.port < 65536, f"nbd_disks.port must be 0 to 65535; it is {disks.port}")
    for name in ("connections", "connections_per_address"):
        _positive(f"nbd_disks.{name}", getattr(disks, name))


def _check_limits(limits: Limits) -> None:
    for one in fields(limits):
        _positive(f"limits.{one.name}", getattr(limits, one.name))


def _check_quiesce(quiesce: QuiesceSettings) -> None:
    for name in ("freeze_seconds", "hold_seconds"):
        _positive(f"quiesce.{name}", getattr(quiesce, name))


def _check_instances(instances: Mapping[str, InstanceSettings]) -> None:
    for name, instance in instances.items():
        _require(
            bool(instance.thaw or not instance.freeze),
            f'instances.{name} has a freeze command and no thaw: write thaw = "true" if there is '
            "nothing to thaw",
        )


def _check_throttle(throttle: Throttle) -> None:
    for one in fields(throttle):
        least = 0 if one.name.endswith("rate") else 1
        _at_least(f"throttle.{one.name}", getattr(throttle, one.name), least)


def _check_audit(audit: AuditSettings) -> None:
    _at_least("audit.mebibytes", audit.mebibytes, 0)
    _in_range("audit.files", audit.files, 1, 1000)
    _at_least("audit.keep_days", audit.keep_days, 0)


def _check_hosts(hosts: HostsSettings) -> None:
    _require(
        not hosts.fence_command or hosts.fence_command[0].startswith("/"),
        "hosts.fence_command is a program by its full path, and its arguments, each by itself; no "
        "shell reads them",
    )
    _positive("hosts.fence_seconds", hosts.fence_seconds)


def _check_log(log: LogSettings) -> None:
    _one_of("log.level", log.level, "debug", "info", "warning", "error")


def _one_of(name: str, value: str, *choices: str) -> None:
    *others, last = choices
    known = f"{', '.join(others)} or {last}"
    _require(value in choices, f'{name} must be {known}; it is "{value}"')


def _in_range(name: str, value: int, least: int, most: int) -> None:
    _require(least <= value <= most, f"{name} must be {least} to {most}; it is {value}")


def _at_least(name: str, value: float, least: int) -> None:
    _require(value >= least, f"{name} must be at least {least}; it is {value:g}")


def _positive(name: str, value: float) -> None:
    _require(value > 0, f"{name} must be more than 0; it is {value:g}")


def _require(holds: bool, otherwise: str) -> None:
    if not holds:
        raise ConfigurationError(otherwise)


def _check_notify(notify: NotifySettings) -> None:
    for name in ("webhook", "heartbeat"):
        url, file = getattr(notify, name), getattr(notify, f"{name}_file")
        _require(not (url and file), f"give notify.{name} or notify.{name}_file, not both")
        _require(
            not url or urlsplit(url).scheme in {"http", "https"},
            f"notify.{name} must begin with https:// or http://",
        )
    _one_of("notify.mail_security", notify.mail_security, "starttls", "tls", "none")
    _in_range("notify.mail_port", notify.mail_port, 1, 65535)
    for address in (*notify.mail_to, *filter(None, [notify.mail_from])):
        _require(
            re.fullmatch(r"[^@\s,]+@[^@\s,]+", address) is not None,
            f"notify.mail_to and notify.mail_from are addresses such as root@example.org, not "
            f"{address!r}",
        )
    _require(
        bool(notify.mail_user) == bool(notify.mail_password_file),
        "notify.mail_user and notify.mail_password_file belong together: give both or neither",
    )
    _require(
        not notify.mail_user or notify.mail_security != "none",
        "notify.mail_user logs in with a password, which others on the network could read: set "
        "notify.mail_security to starttls or tls",
    )
    _positive("notify.repeat_hours", notify.repeat_hours)
    _positive("notify.heartbeat_seconds", notify.heartbeat_seconds)
