"""Every operation of Lightsail is served, or it is written down why not."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from mooring.service.differences import NOT_SERVED, why_not_served
from tools import list_operations


def test_the_page_is_what_the_tool_makes_of_the_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["list_operations.py", "--check"])

    assert list_operations.main() == 0, capsys.readouterr().err


def test_the_check_sees_what_is_out_of_date(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "operations.md"
    page.write_text(list_operations.page().replace("| GetDisk |", "| GetDsk |"))
    monkeypatch.setattr(list_operations, "TARGET", page)
    monkeypatch.setattr(sys, "argv", ["list_operations.py", "--check"])
    assert list_operations.main() == 1
    assert "run python -m tools.list_operations" in capsys.readouterr().err

    monkeypatch.setitem(NOT_SERVED, "For a test", "GetDisk PutAlarm")
    assert list_operations.problems() == [
        "GetDisk is served, or no operation",
        "PutAlarm is listed twice",
    ]


def test_a_reason_is_found() -> None:
    assert why_not_served("CreateDomain") == "Mooring keeps no domains"
    assert why_not_served("GetDisk") is None
