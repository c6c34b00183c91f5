"""Which settings all servers of a catalog must have alike."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any

from mooring.config.settings import Settings

ALIKE = (
    "account",
    "snapshots.rhythms",
    "snapshots.instance_rhythms",
    "snapshots.disks_of_pending",
    "limits.pending_snapshots",
    "operations.keep_days",
    "audit.keep_days",
    "vault.collect_minutes",
    "vault.verify_hours",
    "vault.verify_percent",
    "vault.replicate_minutes",
    "vault.replica_deletions",
    "throttle.user_rate",
    "throttle.user_burst",
    "throttle.rate",
    "throttle.burst",
)
"""With two servers that differ in one of these, it would depend on the server what happens."""


@dataclass(frozen=True, slots=True)
class Difference:
    """A setting that a server's file has otherwise than all servers of the catalog."""

    name: str
    here: str
    shared: str

    def __str__(self) -> str:
        return (
            f"{self.name} is {self.here} in this server's settings, and {self.shared} for all "
            "servers of the catalog, which holds: change it in the file, or run "
            "`mooringd share-settings` here to have this server's hold for all from their next "
            "start on"
        )


def shared_values(settings: Settings) -> dict[str, str]:
    """What a server's settings say of what servers must have alike; values as JSON."""
    return {name: json.dumps(_get(settings, name)) for name in ALIKE}


def places(settings: Settings) -> dict[str, str]:
    """What a further server has to know of regions and vaults; values as JSON.

    Not compared: one host may have mounted a vault elsewhere than another.
    """
    found = {
        f"regions.{region}.{one.name}": json.dumps(getattr(its, one.name))
        for region, its in settings.regions.items()
        for one in fields(its)
        if one.name in ("vault", "key_file", "replica")
    }
    return {
        **found,
        "s3.endpoint": json.dumps(settings.s3.endpoint),
        "s3.region": json.dumps(settings.s3.region),
    }


def differences(settings: Settings, shared: Mapping[str, str]) -> list[Difference]:
    """Where the settings are not as the catalog has them for all servers."""
    here = shared_values(settings)
    return [
        Difference(name, here[name], shared[name])
        for name in ALIKE
        if name in shared and json.loads(shared[name]) != json.loads(here[name])
    ]


def with_shared(settings: Settings, shared: Mapping[str, str]) -> Settings:
    """The settings with what holds for all servers of the catalog.

    A value of another type, of another version's, is left out.
    """
    for name in ALIKE:
        if name in shared:
            settings = _set(settings, name.split("."), json.loads(shared[name]))
    return settings


def _get(settings: Settings, name: str) -> Any:
    value: Any = settings
    for part in name.split("."):
        value = getattr(value, part)
    return value


def _set(value: Any, path: list[str], given: Any) -> Any:
    first, *rest = path
    current = getattr(value, first)
    if rest:
        assert is_dataclass(current)
        return replace(value, **{first: _set(current, rest, given)})
    same = type(current) is type(given) or (isinstance(current, float) and isinstance(given, int))
    return replace(value, **{first: given}) if same else value
