"""What the page of health says of vaults, and of what ends."""

from __future__ import annotations

import re

import pytest

from mooring.catalog.watching.vault_runs import VaultRun
from mooring.jobs.keep_vault import enqueue
from mooring.jobs.watching import sources
from mooring.model.resources.job_arguments import VerifyVault
from mooring.model.resources.job_kind import JobKind
from mooring.model.trouble import TroubleKind
from mooring.vault.vault import Replica
from tests.console.site import Site, Visitor
from tests.service.world import REGION

HEALTH = "/console/us-east-2/health"
DAY_MS = 86_400_000


@pytest.fixture
def admin(site: Site) -> Visitor:
    return site.visitor("admin")


def stored(site: Site, name: str) -> None:
    site.world.write(site.world.disk_id("data"), 0, name.encode().ljust(4096, b"-"))
    site.world.snapshot(name)
    site.world.settle()
    site.world.clock.advance(60)


def verify(site: Site, percent: float) -> None:
    with site.world.catalog.write() as transaction:
        enqueue(transaction, site.world.backend, VerifyVault(percent=percent), REGION)
    site.world.settle()
    site.world.clock.advance(1000)


def test_it_says_when_how_much_of_a_vault_was_verified(site: Site, admin: Visitor) -> None:
    assert "us-east-2 reachable never yet" in admin.see(HEALTH)
    site.world.disk()
    stored(site, "early")
    verify(site, 12.5)

    page = admin.see(HEALTH)
    assert "us-east-2 reachable 16 min ago all maps, 12.5 % of the data no damage" in page
    assert "us-west-2 reachable never yet" in page


def test_a_snapshot_says_when_it_was_verified(site: Site, admin: Visitor) -> None:
    site.world.disk()
    stored(site, "early")
    verify(site, 100)
    stored(site, "late")
    snapshot = "/console/us-east-2/snapshot?name="

    assert "Verified 17 min ago all maps, all data of the vault; no damage" in admin.see(
        f"{snapshot}early"
    )
    assert "Verified not yet" in admin.see(f"{snapshot}late")
    site.world.damage()
    verify(site, 100)
    assert "of the vault are damaged" in admin.see(f"{snapshot}late")
    assert "2 damaged snapshots" in admin.see(HEALTH)


def test_what_an_older_program_entered_says_only_when(site: Site, admin: Visitor) -> None:
    site.world.disk()
    stored(site, "early")
    with site.world.catalog.write() as transaction:
        now = site.world.clock.now_ms()
        transaction.vault_runs.put(VaultRun(REGION, JobKind.VERIFY_VAULT, now, 0))

    assert "just now all maps no damage" in admin.see(HEALTH)
    assert "Verified not yet" in admin.see("/console/us-east-2/snapshot?name=early")


def test_it_says_how_far_behind_a_copy_is(site: Site, admin: Visitor) -> None:
    assert "no copy is kept" in admin.see(HEALTH)
    backend = site.world.backend
    object.__setattr__(
        backend, "replicas", {REGION: Replica(place="/nowhere", options={}, delete=False)}
    )
    assert "not yet" in admin.see(HEALTH)
    with site.world.catalog.write() as transaction:
        now = site.world.clock.now_ms()
        transaction.vault_runs.put(VaultRun(REGION, JobKind.REPLICATE_VAULT, now, 2))
    site.world.clock.advance(1800)
    found = list(sources.vault_runs(backend, 60))
    with site.world.catalog.write() as transaction:
        for one in found:
            transaction.troubles.begin(one, site.world.clock.now_ms())

    page = admin.see(HEALTH)
    assert "30 min ago 2 snapshots could not be copied" in page
    assert "1 finding" in page
    assert "The copy of the vault of us-east-2 lacks 2 snapshots" in page


def test_it_says_how_much_was_looked_at(site: Site, admin: Visitor) -> None:
    tags = [{"key": "mooring:snapshots", "value": "daily keep 1 week"}]
    site.world.disk("one", tags=tags)
    site.world.disk("two")

    page = admin.see(HEALTH)
    assert "Disks 2 here, 0 not well Rhythms 1 wanted, 0 late, in all regions" in page
    assert re.search(r"Threads \d+ of the server, 0 failing", page)
    page = admin.see("/console/us-east-2/")
    assert "1 of 2 disks is protected" in page
    assert "1 of the protected disks waits for its first automatic snapshot." in page
    site.world.disk("three", tags=tags)
    page = admin.see("/console/us-east-2/")
    assert "2 of the protected disks wait for their first automatic snapshot." in page


def test_it_says_what_ends_and_whether_soon(site: Site, admin: Visitor) -> None:
    assert "has an end" in admin.see(HEALTH)
    now = site.world.clock.now_ms()
    ends = {
        TroubleKind.CERTIFICATE_ENDS: {"listen.certificate": now + 90 * DAY_MS + 1},
        TroubleKind.KEY_ENDS: {"backup": now + 5 * DAY_MS + 1, "old": now - DAY_MS},
    }
    object.__setattr__(site.world.backend, "ends", lambda: ends)

    page = admin.see(HEALTH)
    assert "Key old ended 1 day ago" in page
    assert "Key backup ends in 5 days" in page
    assert "Certificate listen.certificate ends in 3 months" in page
    # What is marked is what people are told of.
    assert {one.resource for one in sources.ends(site.world.backend)} == {"old", "backup"}
    assert 'class="state late"' in admin.get(HEALTH).text
