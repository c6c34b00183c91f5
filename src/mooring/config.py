"""Every setting, its default, its meaning; read from a TOML file and checked."""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from mooring.model.errors import ConfigurationError, InvalidInputException
from mooring.model.rhythm import parse_rhythms

_PLACE = re.compile(r"[A-Za-z0-9]+(-[A-Za-z0-9]+)*", re.ASCII)
"""Names of regions and zones: they become names of directories, and parts of signatures."""


def setting(default: Any, meaning: str) -> Any:
    """A setting with its default and its meaning, which docs/configuration.md repeats."""
    if isinstance(default, (dict, list)):
        return field(default_factory=lambda: type(default)(default), metadata={"meaning": meaning})
    return field(default=default, metadata={"meaning": meaning})


@dataclass(frozen=True, slots=True)
class Listen:
    """Where the API is served."""

    host: str = setting("127.0.0.1", "address to listen on; beyond loopback only with TLS")
    port: int = setting(8470, "TCP port; 0 takes a free one")
    name: str = setting("", "host name that clients on this host are told; default: host")
    certificate: str = setting("", "file with the server's certificate and those above it, in PEM")
    key: str = setting("", "file with the certificate's private key, in PEM, not encrypted")
    insecure: bool = setting(
        False, "whether to listen beyond loopback without TLS: requests can then be read by others"
    )

    @property
    def is_loopback(self) -> bool:
        """Whether only this host can connect."""
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

    @property
    def uses_tls(self) -> bool:
        return bool(self.certificate)


@dataclass(frozen=True, slots=True)
class Region:
    """A region: its zones, each with an engine, and its vault."""

    zones: list[str] = setting([], "names of the region's availability zones")
    vault: str = setting(
        "",
        "directory of the region's vault, or s3://bucket/prefix; "
        "default: vaults/<region> under data",
    )
    key_file: str = setting(
        "", "file with the secret that opens the vault's key; default: not sealed"
    )
    replica: str = setting(
        "", "directory or s3://bucket/prefix in which a copy of the vault is kept; default: none"
    )


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """What holds the live disks."""

    kind: str = setting("qemu", "`qemu`, or `memory` to try the API without any disk")
    fill_mib_per_second: int = setting(
        0, "limit of the speed at which a disk is filled from its snapshot, in MiB/s; 0 for none"
    )
    merge_mib_per_second: int = setting(
        0, "limit of the speed at which layers of a disk are merged, in MiB/s; 0 for none"
    )
    answer_seconds: float = setting(
        30.0, "how long a storage daemon may be silent until a request fails"
    )
    run: str = setting("", "directory of sockets and pid files; default: run under data, if short")


@dataclass(frozen=True, slots=True)
class VaultSettings:
    """How snapshots are stored."""

    level: int = setting(1, "zstd compression level, 1 to 19")
    threads: int = setting(0, "threads that compress one snapshot; 0 means one for each core")
    nice: int = setting(
        10,
        "how much the threads that compress and store give way to others, 0 to 19; their I/O "
        "priority follows from it",
    )
    upload_mib_per_second: int = setting(
        0, "limit of what is stored in one region's vault, in MiB/s; 0 for none"
    )
    index_mib: int = setting(
        256,
        "largest size of the index that finds content stored before, in MiB; 0 turns sharing off",
    )
    consolidate_frames: int = setting(
        64,
        "a snapshot that changes some of 512 KiB of a disk writes all of it again if it lies in "
        "more frames than this; 0 turns that off",
    )
    collect_minutes: float = setting(
        60.0, "minutes between two collections; 0 means only after deletions"
    )
    verify_hours: float = setting(24.0, "hours between two verifications; 0 means never")
    verify_percent: float = setting(
        1.0, "part of the data that a verification reads back, in per cent"
    )
    replicate_minutes: float = setting(
        60.0, "minutes between two runs that bring copies up to date; 0 means never"
    )
    replica_deletions: str = setting(
        "keep", "what copies do with snapshots that were deleted: `keep` or `follow`"
    )


@dataclass(frozen=True, slots=True)
class SnapshotSettings:
    """Which snapshots are taken without being asked for."""

    rhythms: str = setting(
        "",
        "rhythms of automatic snapshots of every disk without the tag `mooring:snapshots`, "
        "such as `hourly keep 2 days, daily keep 1 month`; default: none",
    )


