"""Holds lock files, changelog, scripts and documents together."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import tomllib
from pathlib import Path

import pytest

from mooring.version import VERSION

CHECKOUT = Path(__file__).resolve().parents[2]
LOCKS = ["requirements.lock", "requirements-clients.lock", "requirements-server.lock"]
SCRIPTS = [*sorted(file.name for file in (CHECKOUT / "scripts").iterdir())]
SETTINGS = CHECKOUT / "src" / "mooring" / "config" / "settings.py"


def read(name: str) -> str:
    return (CHECKOUT / name).read_text(encoding="utf-8")


def normalized(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def locked(lock: str) -> set[str]:
    return {
        normalized(name) for name in re.findall(r"^([A-Za-z0-9._-]+)==", read(lock), re.MULTILINE)
    }


def named(requirements: list[str]) -> set[str]:
    names = (re.match(r"[A-Za-z0-9._-]+", requirement) for requirement in requirements)
    return {normalized(match.group()) for match in names if match}


@pytest.mark.parametrize("lock", LOCKS)
def test_lock_names_no_address_and_no_path(lock: str) -> None:
    text = read(lock)

    assert not re.findall(r"\w+://\S*|^\s*-(?!-hash=)\S.*|\s/\S+", text, re.MULTILINE)


@pytest.mark.parametrize("lock", LOCKS)
def test_every_locked_package_has_hashes(lock: str) -> None:
    for entry in re.split(r"\n(?=\S)", read(lock).strip()):
        first, *hashes = entry.splitlines()

        assert re.match(r"[A-Za-z0-9._-]+==\S+", first), first
        assert hashes, first
        assert all(re.fullmatch(r"    --hash=sha256:[0-9a-f]{64}( \\)?", line) for line in hashes)


def test_locks_hold_everything_the_project_asks_for() -> None:
    project = tomllib.loads(read("pyproject.toml"))
    groups = project["dependency-groups"]
    extras = project["project"]["optional-dependencies"].values()

    assert named([one for extra in extras for one in extra]) <= locked(LOCKS[0])
    assert named(groups["dev"]) <= locked(LOCKS[0])
    assert named(groups["clients"]) <= locked(LOCKS[1])
    assert named(project["project"]["optional-dependencies"]["server"]) <= locked(LOCKS[2])


def test_versions_agree() -> None:
    project = tomllib.loads(read("pyproject.toml"))
    headings = re.findall(r"^## \[?([^\]\s]+)", read("CHANGELOG.md"), re.MULTILINE)

    assert project["project"]["version"] == VERSION
    # The version under work is either still unreleased or the newest released one.
    assert headings[0] == "Unreleased"
    assert len(headings) == 1 or headings[1] == VERSION


@pytest.mark.parametrize("script", SCRIPTS)
def test_script_can_be_run_and_parsed(script: str) -> None:
    path = CHECKOUT / "scripts" / script

    assert os.access(path, os.X_OK), f"chmod +x scripts/{script}"
    subprocess.run(["sh", "-n", str(path)], check=True)


def settings() -> list[str]:
    """The names of the fields of the classes in settings.py."""
    return [
        field.target.id
        for node in ast.parse(SETTINGS.read_text(encoding="utf-8")).body
        if isinstance(node, ast.ClassDef)
        for field in node.body
        if isinstance(field, ast.AnnAssign)
        and isinstance(field.target, ast.Name)
        and not field.target.id.startswith("_")
    ]


def test_settings_are_documented() -> None:
    words = set(re.findall(r"[a-z0-9_]+", read("docs/configuration.md").lower()))

    assert settings()
    assert [setting for setting in settings() if setting not in words] == []
