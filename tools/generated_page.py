"""Writes a page that is made from the code, or compares it."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path


def write_or_check(target: Path, text: str, tool: str, about: str | None) -> int:
    """Write the page, or with --check on the command line compare it; returns the exit code."""
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("--check", action="store_true")
    if not parser.parse_args().check:
        target.write_text(text, encoding="utf-8")
        return 0
    if target.read_text(encoding="utf-8") == text:
        return 0
    print(f"{target} is out of date: run python -m tools.{tool}", file=sys.stderr)
    return 1
