"""The kinds of database that a catalog can be."""

from __future__ import annotations

import pytest

SHARED = ["file", pytest.param("postgresql", marks=pytest.mark.full)]
"""Those that several processes can use."""

KINDS = ["memory", *SHARED]

on_shared_ones = pytest.mark.parametrize("kind", SHARED, indirect=True)
"""A test on these only."""
