"""Holds the service model to botocore's, and to its promises."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from mooring.model import errors
from mooring.protocol import service_model
from tests.protocol.botocore_peer import OPERATIONS, OURS, THEIRS
from tools import trim_service_model

SOURCE = Path(__file__).resolve().parents[2] / "src"


def test_the_model_is_what_the_tool_makes_of_the_installed_botocore(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "argv", ["trim_service_model.py", "--check"])

    assert trim_service_model.main() == 0


def test_the_check_sees_a_model_that_is_out_of_date(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    model = json.loads(trim_service_model.TARGET.read_text())
    model["shapes"]["CreateDiskRequest"]["required"].remove("diskName")
    changed = tmp_path / "service_model.json"
    changed.write_text(json.dumps(model, indent=1) + "\n")
    monkeypatch.setattr(trim_service_model, "TARGET", changed)
    monkeypatch.setattr(sys, "argv", ["trim_service_model.py", "--check"])

    assert trim_service_model.main() == 1


def test_every_operation_of_lightsail_is_served_or_named_as_unserved() -> None:
    assert sorted([*OPERATIONS, *OURS.unserved]) == sorted(THEIRS.operation_names)


def test_the_model_holds_no_prose() -> None:
    text = trim_service_model.TARGET.read_text()

    assert "documentation" not in text
    assert max(len(line) for line in text.splitlines()) < 120


def test_the_errors_of_the_model_are_ours_too() -> None:
    named = {name for operation in OURS.operations.values() for name in operation.errors}
    setup = {"AccountSetupInProgressException", "RegionSetupInProgressException"}

    assert {name for name in named if not hasattr(errors, name)} <= setup


def test_shapes_are_found_by_name() -> None:
    shape = service_model.load().shape("CreateDiskSnapshotRequest")

    assert shape.required == ["diskSnapshotName"]
    assert list(shape.members) == ["diskName", "diskSnapshotName", "instanceName", "tags"]
    with pytest.raises(KeyError):
        OURS.shape("NoSuchShape")


def test_what_the_command_line_imports_is_light() -> None:
    script = (
        "import sys; import mooring.protocol.sigv4, mooring.protocol.client_validation;"
        "import mooring.protocol.service_model; print(*sys.modules)"
    )
    run = subprocess.run(
        [sys.executable, "-S", "-c", script],
        env={"PYTHONPATH": str(SOURCE)},
        capture_output=True,
        text=True,
        check=True,
    )
    loaded = set(run.stdout.split())

    assert "mooring.protocol.sigv4" in loaded
    assert not loaded & {"typing", "dataclasses", "logging", "inspect", "urllib.parse", "datetime"}
