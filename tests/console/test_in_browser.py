"""Each page and each action in a real browser, against disks of QEMU's engine."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect, sync_playwright

from tests.console.browser import (
    CHROMIUM,
    MARKUP,
    SECRET_FILE,
    Site,
    content,
    copy_to,
    keys_of,
    mooringd,
    read_keys,
    start,
    write_at,
    write_image,
)
from tests.e2e.deployment import Deployment
from tests.e2e.processes import until

pytestmark = [
    pytest.mark.full,
    pytest.mark.requires(CHROMIUM, "mke2fs", "qemu-io"),
]

MARK = b"written after the first snapshot"
PLACE = 48 << 20
"""Where the mark is written, beyond the files."""


@pytest.fixture(scope="module")
def site(module_run_dir: Path) -> Iterator[Site]:
    """A disk `data` in use with an ext4 file system, its snapshots `first` and `second`, `whole`
    of its instance, and keys of each role."""
    deployment = Deployment(module_run_dir)
    with sync_playwright() as playwright:
        browser = start(playwright)
        try:
            deployment.start()
            uri = deployment.used_disk()
            copy_to(write_image(module_run_dir), uri)
            deployment.snapshot("first")
            assert deployment.ended("first") == ["completed"]
            write_at(uri, PLACE, MARK)
            deployment.snapshot("second")
            assert deployment.ended("second") == ["completed"]
            take_whole(deployment)
            yield Site(deployment, browser, keys_of(deployment))
        finally:
            browser.close()
            deployment.close()


def take_whole(deployment: Deployment) -> None:
    """A snapshot of the instance with all its disks."""
    deployment.call("CreateInstanceSnapshot", instanceName="host", instanceSnapshotName="whole")

    def stored() -> bool:
        found = deployment.call("GetInstanceSnapshot", instanceSnapshotName="whole")
        return bool(found["instanceSnapshot"]["state"] == "available")

    until(stored, "the instance's snapshot to be stored")


@pytest.fixture(autouse=True)
def nothing_went_wrong(site: Site) -> Iterator[None]:
    """No error in any page, and no request to anywhere else."""
    site.seen.problems.clear()
    yield
    assert site.seen.problems == []
    assert site.seen.origins <= {site.url, "data:", "data://", "blob:"}


PAGES = {
    "overview": "",
    "disks": "disks",
    "disk": "disk?name=data&use=1&rhythms=daily+keep+1+week",
    "snapshot": "snapshot?name=second&space=1&map=1&other=first",
    "delete": "delete?name=second",
    "files": "files?name=first&path=/",
    "restore": "restore?disk=data",
    "restore-disk": "restore?disk=data&snapshot=first&to=disk",
    "restore-revert": "restore?disk=data&snapshot=first&to=revert",
    "restore-region": "restore?disk=data&snapshot=first&to=region",
    "restore-instance": "restore?disk=data&snapshot=whole/data&to=instance",
    "restore-fork": "restore?disk=data&snapshot=now",
    "activity": "activity",
    "audit": "audit",
    "space": "space?now=1&disks=1",
    "health": "health",
    "keys": "keys",
    "lineage": "lineage?name=data",
    "missing": "disk?name=nowhere",
}


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_page_is_accessible(site: Site, scheme: str) -> None:
    axe = Axe()
    found: dict[str, list[str]] = {}
    width = 1280 if scheme == "light" else 390
    with site.visit(scheme=scheme, width=width) as page:
        for name, target in PAGES.items():
            page.goto(site.address(target))
            assert page.locator("h1").count() == 1, name
            violations = axe.run(page).response["violations"]
            if violations:
                found[name] = [f"{one['id']}: {one['nodes'][0]['html']}" for one in violations]
            overflow = page.evaluate("document.documentElement.scrollWidth - innerWidth")
            assert overflow <= 0, f"{name} is wider than the window"
    with site.visit(None, scheme=scheme, width=width) as page:
        page.goto(f"{site.url}/console/sign-in")
        assert axe.run(page).response["violations"] == []
    assert found == {}


def test_a_link_of_the_command_signs_in(site: Site) -> None:
    link = mooringd(site.deployment, "console", "--no-open", "--user", "reader").split()[0]
    with site.visit(None) as page:
        page.goto(link)
        page.click("button")
        page.wait_for_url(site.address())
        expect(page.locator(".user")).to_contain_text("reader")
        page.goto(link)
        page.click("button")
        expect(page.locator("[role=alert]")).to_contain_text("not signed in")


@pytest.mark.parametrize("scripts", [True, False])
def test_a_snapshot_is_taken_and_deleted(site: Site, scripts: bool) -> None:
    name = f"by-hand-{scripts}".lower()
    with site.visit("operator", scripts=scripts) as page:
        page.click("nav >> text=Disks")
        page.click("text=data")
        page.fill("#snapshot", name)
        page.click("text=Take it")
        expect(page.locator("[role=status]").first).to_contain_text("is being stored")
        assert site.deployment.ended(name) == ["completed"]
        page.goto(site.address(f"snapshot?name={name}"))
        page.click("text=Delete…")
        expect(page.locator(".warning")).to_contain_text("cannot be undone")
        expect(page.locator(".warning")).to_contain_text(name)
        page.click(f"button >> text=Delete {name}")
        expect(page.locator("[role=status]").first).to_contain_text("is deleted")
    assert name not in site.deployment.states()


@pytest.mark.parametrize("scripts", [True, False])
def test_a_file_is_found_and_downloaded_as_it_was(
    site: Site, scripts: bool, tmp_path: Path
) -> None:
    with site.visit("operator", scripts=scripts) as page:
        page.goto(site.address("snapshot?name=first"))
        page.click("text=Browse files")
        page.click("table >> text=etc/")
        with page.expect_download() as download:
            page.click("table >> text=settings")
        download.value.save_as(tmp_path / "got")
        assert download.value.suggested_filename == "settings"
    assert (tmp_path / "got").read_bytes() == SECRET_FILE


def test_hostile_names_stay_names(site: Site) -> None:
    with site.visit("operator") as page:
        page.goto(site.address("files?name=first&path=/"))
        expect(page.locator("table")).to_contain_text(MARKUP.decode())
        assert page.locator("table img").count() == 0
        with page.expect_download() as download:
            page.click(f"text={MARKUP.decode()}")
        assert "<" not in download.value.suggested_filename
        with page.expect_download() as download:
            page.locator("table a", has_text="co").click()
        assert download.value.failure() is None


@pytest.mark.parametrize(
    "path", ["/passwd", "/above", "/../../../../etc/passwd", "/etc/../../../proc/self/environ"]
)
def test_no_path_leads_out_of_the_snapshot(site: Site, path: str) -> None:
    with site.visit("operator") as page:
        reply = page.request.get(site.address(f"download?name=first&path={path}"))
        assert reply.status == 400
        assert "root:" not in reply.text()


def test_a_disk_is_forked_and_holds_what_it_held(site: Site) -> None:
    with site.visit("operator") as page:
        page.goto(site.address("disk?name=data"))
        page.click("text=Get something back")
        page.select_option("#snapshot", "now")
        page.click("text=Continue")
        expect(page.locator("section")).to_contain_text("mooring fork --disk-name data")
        page.fill("#name", "forked")
        page.click("button >> text=Fork data")
        expect(page.locator("h1")).to_have_text("forked")
    assert held(site, "forked")[PLACE : PLACE + len(MARK)] == MARK


def test_a_new_disk_of_a_snapshot_holds_what_that_does(site: Site) -> None:
    with site.visit("operator", scripts=False) as page:
        page.goto(site.address("restore?disk=data"))
        page.select_option("#snapshot", "first")
        page.check("#to-disk")
        page.click("text=Continue")
        expect(page.locator("section")).to_contain_text(
            "mooring create-disk-from-snapshot --disk-name data-first --disk-snapshot-name first"
        )
        page.click("text=Make the disk")
        expect(page.locator("h1")).to_have_text("data-first")
    site.deployment.until_disk("data-first", "state", "available")
    assert held(site, "data-first")[PLACE : PLACE + len(MARK)] == bytes(len(MARK))


def test_a_disk_is_set_back_and_keeps_a_way_forward(site: Site) -> None:
    deployment = site.deployment
    deployment.call(
        "CreateDiskFromSnapshot",
        diskName="set-back",
        diskSnapshotName="second",
        availabilityZone="us-east-2a",
        sizeInGb=8,
    )
    deployment.until_disk("set-back", "state", "available")
    with site.visit("operator") as page:
        page.goto(site.address("restore?disk=set-back&snapshot=second&to=revert"))
        expect(page.locator(".warning")).to_contain_text("To undo it")
        page.fill("#name", "before-set-back")
        page.click("button >> text=Set set-back back")
        expect(page.locator("h1")).to_have_text("set-back")
    assert deployment.ended("before-set-back") == ["completed"]
    assert held(site, "set-back")[PLACE : PLACE + len(MARK)] == MARK


def test_an_instance_comes_back_and_its_disk_holds_what_it_held(site: Site) -> None:
    deployment = site.deployment
    with site.visit("operator", scripts=False) as page:
        page.goto(site.address("restore?disk=data"))
        page.select_option("#snapshot", "whole/data")
        page.check("#to-instance")
        page.click("text=Continue")
        expect(page.locator("section")).to_contain_text(
            "mooring create-instances-from-snapshot --instance-names whole-again "
            "--instance-snapshot-name whole"
        )
        page.click("text=Make the instance")
        expect(page.locator("[role=status]").first).to_contain_text("is being made")
    deployment.until_disk("whole-again-data", "attachmentState", "attached")
    uri = str(deployment.server.ask("uri", diskName="whole-again-data")["uri"])
    assert content(uri)[PLACE : PLACE + len(MARK)] == MARK


def test_a_snapshot_is_copied_to_another_region(site: Site) -> None:
    with site.visit("operator") as page:
        page.goto(site.address("restore?disk=data&snapshot=first&to=region"))
        expect(page.locator("section")).to_contain_text("mooring copy-snapshot --region us-west-2")
        page.fill("#name", "first-in-the-west")
        page.click("text=Copy it")
        expect(page.locator(".lineage")).to_contain_text("copy first-in-the-west in us-west-2")


def test_an_image_is_written_that_holds_what_the_snapshot_does(site: Site) -> None:
    with site.visit("operator", scripts=False) as page:
        page.goto(site.address("restore?disk=data&snapshot=second&to=image"))
        page.click("text=Write the image")
        expect(page.locator("[role=status]").first).to_contain_text("being written")
    deployment = site.deployment

    def written() -> bool:
        records = deployment.call("GetExportSnapshotRecords")["exportSnapshotRecords"]
        return [one["state"] for one in records] == ["Succeeded"]

    until(written, "the image to be written")
    (image,) = (one for one in (deployment.data / "exports").rglob("*") if one.is_file())
    with image.open("rb") as file:
        file.seek(PLACE)
        assert file.read(len(MARK)) == MARK


def held(site: Site, disk: str) -> bytes:
    """What a disk holds, attached for as long as it is read."""
    deployment = site.deployment
    deployment.instance("reader")
    uri = deployment.attach(disk, "reader")
    found = content(uri)
    deployment.detach(disk)
    return found


def test_a_rhythm_is_looked_at_and_set(site: Site) -> None:
    deployment = site.deployment
    deployment.disk("rhythmic")
    with site.visit("operator") as page:
        page.goto(site.address("disk?name=rhythmic"))
        page.fill("#rhythms", "every 5 minutes keep 1 hour / daily keep 1 week")
        page.click("text=See what would be kept")
        expect(page.locator(".preview")).to_contain_text("12 snapshots at most")
        expect(page.locator(".preview")).to_contain_text("7 snapshots at most")
        page.click("text=Set this rhythm")
        expect(page.locator("[role=status]").first).to_contain_text("rhythm is set")
    tags = deployment.call("GetDisk", diskName="rhythmic")["disk"]["tags"]
    assert {
        "key": "mooring:snapshots",
        "value": "every 5 minutes keep 1 hour / daily keep 1 week",
    } in tags


def test_an_open_page_follows_a_snapshot(site: Site) -> None:
    with site.visit("reader") as page:
        page.goto(site.address("disk?name=data"))
        page.wait_for_timeout(1500)  # until it listens
        site.deployment.snapshot("followed")
        row = page.locator("tr", has_text="followed")
        expect(row).to_be_visible()
        expect(row).to_contain_text("completed")


def test_what_is_typed_is_not_taken_away_by_news(site: Site) -> None:
    with site.visit("operator") as page:
        page.goto(site.address("disk?name=data"))
        page.wait_for_timeout(1500)
        page.fill("#snapshot", "half-typed")
        site.deployment.snapshot("meanwhile")
        page.wait_for_timeout(3000)
        assert page.input_value("#snapshot") == "half-typed"


def test_a_reader_is_offered_nothing_that_changes(site: Site) -> None:
    with site.visit("reader") as page:
        for target in ("disk?name=data", "snapshot?name=first", "activity"):
            page.goto(site.address(target))
            assert page.locator("main form[method=post]").count() == 0
        assert page.locator("nav >> text=Keys").count() == 0
        for target in (
            "keys",
            "health",
            "audit",
            "files?name=first",
            "download?name=first&path=/x",
        ):
            assert page.request.get(site.address(target)).status == 403


def test_who_is_bound_to_tags_sees_nothing_of_others(site: Site) -> None:
    with site.visit("team") as page:
        page.goto(site.address("disks"))
        expect(page.locator("main")).to_contain_text("no disk")
        for target in (
            "disk?name=data",
            "snapshot?name=first",
            "files?name=first",
            "lineage?name=data",
        ):
            assert page.request.get(site.address(target)).status == 403


def test_a_key_is_made_as_a_file_and_removed(site: Site, tmp_path: Path) -> None:
    with site.visit() as page:
        page.goto(site.address("keys"))
        page.fill("#user", "newcomer")
        page.select_option("#role", "operator")
        with page.expect_download() as download:
            page.click("text=Make the key")
        download.value.save_as(tmp_path / "key")
        text = (tmp_path / "key").read_text()
        site.keys["newcomer"] = read_keys(site.deployment)["newcomer"]
        key, secret = site.keys["newcomer"]
        assert key in text
        assert secret in text
        page.goto(site.address("keys"))
        assert secret not in page.content()
        page.wait_for_timeout(1100)  # the server notices it within a second
        with site.visit("newcomer") as other:
            page.goto(site.address(f"keys/remove?key={key}"))
            expect(page.locator(".warning")).to_contain_text("cannot be undone")
            page.click(f"text=Remove {key}")
            expect(page.locator("[role=status]").first).to_contain_text("removed")
            page.wait_for_timeout(1100)
            other.goto(site.address())
            expect(other.locator("h1")).to_have_text("Sign in")


def test_signing_out_leaves_nothing_open(site: Site) -> None:
    with site.visit("reader") as page:
        page.click("text=Sign out")
        expect(page.locator("h1")).to_have_text("Sign in")
        page.goto(site.address("disks"))
        expect(page.locator("h1")).to_have_text("Sign in")


def test_scripts_cannot_read_the_cookie(site: Site) -> None:
    with site.visit("reader") as page:
        assert page.evaluate("document.cookie") == ""
        (cookie,) = page.context.cookies()
        assert cookie["httpOnly"]
        assert cookie["sameSite"] == "Strict"


def test_another_site_can_neither_post_nor_frame(site: Site) -> None:
    """localhost is another site than 127.0.0.1."""
    with site.visit("operator") as page:
        target = site.address("disk/snapshot")
        form = (
            f"<form method=post action='{target}'><input name=name value=data>"
            "<input name=snapshot value=forced></form><iframe></iframe>"
        )
        other = page.context.new_page()
        other.route("http://elsewhere.test/", lambda route: route.fulfill(
            body=form, content_type="text/html"
        ))  # fmt: skip
        other.goto("http://elsewhere.test/")
        other.evaluate("address => document.querySelector('iframe').src = address", site.address())
        other.wait_for_timeout(500)
        frame = other.frames[1]
        assert "Overview" not in (frame.content() if not frame.is_detached() else "")
        other.evaluate("document.querySelector('form').submit()")
        other.wait_for_load_state()
        expect(other.locator("h1")).to_have_text(re.compile("Nothing was done|Sign in"))
    assert "forced" not in site.deployment.states()
    site.seen.problems.clear()  # the browser tells of the frame that it refused
    site.seen.origins.discard("http://elsewhere.test")


def test_the_keyboard_reaches_everything(site: Site) -> None:
    with site.visit("operator") as page:
        page.goto(site.address("disks"))
        reached, outlines = [], {}
        for _ in range(30):
            page.keyboard.press("Tab")
            reached.append(page.evaluate("(document.activeElement.textContent || '').trim()"))
            outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
            outlines[reached[-1]] = outline
        assert reached[0] == "Skip to the content"
        assert outlines["data"] != "none"
