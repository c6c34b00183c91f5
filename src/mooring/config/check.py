"""What settings may hold, and which of them go together."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import fields

from mooring.config.settings import (
    AuditSettings,
    CatalogCopySettings,
    EngineSettings,
    InstanceSettings,
    Limits,
    Listen,
    LogSettings,
    NbdSettings,
    QuiesceSettings,
    Region,
    Settings,
    SnapshotSettings,
    Throttle,
    VaultSettings,
)
from mooring.model.automatic.rhythm import parse_rhythms
from mooring.model.errors import ConfigurationError, InvalidInputException

_PLACE = re.compile(r"[A-Za-z0-9]+(-[A-Za-z0-9]+)*", re.ASCII)
"""Names of regions and zones: they become names of directories, and parts of signatures."""


def check(settings: Settings) -> None:
    """Raise ConfigurationError, which names the setting and what it may be."""
    _require(
        re.fullmatch(r"[0-9]{12}", settings.account) is not None,
        f"account must have 12 digits, not {settings.account!r}",
    )
    _check_listen(settings.listen)
    _check_copies(settings.catalog_copies)
    _check_regions(settings.regions)
    _check_engine(settings.engine)
    _check_vault(settings.vault)
    _check_snapshots(settings.snapshots)
    _check_nbd(settings.nbd, len(settings.regions))
    _check_limits(settings.limits)
    _check_quiesce(settings.quiesce)
    _check_instances(settings.instances)
    _check_throttle(settings.throttle)
    _check_audit(settings.audit)
    _check_log(settings.log)


def _check_listen(listen: Listen) -> None:
    _require(0 <= listen.port < 65536, "listen.port must be 0 to 65535")
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
        _require(getattr(copies, name) >= 0, f"catalog_copies.{name} must not be negative")


def _check_regions(regions: Mapping[str, Region]) -> None:
    known: set[str] = set()
    for name, region in regions.items():
        _require(
            _PLACE.fullmatch(name) is not None,
            f"the region {name!r} must be made of letters, digits and hyphens",
        )
        _require(bool(region.zones), f'regions.{name}.zones must name a zone, such as "{name}a"')
        for zone in region.zones:
            _require(zone not in known, f"the zone {zone} is in two regions, or twice in one")
            _require(
                _PLACE.fullmatch(zone) is not None,
                f"the zone {zone!r} must be made of letters, digits and hyphens",
            )
            known.add(zone)


def _check_engine(engine: EngineSettings) -> None:
    _require(
        engine.kind in ("qemu", "memory"),
        f'engine.kind must be qemu or memory; it is "{engine.kind}"',
    )
    for name in ("fill_mib_per_second", "merge_mib_per_second"):
        _require(getattr(engine, name) >= 0, f"engine.{name} must not be negative")
    _require(engine.answer_seconds > 0, "engine.answer_seconds must be more than 0")


def _check_vault(vault: VaultSettings) -> None:
    _require(1 <= vault.level <= 19, "vault.level must be 1 to 19")
    _require(0 <= vault.threads <= 256, "vault.threads must be 0 to 256")
    _require(0 <= vault.nice <= 19, "vault.nice must be 0 to 19")
    _require(0 <= vault.consolidate_frames <= 128, "vault.consolidate_frames must be 0 to 128")
    for name in (
        "upload_mib_per_second",
        "index_mib",
        "collect_minutes",
        "verify_hours",
        "replicate_minutes",
    ):
        _require(getattr(vault, name) >= 0, f"vault.{name} must not be negative")
    _require(
        vault.replica_deletions in ("keep", "follow"),
        f'vault.replica_deletions must be keep or follow; it is "{vault.replica_deletions}"',
    )
    _require(
        0 < vault.verify_percent <= 100,
        "vault.verify_percent must be more than 0 and at most 100",
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
        "nbd.port must be 0 to 65535; each region takes one, counting up from it",
    )


def _check_limits(limits: Limits) -> None:
    for one in fields(limits):
        value = getattr(limits, one.name)
        _require(value > 0, f"limits.{one.name} must be more than 0, not {value}")


def _check_quiesce(quiesce: QuiesceSettings) -> None:
    for name in ("freeze_seconds", "hold_seconds"):
        _require(getattr(quiesce, name) > 0, f"quiesce.{name} must be more than 0")


def _check_instances(instances: Mapping[str, InstanceSettings]) -> None:
    for name, instance in instances.items():
        _require(
            bool(instance.thaw or not instance.freeze),
            f'instances.{name} has a freeze command and no thaw: write thaw = "true" if there is '
            "nothing to thaw",
        )


def _check_throttle(throttle: Throttle) -> None:
    for one in fields(throttle):
        value = getattr(throttle, one.name)
        least = 0 if one.name.endswith("rate") else 1
        _require(value >= least, f"throttle.{one.name} must be at least {least}, not {value}")


def _check_audit(audit: AuditSettings) -> None:
    _require(audit.mebibytes >= 0, "audit.mebibytes must not be negative")
    _require(1 <= audit.files <= 1000, "audit.files must be 1 to 1000")


def _check_log(log: LogSettings) -> None:
    _require(
        log.level in ("debug", "info", "warning", "error"),
        f'log.level must be debug, info, warning or error; it is "{log.level}"',
    )


def _require(holds: bool, otherwise: str) -> None:
    if not holds:
        raise ConfigurationError(otherwise)
