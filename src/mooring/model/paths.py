"""The one place for paths: what lies where in a data directory."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path

ZONE_RUN_BYTES = 51
"""What the path of a zone's run directory may have.

A Unix socket's path has at most 107 bytes, and the engine's sockets there take up to 56.
"""


def run_directory(data: Path, zones: Iterable[str], uid: int) -> Path:
    """Where sockets and pid files go: `run` under data, or if that is too long, a short place.

    The short place is this user's own, and the same for the same data directory.
    """
    own = data / "run"
    if all(len(os.fsencode(own / zone)) <= ZONE_RUN_BYTES for zone in zones):
        return own
    digest = hashlib.sha256(os.fsencode(data)).hexdigest()[:8]
    return Path(f"/run/mooring-{digest}" if uid == 0 else f"/tmp/mooring-{uid}-{digest}")


class Paths:
    """Names of files and directories; nothing here touches the disk."""

    def __init__(self, data: Path, run: Path | None = None) -> None:
        self.data = data
        self.run = run or data / "run"
        """Sockets and pid files; see `run_directory`."""
        self.image_files = data / "exports"
        """What ExportSnapshot has written, by region."""
        self.lock = data / "lock"
        """Held by the one server of the data directory."""
        self.server_id = data / "server-id"
        """By what a catalog knows the server of the data directory."""
        self.last_run = data / "run-directory"
        """Where the run directory was at the last start."""
        self.catalog = data / "catalog.sqlite"
        self.catalog_copies = data / "catalog-copies"
        """Copies of the catalog, unless the settings name another place."""
        self.credentials = data / "credentials"
        """Access keys, as the AWS clients read them."""
        self.settings = data / "mooring.toml"
        """The settings that `mooringd init` and `join` write, unless they are told another file."""
        self.cluster_key = data / "cluster-key"
        """What opens the secrets that servers share in a catalog."""
        self.default_keys = data / "default-key-pairs"
        """The private halves of the regions' default key pairs."""
        self.audit = data / "audit.jsonl"
        """Who changed what, or was denied."""
        self.reserve = data / "reserve"
        """Room that is given up when there is none left."""
        self.mount_points = data / "mount-points"
        """Where something must be mounted before anything is written below it."""
        self.server = data / "server.json"
        """Where the running server listens."""
        self.log = data / "server.log"
        """What a server in the background has to say."""

    @property
    def indexes(self) -> Path:
        """What finds content in the vaults again; may be deleted at any time."""
        return self.data / "cache" / "vaults"

    @property
    def zones(self) -> Path:
        """The disks, by zone."""
        return self.data / "zones"

    def engine(self, zone: str) -> Path:
        """The layers of a zone's disks."""
        return self.zones / zone

    def engine_run(self, zone: str) -> Path:
        """The sockets of a zone's storage daemons."""
        return self.run / zone

    def holds(self) -> Path:
        """Who is held at rest for a snapshot, one file for each instance."""
        return self.run / ".holds"

    def devices(self) -> Path:
        """What belongs to block devices of this host, one folder for each disk."""
        return self.run / ".devices"

    def imports(self) -> Path:
        """Where images to import are served, one folder for each."""
        return self.run / ".imports"

    def console_links(self) -> Path:
        """Links that sign in to the console once, one file for each."""
        return self.run / ".console"

    def relay(self) -> Path:
        """What belongs to the process that serves attached disks to other hosts."""
        return self.run / ".relay"

    def snapshots_run(self, region: str) -> Path:
        """The socket of the process that serves a region's snapshots."""
        return self.run / f"snapshots-{region}"

    def vault(self, region: str) -> Path:
        """The snapshots of a region."""
        return self.data / "vaults" / region
