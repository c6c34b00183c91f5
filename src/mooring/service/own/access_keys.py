"""Access keys, for those who run the server: listed, made, rotated, removed."""

from __future__ import annotations

from pathlib import Path

from mooring.backend.backend import Backend
from mooring.model.access import Access, Role
from mooring.model.automatic.rhythm import HOUR_MS
from mooring.model.errors import (
    ConfigurationError,
    InvalidInputException,
    OperationFailureException,
)
from mooring.model.tags import read_tags
from mooring.service.call import Params
from mooring.service.context import Context
from mooring.service.credentials.key_file import (
    Edit,
    add_key,
    checked,
    edit_keys,
    keys_of,
    remove_keys,
    rotate_key,
)
from mooring.service.credentials.keys import Key, check_user, read_keys
from mooring.service.credentials.shared_keys import SharedKeys
from mooring.service.own.own_request import Answer, member

LONGEST_OVERLAP_HOURS = 24 * 366


def keys(backend: Backend, context: Context, params: Params) -> Answer:
    """All access keys without their secrets; `usedAt` is since this server's start, and at any of
    the servers that share a catalog (`shared`)."""
    del context, params
    now, used = backend.clock.now_ms(), backend.keys_used()
    try:
        shared = _shared(backend)
        known = read_keys(_file(backend)) if shared is None else shared.read()
    except ConfigurationError as error:
        raise _refused(error) from None
    return {
        "keys": [
            {
                "user": one.access.user,
                "keyId": one.id,
                "role": one.access.role,
                "tags": [{"key": key, "value": value} for key, value in one.access.tags.items()],
                "endsAt": None if one.expires_ms is None else one.expires_ms / 1000,
                "hasEnded": one.ended(now),
                "usedAt": used[one.id] / 1000 if one.id in used else None,
            }
            for one in known.values()
        ],
        "shared": shared is not None,
    }


def create_key(backend: Backend, context: Context, params: Params) -> Answer:
    """Make a key for the new user `user`, of `role`, bound to `tags`.

    This answer alone has its secret.
    """
    del context
    tags = read_tags(params.get("tags") or [])
    try:
        user = check_user(member(params, "user"))
        role = Role(str(params.get("role")))
    except ConfigurationError as error:
        raise _refused(error) from None
    except ValueError:
        raise InvalidInputException(f"role must be one of {', '.join(Role)}.") from None
    access = Access(user, role, {key: value or "" for key, value in tags.items()})
    made: list[Key] = []

    def edit(known: list[Key]) -> list[Key]:
        edited, key = add_key(known, user, access)
        made.append(key)
        return edited

    _edit(backend, edit)
    return _secret(made[0])


def rotate(backend: Backend, context: Context, params: Params) -> Answer:
    """Make a new key for the user `user`; those there end after `overlapHours`.

    This answer alone has its secret.
    """
    del context
    hours = params.get("overlapHours", 24)
    if not 0 <= hours <= LONGEST_OVERLAP_HOURS:
        raise InvalidInputException(
            f"overlapHours must be 0 to {LONGEST_OVERLAP_HOURS}, not {hours}."
        )
    ends = backend.clock.now_ms() + hours * HOUR_MS
    made: list[Key] = []

    def edit(known: list[Key]) -> list[Key]:
        edited, key = rotate_key(known, member(params, "user"), ends)
        made.append(key)
        return edited

    _edit(backend, edit)
    return _secret(made[0])


def delete_key(backend: Backend, context: Context, params: Params) -> Answer:
    """Remove the key `keyId` of the user `user`, who is refused with it from then on."""
    user, key_id = member(params, "user"), member(params, "keyId")
    if key_id == context.caller:
        raise OperationFailureException(
            "This is the key by which you ask. Have it removed with another one."
        )

    def edit(known: list[Key]) -> list[Key]:
        keys_of(known, user)
        return remove_keys(known, user, key_id)

    _edit(backend, edit)
    return {}


def _edit(backend: Backend, edit: Edit) -> None:
    try:
        shared = _shared(backend)
        if shared is None:
            edit_keys(_file(backend), edit, backend.clock.now_ms())
        else:
            # This server follows the catalog as the others do, within a second.
            shared.edit(checked(edit, backend.clock.now_ms()))
    except ConfigurationError as error:
        raise _refused(error) from None


def _refused(error: ConfigurationError) -> OperationFailureException:
    text = str(error)
    return OperationFailureException(f"{text[:1].upper()}{text[1:]}.")


def _shared(backend: Backend) -> SharedKeys | None:
    """The keys in the catalog, if servers share it; None if they are in the file."""
    if not backend.catalog.is_for_many or backend.cluster_key is None:
        return None
    return SharedKeys(backend.catalog, _file(backend), backend.cluster_key)


def _file(backend: Backend) -> Path:
    if backend.credentials is None:
        raise OperationFailureException("This server has no file of access keys.")
    return backend.credentials


def _secret(key: Key) -> Answer:
    return {
        "user": key.access.user,
        "keyId": key.id,
        "secretKey": key.secret,
    }
