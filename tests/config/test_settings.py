"""Settings: defaults, types, ranges, unknown names, and what documents them."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mooring.config.check import check
from mooring.config.load import load, read_settings
from mooring.config.settings import (
    CephSettings,
    InstanceSettings,
    Limits,
    Listen,
    Region,
    Settings,
)
from mooring.model.errors import ConfigurationError

DOCUMENT = Path(__file__).parents[2] / "docs" / "configuration.md"


def settings_of(value: Any, prefix: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Each setting: its full name, its default, its field."""
    for one in fields(value):
        default = getattr(value, one.name)
        if one.name == "regions":
            yield from settings_of(Region(), "regions.<name>.")
        elif one.name == "instances":
            yield from settings_of(InstanceSettings(), "instances.<name>.")
        elif one.name == "ceph":
            yield from settings_of(CephSettings(), "ceph.<name>.")
        elif is_dataclass(default):
            yield from settings_of(default, f"{prefix}{one.name}.")
        else:
            yield f"{prefix}{one.name}", default, one


ALL = {name: (default, field) for name, default, field in settings_of(Settings())}


def toml(name: str, value: str) -> str:
    """A file that sets one setting."""
    table, _, key = name.replace("<name>", "us-east-2").rpartition(".")
    return f"[{table}]\n{key} = {value}\n" if table else f"{key} = {value}\n"


@pytest.fixture
def write(tmp_path: Path) -> Any:
    def write(text: str) -> str:
        file = tmp_path / "mooring.toml"
        file.write_text(text, encoding="utf-8")
        return str(file)

    return write


def wrong(path: str) -> str:
    """Why a file is refused; the message names the file first."""
    with pytest.raises(ConfigurationError) as caught:
        load(path)
    text = str(caught.value)
    assert text.startswith(f"{path}: ")
    return text.removeprefix(f"{path}: ")


# --- what is documented


def documented() -> dict[str, tuple[str, str]]:
    rows = re.findall(r"^\| `([^`]+)` \|(.*?)\|(.*?)\|$", DOCUMENT.read_text(), re.MULTILINE)
    return {name: (default.strip(" `"), meaning) for name, default, meaning in rows}


def test_the_document_has_every_setting_and_no_other() -> None:
    listed = [name for name in documented() if re.fullmatch(r"[a-z0-9_.<>]+", name)]

    assert [name for name in listed if name in ALL] == list(ALL)
    files = {"credentials", "audit.jsonl", "server.json", "catalog.sqlite", "lock"}
    assert set(listed) - ALL.keys() <= files


@pytest.mark.parametrize("name", [name for name in ALL if name != "regions.<name>.zones"])
def test_the_document_has_the_default(name: str) -> None:
    default, _ = ALL[name]
    written = documented()[name][0]

    assert tomllib.loads(f"value = {written}")["value"] == default


