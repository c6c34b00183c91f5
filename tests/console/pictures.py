"""Takes the pictures of docs/console: light and dark, on a desktop and a phone.

    .venv/bin/python -m tests.console.pictures docs/console health snapshot

Without names of pages, of all. The server is a real one, with disks that are written and
snapshotted for a few minutes, and then shown.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from tests.console.browser import (
    BLOCK,
    Site,
    copy_to,
    keys_of,
    mooringd,
    start,
    write_at,
    write_image,
)
from tests.e2e.deployment import Deployment
from tests.e2e.processes import until

LENGTH_SECONDS = 150
DISKS = {
    "orders-db": "every 10 seconds keep 1 hour / daily keep 1 month",
    "orders-log": "every 1 minute keep 1 day",
    "mail": "every 1 minute keep 1 day / daily keep 1 year",
    "shop-media": "hourly keep 1 week",
    "wiki": "daily keep 1 month",
    "metrics": "daily keep 1 week",
    "build-cache": "",
    "scratch": "",
}
"""Rhythms by disk."""

PAGES = {
    "overview": "",
    "disks": "disks",
    "disk": "disk?name=orders-db",
    "use": "disk?name=mail&use=1",
    "snapshot": "snapshot?name=before-upgrade&space=1&map=1",
    "delete": "delete?name=before-upgrade",
    "files": "files?name=weekly&path=/",
    "restore": "restore?disk=orders-db&snapshot=before-upgrade&to=disk",
    "instance": "restore?disk=orders-db&snapshot=end-of-year/orders-db&to=instance",
    "activity": "activity",
    "audit": "audit",
    "space": "space?now=1&disks=1",
    "health": "health",
    "keys": "keys",
    "lineage": "lineage?name=orders-db",
    "sign-in": "",
}
SCROLLED = {"use": "h2:has-text('In use')"}
"""What is at the top of a picture, if that is not the page's own."""

ELSEWHERE = """([from, to]) => {
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    texts.currentNode.data = texts.currentNode.data.replaceAll(from, to);
  }
}"""
"""Has a page name the place where servers are, and not that of this one."""

SIZES = {"desktop": (1360, 850), "phone": (390, 844)}
SETTINGS = """\
[vault]
verify_hours = 0.02
verify_percent = 10.0
replicate_minutes = 0.5

[regions.us-east-2]
zones = ["us-east-2a", "us-east-2b"]
replica = "{replica}"

[regions.us-west-2]
zones = ["us-west-2a"]
"""


@contextmanager
def shown(folder: Path) -> Iterator[Site]:
    """A server where something goes on."""
    settings = folder / "mooring.toml"
    settings.write_text(SETTINGS.format(replica=folder / "copy"))
    deployment = Deployment(folder, settings)
    with sync_playwright() as playwright:
        browser = start(playwright)
        try:
            deployment.start()
            fill(deployment, folder)
            keys = keys_of(deployment)
            mooringd(deployment, "keys", "rotate", "operator")
            yield Site(deployment, browser, keys)
        finally:
            browser.close()
            deployment.close()


def fill(deployment: Deployment, folder: Path) -> None:
    """Disks with rhythms, written for a while, and snapshots by name."""
    uris = {}
    for name, rhythm in DISKS.items():
        deployment.disk(name)
        if rhythm:
            tags = [{"key": "mooring:snapshots", "value": rhythm}]
            deployment.call("TagResource", resourceName=name, tags=tags)
    for disk, instance in {"orders-db": "db-1", "orders-log": "db-1", "mail": "mail-1"}.items():
        deployment.instance(instance)
        uris[disk] = deployment.attach(disk, instance)
    copy_to(write_image(folder), uris["mail"])
    deployment.snapshot("weekly", "mail")
    chance = random.Random(5)
    ends = time.monotonic() + LENGTH_SECONDS
    number = 0
    while time.monotonic() < ends:
        number += 1
        for _ in range(chance.choice((1, 4, 10, 40))):
            place = chance.randrange(7 << 14) * (1 << 16)
            write_at(uris["orders-db"], place, chance.randbytes(BLOCK * 8))
        if number == 30:
            deployment.snapshot("before-upgrade", "orders-db")
        time.sleep(2)
    deployment.call(
        "CreateInstanceSnapshot", instanceName="db-1", instanceSnapshotName="end-of-year"
    )
    until(lambda: stored(deployment), "the instance's snapshot to be stored")
    deployment.act("fork", diskName="orders-db", newDiskName="orders-test")


def stored(deployment: Deployment) -> bool:
    found = deployment.call("GetInstanceSnapshot", instanceSnapshotName="end-of-year")
    return bool(found["instanceSnapshot"]["state"] == "available")


def take(site: Site, target: Path, names: list[str]) -> None:
    for size, (width, height) in SIZES.items():
        for scheme in ("light", "dark"):
            with site.visit(width=width, scheme=scheme) as page:
                page.set_viewport_size({"width": width, "height": height})
                for name in names:
                    show(site, page, name)
                    page.screenshot(path=target / f"{name}-{size}-{scheme}.png")


def show(site: Site, page: Page, name: str) -> None:
    if name == "sign-in":
        page.goto(f"{site.url}/console/sign-in")
        return
    page.goto(site.address(PAGES[name]))
    page.evaluate(ELSEWHERE, [str(site.deployment.data), "/var/lib/mooring"])
    if name in SCROLLED:
        page.locator(SCROLLED[name]).first.evaluate("one => one.scrollIntoView()")


def main() -> None:
    parser = argparse.ArgumentParser(description="Takes the pictures of the console.")
    parser.add_argument("target", type=Path)
    parser.add_argument("pages", nargs="*", help=f"of: {', '.join(PAGES)}")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="m-") as folder, shown(Path(folder)) as site:
        take(site, options.target, options.pages or list(PAGES))


if __name__ == "__main__":
    main()
