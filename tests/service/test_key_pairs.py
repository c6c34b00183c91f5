"""SSH key pairs: real keys, given out once and told apart."""

from __future__ import annotations

import base64
import hashlib
import json
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256

from mooring.catalog.tables import schema
from mooring.model.access import Access, Role
from mooring.model.errors import (
    AccessDeniedException,
    InvalidInputException,
    NotFoundException,
    OperationFailureException,
)
from mooring.model.resources.key_pair import DEFAULT_KEY_PAIR
from tests.service.ssh import ED25519_KEY, FINGERPRINT, PUBLIC_KEY, RSA_DATA
from tests.service.world import World

DB = Access("db-team", Role.OPERATOR, {"team": "db"})
TAGS = [{"key": "team", "value": "db"}]


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[World]:
    """A world that has a place for default key pairs."""
    world = World(default_keys=tmp_path / "keys")
    yield world
    world.close()


def check_pair(public: str, private: str) -> RSAPrivateKey:
    """What the private key signs, the public key verifies."""
    assert private.startswith("-----BEGIN RSA PRIVATE KEY-----\n")
    key = serialization.load_pem_private_key(private.encode(), None)
    other = serialization.load_ssh_public_key(public.encode())
    assert isinstance(key, RSAPrivateKey)
    assert isinstance(other, RSAPublicKey)
    other.verify(key.sign(b"x", padding.PKCS1v15(), SHA256()), b"x", padding.PKCS1v15(), SHA256())
    return key


def everything(world: World) -> str:
    """All that the catalog holds, as text."""
    with world.catalog.read() as transaction:
        connection = transaction.key_pairs.connection
        tables = schema.metadata.sorted_tables
        rows = [list(row) for one in tables for row in connection.execute(one.select())]
    return json.dumps(rows)


def test_a_pair_is_made_and_its_private_half_is_nowhere(world: World) -> None:
    made = world.call("CreateKeyPair", keyPairName="mine", tags=TAGS, invocation="one")
    key = check_pair(made["publicKeyBase64"], made["privateKeyBase64"])
    assert key.key_size == 2048
    encoded = key.private_bytes(
        serialization.Encoding.DER,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    assert made["keyPair"]["fingerprint"] == hashlib.sha1(encoded).digest().hex(":")
    assert (made["operation"]["status"], made["operation"]["resourceType"]) == (
        "Succeeded",
        "KeyPair",
    )
    assert world.call("GetKeyPair", keyPairName="mine")["keyPair"] == made["keyPair"]
    assert made["keyPair"]["tags"] == TAGS
    secret = made["privateKeyBase64"].split("\n")[5]
    assert secret not in everything(world)
    assert made["publicKeyBase64"] in everything(world)
    with pytest.raises(InvalidInputException, match="already in use: mine"):
        world.call("CreateKeyPair", keyPairName="mine", tags=TAGS, invocation="one")


@pytest.mark.parametrize(
    "given",
    [
        PUBLIC_KEY,
        f"  ssh-rsa {RSA_DATA}\n",
        RSA_DATA,
        base64.b64encode(PUBLIC_KEY.encode()).decode(),
    ],
)
def test_a_public_key_is_imported(world: World, given: str) -> None:
    world.call("ImportKeyPair", keyPairName="mine", publicKeyBase64=given)
    (found,) = world.call("GetKeyPairs")["keyPairs"]
    assert found["fingerprint"] == FINGERPRINT
    with world.catalog.read() as transaction:
        (pair,) = transaction.key_pairs.all()
    assert pair.public_key == f"ssh-rsa {RSA_DATA}"


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ("", "cannot be read"),
        ("ssh-rsa", "cannot be read"),
        ("ssh-rsa AAAA", "cannot be read"),
        (f"ssh-rsa {RSA_DATA[:-40]}", "cannot be read"),
        ("ssh-rsa Ä", "cannot be read"),
        (f"ssh-dss {RSA_DATA}", "cannot be read"),
        (f"{PUBLIC_KEY}\n{PUBLIC_KEY}", "cannot be read"),
        (ED25519_KEY, "of the type ssh-rsa, not ssh-ed25519"),
        (f"ssh-rsa {RSA_DATA} {'x' * 20_000}", "characters; it may have"),
        ("-----BEGIN RSA PRIVATE KEY-----\nAAAA\n-----END RSA PRIVATE KEY-----", "cannot be read"),
    ],
)
def test_what_is_no_public_key_is_refused(world: World, given: str, why: str) -> None:
    with pytest.raises(InvalidInputException, match=why):
        world.call("ImportKeyPair", keyPairName="mine", publicKeyBase64=given)
    assert world.call("GetKeyPairs")["keyPairs"] == []


def test_names_are_those_of_the_region(world: World) -> None:
    world.disk("data")
    imported: dict[str, Any] = {"publicKeyBase64": PUBLIC_KEY}
    for name in ("data", DEFAULT_KEY_PAIR):
        with pytest.raises(InvalidInputException, match=f"already in use: {name}"):
            world.call("CreateKeyPair", keyPairName=name)
        with pytest.raises(InvalidInputException, match=f"already in use: {name}"):
            world.call("ImportKeyPair", keyPairName=name, **imported)
    world.call("ImportKeyPair", keyPairName="mine", **imported)
    world.call("ImportKeyPair", keyPairName="mine", region="us-west-2", **imported)
    world.call("DeleteKeyPair", keyPairName="mine")
    for operation in ("GetKeyPair", "DeleteKeyPair"):
        with pytest.raises(NotFoundException, match="The KeyPair does not exist: mine"):
            world.call(operation, keyPairName="mine")
    assert len(world.call("GetKeyPairs", region="us-west-2")["keyPairs"]) == 1
    world.disk("mine")


