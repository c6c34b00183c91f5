"""The TLS side of the front door: a context whose certificate can be renewed."""

from __future__ import annotations

import ssl

import structlog

from mooring.config.settings import Listen, Servers
from mooring.model.errors import ConfigurationError

log = structlog.get_logger("mooring.tls")


def server_context(listen: Listen) -> ssl.SSLContext:
    """The context for new connections. Raises ConfigurationError."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    load(context, listen)
    return context


def servers_context(servers: Servers) -> ssl.SSLContext:
    """The context for connections to other servers. Raises ConfigurationError."""
    try:
        return ssl.create_default_context(cafile=servers.authority)
    except (OSError, ssl.SSLError) as error:
        raise ConfigurationError(
            f"servers.authority {servers.authority} cannot be used: {error}. It must hold "
            "certificates in PEM."
        ) from error


def load(context: ssl.SSLContext, listen: Listen) -> None:
    """Use what the files hold now, for new connections. Raises ConfigurationError."""
    try:
        # A wrong pair must not leave half of it in a context that is in use.
        trial = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        for one in (trial, context):
            one.load_cert_chain(listen.certificate, listen.key, password=_no_password)
    except (OSError, ssl.SSLError, ValueError) as error:
        reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or str(error)
        raise ConfigurationError(
            f"listen.certificate {listen.certificate} and listen.key {listen.key} cannot be used: "
            f"{reason}. They must be a certificate chain and its key without a passphrase, in PEM."
        ) from error


def renew(context: ssl.SSLContext, listen: Listen) -> None:
    """Read the files again; what cannot be used leaves those in use, and is logged."""
    try:
        load(context, listen)
    except ConfigurationError as error:
        log.error("certificate not renewed", reason=str(error))
    else:
        log.info("certificate reloaded", file=listen.certificate)


def _no_password() -> str:
    raise ValueError("the key has a passphrase")
