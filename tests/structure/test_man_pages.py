"""The manual pages: made from the help, and understood by groff without a warning."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from mooring.admin.completion import subcommands
from mooring.admin.main import _parser
from tools import man_pages


def test_every_command_has_its_page() -> None:
    names = [name for name, _ in man_pages.user_pages()]

    assert {"mooring", "mooring-create-disk-snapshot", "mooring-uri"} <= set(names)
    assert len(names) == len(set(names))
    page = man_pages.operator_page()
    assert subcommands(_parser())
    assert all(f".SS {name}".replace("-", "\\-") in page for name in subcommands(_parser()))
    assert "\nserve\\-snapshots" not in page


def test_text_is_never_a_request() -> None:
    lines = ["NAME", "mooring x - does", "", "DESCRIPTION", ".so is a request,", "--so is no term"]
    text = "\n".join(line if line.isupper() else f"       {line}" for line in lines)

    page = man_pages.from_help("mooring-x", text)

    assert "\\&.so is a request," in page
    assert "\n\\-\\-so is no term" in page


@pytest.mark.full
@pytest.mark.requires("groff")
def test_groff_has_nothing_to_warn_of(tmp_path: Path) -> None:
    for name, text in [*man_pages.user_pages()]:
        (tmp_path / f"{name}.1").write_text(man_pages.from_help(name, text))
    (tmp_path / "mooringd.8").write_text(man_pages.operator_page())
    files = sorted(tmp_path.iterdir())
    command = ["groff", "-man", "-Tutf8", "-ww", "-z", *map(str, files)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)

    assert len(files) > 80
    assert done.stderr == ""
