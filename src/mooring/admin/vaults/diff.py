"""mooringd diff: what changed between two snapshots, as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable

from mooring.admin.vaults.chosen import find_snapshot, opened
from mooring.config.settings import Settings
from mooring.model.errors import ConfigurationError
from mooring.model.extents import Extent
from mooring.vault.vault import Root


def diff(settings: Settings, *, snapshot: str, since: str | None, region: str | None) -> int:
    """Print one object: both snapshots, the ranges in bytes, and how much they are together.

    Snapshots go by name or id. Without `since`, all that the snapshot holds. Raises
    ConfigurationError if one is not there, or if they are in different vaults; DamageError.
    """
    with opened(settings, region) as vaults:
        vault, new = find_snapshot(vaults, snapshot)
        old = None
        if since is not None:
            other, old = find_snapshot(vaults, since)
            if other is not vault:
                raise ConfigurationError(
                    f"{since} and {snapshot} are in different vaults: only snapshots of one vault "
                    "can be compared"
                )
        _print(old, new, vault.diff(None if old is None else old.id, new.id))
    return 0


def _print(old: Root | None, new: Root, extents: Iterable[Extent]) -> None:
    # Written as it comes: a large disk may have more ranges than fit in memory.
    print("{")
    print(f'  "snapshot": {json.dumps(_named(new))},')
    print(f'  "since": {json.dumps(None if old is None else _named(old))},')
    print(f'  "sizeInBytes": {new.info.size},')
    print('  "extents": [', end="")
    changed = 0
    separator = ""
    for extent in extents:
        one = {"offset": extent.offset, "length": extent.length, "zero": extent.zero}
        print(f"{separator}\n    {json.dumps(one)}", end="")
        separator = ","
        changed += extent.length
    print("\n  ]," if changed else "],")
    print(f'  "changedBytes": {changed}')
    print("}")


def _named(root: Root) -> dict[str, str]:
    return {"name": root.info.name, "id": root.id}
