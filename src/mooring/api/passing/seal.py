"""What one server tells another of a request, sealed with a secret of servers.

The request goes on as it came, with the client's signature, which the host's server checks again.
The seal says that a server of the catalog sent it, and until when it may be begun.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from dataclasses import asdict, dataclass

HEADER, SEAL = "x-mooring-passed", "x-mooring-seal"


@dataclass(frozen=True, slots=True)
class Passed:
    """`server` got the request from the address `source`, under `request_id`.

    It is not begun after `until_ms`, by the clock of the catalog: its client has been answered.
    """

    server: str
    source: str
    request_id: str
    until_ms: int


def sealed(passed: Passed, secret: str, signature: str, body: bytes) -> dict[str, str]:
    """The headers that say so."""
    text = json.dumps(asdict(passed))
    return {HEADER: text, SEAL: _seal(text, secret, signature, body)}


def unsealed(text: str, seal: str, secret: str, signature: str, body: bytes) -> Passed | None:
    """What the headers say; None if no server of the catalog has written them."""
    if not secret or not hmac.compare_digest(
        _seal(text, secret, signature, body).encode(), seal.encode("utf-8", "surrogateescape")
    ):
        return None
    return Passed(**json.loads(text))


def _seal(text: str, secret: str, signature: str, body: bytes) -> str:
    parts = [part.encode("utf-8", "surrogateescape") for part in (text, signature)]
    digests = [hashlib.sha256(part).digest() for part in (*parts, body)]
    return hmac.new(secret.encode(), b"".join(digests), "sha256").hexdigest()
