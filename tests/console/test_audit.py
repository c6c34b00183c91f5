"""The page of the audit log, whatever wrote the lines."""

from __future__ import annotations

import json

import pytest

from tests.console.site import Site


@pytest.mark.parametrize(
    "line",
    [
        {},
        {"operation": "create-disk"},
        {"time": None, "user": None, "resources": None, "result": None, "source": None},
    ],
)
def test_a_line_of_another_version_is_shown(site: Site, line: dict[str, object]) -> None:
    visitor = site.visitor("admin")
    with site.audit.open("a") as file:
        file.write(json.dumps(line) + "\n")

    reply = visitor.get("/console/us-east-2/audit")

    assert reply.status == 200
    assert "nobody" in reply.text
    assert "not known" in reply.text
