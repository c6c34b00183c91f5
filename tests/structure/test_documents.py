"""What documents name is there: files, links, headings."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]
DOCUMENTS = [*sorted(CHECKOUT.glob("*.md")), *sorted((CHECKOUT / "docs").rglob("*.md"))]
FOLDERS = ("src", "tests", "bench", "tools", "docs", "scripts")


def name(path: Path) -> str:
    return str(path.relative_to(CHECKOUT))


FILES = [name(path) for folder in FOLDERS for path in (CHECKOUT / folder).rglob("*")]


def anchors(document: Path) -> set[str]:
    """What links to headings say behind the hash sign."""
    headings = re.findall(r"^#+ (.+)$", document.read_text(encoding="utf-8"), re.MULTILINE)
    kept = [re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings]
    return {heading.replace(" ", "-") for heading in kept}


@pytest.mark.parametrize("document", DOCUMENTS, ids=name)
def test_files_named_are_there(document: Path) -> None:
    named = re.findall(r"`(?:\.\./)?([\w/.-]+\.py)`", document.read_text(encoding="utf-8"))
    named += re.findall(r"`(tests/[\w/]+?)/?`", document.read_text(encoding="utf-8"))

    assert [one for one in named if not any(f"/{file}".endswith(f"/{one}") for file in FILES)] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=name)
def test_links_lead_somewhere(document: Path) -> None:
    links = re.findall(r"\]\(([^)\s]+)\)", document.read_text(encoding="utf-8"))
    for link in links:
        if re.match(r"\w+://", link):
            continue
        file, _, anchor = link.partition("#")
        target = document.parent / file if file else document
        assert target.exists(), link
        if anchor:
            assert anchor in anchors(target), link


def test_there_are_names_and_links_to_check() -> None:
    text = "".join(document.read_text(encoding="utf-8") for document in DOCUMENTS)

    assert text.count(".py`") > 20
    assert text.count("](") > 20
