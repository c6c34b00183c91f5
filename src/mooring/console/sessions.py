"""Sessions: cookies sealed with their key's secret, so that they end with the key."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Callable
from dataclasses import dataclass, replace

from mooring.model.clock import Clock
from mooring.model.ids import Ids
from mooring.service.credentials.keys import Key

IDLE_MS = 60 * 60 * 1000
"""A session that nobody uses for so long has ended."""

LONGEST_MS = 12 * 60 * 60 * 1000
"""A session ends so long after it began, however much it is used."""

RENEWED_MS = 5 * 60 * 1000
"""How old a cookie is when it is made anew: not with each request."""

MOST_ENDED = 10_000
"""Sessions remembered that somebody signed out of; each only until it would have ended."""

_LONGEST_COOKIE = 2048


@dataclass(frozen=True, slots=True)
class Session:
    """Who is signed in: by which key, since when, and until when unless it is used."""

    id: str
    key_id: str
    began_ms: int
    until_ms: int

    def ended(self, now_ms: int) -> bool:
        return now_ms >= self.until_ms


class Sessions:
    """Begins, reads and ends sessions; for use within one event loop.

    Nothing of them is kept here but which were signed out of: the cookie has all, sealed with a
    secret made of the key's own. Without the key, or with another secret, no cookie is good.
    """

    def __init__(self, find_key: Callable[[str], Key | None], clock: Clock, ids: Ids) -> None:
        self._find_key, self._clock, self._ids = find_key, clock, ids
        self._ended: dict[str, int] = {}

    def begin(self, key: Key) -> Session:
        """A new session of the key."""
        now = self._clock.now_ms()
        return Session(self._ids.token(32), key.id, now, now + IDLE_MS)

    def seal(self, session: Session, key: Key) -> str:
        """The cookie of a session."""
        fields = [session.id, session.key_id, session.began_ms, session.until_ms]
        text = base64.urlsafe_b64encode(json.dumps(fields).encode()).decode().rstrip("=")
        return f"{text}.{_seal(key, f'session {text}')}"

    def read(self, cookie: str) -> tuple[Session, Key] | None:
        """The session of a cookie, and its key; None for one that is not good any more."""
        text, _, seal = cookie.partition(".")
        session = _read(text) if len(cookie) <= _LONGEST_COOKIE else None
        if session is None:
            return None
        key = self._find_key(session.key_id)
        if key is None or not hmac.compare_digest(
            seal.encode(), _seal(key, f"session {text}").encode()
        ):
            return None
        if session.ended(self._clock.now_ms()) or session.id in self._ended:
            return None
        return session, key

    def renewed(self, session: Session) -> Session | None:
        """The session that goes on because it is used; None while its cookie is new enough."""
        now = self._clock.now_ms()
        until = min(now + IDLE_MS, session.began_ms + LONGEST_MS)
        if until - session.until_ms < RENEWED_MS:
            return None
        return replace(session, until_ms=until)

    def end(self, session: Session) -> None:
        """Let no cookie of the session be good any more."""
        now = self._clock.now_ms()
        if len(self._ended) >= MOST_ENDED:
            self._ended = {one: until for one, until in self._ended.items() if until > now}
        self._ended[session.id] = session.began_ms + LONGEST_MS

    def token(self, session: Session, key: Key) -> str:
        """What each form of the session must bring, and no other site can know."""
        return _seal(key, f"form {session.id}")

    def is_token(self, session: Session, key: Key, token: str) -> bool:
        return hmac.compare_digest(token.encode(), self.token(session, key).encode())


def _seal(key: Key, text: str) -> str:
    own = hmac.digest(key.secret.encode(), b"mooring console", hashlib.sha256)
    return hmac.new(own, text.encode(), hashlib.sha256).hexdigest()


def _read(text: str) -> Session | None:
    try:
        fields = json.loads(
            base64.urlsafe_b64decode(text.encode("ascii") + b"=" * (-len(text) % 4))
        )
        session_id, key_id, began, until = fields
    except (binascii.Error, ValueError, TypeError, RecursionError):
        return None
    if not (isinstance(session_id, str) and isinstance(key_id, str)):
        return None
    if not (isinstance(began, int) and isinstance(until, int)):
        return None
    return Session(session_id, key_id, began, until)
