"""Keys: who may what, and when they last did; new keys as files."""

from __future__ import annotations

from starlette.responses import Response

from mooring.console.visit import Visit
from mooring.model.access import Role
from mooring.model.errors import InvalidInputException


async def show(visit: Visit) -> Response:
    """The page."""
    told = await visit.ask("keys")
    return visit.page("keys.html", "Keys", told=told, roles=list(Role), own=visit.key.id)


async def create(visit: Visit) -> Response:
    """A key for a new user."""
    tags = []
    for one in visit.form.get("tags", "").replace(",", " ").split():
        key, equals, value = one.partition("=")
        if not equals:
            raise InvalidInputException(f"A tag is KEY=VALUE, not {one[:40]!r}.")
        tags.append({"key": key, "value": value})
    told = await visit.ask(
        "create-key",
        user=visit.form.get("user", "").strip(),
        role=visit.form.get("role", ""),
        tags=tags or None,
    )
    return _file(told["user"], told["keyId"], told["secretKey"])


async def rotate(visit: Visit) -> Response:
    """A new key for a user who has one."""
    told = await visit.ask("rotate-key", user=visit.form.get("user", ""))
    return _file(told["user"], told["keyId"], told["secretKey"])


async def ask_removal(visit: Visit) -> Response:
    """What removing a key does."""
    told = await visit.ask("keys")
    key_id = visit.query.get("key", "")
    found = [one for one in told["keys"] if one["keyId"] == key_id]
    if not found:
        raise InvalidInputException("There is no such key.")
    return visit.page("remove_key.html", "Remove a key", one=found[0], shared=told["shared"])


async def remove(visit: Visit) -> Response:
    """Remove it."""
    await visit.ask("delete-key", user=visit.form.get("user", ""), keyId=visit.form.get("key", ""))
    return visit.go("keys", done="key-removed")


def _file(user: str, key_id: str, secret: str) -> Response:
    """The key as a file for AWS clients: a page would stay on the screen."""
    text = f"[default]\naws_access_key_id = {key_id}\naws_secret_access_key = {secret}\n"
    return Response(
        text,
        media_type="application/octet-stream",
        headers={"Content-Disposition": f'attachment; filename="{user}.credentials"'},
    )
