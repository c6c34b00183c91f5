"""Blueprints and bundles: those of the real service, and our own.

Ours are `external`, a machine of the user's own, and `host`, this host; and the bundle
`external`, which is of no size. What the data files say of the others is what Lightsail's own
answers, its examples and its price list say; what is not known is left out, and prices are those
of us-east-1. Nothing in Mooring depends on it: instances are only registered.

Lightsail adds and retires versions all the time. So that the same scripts work here, ids are
known that are not listed: a blueprint of a listed family (the first word: `ubuntu_26_04`), and a
bundle whose id is made as Lightsail makes them (`nano_4_0`, `medium_win_2_2`, `c_large_1_0`).
"""

from __future__ import annotations

import json
import re
from functools import cache
from importlib import resources
from typing import Any

HOST = "host"
"""The blueprint of an instance that is this host itself."""

_USERS = {
    "windows": "Administrator",
    "amazon": "ec2-user",
    "alma": "ec2-user",
    "centos_stream": "ec2-user",
    "centos": "centos",
    "freebsd": "ec2-user",
    "opensuse": "ec2-user",
    "cpanel_whm_almalinux": "ec2-user",
    "cpanel_whm": "centos",
    "debian": "admin",
    "ubuntu": "ubuntu",
    "plesk": "ubuntu",
    "openclaw": "ubuntu",
}
"""Users by the beginning of blueprint ids, as in Lightsail's guide; others are Bitnami's."""

_BLUEPRINT = re.compile(r"([a-z]+)(_[a-z0-9]+)*", re.ASCII)
_BUNDLE = re.compile(
    r"([cm]_)?(nano|micro|small|medium|\d*x?large)(_win)?(_ipv6)?_\d+_\d+"
    r"|(app_standard|gpu_nvidia)_\d*xl_\d+_\d+",
    re.ASCII,
)


def blueprints() -> list[dict[str, Any]]:
    """All blueprints listed, in the API's shape; those retired have `isActive` false."""
    return list(_listed("blueprints").values())


def bundles() -> list[dict[str, Any]]:
    """All bundles listed, in the API's shape; those retired have `isActive` false."""
    return list(_listed("bundles").values())


def blueprint(blueprint_id: str) -> dict[str, Any] | None:
    """The blueprint of that id, None if it is not listed."""
    return _listed("blueprints").get(blueprint_id)


def bundle(bundle_id: str) -> dict[str, Any] | None:
    """The bundle of that id, None if it is not listed."""
    return _listed("bundles").get(bundle_id)


def is_known_blueprint(blueprint_id: str) -> bool:
    """Whether the id is listed, or of a listed family."""
    match = _BLUEPRINT.fullmatch(blueprint_id)
    return match is not None and (blueprint_id in _listed("blueprints") or match[1] in _families())


def is_known_bundle(bundle_id: str) -> bool:
    """Whether the id is listed, or made as those of the real service are."""
    return bundle_id in _listed("bundles") or _BUNDLE.fullmatch(bundle_id) is not None


def username(blueprint_id: str) -> str | None:
    """Who logs in on an instance made from the blueprint; None for machines and blueprints of the
    user's own."""
    if blueprint_id in ("external", HOST) or not is_known_blueprint(blueprint_id):
        return None
    found = (name for family, name in _USERS.items() if blueprint_id.startswith(family))
    return next(found, "bitnami")


@cache
def _listed(what: str) -> dict[str, dict[str, Any]]:
    """By id, in the file's order."""
    text = (resources.files("mooring.model") / f"{what}.json").read_text(encoding="utf-8")
    return {one[f"{what[:-1]}Id"]: one for one in json.loads(text)}


@cache
def _families() -> frozenset[str]:
    """First words of the real service's ids; ours have no versions."""
    ids = set(_listed("blueprints")) - {"external", HOST}
    return frozenset(one.partition("_")[0] for one in ids)
