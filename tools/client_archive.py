"""Make mooring.pyz, the client in one file, or list what belongs to the client.

Run `python -m tools.client_archive FILE`; with `--folder DIR` the client's modules are copied into
DIR as the package `mooring` instead. Needs the standard library alone.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import zipapp
from pathlib import Path

SOURCE = Path(__file__).parent.parent / "src/mooring"

PARTS = (
    "__init__.py",
    "cli",
    "files.py",
    "images",
    "model",
    "nbd",
    "protocol",
    "shells.py",
    "streams.py",
    "version.py",
)
"""What `mooring` imports, and nothing of `mooringd`; a test compares."""

INTERPRETER = "/usr/bin/env python3"


def copy_client(folder: Path) -> None:
    """Make the package `mooring` in the folder, of the client's modules only."""
    package = folder / "mooring"
    package.mkdir(parents=True)
    for part in PARTS:
        if (SOURCE / part).is_dir():
            shutil.copytree(
                SOURCE / part, package / part, ignore=shutil.ignore_patterns("__pycache__")
            )
        else:
            shutil.copyfile(SOURCE / part, package / part)


def make_archive(target: Path) -> None:
    """Write the program as one file, which any Python from 3.11 on runs."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "client"
        copy_client(folder)
        # Not `main=`: zipapp's own start drops the exit code.
        (folder / "__main__.py").write_text(
            "import sys\n\nfrom mooring.cli.main import main\n\nsys.exit(main())\n"
        )
        zipapp.create_archive(folder, target, INTERPRETER, compressed=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("target", type=Path)
    parser.add_argument("--folder", action="store_true", help="a folder, not an archive")
    options = parser.parse_args()
    if options.folder:
        copy_client(options.target)
    else:
        make_archive(options.target)
    return 0


if __name__ == "__main__":
    sys.exit(main())
