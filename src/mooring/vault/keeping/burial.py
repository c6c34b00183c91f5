"""Deleting a snapshot: its root becomes a tombstone, and the collector does the rest."""

from __future__ import annotations

from mooring.model.errors import DamageError, DiskFullError, ObjectNotFoundError
from mooring.vault.format.layout import root_name, tombstone_name
from mooring.vault.format.root import decode_root
from mooring.vault.reading.workshop import Workshop


def bury(workshop: Workshop, snapshot_id: str) -> list[str]:
    """Let a root become a tombstone; returns the names that are not durable yet.

    Not there: nothing. Raises StoreError.
    """
    store, name = workshop.store, root_name(snapshot_id)
    names = [name]
    try:
        claim = decode_root(store.get(name), snapshot_id, workshop.cipher).claim
        names.append(tombstone_name(snapshot_id, claim, workshop.clock.now_ms()))
        store.rename(*names)
    except ObjectNotFoundError:
        pass
    except (DamageError, DiskFullError):
        # No writer begins on a root that cannot be read, nor on a full disk: nobody needs the
        # tombstone, and a full disk can be emptied.
        store.delete(name)
    return names
