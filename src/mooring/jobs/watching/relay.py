"""Keeps what serves attached disks to other hosts running, and right."""

from __future__ import annotations

from dataclasses import replace

from mooring.backend.backend import Backend
from mooring.model.resources.disk import is_shared
from mooring.observe.loop import Loop
from mooring.relay.ways import Way

LOOK_SECONDS = 2.0


class RelayWatch:
    """A thread that ends ways to instances that are not here, and brings the relay back.

    One that was moved has its way, if it is to have one, where it is now. Were the old one kept, it
    would be there again after another move, though somebody has closed the way meanwhile.
    """

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._loop = Loop("relay-watch", self._round)

    def start(self) -> None:
        self._loop.start()

    def stop(self) -> None:
        """Look after it no more; it continues."""
        self._loop.stop()

    def look(self) -> None:
        """Look once. Raises ConfigurationError, and the catalog's errors."""
        relay = self._backend.relay
        wanted: dict[str, Way | None] = {}
        if ways := relay.ways():
            with self._backend.catalog.read() as transaction:
                for way in ways:
                    instance = transaction.instances.by_id(way.instance_id)
                    here = instance is not None and instance.host in ("", self._backend.host)
                    disks = transaction.disks.of_instance(way.instance_id)
                    shared = tuple(one.name for one in disks if is_shared(one.tags))
                    wanted[way.instance_id] = replace(way, shared=shared) if here else None
        relay.keep(wanted)

    def _round(self) -> float:
        self.look()
        return LOOK_SECONDS
