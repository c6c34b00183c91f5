"""The bill of materials: what the lock file pins, and nothing else."""

from __future__ import annotations

import hashlib
import re
import zipfile
from pathlib import Path

import pytest

from tools import bill_of_materials

CHECKOUT = Path(__file__).resolve().parents[2]
LOCK = (CHECKOUT / "requirements-server.lock").read_text(encoding="utf-8")


def test_the_lock_of_the_server_has_the_versions_of_the_other() -> None:
    pins = re.compile(r"^(\S+==\S+)", re.MULTILINE)
    everything = (CHECKOUT / "requirements.lock").read_text(encoding="utf-8")

    assert set(pins.findall(LOCK)) < set(pins.findall(everything))
    # The AGPL has conditions that packages of the server do not meet.
    assert "dissect" not in LOCK


def test_it_names_all_that_is_pinned() -> None:
    made = bill_of_materials.bill(LOCK, None)
    named = [f"{one['name']}=={one['version']}" for one in made["components"]]

    assert named == re.findall(r"^(\S+==\S+)", LOCK, re.MULTILINE)
    assert made == bill_of_materials.bill(LOCK, None)
    assert len({one["bom-ref"] for one in made["components"]}) == len(named)


def wheel(folder: Path, license_line: str) -> str:
    """Make one; returns the lock's entry for it."""
    file = folder / "some_thing-1.0-py3-none-any.whl"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("some_thing-1.0.dist-info/METADATA", f"Name: some-thing\n{license_line}\n")
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    return f"some-thing==1.0 \\\n    --hash=sha256:{digest}\n"


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("License-Expression: MIT OR Apache-2.0", {"expression": "MIT OR Apache-2.0"}),
        ("Classifier: License :: OSI Approved :: MIT", {"license": {"name": "MIT"}}),
        ("License: BSD", {"license": {"name": "BSD"}}),
        ("Summary: none", {"license": {"name": "not stated"}}),
    ],
)
def test_wheels_used_have_digest_and_license(
    tmp_path: Path, line: str, told: dict[str, object]
) -> None:
    lock = wheel(tmp_path, line) + LOCK

    (one,) = bill_of_materials.bill(lock, tmp_path)["components"]

    assert one["purl"] == "pkg:pypi/some-thing@1.0"
    assert one["hashes"][0]["content"] in lock
    assert one["licenses"] == [told]


def test_a_wheel_that_is_not_pinned_is_refused(tmp_path: Path) -> None:
    entry = wheel(tmp_path, "License: MIT")

    with pytest.raises(ValueError, match="does not name"):
        bill_of_materials.bill(LOCK, tmp_path)
    with pytest.raises(ValueError, match="not what the lock file pins"):
        bill_of_materials.bill(re.sub(r"[0-9a-f]{64}", "0" * 64, entry), tmp_path)
