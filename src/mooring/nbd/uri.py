"""NBD URIs: where a server listens, and which export is meant.

Source: doc/uri.md of the NetworkBlockDevice project.
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import parse_qs, quote, unquote, urlsplit

from mooring.model.errors import NbdError
from mooring.nbd.protocol import DEFAULT_PORT

LONGEST_SOCKET_PATH = 107
"""Bytes that fit into a Unix socket address on Linux."""

SCHEMES = {"nbd": False, "nbds": True, "nbd+unix": False, "nbds+unix": True}


@dataclass(frozen=True, slots=True)
class NbdUri:
    """A place: either `socket`, or `host` and `port`; and an `export` there."""

    export: str = ""
    socket: str | None = None
    host: str = "localhost"
    port: int = DEFAULT_PORT
    tls: bool = False

    def __str__(self) -> str:
        scheme = "nbds" if self.tls else "nbd"
        export = quote(self.export, safe="")
        if self.socket is not None:
            return f"{scheme}+unix:///{export}?socket={quote(self.socket, safe='/')}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{scheme}://{host}:{self.port}/{export}"


def parse_uri(text: str) -> NbdUri:
    """Parse `nbd://host:port/export`, `nbd+unix:///export?socket=PATH`, or nbds for TLS.

    Raises NbdError that says what is wrong.
    """
    try:
        parts = urlsplit(text)
        port = parts.port
        query = parse_qs(parts.query, strict_parsing=True) if parts.query else {}
    except ValueError as error:
        raise NbdError(f"{text!r} is not an NBD URI: {error}") from error
    if parts.scheme not in SCHEMES:
        raise NbdError(f"{text!r} is not an NBD URI: it must start with one of {[*SCHEMES]}")
    tls = SCHEMES[parts.scheme]
    export = unquote(parts.path.removeprefix("/"))
    if not parts.scheme.endswith("+unix"):
        return NbdUri(
            export,
            host=parts.hostname or "localhost",
            port=DEFAULT_PORT if port is None else port,
            tls=tls,
        )
    sockets = query.get("socket", [])
    if len(sockets) != 1:
        raise NbdError(f"{text!r} must name its socket once: nbd+unix:///export?socket=PATH")
    check_socket_path(sockets[0])
    return NbdUri(export, socket=sockets[0], tls=tls)


def check_socket_path(path: str) -> None:
    """Raise NbdError if `path` is too long for a Unix socket."""
    length = len(path.encode())
    if length > LONGEST_SOCKET_PATH:
        raise NbdError(
            f"the socket path {path} has {length} bytes, {LONGEST_SOCKET_PATH} is the limit: "
            "choose a shorter directory"
        )
