"""Keys are made, rotated and removed, without a secret in a page or a log."""

from __future__ import annotations

import pytest

from mooring.service.credentials.keys import read_keys
from tests.console.site import Site, Visitor

KEYS = "/console/us-east-2/keys"


@pytest.fixture
def admin(site: Site) -> Visitor:
    visitor = site.visitor("admin")
    visitor.get(KEYS)
    return visitor


def known(site: Site) -> dict[str, str]:
    """The ids of all keys by the names of their sections."""
    path = site.world.backend.credentials
    assert path is not None
    return {key.profile: key.id for key in read_keys(path).values()}


def secret_of(site: Site, key_id: str) -> str:
    path = site.world.backend.credentials
    assert path is not None
    return read_keys(path)[key_id].secret


def test_a_new_key_comes_as_a_file_and_nowhere_else(site: Site, admin: Visitor) -> None:
    reply = admin.post(f"{KEYS}/create", user="backup", role="operator", tags="team=db")

    secret = secret_of(site, known(site)["backup"])
    assert reply.headers["content-disposition"] == 'attachment; filename="backup.credentials"'
    assert reply.headers["cache-control"] == "no-store"
    assert f"aws_secret_access_key = {secret}" in reply.text
    page = admin.get(KEYS).text
    assert known(site)["backup"] in page
    assert "team=db" in page
    assert secret not in page
    assert secret not in site.audit.read_text()
    assert '"operation":"create-key","resources":["backup"]' in site.audit.read_text()


def test_a_rotated_key_ends_a_day_later(site: Site, admin: Visitor) -> None:
    before = known(site)["default"]
    reply = admin.post(f"{KEYS}/rotate", user="default")

    assert secret_of(site, known(site)["default"]) in reply.text
    assert set(known(site)) == {"default", f"default-{before}"}


@pytest.mark.parametrize(
    ("form", "wrong"),
    [
        ({"user": "default", "role": "operator"}, "has a key"),
        ({"user": "../x", "role": "operator"}, "cannot be the name of a user"),
        ({"user": "new", "role": "king"}, "role must be one of"),
        ({"user": "new", "role": "operator", "tags": "team"}, "KEY=VALUE"),
        ({"user": "", "role": "operator"}, "user is required"),
    ],
)
def test_bad_wishes_are_refused(
    site: Site, admin: Visitor, form: dict[str, str], wrong: str
) -> None:
    reply = admin.post(f"{KEYS}/create", None, **form)

    assert reply.status == 400
    assert wrong in reply.text
    assert set(known(site)) == {"default"}


def test_the_last_administrator_stays(site: Site, admin: Visitor) -> None:
    reply = admin.post(f"{KEYS}/remove", user="default", key=known(site)["default"])

    assert reply.status == 400
    assert "no administrator" in reply.text
    assert set(known(site)) == {"default"}


def test_a_key_is_removed(site: Site, admin: Visitor) -> None:
    admin.post(f"{KEYS}/create", user="backup", role="read-only")
    key = known(site)["backup"]
    assert "refused within a second" in admin.see(f"{KEYS}/remove?key={key}")

    assert admin.post(f"{KEYS}/remove", user="backup", key=key).status == 303
    assert set(known(site)) == {"default"}


@pytest.mark.parametrize("user", ["operator", "reader", "team"])
def test_keys_are_for_administrators(site: Site, user: str) -> None:
    visitor = site.visitor(user)
    visitor.get("/console/us-east-2/")
    assert visitor.get(KEYS).status == 403
    assert visitor.post(f"{KEYS}/create", user="x", role="administrator").status == 403
    assert visitor.post(f"{KEYS}/rotate", user="default").status == 403
    assert visitor.post(f"{KEYS}/remove", user="default", key=known(site)["default"]).status == 403
    assert set(known(site)) == {"default"}