def test_the_default_pair_can_be_downloaded_again_and_again(kept: World, tmp_path: Path) -> None:
    first = kept.call("DownloadDefaultKeyPair", invocation="one")
    check_pair(first["publicKeyBase64"], first["privateKeyBase64"])
    kept.clock.advance(60)
    assert kept.call("DownloadDefaultKeyPair", invocation="two") == first
    other = kept.call("DownloadDefaultKeyPair", region="us-west-2")
    assert other["publicKeyBase64"] != first["publicKeyBase64"]
    assert kept.call("GetKeyPairs")["keyPairs"] == []
    (listed,) = kept.call("GetKeyPairs", includeDefaultKeyPair=True)["keyPairs"]
    assert (listed["name"], listed["createdAt"]) == (DEFAULT_KEY_PAIR, first["createdAt"])
    assert kept.call("GetKeyPair", keyPairName=DEFAULT_KEY_PAIR)["keyPair"] == listed
    assert first["privateKeyBase64"].split("\n")[5] not in everything(kept)
    files = list((tmp_path / "keys").iterdir())
    assert [stat.S_IMODE(one.stat().st_mode) for one in files] == [0o600] * 2
    assert stat.S_IMODE((tmp_path / "keys").stat().st_mode) == 0o700


def test_the_default_pair_is_deleted_by_its_fingerprint(kept: World, tmp_path: Path) -> None:
    first = kept.call("DownloadDefaultKeyPair")
    (listed,) = kept.call("GetKeyPairs", includeDefaultKeyPair=True)["keyPairs"]
    delete = {"keyPairName": DEFAULT_KEY_PAIR}
    with pytest.raises(InvalidInputException, match="expectedFingerprint"):
        kept.call("DeleteKeyPair", **delete)
    with pytest.raises(InvalidInputException, match="is not 00:11"):
        kept.call("DeleteKeyPair", expectedFingerprint="00:11", **delete)
    kept.call("DeleteKeyPair", expectedFingerprint=listed["fingerprint"], **delete)
    assert list((tmp_path / "keys").iterdir()) == []
    again = kept.call("DownloadDefaultKeyPair")
    assert again["privateKeyBase64"] != first["privateKeyBase64"]


def test_a_default_pair_without_its_file_says_the_way_out(kept: World, tmp_path: Path) -> None:
    kept.call("DownloadDefaultKeyPair")
    for file in (tmp_path / "keys").iterdir():
        file.unlink()
    (listed,) = kept.call("GetKeyPairs", includeDefaultKeyPair=True)["keyPairs"]
    with pytest.raises(OperationFailureException, match=listed["fingerprint"]):
        kept.call("DownloadDefaultKeyPair")
    kept.call(
        "DeleteKeyPair", keyPairName=DEFAULT_KEY_PAIR, expectedFingerprint=listed["fingerprint"]
    )
    kept.call("DownloadDefaultKeyPair")


def test_instances_show_their_key_pair_or_the_default_one(world: World) -> None:
    world.instance()
    world.instance("other", keyPairName="mine")
    names = [one["sshKeyName"] for one in world.call("GetInstances")["instances"]]
    assert names == [DEFAULT_KEY_PAIR, "mine"]


def test_key_pairs_are_bound_by_tags(kept: World) -> None:
    kept.call("ImportKeyPair", keyPairName="theirs", publicKeyBase64=PUBLIC_KEY)
    kept.call("ImportKeyPair", access=DB, keyPairName="ours", publicKeyBase64=PUBLIC_KEY)
    kept.call("DownloadDefaultKeyPair")
    with pytest.raises(AccessDeniedException, match="must give the tags team=db"):
        kept.call("CreateKeyPair", access=DB, keyPairName="more")
    kept.call("CreateKeyPair", access=DB, keyPairName="more", tags=TAGS)
    listed = kept.call("GetKeyPairs", access=DB, includeDefaultKeyPair=True)["keyPairs"]
    assert [one["name"] for one in listed] == ["ours", "more"]
    for name in ("theirs", DEFAULT_KEY_PAIR):
        for operation in ("GetKeyPair", "DeleteKeyPair"):
            with pytest.raises(AccessDeniedException):
                kept.call(operation, access=DB, keyPairName=name)
    with pytest.raises(AccessDeniedException, match="shared by the whole region"):
        kept.call("DownloadDefaultKeyPair", access=DB)
    with pytest.raises(AccessDeniedException, match="read-only"):
        kept.call("DownloadDefaultKeyPair", access=Access("eyes", Role.READ_ONLY))
    kept.call("DeleteKeyPair", access=DB, keyPairName="ours")


def test_tags_of_a_key_pair_change(world: World) -> None:
    world.call("ImportKeyPair", keyPairName="mine", publicKeyBase64=PUBLIC_KEY)
    world.call("TagResource", resourceName="mine", tags=TAGS)
    assert world.call("GetKeyPair", keyPairName="mine")["keyPair"]["tags"] == TAGS
    world.call("UntagResource", resourceName="mine", tagKeys=["team"])
    assert world.call("GetKeyPair", keyPairName="mine")["keyPair"]["tags"] == []
