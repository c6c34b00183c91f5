"""mooringd init: makes a catalog for several servers; this host's is the first."""

from __future__ import annotations

import argparse
import shlex

from sqlalchemy import make_url

from mooring.admin.cluster.database import database
from mooring.admin.cluster.join_secrets import DAY_MS
from mooring.admin.cluster.listening import ALONE, listening
from mooring.admin.cluster.settings_file import settings_file, write_settings
from mooring.admin.cluster.starting import starting
from mooring.admin.cluster.unused import check_unused, put_aside
from mooring.backend.cluster_key import read_cluster_key
from mooring.catalog.connections import with_driver
from mooring.catalog.database import Catalog
from mooring.config.check import check
from mooring.config.settings import Region, Settings
from mooring.model.errors import ConfigurationError, StoreError
from mooring.model.paths import Paths
from mooring.observe import logs
from mooring.service.credentials.join_secrets import make_join_secret
from mooring.service.credentials.shared_keys import KEYS
from mooring.wiring.build_server import build_server
from mooring.wiring.server import Mooring
from mooring.wiring.vaults import full_place

_ELSEWHERE = (
    "                with the name by which they reach the database: that URL is good on this host "
    "only\n"
)


def init(options: argparse.Namespace) -> int:
    """Make tables, the vault, the cluster's key, an access key, and settings for this server.

    Cut off, it may be run again. Raises ConfigurationError.
    """
    logs.configure("warning")
    zones = options.zone or [f"{options.region}a"]
    settings = Settings(
        data=options.data or "",
        name=options.name or "",
        catalog=with_driver(options.url),
        regions={options.region: Region(zones=zones, vault=full_place(options.vault))},
    )
    settings = listening(settings, options)
    check(settings)
    paths = Paths(settings.data_directory.absolute())
    check_unused(paths)
    file = settings_file(settings, options.to)
    with database(settings.catalog, insecure=options.insecure) as catalog:
        _check_new(catalog, paths)
        local = catalog.way().local
    mooring = build_server(settings)
    try:
        put_aside(paths)
        secret = _make(mooring, options.region)
    finally:
        mooring.stop()
    write_settings(file, settings)
    print(
        f"settings        {file}\n"
        f"cluster's key   {paths.cluster_key}; keep a copy: without it nobody can read the "
        "catalog's access keys\n"
        f"to start it:    {starting(paths.data, file)}\n"
        f"further hosts:  mooringd join {shlex.quote(_shown(options.url))} --zone ZONE\n"
        f"{_ELSEWHERE if local else ''}"
        f"join secret     {secret}\n"
        "                for any number of servers, for 24 hours; `mooringd join-secrets` makes "
        "and revokes others"
    )
    if settings.listen.is_loopback:
        print(ALONE)
    return 0


def _shown(url: str) -> str:
    """The URL without a password in it."""
    return make_url(url).render_as_string(hide_password=True)


def _check_new(catalog: Catalog, paths: Paths) -> None:
    """That nobody uses the database; this server may, if it was cut off here."""
    if not catalog.is_current():
        return
    with catalog.read() as transaction:
        found = transaction.shared_secrets.find(KEYS)
        known = transaction.servers.all(0)
    key = read_cluster_key(paths.cluster_key)
    if found is None or (key is not None and not known):
        return
    names = ", ".join(one.server.name for one in known) or "none has run yet"
    raise ConfigurationError(
        f"the catalog has servers already ({names}): `mooringd join` makes this host another one, "
        "given a join secret that `mooringd join-secrets create` prints on the host of one"
    )


def _make(mooring: Mooring, region: str) -> str:
    mooring.backend.catalog.migrate()
    try:
        _ = mooring.backend.vaults[region]
    except StoreError as error:
        raise ConfigurationError(f"the vault cannot be used: {error}") from error
    mooring.cluster.begin(lambda: None)
    key = read_cluster_key(mooring.paths.cluster_key)
    assert key is not None
    with mooring.backend.catalog.write() as transaction:
        return make_join_secret(
            transaction, key, once=False, lasts_ms=DAY_MS, now_ms=mooring.clock.now_ms()
        )