@pytest.mark.parametrize("name", ALL)
def test_the_document_repeats_the_meaning(name: str) -> None:
    meaning = ALL[name][1].metadata["meaning"]

    def words(text: str) -> list[str]:
        return re.findall(r"[a-z0-9]+", text.lower())

    assert (
        words(documented()[name][1])[: len(words(meaning)) // 2]
        == (words(meaning)[: len(words(meaning)) // 2])
    )


def test_the_documents_examples_are_valid(write: Any) -> None:
    example, own = re.findall(r"```toml\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)

    settings = load(write(example))

    assert settings.regions["us-west-2"].vault == "/mnt/backup/us-west-2"
    assert load(write(own)).regions["home"].zones == ["home-a"]


# --- defaults


def test_without_a_file_everything_has_its_default() -> None:
    assert load(None) == Settings()


def test_an_empty_file_changes_nothing(write: Any) -> None:
    assert load(write("")) == Settings()


def test_defaults_pass_their_own_check(write: Any) -> None:
    text = "\n".join(
        toml(name, f"'{default}'" if isinstance(default, str) else repr(default))
        for name, (default, field) in ALL.items()
        if not name.startswith("regions") and "." not in name
    )

    assert load(write(text)) == Settings()


def test_no_default_is_shared() -> None:
    load(None).regions["us-east-2"].zones.append("us-east-2z")

    fresh = Region()
    assert fresh.zones == []
    assert Region.__dataclass_fields__["zones"].default is MISSING


def test_where_the_data_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, write: Any) -> None:
    monkeypatch.delenv("MOORING_DATA", raising=False)
    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    assert load(None).data_directory == Path("/home/me/.local/share/mooring")
    monkeypatch.setenv("XDG_DATA_HOME", "/xdg")
    assert load(None).data_directory == Path("/xdg/mooring")
    monkeypatch.setenv("MOORING_DATA", "~/disks")
    assert load(None).data_directory == Path("/home/me/disks")
    file = write("data = '~/in-the-file'")
    assert load(file).data_directory == Path("/home/me/in-the-file")
    assert load(file, data="/on/the/line").data_directory == Path("/on/the/line")


def test_named_regions_replace_the_usual_ones(write: Any) -> None:
    settings = load(write("[regions.eu-here-1]\nzones = ['eu-here-1a']"))

    assert settings.regions == {"eu-here-1": Region(zones=["eu-here-1a"])}


# --- what is refused


@pytest.mark.parametrize("name", ALL)
def test_wrong_types(name: str, write: Any) -> None:
    default = ALL[name][0]
    wrongs = {
        str: ["5", "true", "[]"],
        bool: ["'true'", "0", "1", "1.0", "[]"],
        int: ["'5'", "true", "1.5", "[]"],
        float: ["'5'", "true", "[]"],
        list: ["'us-east-2a'", "5", "[5]", "[['a']]"],
    }

    for value in wrongs[type(default)]:
        place = name.replace("<name>", "us-east-2")
        assert wrong(write(toml(name, value))).startswith(f"{place} must be a ")


def test_a_whole_number_is_a_number_too(write: Any) -> None:
    assert load(write(toml("limits.request_seconds", "5"))).limits.request_seconds == 5.0


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("account", ["'012345678901'"], ["''", "'1'", "'0123456789012'", "'٠١٢٣٤٥٦٧٨٩٠١'"]),
        ("listen.port", ["0", "65535"], ["-1", "65536"]),
        ("engine.kind", ["'qemu'", "'memory'"], ["''", "'QEMU'", "'rbd'"]),
        ("vault.level", ["-7", "-1", "1", "19"], ["-8", "0", "20"]),
        ("vault.threads", ["0", "256"], ["-1", "257"]),
        ("vault.collect_minutes", ["0", "0.5"], ["-1", "-0.5"]),
        ("vault.verify_hours", ["0", "24"], ["-1"]),
        ("vault.verify_percent", ["0.1", "100"], ["0", "-1", "101"]),
        ("log.level", ["'debug'", "'info'", "'warning'", "'error'"], ["'INFO'", "'trace'"]),
        *[
            (f"limits.{one.name}", ["1", "1000000"], ["0", "-1"])
            for one in fields(Limits)
            if one.name != "request_seconds"
        ],
        *[
            (f"throttle.{name}", ["0", "0.5", "1e9"], ["-1", "nan"])
            for name in ("user_rate", "rate")
        ],
        *[
            (f"throttle.{name}", ["1", "1e9"], ["0", "0.5", "nan"])
            for name in ("user_burst", "burst")
        ],
        ("limits.request_seconds", ["0.1", "inf"], ["0.0", "-1.0", "nan"]),
    ],
)
def test_ranges(name: str, good: Sequence[str], bad: Sequence[str], write: Any) -> None:
    for value in good:
        load(write(toml(name, value)))
    for value in bad:
        assert name.rpartition(".")[2] in wrong(write(toml(name, value)))


# Where -1 is something else: a fast level of zstd.
NEGATIVE = {"vault.level"}


@pytest.mark.parametrize(
    "name",
    [name for name in ALL if type(ALL[name][0]) in (int, float) and name not in NEGATIVE],
)
def test_no_other_number_is_negative(name: str, write: Any) -> None:
    told = wrong(write(toml(name, "-1")))

    assert re.match(rf"{re.escape(name)} must be .*; it is -1\b", told)


@pytest.mark.parametrize(
    ("name", "choices"),
    [
        ("engine.kind", "qemu or memory"),
        ("vault.replica_deletions", "keep or follow"),
        ("log.level", "debug, info, warning or error"),
    ],
)
def test_choices_are_told_apart_from_what_was_written(name: str, choices: str, write: Any) -> None:
    assert wrong(write(toml(name, "'perhaps'"))) == f'{name} must be {choices}; it is "perhaps"'


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[regions.us-east-2]\nzones = []", 'must name a zone, such as "us-east-2a"'),
        ("[regions.us-east-2]", 'must name a zone, such as "us-east-2a"'),
        ("[regions.us-east-2]\nzones = ['a1', 'a1']", "a1 is in two regions, or twice"),
        ("[regions.one]\nzones=['a1']\n[regions.two]\nzones=['a1']", "a1 is in two regions"),
        (
            "[regions.one]\nzones = ['a1', 'b1']\n[ceph.a1]\npool = 'p'\nuser = 'a'\n"
            "[ceph.b1]\npool = 'p'\nuser = 'b'\n",
            "ceph.b1 and ceph.a1 are one place",
        ),
        ("[regions.one]\nzones = ['../a']", "the zone '../a' must be made of"),
        ("[regions.one]\nzones = ['ä1']", "the zone 'ä1' must be made of"),
        ("[regions.one]\nzones = ['']", "the zone '' must be made of"),
        ("[regions.'../one']\nzones = ['a1']", "the region '../one' must be made of"),
        ("[regions.'']\nzones = ['a1']", "the region '' must be made of"),
        ("[regions.'a/b']\nzones = ['a1']", "the region 'a/b' must be made of"),
        ("regions = 5", "regions must be tables, for example [regions.us-east-2]"),
        ("[regions]", "regions must be tables"),
        ("regions.us-east-2 = 5", "regions.us-east-2 must be a table"),
        ("listen = 5", "listen must be a table: [listen]"),
    ],
)
def test_regions_and_tables(text: str, why: str, write: Any) -> None:
    assert why in wrong(write(text))


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.10", "::1", "localhost"])
def test_loopback_needs_no_certificate(host: str, write: Any) -> None:
    assert load(write(f"[listen]\nhost = '{host}'")).listen.host == host


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "", "192.0.2.1", "2001:db8::1", "example.net"])
def test_beyond_loopback_a_certificate_is_needed_or_a_word(host: str, write: Any) -> None:
    listen = f"[listen]\nhost = '{host}'\n"

    why = wrong(write(listen))

    assert "listen.certificate" in why
    assert "listen.insecure = true" in why
    assert load(write(f"{listen}insecure = true")).listen.insecure
    assert load(write(f"{listen}certificate = 'c'\nkey = 'k'")).listen.uses_tls


