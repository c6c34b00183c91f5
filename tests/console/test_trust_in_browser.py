"""Hostile content, and sessions that end, in a real browser."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote, urlsplit

import pytest
from playwright.sync_api import Page, expect, sync_playwright

from mooring.console.sessions import IDLE_MS, LONGEST_MS, Session, Sessions
from mooring.model.clock import SystemClock
from mooring.model.ids import RandomIds
from mooring.service.credentials.keys import Key
from tests.console.browser import (
    CHROMIUM,
    MARKUP,
    PATIENCE_MS,
    Site,
    copy_to,
    keys_of,
    start,
    write_partitions,
)
from tests.e2e.deployment import Deployment

pytestmark = [
    pytest.mark.full,
    pytest.mark.requires(CHROMIUM, "mke2fs", "qemu-io", "sfdisk"),
]

SCRIPT = "<script>window.hit = 1</script><img src=x onerror='window.hit = 1'>\"'"


@pytest.fixture(scope="module")
def site(module_run_dir: Path) -> Iterator[Site]:
    """A disk `data` with partitions whose names are markup, and its snapshot `split`."""
    deployment = Deployment(module_run_dir)
    with sync_playwright() as playwright:
        browser = start(playwright)
        try:
            deployment.start()
            copy_to(write_partitions(module_run_dir), deployment.used_disk())
            deployment.snapshot("split")
            assert deployment.ended("split") == ["completed"]
            yield Site(deployment, browser, keys_of(deployment))
        finally:
            browser.close()
            deployment.close()


@pytest.fixture(autouse=True)
def nothing_went_wrong(site: Site) -> Iterator[None]:
    """No error in any page, and no request to anywhere else."""
    site.seen.problems.clear()
    yield
    assert site.seen.problems == []
    assert site.seen.origins <= {site.url}


def was_hit(page: Page) -> bool:
    """Whether markup became more than text."""
    return bool(
        page.evaluate("'hit' in window || !!document.querySelector('main img, main script')")
    )


# --- markup


def test_markup_in_the_audit_log_stays_text(site: Site) -> None:
    """By a request with hostile names, and by lines as another program may write them."""
    with site.visit() as page:
        page.goto(site.address("disk?name=data"))
        token = page.locator("input[name=token]").first.input_value()
        form: dict[str, str | float | bool] = {"token": token, "name": SCRIPT, "snapshot": SCRIPT}
        refused = page.request.post(
            site.address("disk/snapshot"), form=form, headers={"Origin": site.url}
        )
        assert refused.status in (400, 404)
        line = dict.fromkeys(
            ("time", "user", "key", "operation", "result", "source", "requestId"), SCRIPT
        )
        with (site.deployment.data / "audit.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps({**line, "resources": [SCRIPT, SCRIPT]}) + "\n")

        page.goto(site.address("audit"))
        first = page.locator("tbody tr").first
        expect(first.locator("th")).to_have_text(SCRIPT)
        expect(first.locator("td[data-name=Of]")).to_have_text(f"{SCRIPT}, {SCRIPT}")
        expect(page.locator("tbody tr").nth(1)).to_contain_text(SCRIPT)
        assert not was_hit(page)
        page.goto(site.address(f"audit?text={quote(SCRIPT, safe='')}"))
        assert page.input_value("#text") == SCRIPT
        assert not was_hit(page)


def test_names_of_partitions_stay_names(site: Site) -> None:
    with site.visit("operator") as page:
        page.goto(site.address("files?name=split"))
        expect(page.locator("[role=alert]")).to_contain_text("several file systems")
        assert not was_hit(page)
        page.fill("#partition", "2")
        page.click("text=Browse files")
        expect(page.locator("table")).to_contain_text("lost+found")
        assert MARKUP.decode() not in page.content()
        assert "bold" not in page.content()
        for partition in (SCRIPT, "-1", "9" * 40, "2&path=<b>"):
            page.goto(site.address(f"files?name=split&partition={quote(partition, safe='')}"))
            expect(page.locator("[role=alert]")).to_be_visible()
            assert not was_hit(page)


# --- sessions


def signed_in(site: Site, page: Page, session: Session) -> None:
    """Give the browser the cookie of a session as the server seals it."""
    key_id, secret = site.keys["operator"]
    key = Key(key_id, secret)
    sessions = Sessions({key_id: key}.get, SystemClock(), RandomIds())
    page.context.add_cookies(
        [
            {
                "name": "mooring-console",
                "value": sessions.seal(session, key),
                "domain": str(urlsplit(site.url).hostname),
                "path": "/console",
            }
        ]
    )


def ending(site: Site, *, began_ms: int, left_ms: int) -> Session:
    now = int(time.time() * 1000)
    return Session("a session", site.keys["operator"][0], now - began_ms, now + left_ms)


def test_an_open_page_goes_to_the_sign_in_when_its_session_ends(site: Site) -> None:
    with site.visit(None) as page:
        # Nothing that is used makes it longer: it is at the end of its twelve hours.
        signed_in(site, page, ending(site, began_ms=LONGEST_MS - 5000, left_ms=5000))
        page.goto(site.address("disks?text=da"))
        expect(page.locator("h1")).to_contain_text("Disks")
        expect(page.locator("h1")).to_have_text("Sign in", timeout=PATIENCE_MS)

        assert "next=" in page.url
        key, secret = site.keys["operator"]
        page.fill("#key", key)
        page.fill("#secret", secret)
        page.click("button")
        page.wait_for_url(site.address("disks?text=da"))


def test_a_form_of_a_session_that_ended_changes_nothing(site: Site) -> None:
    with site.visit(None, scripts=False) as page:
        signed_in(site, page, ending(site, began_ms=LONGEST_MS - 3000, left_ms=3000))
        page.goto(site.address("disk?name=data"))
        page.fill("#snapshot", "too-late")
        page.wait_for_timeout(3200)
        page.click("text=Take it")
        expect(page.locator("h1")).to_have_text("Sign in")
    assert "too-late" not in site.deployment.states()


def test_a_session_in_use_gets_a_cookie_that_lasts_longer(site: Site) -> None:
    with site.visit(None) as page:
        signed_in(site, page, ending(site, began_ms=IDLE_MS, left_ms=3000))
        page.goto(site.address("disks"))
        page.wait_for_timeout(3200)
        page.reload()
        expect(page.locator("h1")).to_contain_text("Disks")
