"""Keys and audit log of servers that share a catalog on PostgreSQL."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import unescape
from pathlib import Path

import pytest

from mooring.catalog.database import Catalog
from mooring.catalog.sharing import audit_lines
from mooring.catalog.sharing.audit_lines import Note
from mooring.service.credentials.keys import Key, read_keys
from mooring.service.credentials.shared_keys import SharedKeys
from tests.catalog.postgresql import PostgreSQL
from tests.console.site import Site, Visitor

HOME = "/console/us-east-2/"
KEYS = f"{HOME}keys"

LINE = {
    "time": "2026-11-28T01:00:00.000Z",
    "user": "olga",
    "operation": "CreateDisk",
    "result": "Succeeded",
    "source": "192.0.2.9",
}

pytestmark = pytest.mark.full


@pytest.fixture
def site(tmp_path: Path, postgresql: PostgreSQL) -> Iterator[Site]:
    site = Site(tmp_path, catalog=Catalog(postgresql.url()))
    shared(site).begin()
    yield site
    site.close()


@pytest.fixture
def admin(site: Site) -> Visitor:
    visitor = site.visitor("admin")
    visitor.get(KEYS)
    return visitor


def shared(site: Site, folder: Path | None = None) -> SharedKeys:
    """The keys as a server of the catalog sees them, by default this one."""
    file = site.world.backend.credentials
    assert file is not None
    copy = file if folder is None else folder / "credentials"
    return SharedKeys(site.world.catalog, copy, site.cluster_key)


def by_user(site: Site) -> dict[str, Key]:
    return {key.access.user: key for key in shared(site).read().values()}


def test_keys_are_made_rotated_and_removed_for_all_servers(
    site: Site, admin: Visitor, tmp_path: Path
) -> None:
    reply = admin.post(f"{KEYS}/create", user="backup", role="operator", tags="team=db")
    made = by_user(site)["backup"]
    assert f"aws_secret_access_key = {made.secret}" in reply.text
    page = admin.get(KEYS).text
    assert made.id in page
    assert "not yet" in page
    assert "since the start" not in page
    assert made.secret not in page
    other = tmp_path / "other"
    other.mkdir()
    shared(site, other).copy()
    assert made.id in read_keys(other / "credentials")

    reply = admin.post(f"{KEYS}/rotate", user="backup")
    assert reply.status == 200
    assert made.secret not in reply.text
    assert len([one for one in shared(site).read().values() if one.access.user == "backup"]) == 2

    assert admin.post(f"{KEYS}/remove", user="backup", key=made.id).status == 303
    assert made.id not in shared(site).read()


def test_the_last_administrator_stays(site: Site, admin: Visitor) -> None:
    (key,) = shared(site).read()
    reply = admin.post(f"{KEYS}/remove", user="default", key=key)

    assert reply.status == 400
    assert "no administrator" in reply.text
    assert set(shared(site).read()) == {key}


def test_without_the_clusters_key_nothing_is_read_or_changed(site: Site, admin: Visitor) -> None:
    before = shared(site).read()
    away = site.cluster_key.rename(site.cluster_key.with_name("away"))
    assert "cluster-key is missing" in admin.see(KEYS, 400)
    assert admin.post(f"{KEYS}/create", user="backup", role="operator").status == 400
    away.rename(site.cluster_key)
    assert shared(site).read() == before


def test_the_audit_log_is_that_of_all_servers(
    site: Site, admin: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    admin.post(f"{KEYS}/create", user="backup", role="operator")
    for number in range(130):
        line = {**LINE, "resources": [f"far-{number:03}"]}
        with site.world.catalog.write() as transaction:
            transaction.audit_lines.add(Note(f"request-{number}", number, "other", line))
    site.audit.unlink()  # the file of this server alone

    assert pages(admin, f"{HOME}audit") == [f"far-{one:03}" for one in reversed(range(130))]
    assert pages(admin, f"{HOME}audit?text=FAR-04") == [
        f"far-{one:03}" for one in reversed(range(40, 50))
    ]
    assert "at other" in admin.see(f"{HOME}audit?text=far-042")
    mine = admin.see(f"{HOME}audit?text=create-key")
    assert "admin create-key backup done 192.0.2.7 at one" in mine
    # Of a long log only some is read for one page, and the next goes on from there.
    monkeypatch.setattr(audit_lines, "READ_LINES", 20)
    monkeypatch.setattr(audit_lines, "PAGE", 10)
    assert "so far" in admin.see(f"{HOME}audit?text=far-005")
    assert pages(admin, f"{HOME}audit?text=far-005") == ["far-005"]


def pages(visitor: Visitor, target: str) -> list[str]:
    """The disks in the log, from the first page to the last."""
    found: list[str] = []
    following: str | None = target
    while following is not None:
        text = visitor.get(following).text
        found += re.findall(r">(far-\d+)<", text)
        onward = re.search(r'rel="next" href="([^"]+)"', text)
        following = None if onward is None else unescape(onward[1])
    return found
