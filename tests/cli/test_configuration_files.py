"""Random configuration files, read as botocore reads them."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import botocore.configloader
import botocore.credentials
import pytest
from botocore.exceptions import ConfigParseError, PartialCredentialsError

from mooring.cli.connection import credentials
from mooring.cli.connection.session import Session
from mooring.model.clock import ManualClock
from mooring.model.errors import CommandError

SEED = 20161128
PAIRS = 10_000
"""Each a configuration file and a credentials file: twenty thousand files."""

HEADERS = [
    "[default]", "[profile default]", "[DEFAULT]", "[Default]", "[p]", "[profile p]",
    "[profile  p]", "[profile\tp]", '[profile "p"]', "[profile 'p q']", "[profile p q]",
    "[profile p\u00a0q]", "[profile\u3000p]", "[profilep p]", "[profile]", "[profile \"p]",
    "[profile p\\ q]", "[p q]", "[services s]", "[services  s]", '[services "s"]', "[services]",
    "[servicess s]", "[sso-session s]", "[]", "[ ]", "[[p]]", "[profile p] x", "[profile p]]",
    "[p", "[profile p]#", "[preview]", "[plugins]",
]  # fmt: skip
OPTIONS = [
    "region", "REGION", "output", "aws_access_key_id", "aws_secret_access_key",
    "aws_session_token", "aws_security_token", "endpoint_url", "services", "lightsail", "s3",
    "a b", "", "region ", "=", ":", "re;gion", "r\u00e9gion", "\u0130", "cli_style",
]  # fmt: skip
VALUES = [
    "", "x", "us-east-2", "p", "s", " y ", "a=b", "a: b", "# no comment", "x ; y", "'q'", "%(a)s",
    "[default]", "\u3000", "\u00a0z", "endpoint_url = http://h", "z\x0by", "u\x85v = w", "\ufeff",
]  # fmt: skip
SIGNS = ["=", " = ", ":", " : ", "", " ", "==", "=:", " =\t"]
INDENTS = ["", "", "", "", " ", "  ", "    ", "\t", "\u00a0", "\x0c"]
OTHER = [
    "", "", " ", "\t", "# comment", "; comment", "  # indented", "no delimiter",
    "  endpoint_url = a", "    b = c", "  broken", "  d", "\x0b", "\ufeff[default]",
    "  = v", "  e =", "\x1c", "k = v\x0b",
]  # fmt: skip


def random_file(chance: random.Random) -> str:
    lines = []
    if chance.random() < 0.9:
        lines.append(chance.choice(HEADERS[:20]))
    # Few words that come often: what overlaps is what is looked for.
    headers = chance.sample(HEADERS, 3)
    options = chance.sample(OPTIONS, 5)
    for _ in range(chance.randrange(14)):
        kind = chance.random()
        if kind < 0.25:
            lines.append(chance.choice(INDENTS[:6]) + chance.choice(headers))
        elif kind < 0.75:
            line = chance.choice(options) + chance.choice(SIGNS) + chance.choice(VALUES)
            lines.append(chance.choice(INDENTS) + line)
        elif kind < 0.85:
            lines.append(f"{chance.choice(options)} =")
            lines += [f"  {chance.choice(OPTIONS)} = {chance.choice(VALUES)}"] * chance.randrange(3)
        else:
            lines.append(chance.choice(OTHER))
    return chance.choice(["\n", "\n", "\n", "\r\n", "\r"]).join(lines) + chance.choice(["", "\n"])


def tidy_file(chance: random.Random, word: str) -> str:
    """What can always be parsed: overlaps without mistakes."""
    headers = ["[DEFAULT]", "[default]", f"[{word}default]", f"[{word}p]", f'[{word}"p"]',
               "[services s]", '[services "s"]']  # fmt: skip
    text = ""
    for header in chance.sample(headers, chance.randrange(1, len(headers) + 1)):
        text += f"{header}\n"
        for option in chance.sample(OPTIONS[:11], chance.randrange(5)):
            if option != "REGION":
                nested = "\n  endpoint_url = n\n  b = c" if chance.random() < 0.2 else ""
                text += f"{option} = {nested or chance.choice(VALUES[1:5])}\n"
    return text


def read_by_botocore(config: Path, stored: Path) -> Any:
    """As `botocore.session.Session.full_config` puts the two files together."""
    try:
        full = botocore.configloader.load_config(str(config))
        raw = botocore.configloader.raw_config_parse(str(stored))
    except ConfigParseError:
        return "broken"
    keys: list[Any] = []
    for name in ("default", "p"):
        for provider in (
            botocore.credentials.SharedCredentialProvider("", name, lambda _: raw),
            botocore.credentials.ConfigProvider("", name, lambda _: full),
        ):
            try:
                found = provider.load()
            except PartialCredentialsError:
                keys.append("partial")
                break
            if found is not None:
                keys.append((found.access_key, found.secret_key, found.token))
                break
        else:
            keys.append(None)
    for name, values in raw.items():
        full["profiles"].setdefault(name, {}).update(values)
    return full["profiles"], full["services"], keys


def read_by_mooring(config: Path, stored: Path) -> Any:
    environ = {"AWS_CONFIG_FILE": str(config), "AWS_SHARED_CREDENTIALS_FILE": str(stored)}
    session = Session(environ)
    try:
        files = session.files()
    except CommandError as error:
        return "broken" if "Unable to parse config file: " in str(error) else str(error)
    return files["profiles"], files["services"], [keys_of(session, name) for name in (None, "p")]


def keys_of(session: Session, profile: str | None) -> Any:
    session.profile_option = profile
    try:
        found = credentials.find(session, ManualClock())
    except CommandError as error:
        if "Partial credentials" in str(error):
            return "partial"
        if "could not be found" in str(error):
            return None
        # What botocore would hand on, and no request could carry.
        refused = "is not text" in str(error) or "control character" in str(error)
        return REFUSED if refused else str(error)
    return found and (found.access_key, found.secret_key, found.token)


class Refused:
    """Equal to keys that are nested settings, or hold a character that no header may."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, tuple) and any(
            isinstance(value, dict) or any(sign in (value or "") for sign in "\n\x0b\x1c\x85")
            for value in other
        )

    __hash__ = None  # type: ignore[assignment]