@dataclass(frozen=True, slots=True)
class S3Settings:
    """The service that holds vaults in buckets. Credentials come from the environment."""

    endpoint: str = setting("", "address of an S3-compatible service; default: that of AWS")
    region: str = setting("", "the service's region; default: $AWS_REGION")


@dataclass(frozen=True, slots=True)
class NbdSettings:
    """Snapshots over NBD for other hosts: TCP, with TLS always."""

    host: str = setting("", "address on which exported snapshots are served; default: none")
    port: int = setting(10809, "TCP port of the first region; 0 takes free ones")
    name: str = setting("", "name of this host in NBD URIs, as in the certificate; default: host")
    certificate: str = setting("", "PEM file of the certificate, and of those that vouch for it")
    key: str = setting("", "PEM file of the certificate's key; default: in the certificate's file")
    client_authority: str = setting(
        "", "PEM file; if it is set, clients need a certificate of this authority"
    )


@dataclass(frozen=True, slots=True)
class Limits:
    """What bounds the server's work."""

    pending_snapshots: int = setting(5, "pending snapshots that a disk may have")
    body_bytes: int = setting(1024 * 1024, "largest request body, in bytes")
    request_seconds: float = setting(30.0, "longest time for a request's body to arrive")
    requests: int = setting(32, "requests worked on at once; more wait their turn")
    bulk_jobs: int = setting(2, "snapshots stored at once")


@dataclass(frozen=True, slots=True)
class QuiesceSettings:
    """How the users of a disk are brought to rest for a snapshot."""

    freeze_seconds: float = setting(
        5.0, "longest time to come to rest; then the snapshot goes on without, or fails"
    )
    hold_seconds: float = setting(10.0, "longest time at rest; then they are let go in any case")
    agent_directories: list[str] = setting(
        ["/run/libvirt/qemu", "/run/qemu", "/var/lib/libvirt/qemu"],
        "directories below which sockets of guest agents may be",
    )


@dataclass(frozen=True, slots=True)
class InstanceSettings:
    """Commands that bring the programs of an instance to rest for a snapshot."""

    freeze: str = setting("", "shell command that brings programs to rest before a freeze")
    thaw: str = setting("", "shell command that lets them go again")


@dataclass(frozen=True, slots=True)
class Throttle:
    """How many requests are answered. A bucket holds `burst`, and `rate` come back each second."""

    user_rate: float = setting(1000.0, "requests a second of one user, over time; 0 for any number")
    user_burst: float = setting(2000.0, "requests of one user at once, after a pause")
    rate: float = setting(4000.0, "requests a second of all users, over time; 0 for any number")
    burst: float = setting(8000.0, "requests of all users at once, after a pause")


@dataclass(frozen=True, slots=True)
class AuditSettings:
    """What is written down of requests that changed something, or were denied."""

    enabled: bool = setting(True, "whether there is an audit log")
    file: str = setting("", "the file; default: audit.jsonl under data")
    sync: bool = setting(False, "whether a line is on the disk before the answer goes out")


@dataclass(frozen=True, slots=True)
class LogSettings:
    """What the server says about itself."""

    level: str = setting("info", "`debug`, `info`, `warning` or `error`")


