"""Checks a request's signature, in the order in which AWS does.

Order and texts are those of servers that were written against AWS itself (dynalite, kinesalite).
Ours are two more checks: the target header must be signed, or a signature would be good for any
operation; and a stated body hash must be the body's, so there are no unsigned bodies. Session
tokens grant nothing here: they are signed like any header, and then ignored.
"""

from __future__ import annotations

import calendar
import functools
import hashlib
import hmac
import re
import time

from mooring.model.errors import (
    IncompleteSignatureException,
    InvalidSignatureException,
    MissingAuthenticationTokenException,
    UnrecognizedClientException,
)
from mooring.protocol import sigv4

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

SKEW_SECONDS = 15 * 60
"""How far a request's time may be from the server's."""

_MOMENT = re.compile(r"\d{8}T\d{6}Z", re.ASCII)
_MOMENT_FORMAT = "%Y%m%dT%H%M%SZ"
_MISMATCH = (
    "The request signature we calculated does not match the signature you provided. Check your "
    "AWS Secret Access Key and signing method. Consult the service documentation for details."
)
_QUERY_PARTS = ("X-Amz-Credential", "X-Amz-Signature", "X-Amz-SignedHeaders", "X-Amz-Date")


class SignedRequest:
    """A request as it came over the wire.

    `target` is its path with its query; bytes in `headers` that are not UTF-8 are given as
    surrogate escapes.
    """

    __slots__ = ("body", "headers", "method", "target")

    def __init__(
        self, method: str, target: str, headers: Iterable[tuple[str, str]], body: bytes
    ) -> None:
        self.method = method
        self.target = target
        self.body = body
        self.headers: dict[str, str] = {}
        for name, value in headers:
            key = name.lower()
            before = self.headers.get(key)
            self.headers[key] = value if before is None else f"{before},{value}"


class Identity:
    """Who has signed, and for which region."""

    __slots__ = ("access_key", "region")

    def __init__(self, access_key: str, region: str) -> None:
        self.access_key = access_key
        self.region = region


def verify(
    request: SignedRequest,
    *,
    secret_of: Callable[[str], str | None],
    regions: Collection[str],
    service: str,
    now_ms: int,
) -> Identity:
    """Return who has signed the request, or raise the error that AWS would answer with.

    `secret_of` returns the secret of an access key id, None for an unknown one.
    """
    authorization = _authorization(request)
    parts, moment = _parts(request, authorization)
    _check_moment(moment, now_ms)
    names = parts["SignedHeaders"].split(";")
    _check_names(request, names)
    _check_algorithm(parts["algorithm"])
    access_key, scope = _check_scope(parts["Credential"], moment, regions, service)
    payload_hash = hashlib.sha256(request.body).hexdigest()
    headers = [(name, request.headers.get(name, "")) for name in names]
    # An unknown key costs the same work as a known one, so the time taken tells nothing.
    secret = secret_of(access_key)

    def fits(*, path_as_sent: bool) -> bool:
        canonical = sigv4.canonical_request(
            request.method, request.target, headers, payload_hash, path_as_sent=path_as_sent
        )
        wanted = sigv4.signature(secret or "", scope, moment, canonical)
        return _same(wanted, parts["Signature"])

    # Clients differ in how they sign an odd path. Either way covers it.
    good = fits(path_as_sent=False) or fits(path_as_sent=True)
    stated_hash = request.headers.get("x-amz-content-sha256", payload_hash)
    if secret is None:
        raise UnrecognizedClientException("The security token included in the request is invalid.")
    if not good:
        raise InvalidSignatureException(_MISMATCH)
    if not _same(payload_hash, stated_hash):
        raise InvalidSignatureException(
            "The header x-amz-content-sha256 must be the SHA-256 of the body, "
            f"{payload_hash}, but is '{stated_hash}'."
        )
    return Identity(access_key, scope[1])


def _authorization(request: SignedRequest) -> str:
    """The header that holds the signature. Signatures in the query are refused."""
    query = dict(sigv4.query_items(request.target.partition("?")[2]))
    authorization = request.headers.get("authorization")
    if "X-Amz-Algorithm" in query:
        if authorization is not None:
            raise InvalidSignatureException(
                "Found both 'X-Amz-Algorithm' as a query-string param and 'Authorization' as HTTP "
                "header."
            )
        missing = [name for name in _QUERY_PARTS if not query.get(name)]
        if missing:
            raise IncompleteSignatureException(
                "".join(f"AWS query-string parameters must include '{name}'. " for name in missing)
                + "Re-examine the query-string parameters."
            )
        raise InvalidSignatureException(
            "Signatures in the query string are not served here: sign the Authorization header."
        )
    if authorization is None or not authorization.startswith("AWS4-"):
        raise MissingAuthenticationTokenException("Missing Authentication Token")
    return authorization


