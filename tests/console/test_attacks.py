"""What other sites, other users and hostile names try with the console."""

from __future__ import annotations

import re
from urllib.parse import quote

import pytest

from tests.console.site import HOST, SECRET, Site, Visitor
from tests.service.world import REGION

HOME = "/console/us-east-2/"
SNAPSHOT = "/console/us-east-2/disk/snapshot"
MARKUP = "<script>alert(1)</script><img src=x onerror=alert(1)>\"'"


@pytest.fixture
def admin(site: Site) -> Visitor:
    site.world.disk("data")
    visitor = site.visitor("admin")
    visitor.get("/console/us-east-2/disk?name=data")
    return visitor


def snapshots(site: Site) -> list[str]:
    return [one["name"] for one in site.world.call("GetDiskSnapshots")["diskSnapshots"]]


def test_a_form_of_the_console_is_heard(site: Site, admin: Visitor) -> None:
    reply = admin.post(SNAPSHOT, name="data", snapshot="first")

    assert (reply.status, snapshots(site)) == (303, ["first"])


@pytest.mark.parametrize(
    "origin",
    [
        "https://evil.test",
        "null",
        "",
        f"https://{HOST}",
        "http://console.test",
        f"http://{HOST}.evil.test",
    ],
)
def test_a_form_of_another_site_is_not(site: Site, admin: Visitor, origin: str) -> None:
    """Even if a browser sent the cookie with it, and it knew the token."""
    reply = admin.post(SNAPSHOT, {"origin": origin}, name="data", snapshot="first")

    assert (reply.status, snapshots(site)) == (403, [])
    assert admin.post("/console/sign-out", {"origin": origin}).status == 403
    assert admin.get(HOME).status == 200


def test_a_post_without_an_origin_is_not(site: Site, admin: Visitor) -> None:
    form = {"token": admin.token, "name": "data", "snapshot": "first"}
    reply = admin.send("POST", SNAPSHOT, {}, form)

    assert (reply.status, snapshots(site)) == (403, [])


def test_nobody_is_signed_in_by_another_site(site: Site) -> None:
    visitor = site.visitor()
    form = {"key": "KEYadmin", "secret": SECRET + "admin"}
    reply = visitor.post("/console/sign-in", {"origin": "https://evil.test"}, **form)

    assert (reply.status, visitor.cookies) == (403, {})


def test_the_token_is_the_sessions_own(site: Site, admin: Visitor) -> None:
    other = site.visitor("admin")
    other.get("/console/us-east-2/disk?name=data")
    assert other.token != admin.token
    for token in ("", "0" * 64, other.token, "ü"):
        reply = admin.post(SNAPSHOT, token=token, name="data", snapshot="first")
        assert (reply.status, snapshots(site)) == (403, [])


def test_nothing_is_changed_by_looking(site: Site, admin: Visitor) -> None:
    query = f"?token={admin.token}&name=data&snapshot=first"

    assert admin.get(SNAPSHOT + query).status == 404
    assert snapshots(site) == []


def test_every_answer_tells_browsers_what_to_refuse(site: Site, admin: Visitor) -> None:
    style = re.search(r'href="(/console/static/[^"]+css)"', admin.get(HOME).text)
    assert style is not None
    for target in (HOME, "/console/sign-in", "/console/nowhere", style[1], "/console/", HOME + "x"):
        headers = admin.get(target).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert headers["x-frame-options"] == "DENY"
        assert headers["x-content-type-options"] == "nosniff"


def test_pages_are_kept_nowhere(site: Site, admin: Visitor) -> None:
    assert admin.get(HOME).headers["cache-control"] == "no-store"


def test_nothing_in_a_page_is_inline_or_from_elsewhere(site: Site, admin: Visitor) -> None:
    for page in (HOME, f"{HOME}disks", f"{HOME}disk?name=data", "/console/sign-in"):
        text = admin.get(page).text
        assert not re.findall(r"<script(?![^>]* src=)|<style|\sstyle=|\son\w+=", text)
        addresses = re.findall(r'(?:src|href|action)="([^"]*)"', text)
        assert addresses
        assert all(one.startswith(("/console/", "#")) for one in addresses)


def test_no_secret_is_in_a_page_or_an_address(site: Site, admin: Visitor) -> None:
    for page in (HOME, f"{HOME}disks", f"{HOME}disk?name=data", "/console/sign-in"):
        text = admin.get(page).text
        assert SECRET not in text
        assert admin.cookies["mooring-console"] not in text


@pytest.mark.parametrize(
    "target",
    [
        f"{HOME}disk?name={{}}",
        f"{HOME}disks?text={{}}",
        f"{HOME}disks?show={{}}",
        f"{HOME}disks?page={{}}",
        f"{HOME}?done={{}}",
        f"{HOME}{{}}",
        "/console/sign-in?next={}",
        "/console/enter/{}",
        "/console/{}/disks",
    ],
)
def test_markup_in_addresses_stays_text(admin: Visitor, target: str) -> None:
    text = admin.get(target.format(quote(MARKUP, safe=""))).text

    assert "<script>alert" not in text
    assert "<img src=x" not in text


def test_markup_in_tags_stays_text(site: Site, admin: Visitor) -> None:
    """The service takes none; but catalogs are files, and rules may become others."""
    with site.world.catalog.write() as transaction:
        disk = transaction.disks.by_name(REGION, "data")
        assert disk is not None
        transaction.tags.replace(disk.id, {"<b>x</b>": "<script>alert(1)</script>"})
    text = admin.get(f"{HOME}disk?name=data").text

    assert "&lt;script&gt;alert(1)" in text
    assert "<script>alert" not in text
    assert "<b>x" not in text


@pytest.mark.parametrize(
    "name", ["../console.css", "..%2f..%2f..%2fetc%2fpasswd", "%2fetc%2fpasswd", "sessions.py"]
)
def test_no_other_file_is_sent(admin: Visitor, name: str) -> None:
    version = "0" * 12

    assert admin.get(f"/console/static/{version}/{name}").status == 404


def test_a_page_of_an_unknown_region_is_none(admin: Visitor) -> None:
    assert admin.get("/console/eu-north-9/disks").status == 404
    assert admin.get("/console/eu-north-9/events").status == 403
