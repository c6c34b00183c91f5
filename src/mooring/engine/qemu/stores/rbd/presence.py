"""Whether a cluster is there, found out quickly."""

from __future__ import annotations

import tempfile
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from mooring.engine.qemu.stores.rbd.client import CephClient
from mooring.engine.qemu.stores.rbd.names import OBJECT
from mooring.engine.qemu.stores.rbd.place import RbdPlace

_ANSWER_SECONDS = 5.0
"""All else that the server has need not wait longer for the start."""


def check_there(place: RbdPlace) -> None:
    """Raise ClusterAwayError unless monitors and OSDs answer soon; EngineError if the place is bad.

    Asked by a process of its own, which is nobody's host.
    """
    hurried = replace(place, answer_seconds=min(_ANSWER_SECONDS, place.answer_seconds))
    with tempfile.TemporaryDirectory() as folder, closing(CephClient(hurried)) as client:
        client.run_dir = Path(folder)
        client.ask("hello")
        client.ask("keys", table=OBJECT, prefix="!")
