"""Access keys, in a file that AWS clients can read."""

from __future__ import annotations

import configparser
import os
import secrets
import string
from dataclasses import dataclass
from pathlib import Path

from mooring.model.errors import ConfigurationError

PROFILE = "default"


@dataclass(frozen=True, slots=True, repr=False)
class Key:
    """An access key. Never show `secret`, and so never the whole."""

    id: str
    secret: str


def open_keys(path: Path) -> dict[str, Key]:
    """Read the keys by id; make the file with one new key if there is none.

    Raises ConfigurationError when the file is damaged, or readable for others.
    """
    if not path.exists():
        _create(path, _new_key())
    mode = path.stat().st_mode & 0o777
    if mode & 0o077:
        raise ConfigurationError(
            f"{path} has mode {mode:04o}, so others could read the secret keys: chmod 600 {path}"
        )
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read_string(path.read_text(encoding="utf-8"))
        keys = [
            Key(parser[section]["aws_access_key_id"], parser[section]["aws_secret_access_key"])
            for section in parser.sections()
        ]
    except (configparser.Error, KeyError, UnicodeDecodeError):
        # What the parser says repeats lines of the file, and so maybe a secret.
        raise ConfigurationError(
            f"{path} is not a credentials file: each key has a [section] of its own with "
            "aws_access_key_id and aws_secret_access_key"
        ) from None
    if not keys:
        raise ConfigurationError(f"{path} has no key: delete the file, and a new one is made")
    if not all(key.id and key.secret for key in keys):
        raise ConfigurationError(f"{path} has a key without id or secret: remove its section")
    return {key.id: key for key in keys}


def _new_key() -> Key:
    letters = string.ascii_uppercase + "234567"
    identity = "AKIA" + "".join(secrets.choice(letters) for _ in range(16))
    return Key(identity, secrets.token_urlsafe(30))


def _create(path: Path, key: Key) -> None:
    """Write the file whole or not at all, never readable for others."""
    text = f"[{PROFILE}]\naws_access_key_id = {key.id}\naws_secret_access_key = {key.secret}\n"
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    temporary.unlink(missing_ok=True)
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    temporary.rename(path)
