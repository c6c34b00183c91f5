"""Where a new server listens, and how others come to it."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from mooring.config.settings import Listen, Settings
from mooring.model.errors import ConfigurationError

ALONE = (
    "It listens on this host only, so other servers pass nothing on to it that its disks need: "
    "listen.host, listen.name and a certificate in the settings open it to them (docs/hosts.md)."
)


def listening(settings: Settings, options: argparse.Namespace) -> Settings:
    """The settings with what the options say. Raises ConfigurationError."""
    listen = settings.listen
    if options.port is not None:
        listen = replace(listen, port=options.port)
    if not options.listen:
        if options.certificate or options.key or options.authority:
            raise ConfigurationError(
                "--certificate, --key and --authority are for a server that others reach: say with "
                "--listen by which name"
            )
        return replace(settings, listen=listen)
    if not options.certificate or not options.key:
        raise ConfigurationError(
            "--listen needs --certificate and --key: requests leave hosts only with TLS"
        )
    listen = replace(
        listen,
        host="::" if ":" in options.listen else "0.0.0.0",
        name=options.listen,
        certificate=_full(options.certificate),
        key=_full(options.key),
    )
    authority = _full(options.authority) if options.authority else ""
    servers = replace(settings.servers, authority=authority)
    return replace(settings, listen=listen, servers=servers)


def lines(settings: Settings) -> list[tuple[str, str, object]]:
    """What of it is not the default: table, name and value."""
    usual = Listen()
    found: list[tuple[str, str, object]] = [
        ("listen", name, getattr(settings.listen, name))
        for name in ("host", "port", "name", "certificate", "key")
        if getattr(settings.listen, name) != getattr(usual, name)
    ]
    if settings.servers.authority:
        found.append(("servers", "authority", settings.servers.authority))
    return found


def _full(file: str) -> str:
    path = Path(file).expanduser().absolute()
    if not path.is_file():
        raise ConfigurationError(f"{file} is not there")
    return str(path)
