"""Who this server is to others, and as a host of disks."""

from __future__ import annotations

import socket

from mooring.config.settings import Settings
from mooring.engine.zones import Engines
from mooring.model.resources.host import Host
from mooring.model.resources.server import Server
from mooring.version import VERSION

_ANYWHERE = ("", "0.0.0.0", "::")


def this_server_of(settings: Settings, server_id: str) -> Server:
    """The server, by the id of its data directory."""
    host = socket.gethostname()
    return Server(id=server_id, name=settings.name or host, host=host, version=VERSION)


def this_host(settings: Settings, server: Server, engines: Engines) -> Host:
    """The host, which is called as its server is; one without zones may be none."""
    zones = [zone for region in settings.regions.values() for zone in region.zones]
    return Host(
        id=server.id,
        name=server.name,
        zones=zones,
        address=address_of(settings),
        version=server.version,
        # Only what others reach as well can be away.
        shared_zones=[*(zone for zone, one in engines.items() if one.shared), *engines.away],
    )


def address_of(settings: Settings) -> str:
    """The URL by which other servers reach this one."""
    if settings.servers.address:
        return settings.servers.address.rstrip("/")
    listen = settings.listen
    host = listen.name or (socket.gethostname() if listen.host in _ANYWHERE else listen.host)
    scheme = "https" if listen.uses_tls else "http"
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{listen.port}"
