"""SSH keys: making RSA pairs, reading public halves, fingerprints."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mooring.model.errors import InvalidInputException

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

# The library is imported by what needs it: servers start without it.

BITS = 2048
"""Of keys made here, as on the real service."""

MIN_BITS, MAX_BITS = 1024, 16384
"""Of keys that are imported."""

MAX_TEXT = 16 * 1024
"""Characters of an imported key with its comment."""

_HINT = "Give the line of a file such as ~/.ssh/id_rsa.pub; `ssh-keygen -t rsa` makes one."


@dataclass(frozen=True, slots=True, repr=False)
class NewKeys:
    """A pair just made. Never show or store `private` unasked.

    `public` is a line as in `authorized_keys`, `private` PEM as OpenSSH reads it.
    """

    public: str
    private: str
    fingerprint: str


def make_keys() -> NewKeys:
    """A new RSA pair. The fingerprint is as EC2 has it for pairs that it made: SHA-1 over the
    private key in PKCS #8, as `openssl pkcs8 -topk8 -outform DER -nocrypt | openssl sha1 -c`."""
    from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    key = generate_private_key(public_exponent=65537, key_size=BITS)
    encoded = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    digest = hashlib.sha1(encoded, usedforsecurity=False).digest()
    return NewKeys(_line(key.public_key()), pem.decode(), digest.hex(":"))


def read_public_key(text: str) -> tuple[str, str]:
    """An imported key as a line without comment, and its fingerprint.

    The latter is as EC2 has it for imported pairs: MD5 over the public key in DER. The text may
    be a line as in `authorized_keys`, only its middle, or all of it in base64. Raises
    InvalidInputException for what is no RSA key.
    """
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
    from cryptography.hazmat.primitives.serialization import (
        Encoding,
        PublicFormat,
        load_ssh_public_key,
    )

    line = _find_line(text)
    try:
        key = load_ssh_public_key(line.encode())
    except (ValueError, UnsupportedAlgorithm):
        raise InvalidInputException(f"The public key cannot be read. {_HINT}") from None
    if not isinstance(key, RSAPublicKey):
        kind = line.split()[0]
        raise InvalidInputException(f"The public key must be of the type ssh-rsa, not {kind}.")
    if not MIN_BITS <= key.key_size <= MAX_BITS:
        raise InvalidInputException(
            f"The public key has {key.key_size} bits; it must have {MIN_BITS} to {MAX_BITS}."
        )
    encoded = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return _line(key), hashlib.md5(encoded, usedforsecurity=False).digest().hex(":")


def _line(key: RSAPublicKey) -> str:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    return key.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()


def _find_line(text: str) -> str:
    line = text.strip()
    if len(line) > MAX_TEXT:
        raise InvalidInputException(
            f"The public key has {len(line)} characters; it may have {MAX_TEXT}. {_HINT}"
        )
    if " " not in line and line.startswith("AAAA"):
        return f"ssh-rsa {line}"
    if " " not in line:
        try:
            line = base64.b64decode(line, validate=True).decode().strip()
        except (binascii.Error, ValueError):
            raise InvalidInputException(f"The public key cannot be read. {_HINT}") from None
    if not re.fullmatch(r"(ssh|ecdsa|sk)-\S+ \S+( [^\n]*)?", line):
        raise InvalidInputException(f"The public key cannot be read. {_HINT}")
    return line
