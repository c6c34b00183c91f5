"""Which format a new image file gets."""

from __future__ import annotations

from pathlib import Path

import pytest

from mooring.images.image_file import format_of
from mooring.model.errors import ConfigurationError


@pytest.mark.parametrize(
    ("name", "image_format"),
    [
        ("a.qcow2", "qcow2"),
        ("a.QCOW2", "qcow2"),
        ("a.b.vmdk", "vmdk"),
        ("a.raw", "raw"),
        ("a.img", "raw"),
        ("a.2026", "raw"),
        ("qcow2", "raw"),
        (".qcow2", "raw"),
    ],
)
def test_the_format_is_that_of_the_name(name: str, image_format: str) -> None:
    assert format_of(Path("some.vdi", name)) == image_format


@pytest.mark.parametrize("ending", ["vdi", "VHDX", "vhd"])
def test_no_image_is_called_what_it_is_not(ending: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"a\.{ending} would not be a {ending.lower()}"):
        format_of(Path(f"a.{ending}"))
