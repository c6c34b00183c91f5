"""Join secrets: with one, a further server gets the cluster's key out of the catalog."""

from __future__ import annotations

import hmac
import re
import secrets

from blake3 import blake3

from mooring.backend.cluster_key import ClusterKey
from mooring.catalog.sharing.join_secrets import JoinSecretRow
from mooring.catalog.transaction import Transaction
from mooring.model.errors import ConfigurationError

_PROOF = "mooring cluster 1: proof of a join secret"
_WRAP = "mooring cluster 1: key of a join secret"
_WRAPPED = "the cluster's key for the join secret "
_FORM = re.compile(r"join-([a-z0-9]{8})-([A-Za-z0-9_-]{43})", re.ASCII)
_ID_LETTERS = "abcdefghijkmnpqrstuvwxyz23456789"


def make_join_secret(
    transaction: Transaction, key: ClusterKey, *, once: bool, lasts_ms: int | None, now_ms: int
) -> str:
    """Enter a new secret, and return it: it can be told only now.

    It has 256 random bits, so what is kept of it, two digests, cannot be guessed from.
    """
    secret_id = "".join(secrets.choice(_ID_LETTERS) for _ in range(8))
    secret = secrets.token_urlsafe(32)
    wrapped = _wrapper(secret).seal(_WRAPPED + secret_id, 1, key.key.hex())
    row = JoinSecretRow(secret_id, _proof(secret), wrapped, once, lasts_ms)
    transaction.join_secrets.add(row, now_ms)
    return f"join-{secret_id}-{secret}"


def use_join_secret(transaction: Transaction, text: str, now_ms: int) -> ClusterKey:
    """The cluster's key; a secret that is good once is gone with the transaction.

    Raises ConfigurationError, which does not repeat the secret.
    """
    if not text.strip():
        raise ConfigurationError(
            "no join secret was given: type it when asked, or give it with --secret-file or in "
            "$MOORING_JOIN_SECRET; `mooringd init` and `mooringd join-secrets create` print one"
        )
    found = _FORM.fullmatch(text.strip())
    if found is None:
        raise ConfigurationError(
            "this is no join secret: it begins with join- and is printed whole, in one line, by "
            "`mooringd init` and `mooringd join-secrets create`"
        )
    secret_id, secret = found.groups()
    row = transaction.join_secrets.held(secret_id, now_ms)
    if row is None:
        raise ConfigurationError(
            f"the catalog knows no join secret {secret_id}: it was used, if it was for one server "
            f"only, or revoked, or is of another catalog. {_ANOTHER}"
        )
    if not hmac.compare_digest(row.proof, _proof(secret)):
        raise ConfigurationError(
            f"the join secret {secret_id} is wrong: part of it was lost or changed. {_ANOTHER}"
        )
    if row.left_ms is not None and row.left_ms <= 0:
        raise ConfigurationError(f"the join secret {secret_id} has expired. {_ANOTHER}")
    try:
        key = _wrapper(secret).open(_WRAPPED + secret_id, 1, row.wrapped)
    except ValueError:
        raise ConfigurationError(
            f"what the catalog has of the join secret {secret_id} was tampered with. {_ANOTHER}"
        ) from None
    if row.once:
        transaction.join_secrets.remove(secret_id)
    return ClusterKey(bytes.fromhex(key))


_ANOTHER = "`mooringd join-secrets create`, on a server's host, makes another one"


def _proof(secret: str) -> str:
    return blake3(secret.encode(), derive_key_context=_PROOF).hexdigest()


def _wrapper(secret: str) -> ClusterKey:
    return ClusterKey(blake3(secret.encode(), derive_key_context=_WRAP).digest())
