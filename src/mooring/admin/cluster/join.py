"""mooringd join: makes this host another server of a catalog that is there."""

from __future__ import annotations

import argparse
import getpass
import json
import os
import socket
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from mooring.admin.cluster.database import database
from mooring.admin.cluster.listening import ALONE, listening
from mooring.admin.cluster.settings_file import settings_file, write_settings
from mooring.admin.cluster.starting import is_unit, starting
from mooring.admin.cluster.unused import check_unused, put_aside
from mooring.admin.serving.background import serve_in_background
from mooring.backend.cluster_key import read_cluster_key, write_cluster_key
from mooring.catalog.connections import with_driver
from mooring.catalog.database import Catalog
from mooring.catalog.transaction import Transaction
from mooring.config.check import check
from mooring.config.settings import Region, S3Settings, Settings
from mooring.config.shared import with_shared
from mooring.model.clock import SystemClock
from mooring.model.errors import ConfigurationError, StoreError
from mooring.model.paths import Paths
from mooring.observe import logs
from mooring.service.credentials.join_secrets import use_join_secret
from mooring.service.credentials.shared_keys import KEYS
from mooring.version import VERSION
from mooring.wiring.build_server import build_server
from mooring.wiring.vaults import full_place

SECRET_VARIABLE = "MOORING_JOIN_SECRET"


def join(options: argparse.Namespace) -> int:
    """Fetch the cluster's key and the settings, and start the server. Raises ConfigurationError.

    The secret is used last: what else is wrong shows before.
    """
    logs.configure("warning")
    first = Settings(
        data=options.data or "", catalog=with_driver(options.url), name=options.name or ""
    )
    paths = Paths(first.data_directory.absolute())
    check_unused(paths)
    file = settings_file(first, options.to)
    with database(first.catalog, insecure=options.insecure) as catalog:
        _check_versions(catalog)
        with catalog.read() as transaction:
            _check_names(transaction, options, paths)
            shared = transaction.shared_settings.all()
        settings = _settings(first, options, shared)
        check(settings)
        # Who was cut off here, or has copied the file, needs no secret.
        secret = None if read_cluster_key(paths.cluster_key) else _secret(options)
        # Whoever has the server's id, or its data directory, is in the way here.
        mooring = build_server(settings)
        try:
            put_aside(paths)
            for region in settings.regions:
                try:
                    _ = mooring.backend.vaults[region]
                except StoreError as error:
                    raise ConfigurationError(
                        f"{error}. With --vault this host can be told where it sees that vault"
                    ) from error
            if secret is not None:
                with catalog.write() as transaction:
                    key = use_join_secret(transaction, secret, SystemClock().now_ms())
                    write_cluster_key(paths.cluster_key, key)
            mooring.cluster.begin(lambda: None)
        finally:
            mooring.stop()
    write_settings(file, settings)
    print(f"settings        {file}")
    if settings.listen.is_loopback:
        print(ALONE)
    if options.no_start or is_unit(paths.data):
        print(f"to start it:    {starting(paths.data, file)}")
        return 0
    return serve_in_background(settings, port=None, config=str(file), data=None)


def _check_versions(catalog: Catalog) -> None:
    found = catalog.state()
    if not found.is_known:
        raise ConfigurationError(
            f"the catalog is of a newer version than this program, {VERSION}: install the version "
            "here that its servers have (`mooringd doctor` on one of their hosts tells)"
        )
    if not found.is_current:
        raise ConfigurationError(
            "there is no catalog of this version in the database. If it is empty, `mooringd init` "
            f"makes one; if its servers are older than this program, {VERSION}, upgrade them first"
        )


def _check_names(transaction: Transaction, options: argparse.Namespace, paths: Paths) -> None:
    if transaction.shared_secrets.version(KEYS) is None:
        raise ConfigurationError(
            "the catalog has no servers yet: `mooringd init` makes this host the first one"
        )
    try:
        mine = paths.server_id.read_text().strip()
    except OSError:
        mine = ""
    servers = {one.server.id: one for one in transaction.servers.all(SystemClock().now_ms())}
    name = options.name or socket.gethostname()
    for other, one in servers.items():
        if other != mine and one.server.name == name and not one.ended:
            raise ConfigurationError(
                f"there is a server {name} already, on the host {one.server.host}: give this one "
                "another name with --name"
            )


def _settings(first: Settings, options: argparse.Namespace, shared: Mapping[str, str]) -> Settings:
    """The settings of this host by what the catalog says."""
    told = {name: json.loads(value) for name, value in shared.items()}
    names = [name.split(".")[1] for name in told if name.endswith(".vault") and "regions." in name]
    region = _region(options, sorted(names))
    regions = {}
    for name in sorted(names):
        vault = told[f"regions.{name}.vault"]
        if options.vault and name == region:
            vault = full_place(options.vault)
        if not vault:
            raise ConfigurationError(
                f"the vault of {name} is in the data directory of the first server, where no "
                f"other host reaches it: set regions.{name}.vault there to a bucket, or to a "
                "directory that all hosts see, or say with --vault where this host sees it"
            )
        key_file = told.get(f"regions.{name}.key_file", "")
        if key_file and not Path(key_file).expanduser().exists():
            raise ConfigurationError(
                f"the vault of {name} is sealed, and {key_file} is not on this host: copy it from "
                "the host of another server"
            )
        zones = options.zone if name == region else []
        replica = told.get(f"regions.{name}.replica", "")
        regions[name] = Region(zones=zones, vault=vault, key_file=key_file, replica=replica)
    settings = replace(
        first,
        regions=regions,
        s3=S3Settings(told.get("s3.endpoint", ""), told.get("s3.region", "")),
        account=with_shared(first, shared).account,
    )
    return listening(settings, options)


def _region(options: argparse.Namespace, names: list[str]) -> str:
    """The region of this host's zones."""
    if options.region:
        if options.region not in names:
            raise ConfigurationError(
                f"the catalog has no region {options.region}; it has {', '.join(names)}"
            )
        return str(options.region)
    if len(names) == 1:
        return names[0]
    fitting = {name for name in names for zone in options.zone if zone.startswith(name)}
    if len(fitting) == 1:
        return fitting.pop()
    if options.zone or options.vault:
        raise ConfigurationError(
            f"the catalog has several regions, {', '.join(names)}: say with --region which one "
            "is meant"
        )
    return ""


def _secret(options: argparse.Namespace) -> str:
    """The join secret, which is no argument: those are for all to see."""
    if options.secret_file is not None:
        try:
            return str(options.secret_file.read_text(encoding="ascii"))
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigurationError(f"{options.secret_file} cannot be read: {error}") from error
    if found := os.environ.get(SECRET_VARIABLE):
        return found
    if sys.stdin is not None and sys.stdin.isatty():
        return getpass.getpass("join secret: ")
    return sys.stdin.readline() if sys.stdin is not None else ""
