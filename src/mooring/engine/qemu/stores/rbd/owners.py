"""Which host uses a disk, by which clients of the cluster.

Fencing goes by that.

The record is written before a client can write: a daemon's clients when it has opened a layer, not
yet exported or put on top; this server's own when it begins. Fencing shuts out who is recorded,
not who is seen then, among whom may be the host that has taken over.
"""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mooring.engine.qemu.stores.rbd.client import CephClient
from mooring.engine.qemu.stores.rbd.names import OBJECT
from mooring.model.errors import EngineError, FencedError

_DISK, _HOST = "o/", "h/"


@dataclass
class Owner:
    """The host that uses a disk, and its clients by the image that they have open."""

    host: str
    name: str = ""
    clients: dict[str, list[str]] = field(default_factory=dict)

    @property
    def addresses(self) -> list[str]:
        """All its clients."""
        return sorted({one for several in self.clients.values() for one in several})


class Owners:
    """What is recorded in the cluster, and what of it is this host's."""

    def __init__(self, client: CephClient, host: str, name: str) -> None:
        """`host` is this host's id, which no other has, and `name` what people call it."""
        self._client = client
        client.started = self.begin_host
        self._host, self._name = host, name
        self._lock = threading.Lock()
        self._mine: dict[str, Owner] = {}
        self._gone: set[str] = set()
        self._address = ""

    # --- this host

    def begin_host(self) -> None:
        """Record by which client this server speaks to the cluster. Raises EngineError."""
        self._address = str(self._client.ask("hello")["address"])
        known = self._get(_HOST + self._host)
        # That of before belongs to a process that has ended, or is about to.
        before = [one for one in known.get("clients", []) if one != self._address]
        if before:
            self._client.ask("blocklist", addresses=before)
        clients = [self._address]
        fenced = bool(known.get("fenced", False))
        self._set({_HOST + self._host: {"name": self._name, "clients": clients, "fenced": fenced}})

    def come_back(self) -> None:
        """Forget that this host was fenced: its daemons have ended."""
        known = self._get(_HOST + self._host)
        self._set({_HOST + self._host: {**known, "fenced": False}})

    def was_fenced(self) -> bool:
        """Whether this host was fenced and has not come back yet."""
        return bool(self._get(_HOST + self._host).get("fenced", False))

    def begin(self, disk_id: str) -> None:
        """Before a daemon opens a disk, which none of this host has open.

        What an earlier daemon of this host may still have under way is shut out. Raises EngineError
        if another host has the disk.
        """
        if self.was_fenced():
            raise FencedError(
                "this host was fenced, and its disks may be in use elsewhere: start the server anew"
            )
        owner = self._not_elsewhere(disk_id)
        if owner is not None and owner.addresses:
            self._client.ask("blocklist", addresses=owner.addresses)
        with self._lock:
            self._mine[disk_id] = Owner(self._host, self._name)
        self._set({_DISK + disk_id: {"host": self._host, "name": self._name, "clients": {}}})

    def opened(self, disk_id: str, image: str) -> None:
        """Record who has opened a layer of the disk: a daemon of this host."""
        found = [one for one in self._watchers(image) if one != self._address]
        with self._lock:
            owner = self._mine.get(disk_id)
        if owner is None:
            # Taken over from a server before this one.
            owner = self._owner(disk_id) or Owner(self._host, self._name)
        with self._lock:
            self._mine[disk_id] = owner
            owner.clients[image] = found
            for one in self._gone & set(owner.clients):
                del owner.clients[one]
            fields = {"host": owner.host, "name": owner.name, "clients": dict(owner.clients)}
        self._set({_DISK + disk_id: fields})

    def end(self, disk_id: str) -> None:
        """No daemon of this host has the disk open any more."""
        with self._lock:
            self._mine.pop(disk_id, None)
        owner = self._owner(disk_id)
        if owner is None or owner.host != self._host:
            return
        self._client.ask("apply", table=OBJECT, put={}, drop=[_DISK + disk_id])

    def gone(self, image: str) -> None:
        """An image is being removed: nobody has it open."""
        with self._lock:
            self._gone.add(image)
            while len(self._gone) > 1000:
                self._gone.pop()

    def strangers(self, path: Path, image: str) -> list[str]:
        """The clients that have an image open, and are not known to be of this host.

        Raises EngineError if another host has the disk.
        """
        disk_id = next((part for part in reversed(path.parts) if len(part) == 36), "")
        owner = self._not_elsewhere(disk_id)
        known = {self._address, *(owner.addresses if owner is not None else ())}
        return [one for one in self._watchers(image) if one not in known]

    # --- any host

    def owner(self, disk_id: str) -> Owner | None:
        """Who uses a disk; None if nobody does."""
        return self._owner(disk_id)

    def fence(self, host: str) -> list[str]:
        """Shut out all clients of a host that is lost; its disks are nobody's then.

        Returns the disks; none of a host that was never here. May be done again. Raises
        EngineError.
        """
        found = self._id_of(host)
        if found is None:
            return []
        host = found
        if host == self._host:
            raise EngineError(f"{self._name} is this host: stop it, or detach its disks")
        records: dict[str, str] = self._client.ask("keys", table=OBJECT, prefix=_DISK)["found"]
        owned = {key: _read(value) for key, value in records.items()}
        disks = {key: owner for key, owner in owned.items() if owner.host == host}
        own = self._get(_HOST + host)
        addresses = {one for owner in disks.values() for one in owner.addresses}
        addresses.update(own.get("clients", []))
        # First it has to hear of it: what it has under way may end with an error.
        self._set({_HOST + host: {**own, "fenced": True}})
        self._client.ask("blocklist", addresses=sorted(addresses))
        self._client.ask("apply", table=OBJECT, put={}, drop=sorted(disks))
        return [key[len(_DISK) :] for key in sorted(disks)]

    # ---

    def _not_elsewhere(self, disk_id: str) -> Owner | None:
        owner = self._owner(disk_id)
        if owner is not None and owner.host != self._host:
            raise EngineError(
                f"disk {disk_id} is in use on the host {owner.name}: detach it there, or, if that "
                f"host is lost, run `mooringd fence {owner.name}`"
            )
        return owner

    def _id_of(self, host: str) -> str | None:
        """The id of a host that is called so, or has that id."""
        found: dict[str, str] = self._client.ask("keys", table=OBJECT, prefix=_HOST)["found"]
        names = {key[len(_HOST) :]: json.loads(value)["name"] for key, value in found.items()}
        if host in names:
            return host
        called = [one for one, name in names.items() if name == host]
        if len(called) > 1:
            raise EngineError(
                f"several hosts of {self._client.place} are called {host}: name one by its id, "
                f"{', '.join(sorted(called))}"
            )
        return called[0] if called else None

    def _watchers(self, image: str) -> list[str]:
        found: list[str] = self._client.ask("watchers", image=image)["found"]
        return found

    def _owner(self, disk_id: str) -> Owner | None:
        fields = self._get(_DISK + disk_id)
        return Owner(fields["host"], fields["name"], fields["clients"]) if fields else None

    def _get(self, key: str) -> dict[str, Any]:
        found = self._client.ask("get", table=OBJECT, wanted=[key])["found"]
        fields: dict[str, Any] = json.loads(found[key]) if key in found else {}
        return fields

    def _set(self, fields: dict[str, dict[str, Any]]) -> None:
        values = {key: json.dumps(value) for key, value in fields.items()}
        self._client.ask("apply", table=OBJECT, put=values, drop=[])


def _read(value: str) -> Owner:
    fields = json.loads(value)
    return Owner(fields["host"], fields["name"], fields["clients"])