REFUSED = Refused()


def test_overlapping_files_mean_what_they_mean_to_botocore(tmp_path: Path) -> None:
    config, stored = tmp_path / "config", tmp_path / "credentials"
    chance = random.Random(SEED)
    unlike, broken = [], 0
    for _ in range(PAIRS):
        if chance.random() < 0.6:
            texts = tidy_file(chance, "profile "), tidy_file(chance, "")
        else:
            texts = random_file(chance), random_file(chance)
        config.write_bytes(texts[0].encode())
        stored.write_bytes(texts[1].encode())
        theirs, ours = read_by_botocore(config, stored), read_by_mooring(config, stored)
        broken += theirs == "broken"
        if ours != theirs:
            unlike.append((texts, theirs, ours))
    assert not unlike, f"{len(unlike)} differ; the first: {unlike[0]}"
    # Most files are worth reading, and some are not.
    assert PAIRS * 0.05 < broken < PAIRS * 0.6


@pytest.mark.parametrize("text", ["\udcff", "[default]\nregion = \udcff\n"])
def test_a_file_that_is_no_text_is_told(tmp_path: Path, text: str) -> None:
    (tmp_path / "config").write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(CommandError, match="it is not text in utf-8"):
        Session({"AWS_CONFIG_FILE": str(tmp_path / "config")}).files()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("\ufeff[default]\n", "line 1: it starts with a byte order mark"),
        ("region = a\n", "line 1: a section such as"),
        ("[a]\nb = 1\n\nb = 2\n", "line 4: b appears twice"),
        ("[a]\n[b]\n[a]\n", "line 3: the section a appears twice"),
        ("[a]\nwords\n", "line 2: neither = nor :"),
        ("[a]\n= b\n", "line 2: there is no name"),
        ("[unused]\ns3 =\n  b\n", "under s3, no = separates a name from its value: b"),
    ],
)
def test_a_broken_file_is_told_with_its_line(tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / "credentials").write_text(text, encoding="utf-8")
    environ = {
        "AWS_CONFIG_FILE": "",
        "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "credentials"),
    }
    with pytest.raises(CommandError) as raised:
        Session(environ).files()
    path = tmp_path / "credentials"
    assert str(raised.value).startswith(f"Unable to parse config file: {path}\n({told}")