def test_a_certificate_without_a_key_is_refused(write: Any) -> None:
    for one in ("certificate", "key"):
        assert "belong together" in wrong(write(f"[listen]\n{one} = 'file'"))


@pytest.mark.parametrize("name", ALL)
def test_a_misspelt_setting_gets_a_suggestion(name: str, write: Any) -> None:
    table, dot, key = name.rpartition(".")
    misspelt = f"{table}{dot}{key}x"
    place = name.replace("<name>", "us-east-2")

    text = wrong(write(toml(misspelt, "1")))

    assert text == f"there is no setting {place}x; did you mean {place}?"


def test_a_setting_like_no_other_gets_the_list(write: Any) -> None:
    text = wrong(write("[listen]\nqqqq = 1"))

    assert text == "there is no setting listen.qqqq; known here: " + ", ".join(
        f"listen.{one.name}" for one in fields(Listen)
    )


def test_a_misspelt_table_gets_a_suggestion(write: Any) -> None:
    assert "did you mean limits?" in wrong(write("[limit]\nrequests = 5"))


def test_files_that_cannot_be_read(tmp_path: Path, write: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"nope\.toml cannot be read: No such file"):
        load(str(tmp_path / "nope.toml"))
    with pytest.raises(ConfigurationError, match="cannot be read: Is a directory"):
        load(str(tmp_path))
    with pytest.raises(ConfigurationError, match=r"is not a TOML file: .*line 2"):
        load(write("account = '1'\ndata = x"))
    (tmp_path / "mooring.toml").write_bytes(b"data = '\xff'")
    with pytest.raises(ConfigurationError, match="is not a TOML file"):
        load(str(tmp_path / "mooring.toml"))


JSON = st.recursive(
    st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=4,
)


@given(st.sampled_from(sorted(ALL)), JSON)
def test_any_value_is_read_or_refused(name: str, value: Any) -> None:
    named = "us-east-2a" if name.startswith("ceph.") else "us-east-2"
    *tables, key = name.replace("<name>", named).split(".")
    document: dict[str, Any] = {key: value}
    if tables[:1] == ["regions"] and key != "zones":
        document["zones"] = ["us-east-2a"]
    if tables[:1] == ["ceph"] and key != "pool":
        document["pool"] = "disks"
    for table in reversed(tables):
        document = {table: document}

    why = ""
    try:
        check(read_settings(document))
    except ConfigurationError as error:
        why = str(error)

    assert not why or key.rstrip("s") in why
