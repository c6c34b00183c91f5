"""Which vaults and snapshots a command is about."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from mooring.config.settings import Settings
from mooring.model.automatic.moment import AutoName, choose, read_auto_name
from mooring.model.automatic.rules import stamp
from mooring.model.clock import SystemClock
from mooring.model.errors import (
    ConfigurationError,
    ServiceError,
)
from mooring.model.resources.instance_snapshot import recall
from mooring.vault.vault import Root, Vault
from mooring.wiring.vaults import open_vault


@contextmanager
def opened(settings: Settings, region: str | None) -> Iterator[list[tuple[str, Vault]]]:
    """The vaults there are, or that of one region, each with what to call it; no vault twice.

    No server's lock is needed: vaults may be used by any number of processes at once. Raises
    ConfigurationError if there is none.
    """
    found: dict[str, tuple[str, Vault]] = {}
    try:
        for name in regions(settings, region):
            vault = open_vault(settings, name)
            if vault is None:
                continue
            if vault.id in found:
                vault.close()
            else:
                found[vault.id] = (name, vault)
        if not found:
            raise nothing_there(settings)
        yield list(found.values())
    finally:
        for _, vault in found.values():
            vault.close()


def regions(settings: Settings, region: str | None) -> list[str]:
    """That region, or all. Raises ConfigurationError if there is none of that name."""
    if region is None:
        return list(settings.regions)
    if region not in settings.regions:
        known = ", ".join(settings.regions)
        raise ConfigurationError(f"there is no region {region}; known here: {known}")
    return [region]


def nothing_there(settings: Settings) -> ConfigurationError:
    """The error for who finds no vault at all."""
    return ConfigurationError(
        f"there is no vault yet in {settings.data_directory}: `mooringd serve` creates it; "
        "--data and --config say where to look"
    )


Found = tuple[str, Vault, Root]


def find_snapshot(vaults: Iterable[tuple[str, Vault]], wanted: str) -> tuple[Vault, Root]:
    """The one snapshot of that name or id, also `DISK@DATE` as users write it.

    Raises ConfigurationError if there is not just one.
    """
    found = find_all(vaults, wanted)
    if not found:
        raise ConfigurationError(
            f"no vault has a snapshot {wanted}: `mooringd usage` lists all snapshots"
        )
    if len(found) > 1:
        which = ", ".join(f"{root.id} in {place}" for place, _, root in found)
        elsewhere = len({place for place, _, _ in found}) > 1
        region = ", or one region with --region" if elsewhere else ""
        raise ConfigurationError(
            f"there are several snapshots {wanted}: name one by id ({which}){region}"
        )
    return found[0][1], found[0][2]


def find_all(vaults: Iterable[tuple[str, Vault]], wanted: str) -> list[Found]:
    """All the snapshots of that name or id. Raises ConfigurationError if it can be none's."""
    roots = [(place, vault, root) for place, vault in vaults for root in vault.readable_roots()[0]]
    found = [one for one in roots if wanted in (one[2].id, one[2].info.name)]
    return found or (_automatic(roots, wanted) if "@" in wanted else [])


def _automatic(roots: Iterable[Found], wanted: str) -> list[Found]:
    """What the name of an automatic snapshot means in each vault that has any of that disk."""
    try:
        name = read_auto_name(wanted)
        assert name is not None
        places: dict[str, list[Found]] = {}
        for one in roots:
            if _is_of(one[2], name):
                places.setdefault(one[0], []).append(one)
        now = SystemClock().now_ms()
        return [
            choose(name, taken, lambda one: stamp(one[2].info.created_ms), lambda _: True, now)
            for taken in places.values()
        ]
    except ServiceError as error:
        raise ConfigurationError(error.message) from error


def _is_of(root: Root, name: AutoName) -> bool:
    """Whether it is an automatic snapshot of the disk, or the part of one of the instance."""
    if name.part is None:
        return "auto" in root.info.extra and root.info.disk_name == name.of
    known = recall(root.info.extra)
    return (
        known is not None
        and known.whole.auto is not None
        and known.whole.instance_name == name.of
        and root.info.disk_name == name.part
    )