def _parts(request: SignedRequest, authorization: str) -> tuple[dict[str, str], str]:
    """The named parts of the header with its algorithm, and the request's time as text."""
    algorithm, _, rest = authorization.partition(" ")
    parts = {"algorithm": algorithm}
    for piece in rest.replace(",", " ").split():
        name, _, value = piece.partition("=")
        parts[name] = value
    problems = "".join(
        f"Authorization header requires '{name}' parameter. "
        for name in ("Credential", "Signature", "SignedHeaders")
        if not parts.get(name)
    )
    moment = request.headers.get("x-amz-date") or _http_moment(request.headers.get("date", ""))
    if not moment:
        problems += (
            "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header. "
        )
    if problems:
        raise IncompleteSignatureException(f"{problems}Authorization={authorization}")
    return parts, moment


def _http_moment(text: str) -> str:
    """A `Date` header's time as X-Amz-Date has it; other text as it is."""
    from email.utils import parsedate

    try:
        parsed = None if _MOMENT.fullmatch(text) else parsedate(text)
        return text if parsed is None else time.strftime(_MOMENT_FORMAT, parsed)
    except (ValueError, OverflowError, IndexError, TypeError):
        # Years and hours that no clock can show: what is no time is said of the text itself.
        return text


def _check_moment(moment: str, now_ms: int) -> None:
    seconds = _seconds(moment)
    if seconds is None:
        raise IncompleteSignatureException(
            f"Date must be in ISO-8601 'basic format'. Got '{moment}'. "
            "See http://en.wikipedia.org/wiki/ISO_8601"
        )
    now = now_ms // 1000
    earliest, latest = now - SKEW_SECONDS, now + SKEW_SECONDS
    if seconds < earliest:
        raise InvalidSignatureException(
            f"Signature expired: {moment} is now earlier than {_moment(earliest)} "
            f"({_moment(now)} - {SKEW_SECONDS // 60} min.)"
        )
    if seconds > latest:
        raise InvalidSignatureException(
            f"Signature not yet current: {moment} is still later than {_moment(latest)} "
            f"({_moment(now)} + {SKEW_SECONDS // 60} min.)"
        )


@functools.lru_cache(maxsize=64)  # many requests are of the same second
def _seconds(moment: str) -> int | None:
    if not _MOMENT.fullmatch(moment):
        return None
    try:
        return calendar.timegm(time.strptime(moment, _MOMENT_FORMAT))
    except ValueError:
        return None


def _moment(seconds: int) -> str:
    from datetime import UTC, datetime

    return datetime.fromtimestamp(seconds, UTC).strftime(_MOMENT_FORMAT)


def _check_names(request: SignedRequest, names: list[str]) -> None:
    if "host" not in names and ":authority" not in names:
        raise InvalidSignatureException(
            "'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization."
        )
    if "x-amz-target" in request.headers and "x-amz-target" not in names:
        raise InvalidSignatureException(
            "'X-Amz-Target' must be a 'SignedHeader' in the AWS Authorization."
        )


def _check_algorithm(algorithm: str) -> None:
    if algorithm != sigv4.ALGORITHM:
        raise IncompleteSignatureException(
            f"Unsupported AWS 'algorithm': '{algorithm}' (only {sigv4.ALGORITHM} for now). "
        )


def _check_scope(
    credential: str, moment: str, regions: Collection[str], service: str
) -> tuple[str, list[str]]:
    """The access key id, and the scope: date, region, service, terminator."""
    access_key, *scope = credential.split("/")
    if len(scope) != 4:
        raise IncompleteSignatureException(
            "Credential must have exactly 5 slash-delimited elements, e.g. "
            f"keyid/date/region/service/term, got '{credential}'"
        )
    day, region, scope_service, terminator = scope
    problems = ""
    if region not in regions:
        problems += (
            f"Credential should be scoped to a valid region, not '{region}'. "
            f"Regions served here: {', '.join(regions)}. "
        )
    if scope_service != service:
        problems += f"Credential should be scoped to correct service: '{service}'. "
    if terminator != sigv4.TERMINATOR:
        problems += (
            "Credential should be scoped with a valid terminator: "
            f"'{sigv4.TERMINATOR}', not '{terminator}'. "
        )
    if day != moment[:8]:
        problems += (
            "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date "
            f"from HTTP: '{day}' != '{moment[:8]}', from '{moment}'."
        )
    if problems:
        raise InvalidSignatureException(problems)
    return access_key, scope


def _same(ours: str, theirs: str) -> bool:
    """Whether both are equal, in a time that does not tell where they differ."""
    return hmac.compare_digest(ours.encode(), theirs.encode("utf-8", "surrogateescape"))