_DEFAULT_REGIONS = {
    "us-east-2": Region(zones=["us-east-2a", "us-east-2b"]),
    "us-west-2": Region(zones=["us-west-2a", "us-west-2b"]),
}


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings. Build with `load`, which checks them."""

    data: str = setting(
        "", "data directory; default: $MOORING_DATA, else the user's data directory"
    )
    account: str = setting("000000000000", "account id shown in ARNs and support codes, 12 digits")
    exports: str = setting(
        "", "directory that ExportSnapshot writes images to; default: exports under data"
    )
    catalog: str = setting("", "SQLAlchemy URL of the catalog; default: catalog.sqlite under data")
    listen: Listen = field(default_factory=Listen)
    regions: dict[str, Region] = field(default_factory=lambda: dict(_DEFAULT_REGIONS))
    engine: EngineSettings = field(default_factory=EngineSettings)
    vault: VaultSettings = field(default_factory=VaultSettings)
    snapshots: SnapshotSettings = field(default_factory=SnapshotSettings)
    s3: S3Settings = field(default_factory=S3Settings)
    nbd: NbdSettings = field(default_factory=NbdSettings)
    limits: Limits = field(default_factory=Limits)
    quiesce: QuiesceSettings = field(default_factory=QuiesceSettings)
    instances: dict[str, InstanceSettings] = setting({}, "")
    throttle: Throttle = field(default_factory=Throttle)
    audit: AuditSettings = field(default_factory=AuditSettings)
    log: LogSettings = field(default_factory=LogSettings)

    @property
    def data_directory(self) -> Path:
        """Where everything is kept that is not configured elsewhere."""
        return Path(self.data).expanduser() if self.data else default_data_directory()


def default_data_directory() -> Path:
    """`$MOORING_DATA`, else `mooring` in the XDG data directory of the user."""
    if os.environ.get("MOORING_DATA"):
        return Path(os.environ["MOORING_DATA"]).expanduser()
    base = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local/share"
    return Path(base) / "mooring"


def load(path: str | None, data: str | None = None) -> Settings:
    """Read and check the settings; without a path all defaults. `data` wins over the file's.

    Raises ConfigurationError, which names the file, the setting and the way out.
    """
    table: dict[str, Any] = {}
    if path is not None:
        try:
            table = tomllib.loads(Path(path).read_text(encoding="utf-8"))
        except OSError as error:
            raise ConfigurationError(f"{path} cannot be read: {error.strerror}") from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ConfigurationError(f"{path} is not a TOML file: {error}") from error
    try:
        settings = _read_settings(table)
        if data is not None:
            settings = replace(settings, data=data)
        _check(settings)
    except ConfigurationError as error:
        raise ConfigurationError(f"{path}: {error}" if path else str(error)) from None
    return settings


def _read_settings(table: Mapping[str, Any]) -> Settings:
    table = dict(table)
    regions = table.pop("regions", None)
    instances = table.pop("instances", {})
    settings: Settings = _read(Settings(), table, "")
    if not isinstance(instances, dict):
        raise ConfigurationError("instances must be tables, for example [instances.web-1]")
    settings = replace(
        settings,
        instances={
            name: _read(InstanceSettings(), instance, f"instances.{name}.")
            for name, instance in instances.items()
        },
    )
    if regions is None:
        return settings
    if not isinstance(regions, dict) or not regions:
        raise ConfigurationError("regions must be tables, for example [regions.us-east-2]")
    read = {name: _read(Region(), region, f"regions.{name}.") for name, region in regions.items()}
    return replace(settings, regions=read)


def _read(default: Any, table: Any, prefix: str) -> Any:
    """The default with what the table sets."""
    if not isinstance(table, dict):
        raise ConfigurationError(f"{prefix.rstrip('.')} must be a table: [{prefix.rstrip('.')}]")
    known = {one.name: getattr(default, one.name) for one in fields(default)}
    values = {}
    for key, value in table.items():
        if key not in known:
            raise ConfigurationError(_unknown(prefix, key, list(known)))
        if is_dataclass(known[key]):
            values[key] = _read(known[key], value, f"{prefix}{key}.")
        else:
            values[key] = _checked_type(prefix + key, value, known[key])
    return replace(default, **values)


def _unknown(prefix: str, key: str, known: list[str]) -> str:
    near = difflib.get_close_matches(key, known, n=1)
    names = ", ".join(prefix + name for name in near or known)
    hint = f"did you mean {names}?" if near else f"known here: {names}"
    return f"there is no setting {prefix}{key}; {hint}"


_TYPES = {
    str: "a text",
    bool: "a yes or no, written true or false",
    int: "a whole number",
    float: "a number",
    list: "a list",
}


def _checked_type(key: str, value: Any, default: Any) -> Any:
    wanted = type(default)
    if wanted is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, wanted) or (isinstance(value, bool) and wanted is not bool):
        name = _TYPES[wanted]
        raise ConfigurationError(f"{key} must be {name}, not {value!r}")
    if wanted is list and not all(isinstance(one, str) for one in value):
        raise ConfigurationError(f"{key} must be a list of texts, not {value!r}")
    return value


def _check(settings: Settings) -> None:
    _require(
        re.fullmatch(r"[0-9]{12}", settings.account) is not None,
        f"account must have 12 digits, not {settings.account!r}",
    )
    _require(0 <= settings.listen.port < 65536, "listen.port must be 0 to 65535")
    _check_tls(settings.listen)
    _require(
        settings.engine.kind in ("qemu", "memory"),
        f"engine.kind must be qemu or memory, not {settings.engine.kind!r}",
    )
    _require(
        settings.engine.fill_mib_per_second >= 0, "engine.fill_mib_per_second must not be negative"
    )
    _require(
        not settings.nbd.host or bool(settings.nbd.certificate),
        "nbd.host needs nbd.certificate: snapshots leave this host with TLS only",
    )
    last = settings.nbd.port + len(settings.regions) - 1
    _require(
        settings.nbd.port >= 0 and last < 65536,
        "nbd.port must be 0 to 65535; each region takes one, counted up from it",
    )
    _require(
        settings.engine.merge_mib_per_second >= 0,
        "engine.merge_mib_per_second must not be negative",
    )
    _require(settings.engine.answer_seconds > 0, "engine.answer_seconds must be more than 0")
    _require(1 <= settings.vault.level <= 19, "vault.level must be 1 to 19")
    _require(0 <= settings.vault.threads <= 256, "vault.threads must be 0 to 256")
    _require(0 <= settings.vault.nice <= 19, "vault.nice must be 0 to 19")
    _require(
        settings.vault.upload_mib_per_second >= 0,
        "vault.upload_mib_per_second must not be negative",
    )
    _require(settings.vault.index_mib >= 0, "vault.index_mib must not be negative")
    _require(
        0 <= settings.vault.consolidate_frames <= 128, "vault.consolidate_frames must be 0 to 128"
    )
    _require(settings.vault.collect_minutes >= 0, "vault.collect_minutes must not be negative")
    _require(settings.vault.verify_hours >= 0, "vault.verify_hours must not be negative")
    _require(settings.vault.replicate_minutes >= 0, "vault.replicate_minutes must not be negative")
    _require(
        settings.vault.replica_deletions in ("keep", "follow"),
        f"vault.replica_deletions must be keep or follow, not {settings.vault.replica_deletions!r}",
    )
    _require(
        0 < settings.vault.verify_percent <= 100,
        "vault.verify_percent must be more than 0 and at most 100",
    )
    if settings.snapshots.rhythms:
        try:
            parse_rhythms(settings.snapshots.rhythms)
        except InvalidInputException as error:
            raise ConfigurationError(f"snapshots.rhythms: {error.message}") from None
    _require(
        settings.log.level in ("debug", "info", "warning", "error"),
        f"log.level must be debug, info, warning or error, not {settings.log.level!r}",
    )
    for name in ("freeze_seconds", "hold_seconds"):
        _require(getattr(settings.quiesce, name) > 0, f"quiesce.{name} must be more than 0")
    for name, instance in settings.instances.items():
        _require(
            bool(instance.thaw or not instance.freeze),
            f'instances.{name} has a freeze command and no thaw: write thaw = "true" if there is '
            "nothing to let go",
        )
    for one in fields(Limits):
        value = getattr(settings.limits, one.name)
        _require(value > 0, f"limits.{one.name} must be more than 0, not {value}")
    for one in fields(Throttle):
        value = getattr(settings.throttle, one.name)
        least = 0 if one.name.endswith("rate") else 1
        _require(value >= least, f"throttle.{one.name} must be at least {least}, not {value}")
    zones: dict[str, str] = {}
    for name, region in settings.regions.items():
        _require(
            _PLACE.fullmatch(name) is not None,
            f"the region {name!r} must be made of letters, digits and hyphens",
        )
        _require(bool(region.zones), f'regions.{name}.zones must name a zone, such as "{name}a"')
        for zone in region.zones:
            _require(zone not in zones, f"the zone {zone} is in two regions, or twice in one")
            _require(
                _PLACE.fullmatch(zone) is not None,
                f"the zone {zone!r} must be made of letters, digits and hyphens",
            )
            zones[zone] = name


def _check_tls(listen: Listen) -> None:
    _require(
        bool(listen.certificate) == bool(listen.key),
        "listen.certificate and listen.key belong together: give both, or none",
    )
    _require(
        listen.is_loopback or listen.uses_tls or listen.insecure,
        f"listen.host {listen.host} can be reached from other hosts, and without TLS others on the "
        "way could read and replay requests: give listen.certificate and listen.key, or set "
        "listen.insecure = true where something else protects the way",
    )


def _require(holds: bool, otherwise: str) -> None:
    if not holds:
        raise ConfigurationError(otherwise)
