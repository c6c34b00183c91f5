"""cli_style = v2, yaml, and what else comes from aws v2."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml as pyyaml
from hypothesis import given
from hypothesis import strategies as st

from mooring.cli.input import yaml_input
from mooring.cli.output import skeleton, yaml
from mooring.protocol import service_model
from tests.cli.conftest import Run, scripted
from tests.cli.recording_server import RecordingServer, Scripted

GONE = Scripted(400, b'{"__type": "NotFoundException", "message": "no disk"}')


@pytest.fixture
def v2(mooring: Run, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv("MOORING_CLI_STYLE", "v2")
    return mooring


def test_usage_errors(v2: Run) -> None:
    result = v2("create-disk-snapshot")

    assert result.status == 252
    assert result.stderr.startswith(
        "\nmooring: [ERROR]: An error occurred (ParamValidation): "
        "the following arguments are required: --disk-snapshot-name\n\nusage: "
    )


def test_service_errors(v2: Run, server: RecordingServer) -> None:
    scripted(server, GONE)
    result = v2("get-disk", "--disk-name", "D")

    assert result.status == 254
    assert result.stderr == (
        "\nmooring: [ERROR]: An error occurred (NotFoundException) when calling the GetDisk "
        "operation: no disk\n"
    )


def test_missing_region(v2: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    result = v2("get-disks")

    assert result.status == 253
    assert "An error occurred (NoRegion): You must specify a region." in result.stderr


def test_connection_errors(v2: Run) -> None:
    assert v2("get-disks", "--endpoint-url", "http://127.0.0.1:1").status == 255


def test_timestamps(v2: Run, server: RecordingServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC")
    scripted(server, {"disk": {"createdAt": 1569625129.739}})
    result = v2("get-disk", "--disk-name", "D", "--query", "disk.createdAt")

    assert json.loads(result.stdout).startswith("2019-09-2")
    assert ".739000" in result.stdout


def test_aws_region_wins(v2: Run, server: RecordingServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_REGION", "us-east-2")
    v2("get-disks")

    assert "/us-east-2/" in str(server.requests[-1].scope)


def test_urls_are_not_fetched(v2: Run, server: RecordingServer) -> None:
    v2("get-disk", "--disk-name", f"{server.url}/x")

    assert [request.method for request in server.requests] == ["POST"]


def test_the_style_can_be_set_in_the_profile(
    mooring: Run, home: Path, server: RecordingServer
) -> None:
    (home / ".aws").mkdir()
    (home / ".aws" / "config").write_text("[default]\ncli_style = v2\n")
    scripted(server, GONE)

    assert mooring("get-disk", "--disk-name", "D").status == 254


@pytest.mark.parametrize(
    "options",
    [
        ["--no-cli-pager"], ["--cli-auto-prompt"], ["--no-cli-auto-prompt"],
        ["--cli-binary-format", "raw-in-base64-out"], ["--cli-binary-format=base64"],
        ["--cli-error-format", "json"], ["--no-cli-pager", "--output", "json"],
    ],
)  # fmt: skip
def test_global_options_of_v2(
    v2: Run, mooring: Run, server: RecordingServer, monkeypatch: pytest.MonkeyPatch,
    options: list[str],
) -> None:  # fmt: skip
    scripted(server, {"disks": []})
    for line in ([*options, "get-disks"], ["get-disks", *options]):
        assert v2(*line).status == 0

    monkeypatch.delenv("MOORING_CLI_STYLE")
    unknown = ", ".join(option for option in options if option not in {"--output", "json"})
    assert f"Unknown options: {unknown}" in mooring("get-disks", *options).stderr


def test_global_options_of_v2_have_the_values_of_v2(v2: Run) -> None:
    result = v2("get-disks", "--cli-binary-format", "hex")

    assert result.status == 252
    assert "argument --cli-binary-format: Invalid choice" in result.stderr


def test_output_off(
    v2: Run, mooring: Run, server: RecordingServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    scripted(server, {"disks": [{"name": "a"}]})
    assert v2("get-disks", "--output", "off")[:2] == (0, "")
    monkeypatch.setenv("AWS_DEFAULT_OUTPUT", "off")
    assert v2("get-disks")[:2] == (0, "")

    monkeypatch.delenv("MOORING_CLI_STYLE")
    assert mooring("get-disks").stderr == "\nUnknown output type: off\n"
    refused = mooring("get-disks", "--output", "off")
    assert refused.status == 2
    assert "argument --output: Invalid choice, valid choices are:" in refused.stderr
    assert "off" not in refused.stderr.partition("valid choices are:")[2]


def test_output_yaml(mooring: Run, server: RecordingServer) -> None:
    scripted(server, {"disks": [{"sizeInGb": 8, "name": "a: b", "tags": [], "isAttached": True}]})
    result = mooring("get-disks", "--output", "yaml")

    assert result.stdout == (
        "disks:\n- isAttached: true\n  name: 'a: b'\n  sizeInGb: 8\n  tags: []\n"
    )


def test_output_yaml_stream(mooring: Run, server: RecordingServer) -> None:
    scripted(server, {"disks": [{"name": "a"}], "nextPageToken": "2"}, {"disks": [{"name": "b"}]})
    result = mooring("get-disks", "--output", "yaml-stream")

    assert result.stdout == "- disks:\n  - name: a\n- disks:\n  - name: b\n"


def test_cli_input_yaml(mooring: Run, server: RecordingServer, home: Path) -> None:
    (home / "in.yaml").write_text(
        "# a snapshot\ndiskName: my disk  # which\ndiskSnapshotName: 'it''s'\n"
        'tags:\n- key: "a"\n  value: 5 apples\n- {"key": "b"}\n'
    )
    mooring("create-disk-snapshot", "--cli-input-yaml", "file://in.yaml", "--disk-name", "other")

    assert json.loads(server.requests[-1].body) == {
        "diskName": "other",
        "diskSnapshotName": "it's",
        "tags": [{"key": "a", "value": "5 apples"}, {"key": "b"}],
    }


def test_the_yaml_skeleton_can_be_read_again(mooring: Run, server: RecordingServer) -> None:
    text = mooring("create-disk-snapshot", "--generate-cli-skeleton", "yaml-input").stdout
    mooring("create-disk-snapshot", "--cli-input-yaml", text.replace("Name: ''", "Name: x"))

    assert json.loads(server.requests[-1].body) == {
        "diskName": "x",
        "diskSnapshotName": "x",
        "instanceName": "x",
        "tags": [{"key": "", "value": ""}],
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- a", "Invalid type: expecting map, received <class 'list'>"),
        ("a: *x", "found undefined alias 'x'"),
        ("a: 1\n  b: 2", "line 2, column 4"),
        ("a: {b", "line 1"),
        ("a:\n\t- b", "cannot start any token"),
        ("", "Invalid type: expecting map, received <class 'NoneType'>"),
        ("a: 1\n---\nb: 2", "expected a single document in the stream"),
        ("sizeInGb: 8\nsizeInGb: 9", 'found duplicate key "sizeInGb"'),
        ("a: b: c", "mapping values are not allowed here"),
        ("a: - b", "sequence entries are not allowed here"),
        ("a: 'x'y", "line 1"),
        ("a:\tb", "Invalid YAML"),
        ("a: !!python/object/apply:os.system [id]", "could not determine a constructor"),
        ("[" * 3000, "Invalid YAML"),
        ("a: \x00", "Invalid YAML"),
    ],
)
def test_what_is_no_yaml_is_named(text: str, message: str, mooring: Run) -> None:
    result = mooring("create-disk-snapshot", "--cli-input-yaml", text)

    assert result.status == 255
    assert message in result.stderr


def test_json_and_yaml_together_are_refused(mooring: Run) -> None:
    result = mooring("get-disk", "--cli-input-json", "{}", "--cli-input-yaml", "{}")

    assert "Only one --cli-input- parameter may be specified." in result.stderr


FLOATS = st.floats(-1e9, 1e9)


def values(floats: st.SearchStrategy[float]) -> st.SearchStrategy[Any]:
    return st.recursive(
        st.none() | st.booleans() | st.integers() | st.text() | floats,
        lambda inner: (
            st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
        ),
        max_leaves=12,
    )


def written(value: Any) -> str:
    stream = io.StringIO()
    yaml.write(value, stream)
    return stream.getvalue()


@given(values(FLOATS))
def test_what_is_written_as_yaml_is_read_as_it_was(value: Any) -> None:
    assert yaml_input.parse(written(value)) == value


@given(values(FLOATS.filter(lambda number: "." in repr(number))))
def test_older_readers_read_the_same(value: Any) -> None:
    """PyYAML speaks YAML 1.1, which takes more words for numbers, times and booleans.

    It takes 5e-324, as aws writes it, for a text.
    """
    assert pyyaml.safe_load(written(value)) == value


@pytest.mark.parametrize(
    "word",
    [
        "no", "Yes", "on", "~", "null", "1:30", "010", "0o17", "0x1F", "1_000", "1e5", ".5", "+1",
        "2024-01-01", "2024-01-01T00:00:00Z", "=", "<<", "- a", "a: b", "a #b", "#", "", " ", "?",
        "@", "`", "%", "!x", "&x", "*x", "|", ">", "{", "[", "'", '"', "\\", "a\nb", "\t", "\x7f",
        "\u3000", "\xa0", "\u2028", "\ufeff", "\U0001f6a8", "\U00020bb7\u91ce\u3000", "word " * 60,
    ],
)  # fmt: skip
def test_awkward_words_survive(word: str) -> None:
    values: list[Any] = [word, {"key": word}, {word: 1}, [word], [[word]], {"a": [{"b": word}]}]
    for value in values:
        assert yaml_input.parse(written(value)) == value
        assert pyyaml.safe_load(written(value)) == value


def test_a_plain_value_alone_has_no_marker() -> None:
    values: list[Any] = ["word", 8, True, None, []]

    assert [written(value) for value in values] == [
        "word\n", "8\n", "true\n", "null\n", "[]\n",
    ]  # fmt: skip


def test_values_that_come_twice_are_written_twice() -> None:
    tags = [{"key": "a"}]

    assert written({"x": tags, "y": tags}) == "x:\n- key: a\ny:\n- key: a\n"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("sizeInGb: 0x1F", 31),
        ("sizeInGb: 0o17", 15),
        ("sizeInGb: 1_000", 1000),
        ("sizeInGb: >-\n  a\n  b", "a b"),
        ("sizeInGb: |\n  a\n  b\n", "a\nb\n"),
        ("sizeInGb: a\n  b", "a b"),
        ('sizeInGb: "caf\\xe9"', "caf\u00e9"),
        ("x: &x 5\nsizeInGb: *x", 5),
        ("sizeInGb: !!str 5", "5"),
        ("%YAML 1.2\n---\nsizeInGb: 5", 5),
        ("sizeInGb: [{key: a, value: b}]", [{"key": "a", "value": "b"}]),
        ("sizeInGb: [x, y]", ["x", "y"]),
        ("sizeInGb: 2024-01-01", "2024-01-01"),
        ("sizeInGb: yes", "yes"),
    ],
)
def test_yaml_means_what_it_means_to_aws_v2(text: str, value: Any) -> None:
    assert yaml_input.parse(text)["sizeInGb"] == value


def test_every_skeleton_is_the_same_in_yaml() -> None:
    model = service_model.load()
    for operation in model.operations.values():
        text = skeleton.yaml_input(model, operation)

        assert yaml_input.parse(text) == skeleton.sample_input(model, operation)


@pytest.mark.parametrize(
    "line",
    [
        ["get-disks", "--output", "yaml"],
        ["get-disks", "--output", "yaml-stream"],
        ["get-disk", "--cli-input-yaml", "diskName: D"],
    ],
)
def test_without_the_library_the_way_out_is_told(
    mooring: Run, server: RecordingServer, line: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    scripted(server, {"disks": [{"name": "a"}]})
    monkeypatch.setitem(sys.modules, "ruamel", None)
    monkeypatch.setitem(sys.modules, "ruamel.yaml", None)
    result = mooring(*line)

    assert (result.status, result.stdout) == (255, "")
    assert "pip install ruamel.yaml, or on Debian" in result.stderr
    assert server.requests == []


def test_the_skeleton_needs_no_library(bare: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ruamel.yaml", None)

    assert bare("create-disk", "--generate-cli-skeleton", "yaml-input").status == 0
