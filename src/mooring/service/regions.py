"""Regions, blueprints, bundles and the names in use."""

from __future__ import annotations

from typing import Any

from mooring.backend.backend import Backend
from mooring.model import blueprints
from mooring.service.answers import pages
from mooring.service.call import Call, Result
from mooring.service.instances.own_blueprints import blueprint_view

_PLACES = {
    "us-east-1": ("NA", "Virginia"),
    "us-east-2": ("NA", "Ohio"),
    "us-west-1": ("NA", "N. California"),
    "us-west-2": ("NA", "Oregon"),
    "ca-central-1": ("NA", "Montreal"),
    "sa-east-1": ("SA", "São Paulo"),
    "eu-west-1": ("EU", "Ireland"),
    "eu-west-2": ("EU", "London"),
    "eu-west-3": ("EU", "Paris"),
    "eu-central-1": ("EU", "Frankfurt"),
    "eu-north-1": ("EU", "Stockholm"),
    "eu-south-2": ("EU", "Spain"),
    "ap-east-1": ("AP", "Hong Kong"),
    "ap-south-1": ("AP", "Mumbai"),
    "ap-southeast-1": ("AP", "Singapore"),
    "ap-southeast-2": ("AP", "Sydney"),
    "ap-southeast-3": ("AP", "Jakarta"),
    "ap-southeast-5": ("AP", "Malaysia"),
    "ap-northeast-1": ("AP", "Tokyo"),
    "ap-northeast-2": ("AP", "Seoul"),
}


def get_regions(backend: Backend, call: Call) -> Result:
    """GetRegions: those that this server serves."""
    with_zones = bool(call.params.get("includeAvailabilityZones"))
    return {"regions": [_region(backend, name, with_zones) for name in backend.regions]}


def get_blueprints(backend: Backend, call: Call) -> Result:
    """GetBlueprints: the caller's own come first."""
    with backend.catalog.read() as transaction:
        own = transaction.snapshots.blueprints(call.region)
    reached = [one for one in own if call.context.access.reaches(one.tags)]
    found = [*map(blueprint_view, reached), *blueprints.blueprints()]
    return _listing(call, "blueprints", found, "appCategory")


def get_bundles(backend: Backend, call: Call) -> Result:
    """GetBundles."""
    found = blueprints.bundles()
    return _listing(call, "bundles", found, "supportedAppCategories")


def get_active_names(backend: Backend, call: Call) -> Result:
    """GetActiveNames: in alphabetical order."""
    after = pages.read_text(call.params.get("pageToken")) or ""
    with backend.catalog.read() as transaction:
        names = transaction.names.page(call.region, after, pages.SIZE + 1)
    more = names[pages.SIZE - 1] if len(names) > pages.SIZE else None
    return {"activeNames": names[: pages.SIZE], "nextPageToken": pages.token(more)}


def _region(backend: Backend, name: str, with_zones: bool) -> dict[str, Any]:
    continent, place = _PLACES.get(name, ("", name))
    zones = backend.regions[name] if with_zones else []
    return {
        "continentCode": continent,
        "description": f"Disks and snapshots of {place}, served by Mooring",
        "displayName": place,
        "name": name,
        "availabilityZones": [{"zoneName": zone, "state": "available"} for zone in zones],
        "relationalDatabaseAvailabilityZones": [],
    }


def _listing(call: Call, key: str, found: list[dict[str, Any]], category_key: str) -> Result:
    pages.read_number(call.params.get("pageToken"))
    wanted = call.params.get("appCategory")
    if wanted:
        found = [one for one in found if wanted in one.get(category_key, "")]
    if not call.params.get("includeInactive"):
        found = [one for one in found if one.get("isActive", True)]
    # One page, as on the real service: clients that know no pages see all.
    return {key: found}
