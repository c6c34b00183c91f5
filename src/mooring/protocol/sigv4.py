"""Signature Version 4: the canonical request, its signature, and signing.

Imported by every run of the command line: hashlib and hmac, nothing else.
The specification is AWS's "Create a signed AWS API request".
"""

from __future__ import annotations

import hashlib
import hmac

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

ALGORITHM = "AWS4-HMAC-SHA256"
TERMINATOR = "aws4_request"
_UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_HEX = frozenset(b"0123456789abcdefABCDEF")


def sign(
    method: str,
    target: str,
    headers: Mapping[str, str],
    body: bytes,
    access_key: str,
    secret_key: str,
    region: str,
    service: str,
    amz_date: str,
    session_token: str | None = None,
) -> dict[str, str]:
    """The headers to add to a request, `Authorization` among them.

    `target` is the path and query as they go over the wire. `headers` must have the `Host` as it
    goes over the wire; of the others `Content-Type` and every `X-Amz-` header are signed, as
    botocore does. `amz_date` is UTC as `20261123T090937Z`.
    """
    added = {"X-Amz-Date": amz_date}
    if session_token:
        added["X-Amz-Security-Token"] = session_token
    signed = {
        name.lower(): value
        for name, value in [*headers.items(), *added.items()]
        if name.lower() in {"host", "content-type"} or name.lower().startswith("x-amz-")
    }
    names = sorted(signed)
    scope = [amz_date[:8], region, service, TERMINATOR]
    request = canonical_request(
        method, target, [(name, signed[name]) for name in names], hashlib.sha256(body).hexdigest()
    )
    added["Authorization"] = (
        f"{ALGORITHM} Credential={access_key}/{'/'.join(scope)}, "
        f"SignedHeaders={';'.join(names)}, "
        f"Signature={signature(secret_key, scope, amz_date, request)}"
    )
    return added


def signature(secret_key: str, scope: Sequence[str], amz_date: str, request: bytes) -> str:
    """The signature of a canonical request, in lower-case hexadecimal digits.

    `scope` is date, region, service and terminator.
    """
    text = "\n".join([ALGORITHM, amz_date, "/".join(scope), hashlib.sha256(request).hexdigest()])
    key = b"AWS4" + _bytes(secret_key)
    for part in scope:
        key = hmac.digest(key, _bytes(part), "sha256")
    return hmac.digest(key, _bytes(text), "sha256").hex()


def canonical_request(
    method: str,
    target: str,
    signed_headers: Iterable[tuple[str, str]],
    payload_hash: str,
    *,
    path_as_sent: bool = False,
) -> bytes:
    """The canonical request; headers in the order given, their names in lower case.

    `path_as_sent` leaves the path as it is: some clients sign it so, curl 7.88 among them.
    """
    path, _, query = target.partition("?")
    headers = list(signed_headers)
    lines = [
        method,
        path if path_as_sent else _canonical_path(path),
        _canonical_query(query),
        *(f"{name}:{_collapsed(value)}" for name, value in headers),
        "",
        ";".join(name for name, _ in headers),
        payload_hash,
    ]
    return _bytes("\n".join(lines))


def query_items(query: str) -> list[tuple[str, str]]:
    """The names and values of a query, decoded, in their order."""
    items = []
    for item in query.split("&"):
        if item:
            name, _, value = item.partition("=")
            items.append((_text(_decoded(name)), _text(_decoded(value))))
    return items


def _canonical_path(path: str) -> str:
    """Without empty and dot segments; encoded once more, as all services but S3 want it."""
    if path in {"", "/"}:
        return "/"
    segments: list[str] = []
    for segment in path.split("/"):
        if segment == "..":
            del segments[-1:]
        elif segment not in {"", "."}:
            segments.append(segment)
    end = "/" if segments and path.endswith("/") else ""
    return "/" + "/".join(_encoded(_bytes(segment)) for segment in segments) + end


def _canonical_query(query: str) -> str:
    """Sorted by name and value, each encoded in the one canonical way."""
    if not query:
        return ""
    items = sorted(
        (_encoded(_bytes(name)), _encoded(_bytes(value))) for name, value in query_items(query)
    )
    return "&".join(f"{name}={value}" for name, value in items)


def _collapsed(value: str) -> str:
    """Without outer blanks, inner runs of them made one; only what HTTP calls blanks."""
    return " ".join(part for part in value.replace("\t", " ").split(" ") if part)


def _encoded(raw: bytes) -> str:
    return "".join(chr(byte) if byte in _UNRESERVED else f"%{byte:02X}" for byte in raw)


def _decoded(text: str) -> bytes:
    """Percent-decoded, with `+` as a blank; what is no escape stays as it is."""
    first, *rest = _bytes(text.replace("+", " ")).split(b"%")
    decoded = [first]
    for part in rest:
        if len(part) >= 2 and part[0] in _HEX and part[1] in _HEX:
            decoded.append(bytes([int(part[:2], 16)]) + part[2:])
        else:
            decoded.append(b"%" + part)
    return b"".join(decoded)


# Header bytes that are not UTF-8 must come back as the bytes that they were.


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")
