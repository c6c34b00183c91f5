"""Access keys with what they may do, in a file that AWS clients can read."""

from __future__ import annotations

import configparser
import os
import re
import secrets
import string
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from mooring.backend.private_file import write_private
from mooring.model.access import Access, Role
from mooring.model.errors import ConfigurationError, InvalidInputException
from mooring.model.tags import read_tags

PROFILE = "default"
_USER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}", re.ASCII)


@dataclass(frozen=True, slots=True, repr=False)
class Key:
    """An access key. Never show `secret`, and so never the whole.

    `profile` is its section in the file; `expires_ms` is when it ends, None for never.
    """

    id: str
    secret: str
    profile: str = PROFILE
    access: Access = field(default_factory=Access)
    expires_ms: int | None = None

    def ended(self, now_ms: int) -> bool:
        return self.expires_ms is not None and self.expires_ms <= now_ms


def open_keys(path: Path) -> dict[str, Key]:
    """Read the keys by id; make the file with one new key if there is none.

    Raises ConfigurationError as `read_keys` does.
    """
    if not path.exists():
        write_keys(path, [new_key(PROFILE, Access(PROFILE))])
    return read_keys(path)


def read_keys(path: Path) -> dict[str, Key]:
    """Read the keys by id.

    Raises ConfigurationError when the file is missing, damaged, or readable for others.
    """
    try:
        with path.open(encoding="utf-8") as file:
            mode = os.fstat(file.fileno()).st_mode & 0o777
            if mode & 0o077:
                raise ConfigurationError(
                    f"{path} has mode {mode:04o}, so others could read the secret keys: "
                    f"chmod 600 {path}"
                )
            text = file.read()
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError:
        raise _no_keys(path) from None
    return parse_keys(text, path)


def parse_keys(text: str, where: Path | str) -> dict[str, Key]:
    """The keys of a file's text, by id. Raises ConfigurationError, which names `where`."""
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read_string(text)
        keys = [_read(where, section, parser[section]) for section in parser.sections()]
    except (configparser.Error, KeyError):
        raise _no_keys(where) from None
    if not keys:
        raise ConfigurationError(f"{where} has no key: delete the file, and a new one is made")
    if not all(key.id and key.secret for key in keys):
        raise ConfigurationError(f"{where} has a key without id or secret: remove its section")
    found = {key.id: key for key in keys}
    if len(found) < len(keys):
        raise ConfigurationError(f"{where} has two sections with the same key: remove one of them")
    return found


def _no_keys(where: Path | str) -> ConfigurationError:
    # What the parser says repeats lines of the file, and so maybe a secret.
    return ConfigurationError(
        f"{where} is not a credentials file: each key has its own [section] with "
        "aws_access_key_id and aws_secret_access_key"
    )


def new_key(profile: str, access: Access) -> Key:
    """A key that nobody has had before."""
    letters = string.ascii_uppercase + "234567"
    identity = "AKIA" + "".join(secrets.choice(letters) for _ in range(16))
    return Key(identity, secrets.token_urlsafe(30), profile, access)


def check_user(name: str) -> str:
    """Return the name of a user, or raise ConfigurationError."""
    if not _USER.fullmatch(name) or name == configparser.DEFAULTSECT:
        raise ConfigurationError(
            f"{name[:80]!r} cannot be the name of a user: it has up to 64 letters, digits and "
            ". _ @ -, and starts with a letter or digit"
        )
    return name


def parse_tags(items: list[str]) -> dict[str, str]:
    """Tags given as `key=value`. Raises ConfigurationError."""
    tags = {}
    for item in items:
        key, _, value = item.partition("=")
        tags[key.strip()] = value.strip()
    try:
        read_tags({"key": key, "value": value} for key, value in tags.items())
    except InvalidInputException as error:
        raise ConfigurationError(error.message) from None
    return tags


def write_keys(path: Path, keys: list[Key]) -> None:
    """Write the file whole or not at all, never readable for others."""
    write_private(path, keys_text(keys))


def keys_text(keys: Iterable[Key]) -> str:
    """The text of a file with these keys."""
    return "\n".join(_section(key) for key in keys)


def _section(key: Key) -> str:
    """The key's section. AWS clients read the first two lines, and leave the rest alone."""
    lines = [
        f"[{key.profile}]",
        f"aws_access_key_id = {key.id}",
        f"aws_secret_access_key = {key.secret}",
        f"mooring_user = {key.access.user}",
        f"mooring_role = {key.access.role}",
    ]
    if key.access.tags:
        tags = ", ".join(f"{name}={value}" for name, value in key.access.tags.items())
        lines.append(f"mooring_tags = {tags}")
    if key.expires_ms is not None:
        lines.append(f"mooring_expires = {show_moment(key.expires_ms)}")
    return "\n".join(lines) + "\n"


def show_moment(milliseconds: int) -> str:
    """A moment as the file has it, in UTC."""
    return datetime.fromtimestamp(milliseconds // 1000, UTC).isoformat()


def _read(path: Path | str, section: str, lines: Mapping[str, str]) -> Key:
    where = f"{path}, section [{section}]"
    # A file that knows no roles is one from before there were any.
    try:
        role = Role(lines.get("mooring_role", Role.ADMINISTRATOR))
    except ValueError:
        roles = ", ".join(Role)
        raise ConfigurationError(f"{where}: mooring_role must be one of {roles}") from None
    # A misspelt line must not give more than was meant.
    unknown = [name for name in lines if name not in _KNOWN and not name.startswith("aws_")]
    if unknown:
        raise ConfigurationError(f"{where}: there is no {unknown[0]}; known: {', '.join(_KNOWN)}")
    text = lines.get("mooring_tags")
    try:
        user = check_user(lines.get("mooring_user", section))
        tags = {} if text is None else parse_tags(text.split(","))
    except ConfigurationError as error:
        raise ConfigurationError(f"{where}: {error}") from None
    expires = lines.get("mooring_expires")
    return Key(
        lines["aws_access_key_id"],
        lines["aws_secret_access_key"],
        section,
        Access(user, role, tags),
        None if expires is None else _moment(where, expires),
    )


_KNOWN = ("mooring_user", "mooring_role", "mooring_tags", "mooring_expires", "region", "output")


def _moment(where: str, text: str) -> int:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigurationError(
            f"{where}: mooring_expires must be a time such as 2026-12-31T12:00:00+00:00"
        ) from None
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)
