"""cli_style = v2, yaml, and what else comes from aws v2."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mooring.cli.input import yaml_input
from mooring.cli.output import yaml
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
        ("a: *x", "line 1: this part of YAML is not understood: a: *x"),
        ("a: 1\n  b: 2", "line 2: not expected here: b: 2"),
        ("a: {b", "line 1: not JSON: a: {b"),
        ("a:\n\t- b", "line 2: tabs do not indent in YAML"),
    ],
)
def test_what_is_no_yaml_is_named(text: str, message: str, mooring: Run) -> None:
    result = mooring("create-disk-snapshot", "--cli-input-yaml", text)

    assert result.status == 255
    assert message in result.stderr


def test_json_and_yaml_together_are_refused(mooring: Run) -> None:
    result = mooring("get-disk", "--cli-input-json", "{}", "--cli-input-yaml", "{}")

    assert "Only one --cli-input- parameter may be specified." in result.stderr


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.floats(-1e9, 1e9),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(VALUES)
def test_what_is_written_as_yaml_is_read_as_it_was(value: Any) -> None:
    text = "\n".join(yaml.block(value))

    assert yaml_input.parse(text) == value
