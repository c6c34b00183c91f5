"""How the database is reached: who could listen, and how far clocks are apart."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any

from sqlalchemy import Connection, text

_LOOK = text(
    "SELECT coalesce((SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()), false) AS ssl, "
    "host(inet_client_addr()) AS client, "
    "floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint AS now_ms"
)

VERIFIED = ("verify-ca", "verify-full")
"""Modes of libpq that do not take another server's certificate for the database's."""


@dataclass(frozen=True, slots=True)
class Way:
    """`local`: within this machine; `mode` is libpq's sslmode; `now_ms` the database's clock."""

    local: bool
    encrypted: bool
    mode: str
    now_ms: int

    @property
    def verified(self) -> bool:
        return self.encrypted and self.mode in VERIFIED

    @property
    def problem(self) -> str | None:
        """Who could read along, and what to do about it; None if nobody."""
        if self.local or self.encrypted:
            return None
        return (
            "the connection to the database leaves this machine without TLS, so others on the "
            "network could read and change everything: give PostgreSQL a certificate (ssl = on), "
            "and add ?sslmode=verify-full&sslrootcert=/etc/mooring/database-ca.pem to its URL"
        )


def look(connection: Connection) -> Way:
    """The way of this very connection, which is one to PostgreSQL."""
    row = connection.execute(_LOOK).one()
    driver: Any = connection.connection.driver_connection
    mode = driver.info.get_parameters().get("sslmode", "prefer")
    return Way(_is_local(row.client), bool(row.ssl), mode, int(row.now_ms))


def _is_local(client: str | None) -> bool:
    # Over a Unix socket there is no address.
    return client is None or ip_address(client.partition("/")[0]).is_loopback
