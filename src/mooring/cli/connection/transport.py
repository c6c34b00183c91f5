"""One HTTP request over one connection, without the weight of http.client."""

from __future__ import annotations

import socket

TYPE_CHECKING = False
if TYPE_CHECKING:
    import ssl
    from collections.abc import Mapping

DEFAULT_TIMEOUT = 60.0
_HEAD_LIMIT = 64 * 1024
_PIECE = 64 * 1024


class TransportError(Exception):
    """No reply came. `refused` tells that nothing listens at the address at all.

    `lasting` tells that trying again cannot help: a certificate, a file, a name that is wrong.
    """

    def __init__(self, message: str, refused: bool = False, lasting: bool = False) -> None:
        super().__init__(message)
        self.refused = refused
        self.lasting = lasting


class Settings:
    """Time limits in seconds, None for none; `verify` is True, False, or a file of certificates."""

    __slots__ = ("connect_timeout", "read_timeout", "verify")

    def __init__(
        self,
        connect_timeout: float | None = DEFAULT_TIMEOUT,
        read_timeout: float | None = DEFAULT_TIMEOUT,
        verify: bool | str = True,
    ) -> None:
        self.connect_timeout = connect_timeout
        self.read_timeout = read_timeout
        self.verify = verify


class Reply:
    """Status, headers by lower-case name, and the whole body."""

    __slots__ = ("body", "headers", "status")

    def __init__(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.status = status
        self.headers = headers
        self.body = body


class Url:
    """The parts of a URL that matter here. `host` is empty if there is none."""

    __slots__ = ("host", "netloc", "port", "scheme", "target")

    def __init__(self, url: str) -> None:
        scheme, colon, rest = url.partition(":")
        is_scheme = (
            colon
            and scheme[:1].isalpha()
            and scheme.isascii()
            and all(letter.isalnum() or letter in "+-." for letter in scheme)
        )
        self.scheme = scheme.lower() if is_scheme else ""
        if not is_scheme:
            rest = url
        netloc = ""
        target = rest
        if rest.startswith("//"):
            ends = [place for mark in "/?#" if (place := rest.find(mark, 2)) >= 0]
            end = min(ends, default=len(rest))
            netloc, target = rest[2:end], rest[end:]
        target = target.partition("#")[0]
        self.target = target if target.startswith("/") else f"/{target}"
        self.netloc = netloc.rpartition("@")[2]
        host, port = _split_port(self.netloc)
        self.host = host.lower()
        self.port = port or {"https": "443"}.get(self.scheme, "80")


def _split_port(netloc: str) -> tuple[str, str]:
    if netloc.startswith("["):
        host, _, rest = netloc[1:].partition("]")
        return host, rest.removeprefix(":")
    host, _, port = netloc.partition(":")
    return host, port


def send(
    method: str, url: str, headers: Mapping[str, str], body: bytes, settings: Settings
) -> Reply:
    """Send one request and read the whole reply. Raises TransportError."""
    parts = Url(url)
    lines = [f"{method} {parts.target} HTTP/1.1", f"Host: {host_header(parts)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    lines += [f"Content-Length: {len(body)}", "Connection: close"]
    for line in lines:
        # Whatever it comes from, a line end in it would begin a header that nobody meant.
        if any(letter < " " or letter == "\x7f" for letter in line):
            name = line.partition(":")[0]
            raise TransportError(f"{name!r} would contain a control character", lasting=True)
    connection = _connect(url, parts, settings)
    try:
        connection.settimeout(settings.read_timeout)
        connection.sendall("\r\n".join([*lines, "", ""]).encode("utf-8") + body)
        return _Reader(connection, url).reply()
    except TimeoutError:
        raise TransportError(f'Read timeout on endpoint URL: "{url}"') from None
    except OSError:
        raise _closed(url) from None
    finally:
        connection.close()


def host_header(parts: Url) -> str:
    """The Host header that goes with the URL: without the scheme's own port, as botocore has it."""
    name = f"[{parts.host}]" if ":" in parts.host else parts.host
    own_port = {"https": "443"}.get(parts.scheme, "80")
    return name if parts.port == own_port else f"{name}:{parts.port}"


def _connect(url: str, parts: Url, settings: Settings) -> socket.socket:
    context = None
    if parts.scheme == "https":
        context = _context(url, settings.verify)
    refused = f'Could not connect to the endpoint URL: "{url}"'
    # A name in bytes spares loading the tables of the IDNA codec.
    host = parts.host.encode("ascii") if parts.host.isascii() else parts.host
    try:
        connection = socket.create_connection(
            (host, int(parts.port)),  # type: ignore[arg-type]  # typeshed knows no bytes here
            settings.connect_timeout,
        )
    except TimeoutError:
        raise TransportError(f'Connect timeout on endpoint URL: "{url}"') from None
    except OSError as error:
        unknown = isinstance(error, socket.gaierror) and error.errno == socket.EAI_NONAME
        raise TransportError(refused, refused=True, lasting=unknown) from None
    except (ValueError, OverflowError):
        raise TransportError(refused, refused=True, lasting=True) from None
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if context is None:
        return connection
    return _secure(connection, url, parts, context)


def _context(url: str, verify: bool | str) -> ssl.SSLContext:
    from mooring.cli.connection import trust

    try:
        return trust.context(verify)
    except OSError as error:
        named = f": {verify}" if isinstance(verify, str) else ""
        raise TransportError(f"SSL validation failed for {url} {error}{named}", lasting=True) from (
            None
        )


def _secure(
    connection: socket.socket, url: str, parts: Url, context: ssl.SSLContext
) -> socket.socket:
    import ssl

    try:
        return context.wrap_socket(connection, server_hostname=parts.host)
    except ssl.SSLError as error:
        connection.close()
        # A broken connection says nothing about the next one; a certificate stays as it is.
        passing = (ssl.SSLEOFError, ssl.SSLZeroReturnError, ssl.SSLSyscallError)
        raise TransportError(
            f"SSL validation failed for {url} {error}", lasting=not isinstance(error, passing)
        ) from None
    except TimeoutError:
        connection.close()
        raise TransportError(f'Connect timeout on endpoint URL: "{url}"') from None
    except OSError:
        connection.close()
        raise _closed(url) from None


def _closed(url: str) -> TransportError:
    return TransportError(
        f'Connection was closed before we received a valid response from endpoint URL: "{url}".'
    )


class _Reader:
    """Reads one reply from a connection."""

    def __init__(self, connection: socket.socket, url: str) -> None:
        self.connection = connection
        self.url = url
        self.buffer = bytearray()

    def reply(self) -> Reply:
        status, headers = self._head()
        while 100 <= status < 200:
            status, headers = self._head()
        if status in {204, 304}:
            body = b""
        elif "chunked" in headers.get("transfer-encoding", "").lower():
            body = self._chunked()
        elif "content-length" in headers:
            body = self._take(self._number(headers["content-length"], 10))
        else:
            while self._more():
                pass
            body = bytes(self.buffer)
        return Reply(status, headers, body)

    def _head(self) -> tuple[int, dict[str, str]]:
        lines = self._until(b"\r\n\r\n").decode("latin-1").split("\r\n")
        version, _, rest = lines[0].partition(" ")
        if not version.startswith("HTTP/"):
            raise _closed(self.url)
        status = self._number(rest[:3], 10)
        headers = {}
        for line in lines[1:]:
            name, _, value = line.partition(":")
            headers[name.strip().lower()] = value.strip()
        return status, headers

    def _chunked(self) -> bytes:
        body = bytearray()
        while True:
            size = self._number(self._until(b"\r\n").decode("latin-1").partition(";")[0], 16)
            if size == 0:
                while self._until(b"\r\n"):
                    pass  # trailers
                return bytes(body)
            body += self._take(size)
            self._until(b"\r\n")

    def _number(self, text: str, base: int) -> int:
        try:
            number = int(text, base)
        except ValueError:
            number = -1
        if number < 0:
            raise _closed(self.url)
        return number

    def _until(self, mark: bytes) -> bytes:
        while (place := self.buffer.find(mark)) < 0:
            if len(self.buffer) > _HEAD_LIMIT or not self._more():
                raise _closed(self.url)
        found = bytes(self.buffer[:place])
        del self.buffer[: place + len(mark)]
        return found

    def _take(self, size: int) -> bytes:
        while len(self.buffer) < size:
            if not self._more():
                raise _closed(self.url)
        taken = bytes(self.buffer[:size])
        del self.buffer[:size]
        return taken

    def _more(self) -> bool:
        piece = self.connection.recv(_PIECE)
        self.buffer += piece
        return bool(piece)
