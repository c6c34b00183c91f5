"""Who is let in, for how long, and what is told of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mooring.config.settings import Throttle
from mooring.console.links import GOOD_MS, forget_old, make_link, use_link
from mooring.console.sessions import IDLE_MS, LONGEST_MS
from mooring.model.access import Access, Role
from mooring.model.clock import ManualClock
from mooring.service.credentials.keys import Key
from tests.console.site import SECRET, Site

HOME = "/console/us-east-2/"


def test_a_key_and_its_secret_sign_in(site: Site) -> None:
    visitor = site.visitor()
    assert (
        visitor.get(HOME).headers["location"] == "/console/sign-in?next=%2Fconsole%2Fus-east-2%2F"
    )

    reply = visitor.post("/console/sign-in", key="KEYadmin", secret=SECRET + "admin")

    assert (reply.status, reply.headers["location"]) == (303, "/console/")
    assert visitor.get("/console/").headers["location"] == HOME
    assert "Overview" in visitor.see(HOME)


@pytest.mark.parametrize(
    ("key", "secret"),
    [("KEYadmin", "wrong"), ("KEYnobody", SECRET + "admin"), ("", ""), ("KEYadmin", "ü\0")],
)
def test_nothing_else_does(site: Site, key: str, secret: str) -> None:
    visitor = site.visitor()

    reply = visitor.post("/console/sign-in", key=key, secret=secret)

    assert reply.status == 403
    assert "You are not signed in" in reply.text
    assert SECRET not in reply.text
    assert not visitor.cookies
    assert visitor.get(HOME).status == 303


def test_the_cookie_is_for_this_console_alone(site: Site) -> None:
    visitor = site.visitor()
    reply = visitor.post("/console/sign-in", key="KEYadmin", secret=SECRET + "admin")
    told = reply.headers["set-cookie"].lower()

    assert told.startswith("mooring-console=")
    for part in ("httponly", "samesite=strict", "path=/console", f"max-age={LONGEST_MS // 1000}"):
        assert part in told
    assert "secure" not in told
    assert SECRET.lower() not in told


def test_with_tls_the_cookie_is_secure(site: Site) -> None:
    visitor = site.visitor(scheme="https")
    reply = visitor.post("/console/sign-in", key="KEYadmin", secret=SECRET + "admin")

    assert reply.headers["set-cookie"].startswith("__Secure-mooring=")
    assert "; secure" in reply.headers["set-cookie"].lower()
    assert visitor.get(HOME).status == 200


def test_a_session_ends_when_nobody_uses_it(site: Site) -> None:
    visitor = site.visitor("admin")
    site.world.clock.advance(IDLE_MS / 1000 + 1)

    assert visitor.get(HOME).status == 303


def test_a_session_in_use_goes_on_but_not_for_ever(site: Site) -> None:
    visitor = site.visitor("admin")
    step = IDLE_MS / 1000 * 0.9
    for _ in range(int(LONGEST_MS / 1000 / step)):
        site.world.clock.advance(step)
        assert visitor.get(HOME).status == 200
    site.world.clock.advance(step)

    assert visitor.get(HOME).status == 303


def test_a_session_ends_with_its_key(site: Site) -> None:
    visitor = site.visitor("admin")
    key = site.keys.pop("KEYadmin")
    assert visitor.get(HOME).status == 303

    # Another secret is another key, whatever its id.
    site.keys["KEYadmin"] = Key("KEYadmin", "another", access=key.access)
    assert visitor.get(HOME).status == 303


def test_another_role_holds_at_once(site: Site) -> None:
    site.world.disk("data")
    visitor = site.visitor("admin")
    page = "/console/us-east-2/disk?name=data"
    assert "Take a snapshot now" in visitor.see(page)
    reader = Access("admin", Role.READ_ONLY)
    site.keys["KEYadmin"] = Key("KEYadmin", SECRET + "admin", access=reader)

    assert "Take a snapshot now" not in visitor.see(page)
    reply = visitor.post("/console/us-east-2/disk/snapshot", name="data", snapshot="first")
    assert reply.status == 403
    assert site.world.call("GetDiskSnapshots")["diskSnapshots"] == []


def test_signing_out_ends_the_session_for_whoever_has_the_cookie(site: Site) -> None:
    visitor, thief = site.visitor("admin"), site.visitor()
    visitor.get(HOME)
    thief.cookies = dict(visitor.cookies)
    assert thief.get(HOME).status == 200

    assert visitor.post("/console/sign-out").status == 303

    assert not visitor.cookies
    assert thief.get(HOME).status == 303


def test_a_cookie_that_was_tampered_with_is_none(site: Site) -> None:
    visitor = site.visitor("reader")
    good = visitor.cookies["mooring-console"]
    text, _, seal = good.partition(".")
    other = site.visitor("admin").cookies["mooring-console"].partition(".")[0]
    for bad in (
        f"{other}.{seal}",
        f"{text}.{'0' * 64}",
        text,
        f"{text}.",
        "",
        "x" * 10_000,
        "[].x",
    ):
        visitor.cookies["mooring-console"] = bad
        assert visitor.get(HOME).status == 303
    visitor.cookies["mooring-console"] = good
    assert visitor.get(HOME).status == 200


@pytest.mark.parametrize(
    "onward",
    ["https://evil.test/", "//evil.test", "/console/\\evil", "/elsewhere", "/console/\nX: y"],
)
def test_signing_in_leads_nowhere_else(site: Site, onward: str) -> None:
    reply = site.visitor().post(
        "/console/sign-in", key="KEYadmin", secret=SECRET + "admin", next=onward
    )

    assert reply.headers["location"] == "/console/"


def test_signing_in_leads_to_the_page_that_was_wanted(site: Site) -> None:
    wanted = "/console/us-east-2/disks?text=db"
    reply = site.visitor().post(
        "/console/sign-in", key="KEYadmin", secret=SECRET + "admin", next=wanted
    )

    assert reply.headers["location"] == wanted


def test_guessing_is_throttled_and_written_down(tmp_path: Path) -> None:
    site = Site(tmp_path, Throttle(refused_rate=0.001, refused_burst=3.0))
    replies = [
        site.visitor().post("/console/sign-in", key="KEYadmin", secret=f"guess-{number}")
        for number in range(5)
    ]
    lines = [json.loads(line) for line in site.audit.read_text().splitlines()]
    site.close()

    assert ["Rate exceeded" in one.text for one in replies] == [False] * 3 + [True] * 2
    assert [(one["operation"], one["result"]) for one in lines] == [
        ("SignIn", "UnrecognizedClientException")
    ] * 3
    assert "guess" not in site.audit.read_text()


def test_who_signed_in_is_written_down(site: Site) -> None:
    site.visitor("reader")
    line = json.loads(site.audit.read_text())

    assert (line["operation"], line["user"], line["result"]) == ("SignIn", "reader", "Succeeded")
    assert line["source"] == "192.0.2.7"


# --- links


def test_a_link_signs_in_once(site: Site) -> None:
    code = make_link(site.links, "KEYreader", site.world.clock)
    visitor = site.visitor()
    # What looks at links on its way uses nothing up.
    assert "signs you in once" in visitor.see(f"/console/enter/{code}")

    assert visitor.post(f"/console/enter/{code}").status == 303
    assert "reader" in visitor.see(HOME)

    again = site.visitor()
    assert again.post(f"/console/enter/{code}").status == 403
    assert not again.cookies


def test_a_link_is_not_good_for_long(site: Site) -> None:
    code = make_link(site.links, "KEYreader", site.world.clock)
    site.world.clock.advance(GOOD_MS / 1000)

    assert site.visitor().post(f"/console/enter/{code}").status == 403


@pytest.mark.parametrize("code", ["x", "..%2f..%2fkeys", "A" * 43, "%00"])
def test_other_codes_are_none(site: Site, code: str) -> None:
    site.links.mkdir()

    assert site.visitor().post(f"/console/enter/{code}").status in (403, 404)


def test_the_files_of_links_do_not_tell_their_codes(tmp_path: Path) -> None:
    clock = ManualClock()
    code = make_link(tmp_path / "links", "KEY", clock)
    (file,) = (tmp_path / "links").iterdir()

    assert code not in file.name + file.read_text()
    assert file.stat().st_mode & 0o077 == 0
    clock.advance(GOOD_MS / 1000)
    forget_old(tmp_path / "links", clock)
    assert not file.exists()
    assert use_link(tmp_path / "links", code, clock) is None
