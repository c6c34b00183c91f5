"""SSH key pairs: created, imported, shown; private halves are handed out, not stored.

Only the private half of a region's default key pair is kept, because it can be downloaded at any
time; see default_keys.py. Answers with a private key are not remembered for clients that ask again,
for that would store it: whoever has lost one deletes the key pair, and creates it again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mooring.backend.backend import Backend
from mooring.catalog.transaction import Transaction
from mooring.model.errors import (
    InvalidInputException,
    OperationFailureException,
)
from mooring.model.names import check_name, name_taken, shown
from mooring.model.operation import ResourceType
from mooring.model.resources.consistency import read_given_tags
from mooring.model.resources.key_pair import DEFAULT_KEY_PAIR, KeyPair
from mooring.model.tags import Tags
from mooring.service.answers import operations, pages
from mooring.service.answers.views import key_pair_view
from mooring.service.call import Call, Result
from mooring.service.finding import find_key_pair
from mooring.service.instances.ssh_keys import make_keys, read_public_key


def create_key_pair(backend: Backend, call: Call) -> Result:
    """CreateKeyPair: the answer is the only place where its private key ever is."""
    name = _new_name(call)
    tags = read_given_tags(ResourceType.KEY_PAIR, call.params.get("tags") or [])
    with backend.catalog.read() as transaction:
        _check_free(transaction, call.region, name)
    keys = make_keys()  # which takes long: others need not wait for it
    pair = _pair(backend, call, name, keys.fingerprint, keys.public, tags)
    with backend.catalog.write() as transaction:
        _check_free(transaction, call.region, name)
        transaction.key_pairs.add(pair)
        return {
            "keyPair": key_pair_view(backend, pair),
            "publicKeyBase64": keys.public,
            "privateKeyBase64": keys.private,
            **_ended(backend, transaction, call, pair),
        }


def import_key_pair(backend: Backend, call: Call) -> Result:
    """ImportKeyPair: the request has no tags, so it gets those that bind the caller's key."""
    name = _new_name(call)
    public, fingerprint = read_public_key(call.params["publicKeyBase64"])
    pair = _pair(backend, call, name, fingerprint, public, dict(call.context.access.tags))
    with backend.catalog.write() as transaction:
        _check_free(transaction, call.region, name)
        transaction.key_pairs.add(pair)
        return call.remember(backend, transaction, _ended(backend, transaction, call, pair))


def delete_key_pair(backend: Backend, call: Call) -> Result:
    """DeleteKeyPair: of the default one the fingerprint must be given."""
    with backend.catalog.write() as transaction:
        pair = find_key_pair(transaction, call.region, call.params["keyPairName"])
        expected = call.params.get("expectedFingerprint")
        if pair.is_default and expected is None:
            raise InvalidInputException(
                f"To delete {pair.name}, give its fingerprint as expectedFingerprint: "
                f"get-key-pair --key-pair-name {pair.name} shows it."
            )
        if expected is not None and expected != pair.fingerprint:
            raise InvalidInputException(
                f"The fingerprint of the key pair {pair.name} is not {shown(expected)}."
            )
        transaction.key_pairs.remove(pair)
        result = call.remember(backend, transaction, _ended(backend, transaction, call, pair))
    if pair.is_default:
        backend.default_keys.forget(pair.id)
    return result


def get_key_pair(backend: Backend, call: Call) -> Result:
    """GetKeyPair: also of the default one, once somebody has downloaded it."""
    with backend.catalog.read() as transaction:
        pair = find_key_pair(transaction, call.region, call.params["keyPairName"])
    return {"keyPair": key_pair_view(backend, pair)}


def get_key_pairs(backend: Backend, call: Call) -> Result:
    """GetKeyPairs: the default one only if it is asked for."""
    after = pages.read_number(call.params.get("pageToken")) or 0
    with backend.catalog.read() as transaction:
        found, more = transaction.key_pairs.page(call.region, after, pages.SIZE)
    asked = bool(call.params.get("includeDefaultKeyPair"))
    return {
        "keyPairs": [
            key_pair_view(backend, pair) for pair in found if asked or not pair.is_default
        ],
        "nextPageToken": pages.token(more),
    }


def download_default_key_pair(backend: Backend, call: Call) -> Result:
    """DownloadDefaultKeyPair: the region's own, made when it is asked for first."""
    with backend.catalog.read() as transaction:
        pair = transaction.key_pairs.by_name(call.region, DEFAULT_KEY_PAIR)
    if pair is None:
        pair = _make_default(backend, call)
    private = backend.default_keys.find(pair.id)
    if private is None:
        raise OperationFailureException(
            f"The private key of {pair.name} is no longer on this server. Delete the key pair "
            f"(its fingerprint is {pair.fingerprint}) and download a new one."
        )
    return {
        "publicKeyBase64": pair.public_key,
        "privateKeyBase64": private,
        "createdAt": pair.created_ms,
    }


def _make_default(backend: Backend, call: Call) -> KeyPair:
    keys = make_keys()
    with backend.catalog.write() as transaction:
        known = transaction.key_pairs.by_name(call.region, DEFAULT_KEY_PAIR)
        if known is not None:
            return known  # somebody else has asked at the same time
        _check_free(transaction, call.region, DEFAULT_KEY_PAIR)
        pair = _pair(backend, call, DEFAULT_KEY_PAIR, keys.fingerprint, keys.public, {})
        # First the file: one without a row is never looked at.
        backend.default_keys.keep(pair.id, keys.private)
        transaction.key_pairs.add(pair)
    return pair


def _new_name(call: Call) -> str:
    name = check_name(call.params["keyPairName"])
    if name == DEFAULT_KEY_PAIR:
        raise name_taken([name])
    return name


def _check_free(transaction: Transaction, region: str, name: str) -> None:
    if transaction.names.taken(region, [name]):
        raise name_taken([name])


def _pair(
    backend: Backend, call: Call, name: str, fingerprint: str, public: str, tags: Tags
) -> KeyPair:
    return KeyPair(
        id=backend.ids.new_id(),
        region=call.region,
        name=name,
        created_ms=backend.clock.now_ms(),
        fingerprint=fingerprint,
        public_key=public,
        tags=tags,
    )


def _ended(
    backend: Backend, transaction: Transaction, call: Call, pair: KeyPair
) -> dict[str, Mapping[str, Any]]:
    ended = operations.begin(backend, call, pair, ended=True)
    (shown_one,) = operations.record(transaction, [ended])["operations"]
    return {"operation": shown_one}
