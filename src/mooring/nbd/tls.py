"""TLS on the server's side."""

from __future__ import annotations

import ssl
from pathlib import Path

from mooring.model.errors import ConfigurationError


def server_context(
    certificate: Path, key: Path | None, client_authority: Path | None, settings: str = "nbd"
) -> ssl.SSLContext:
    """From PEM files; with an authority, clients need a certificate of it.

    `settings` is the table that names them.
    Raises ConfigurationError.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(certificate, key)
        if client_authority is not None:
            context.load_verify_locations(client_authority)
            context.verify_mode = ssl.CERT_REQUIRED
    except (OSError, ssl.SSLError) as error:
        raise ConfigurationError(
            f"{settings}.certificate, {settings}.key or {settings}.client_authority cannot be "
            f"used: {error}"
        ) from error
    return context
