"""Every setting, with its default and meaning."""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from mooring.config.places import default_data_directory, place


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
    name: str = setting("", "host name that is announced to clients on this host; default: host")
    certificate: str = setting("", "file with the server's certificate and its chain, in PEM")
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
class Servers:
    """How the servers of one catalog on PostgreSQL reach each other."""

    address: str = setting(
        "",
        "URL by which other servers of the catalog reach this one; "
        "default: listen.name, or the host's name, with listen.port",
    )
    authority: str = setting(
        "",
        "file with the certificates that vouch for other servers, in PEM; default: the system's",
    )


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
    elsewhere: list[str] = setting(
        [], "further zones of the region, which other servers of the same catalog serve"
    )


@dataclass(frozen=True, slots=True)
class CephSettings:
    """Where in a Ceph cluster the layers of a zone's disks lie, instead of in files."""

    pool: str = setting("", "pool of the layers of the disks of the zone")
    namespace: str = setting("", "name space in the pool, for this zone alone; default: none")
    user: str = setting(
        "", "the cluster's user, without `client.`; default: that of Ceph's own configuration"
    )
    conf: str = setting("/etc/ceph/ceph.conf", "Ceph's configuration, which names the monitors")
    python: str = setting(
        "/usr/bin/python3", "interpreter that has Ceph's modules, `rados` and `rbd`"
    )


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """What holds the live disks."""

    kind: str = setting("qemu", "`qemu`, or `memory` to try the API without any disk")
    fill_mib_per_second: int = setting(
        0, "how fast a disk may be filled from its snapshot, in MiB/s; 0 for no limit"
    )
    merge_mib_per_second: int = setting(
        0, "how fast a disk's layers may be merged, in MiB/s; 0 for no limit"
    )
    answer_seconds: float = setting(
        30.0, "how long a storage daemon may be silent before a request fails"
    )
    run: str = setting("", "directory for sockets and pid files; default: run under data, if short")
    socket_group: str = setting(
        "",
        "group whose members may use all attached disks, such as that of libvirt's machines; "
        "default: only the server's user may",
    )


@dataclass(frozen=True, slots=True)
class VaultSettings:
    """How snapshots are stored."""

    level: int = setting(
        1,
        "zstd compression level, 1 to 19; -1 to -7 compress less and take less time",
    )
    threads: int = setting(0, "threads that compress one snapshot; 0 means one per core")
    nice: int = setting(
        10,
        "nice value of the threads that compress and store, 0 to 19; their I/O priority follows "
        "from it",
    )
    upload_mib_per_second: int = setting(
        0, "how fast snapshots may be stored in one region's vault, in MiB/s; 0 for no limit"
    )
    index_mib: int = setting(
        256,
        "largest size of the index that finds content already stored, in MiB; 0 turns sharing off",
    )
    consolidate_frames: int = setting(
        56,
        "a snapshot that changes part of an aligned 8 MiB of a disk rewrites what is scattered "
        "there, if any 512 KiB of it lies in more stored frames than this; 0 turns that off",
    )
    collect_minutes: float = setting(
        60.0, "minutes between collections; 0 means only after deletions"
    )
    verify_hours: float = setting(24.0, "hours between verifications; 0 means never")
    verify_percent: float = setting(
        1.0, "share of the data that a verification reads back, in per cent"
    )
    replicate_minutes: float = setting(
        60.0, "minutes between runs that bring copies up to date; 0 means never"
    )
    replica_deletions: str = setting(
        "keep", "what copies do about deleted snapshots: `keep` or `follow`"
    )


@dataclass(frozen=True, slots=True)
class RoomSettings:
    """What is kept free on the file systems of disks and snapshots."""

    margin_mib: int = setting(
        512,
        "free space, in MiB, below which new work that takes space, such as a snapshot, is "
        "refused; never more than 5 % of the file system; 0 for no margin",
    )


@dataclass(frozen=True, slots=True)
class SnapshotSettings:
    """Which snapshots are taken automatically, and what can be made of pending ones."""

    rhythms: str = setting(
        "",
        "rhythms of automatic snapshots for every disk without the tag `mooring:snapshots`, "
        "such as `hourly keep 2 days, daily keep 1 month`; default: none",
    )
    instance_rhythms: str = setting(
        "",
        "the same for every instance without the tag, each with all its disks at one instant; "
        "default: none",
    )
    disks_of_pending: bool = setting(
        False,
        "whether create-disk-from-snapshot takes pending snapshots, too: the disk is a fork then, "
        "usable at once; Lightsail refuses them",
    )


