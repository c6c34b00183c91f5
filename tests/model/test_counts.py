"""Numbers of things in sentences."""

from __future__ import annotations

import pytest

from mooring.model.counts import counted


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0 disks"),
        (1, "1 disk"),
        (2, "2 disks"),
        (1_000_000, "1000000 disks"),
        (1.0, "1 disk"),
        (0.5, "0.5 disks"),
    ],
)
def test_one_is_no_plural(number: float, text: str) -> None:
    assert counted(number, "disk") == text