@dataclass(frozen=True, slots=True)
class OperationSettings:
    """What is remembered of requests that have ended."""

    keep_days: float = setting(
        90.0, "days for which operations are kept after their end; 0 keeps them for ever"
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
    certificate: str = setting("", "PEM file of the certificate and its chain")
    key: str = setting("", "PEM file of the certificate's key; default: in the certificate's file")
    client_authority: str = setting(
        "", "PEM file; if set, clients need a certificate from this authority"
    )


@dataclass(frozen=True, slots=True)
class NbdDisksSettings:
    """Attached disks over NBD for other hosts: TCP, with TLS always."""

    host: str = setting("", "address on which attached disks are served; default: none")
    port: int = setting(10808, "TCP port; 0 takes a free one")
    name: str = setting("", "name of this host in NBD URIs, as in the certificate; default: host")
    certificate: str = setting("", "PEM file of the certificate and its chain")
    key: str = setting("", "PEM file of the certificate's key; default: in the certificate's file")
    client_authority: str = setting(
        "", "PEM file; clients need a certificate from this authority that names the instance"
    )
    any_client: bool = setting(
        False,
        "whether clients may do without a certificate: whoever reaches the port can then use all "
        "disks that there is a way to",
    )
    connections: int = setting(256, "connections at the same time, one for each disk in use")
    connections_per_address: int = setting(
        64, "connections from one address, so that none takes all places"
    )


@dataclass(frozen=True, slots=True)
class Limits:
    """What bounds the server's work."""

    pending_snapshots: int = setting(5, "pending snapshots that a disk may have")
    body_bytes: int = setting(1024 * 1024, "largest request body, in bytes")
    request_seconds: float = setting(30.0, "longest time for a request's body to arrive")
    head_seconds: float = setting(
        10.0, "longest time for a request's head to arrive, and for a new connection to send one"
    )
    idle_seconds: int = setting(75, "how long a connection is kept open between requests")
    connections: int = setting(512, "client connections at the same time; more wait or are refused")
    connections_per_address: int = setting(
        128, "connections from one address at the same time, so that none takes all places"
    )
    requests: int = setting(32, "requests processed at the same time; more wait their turn")
    bulk_jobs: int = setting(2, "snapshots stored at the same time")


@dataclass(frozen=True, slots=True)
class QuiesceSettings:
    """How the users of a disk are brought to rest for a snapshot."""

    freeze_seconds: float = setting(
        5.0, "longest time to come to rest; then the snapshot is taken without, or fails"
    )
    hold_seconds: float = setting(10.0, "longest time at rest; then they are thawed in any case")
    agent_directories: list[str] = setting(
        ["/run/libvirt/qemu", "/run/qemu", "/var/lib/libvirt/qemu"],
        "directories below which guest agents' sockets may be",
    )


@dataclass(frozen=True, slots=True)
class InstanceSettings:
    """Commands that bring the programs of an instance to rest for a snapshot."""

    freeze: str = setting("", "shell command that brings programs to rest before a freeze")
    thaw: str = setting("", "shell command that thaws them")


@dataclass(frozen=True, slots=True)
class Throttle:
    """How many requests are answered. A bucket holds `burst`, and `rate` come back each second."""

    user_rate: float = setting(1000.0, "requests a second per user, sustained; 0 for no limit")
    user_burst: float = setting(2000.0, "requests in a burst per user, after a pause")
    rate: float = setting(4000.0, "requests a second from all users, sustained; 0 for no limit")
    burst: float = setting(8000.0, "requests in a burst from all users, after a pause")
    refused_rate: float = setting(
        5.0, "requests a second per address without a valid signature; 0 for no limit"
    )
    refused_burst: float = setting(100.0, "those in a burst, after a pause")


@dataclass(frozen=True, slots=True)
class AuditSettings:
    """What is recorded of requests that changed something, or were denied."""

    enabled: bool = setting(True, "whether there is an audit log")
    file: str = setting("", "the file; default: audit.jsonl under data")
    sync: bool = setting(False, "whether a line is durable before the reply is sent")
    mebibytes: int = setting(64, "size at which a new file is started, in MiB; 0 for never")
    files: int = setting(8, "older files kept, as audit.jsonl.1 and so on")
    keep_days: float = setting(
        90.0, "days for which lines are kept in a catalog that servers share; 0 keeps them for ever"
    )


@dataclass(frozen=True, slots=True)
class CatalogCopySettings:
    """Copies of a catalog that is one SQLite file."""

    directory: str = setting(
        "", "where they go, ideally on another disk; default: catalog-copies under data"
    )
    hours: float = setting(24.0, "how often one is made; 0 for only before migrations")
    keep: int = setting(7, "regular ones kept, and as many before migrations; 0 for no copies")


@dataclass(frozen=True, slots=True)
class NotifySettings:
    """Who is told when something is wrong. Nobody is, unless a channel is set up."""

    webhook: str = setting("", "URL to which messages are posted as JSON; default: none")
    webhook_file: str = setting("", "file with that URL, where it is a secret; read each time")
    command: str = setting(
        "", "shell command that is run with the message as its input, as the server's user"
    )
    mail_to: list[str] = setting([], "addresses to which messages are mailed")
    mail_from: str = setting("", "address from which they are mailed; default: the first of those")
    mail_host: str = setting("localhost", "mail server (SMTP)")
    mail_port: int = setting(587, "its TCP port")
    mail_security: str = setting("starttls", "`starttls`, `tls` or `none`")
    mail_user: str = setting("", "user to log in as; default: nobody logs in")
    mail_password_file: str = setting("", "file with the user's password; read each time")
    repeat_hours: float = setting(24.0, "hours after which a trouble that lasts is told again")
    heartbeat: str = setting(
        "", "URL that is called as long as the server can read and record; default: none"
    )
    heartbeat_file: str = setting("", "file with that URL, where it is a secret; read each time")
    heartbeat_seconds: float = setting(60.0, "seconds between two calls")


@dataclass(frozen=True, slots=True)
class HostsSettings:
    """What is done about other hosts of the catalog that are lost."""

    fence_command: list[str] = setting(
        [],
        "program, by its full path, and arguments: ended with 0 it says that a silent host is "
        "dead, which is fenced then, and its disks placed elsewhere; default: people decide",
    )
    fence_seconds: float = setting(30.0, "seconds for which it may run")


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
    """All settings. Get them from `config.load`, which checks them."""

    data: str = setting(
        "",
        "data directory; default: $MOORING_DATA, else the user's data directory",
    )
    name: str = setting(
        "", "the server's name for people, where several share a catalog; default: the host's"
    )
    account: str = setting("000000000000", "account id shown in ARNs and support codes, 12 digits")
    exports: str = setting(
        "", "directory where ExportSnapshot writes images; default: exports under data"
    )
    catalog: str = setting("", "SQLAlchemy URL of the catalog; default: catalog.sqlite under data")
    catalog_copies: CatalogCopySettings = field(default_factory=CatalogCopySettings)
    listen: Listen = field(default_factory=Listen)
    servers: Servers = field(default_factory=Servers)
    hosts: HostsSettings = field(default_factory=HostsSettings)
    regions: dict[str, Region] = field(default_factory=lambda: dict(_DEFAULT_REGIONS))
    ceph: dict[str, CephSettings] = setting({}, "")
    engine: EngineSettings = field(default_factory=EngineSettings)
    vault: VaultSettings = field(default_factory=VaultSettings)
    room: RoomSettings = field(default_factory=RoomSettings)
    snapshots: SnapshotSettings = field(default_factory=SnapshotSettings)
    operations: OperationSettings = field(default_factory=OperationSettings)
    s3: S3Settings = field(default_factory=S3Settings)
    nbd: NbdSettings = field(default_factory=NbdSettings)
    nbd_disks: NbdDisksSettings = field(default_factory=NbdDisksSettings)
    limits: Limits = field(default_factory=Limits)
    quiesce: QuiesceSettings = field(default_factory=QuiesceSettings)
    instances: dict[str, InstanceSettings] = setting({}, "")
    throttle: Throttle = field(default_factory=Throttle)
    audit: AuditSettings = field(default_factory=AuditSettings)
    notify: NotifySettings = field(default_factory=NotifySettings)
    log: LogSettings = field(default_factory=LogSettings)

    @property
    def data_directory(self) -> Path:
        """Where everything is kept that is not configured elsewhere."""
        return place(self.data) if self.data else default_data_directory()
