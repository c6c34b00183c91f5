"""Which host uses a disk, by which clients of the cluster.

Fencing goes by that.

The record is written before a client can write: a daemon's clients when it has opened a layer, not
yet exported or put on top; this server's own when it begins. Fencing shuts out who is recorded,
not who is seen then, among whom may be the host that has taken over.

A record is only changed as long as it says what it said before: of two hosts that begin with a
disk one is refused, and nobody takes away the record of a host that has just taken over.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from mooring.engine.qemu.stores.rbd.client import CephClient, OutdatedError
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
        self._gone: set[str] = set()
        self._address = ""

    # --- this host

    def begin_host(self) -> None:
        """Record by which client this server speaks to the cluster.

        Raises EngineError; FencedError if this host was fenced since the server began: another
        process would be a client that nobody has shut out.
        """
        address = str(self._client.ask("hello")["address"])

        def change(known: dict[str, Any]) -> dict[str, Any]:
            if self._address and known.get("fenced"):
                raise _fenced()
            # That of before belongs to a process that has ended, or is about to.
            before = [one for one in known.get("clients", []) if one != address]
            if before:
                self._client.ask("blocklist", addresses=before)
            fenced = bool(known.get("fenced", False))
            return {"name": self._name, "clients": [address], "fenced": fenced}

        self._change(_HOST + self._host, change)
        self._address = address

    def come_back(self) -> None:
        """Forget that this host was fenced: its daemons have ended."""
        self._change(_HOST + self._host, lambda known: {**known, "fenced": False})

    def was_fenced(self) -> bool:
        """Whether this host was fenced and has not come back yet."""
        return self.is_fenced(self._host)

    def begin(self, disk_id: str) -> None:
        """Before a daemon opens a disk, which none of this host has open.

        What an earlier daemon of this host may still have under way is shut out. Raises EngineError
        if another host has the disk.
        """
        if self.was_fenced():
            raise _fenced()

        def change(known: dict[str, Any]) -> dict[str, Any]:
            owner = self._mine(disk_id, known)
            if owner is not None and owner.addresses:
                self._client.ask("blocklist", addresses=owner.addresses)
            return asdict(Owner(self._host, self._name))

        self._change(_DISK + disk_id, change)

    def users(self, image: str) -> list[str]:
        """The clients that have an image open, this server's apart."""
        return [one for one in self._watchers(image) if one != self._address]

    def opened(self, disk_id: str, image: str, besides: Collection[str] = ()) -> None:
        """Record who has opened a layer of the disk: a daemon of this host.

        `besides` had it open before, for another disk that has the layer, too: they are not shut
        out with this one. Raises EngineError if this host has the disk no more.
        """
        found = [one for one in self.users(image) if one not in besides]

        def change(known: dict[str, Any]) -> dict[str, Any]:
            owner = self._mine(disk_id, known)
            if owner is None:
                raise _fenced()  # which has taken the record away
            with self._lock:
                gone = self._gone & set(owner.clients)
            clients = {one: by for one, by in owner.clients.items() if one not in gone}
            return asdict(Owner(owner.host, owner.name, {**clients, image: found}))

        self._change(_DISK + disk_id, change)

    def end(self, disk_id: str) -> None:
        """No daemon of this host has the disk open any more."""
        key = _DISK + disk_id
        text = self._text(key)
        if text and _owner(text).host == self._host:
            # Otherwise it was taken away just now.
            with suppress(OutdatedError):
                self._take_away({key: text})

    def let_go(self, kept: Collection[str]) -> None:
        """No daemon of this host has any other disk open than these.

        What those that have ended may still have under way is shut out.
        """
        left = {
            key: text
            for key, text in self._of(self._host).items()
            if key.removeprefix(_DISK) not in kept
        }
        addresses = {one for text in left.values() for one in _owner(text).addresses}
        if addresses:
            self._client.ask("blocklist", addresses=sorted(addresses))
        for key, text in left.items():
            with suppress(OutdatedError):
                self._take_away({key: text})

    def gone(self, image: str) -> None:
        """An image was removed: nobody has it open."""
        with self._lock:
            self._gone.add(image)
            while len(self._gone) > 1000:
                self._gone.pop()

    def strangers(self, path: Path, image: str) -> list[str]:
        """The clients that have an image open, and are not known to be of this host.

        Raises EngineError if another host has the disk.
        """
        disk_id = next((part for part in reversed(path.parts) if len(part) == 36), "")
        owner = self._mine(disk_id, _fields(self._text(_DISK + disk_id)))
        known = {self._address, *(owner.addresses if owner is not None else ())}
        return [one for one in self._watchers(image) if one not in known]

    # --- any host

    def owner(self, disk_id: str) -> Owner | None:
        """Who uses a disk; None if nobody does."""
        text = self._text(_DISK + disk_id)
        return _owner(text) if text else None

    def is_fenced(self, host: str) -> bool:
        """Whether a host, by its id, was fenced and has not come back yet."""
        return bool(_fields(self._text(_HOST + host)).get("fenced", False))

    def fence(self, host: str) -> list[str]:
        """Shut out all clients of a host that is lost, by its id; its disks are nobody's then.

        Returns the disks; none of a host that was never here. May be done again. Raises
        EngineError.
        """
        if host == self._host:
            raise EngineError(f"{self._name} is this host: stop it, or detach its disks")
        if not self._text(_HOST + host):
            return []
        # First it has to hear of it: what it has under way may end with an error.
        own = self._change(_HOST + host, lambda known: {**known, "fenced": True})
        due, done = set(own.get("clients", [])), set[str]()
        disks: set[str] = set()
        while True:
            records = self._of(host)
            disks |= set(records)
            due |= {one for text in records.values() for one in _owner(text).addresses}
            if done and due <= done:
                # It has recorded nothing more until its server was shut out, and can no more.
                with suppress(OutdatedError):
                    self._take_away(records)
                    return [key[len(_DISK) :] for key in sorted(disks)]
                continue
            if due - done:
                self._client.ask("blocklist", addresses=sorted(due - done))
            done |= due or {""}

    def id_of(self, host: str) -> str:
        """The id of a host that is called so; the same if it has that id, or nobody is."""
        found: dict[str, str] = self._client.ask("keys", table=OBJECT, prefix=_HOST)["found"]
        names = {key[len(_HOST) :]: json.loads(value)["name"] for key, value in found.items()}
        called = [one for one, name in names.items() if name == host]
        if host in names or not called:
            return host
        if len(called) > 1:
            raise EngineError(
                f"several hosts of {self._client.place} are called {host}: name one by its id, "
                f"{', '.join(sorted(called))}"
            )
        return called[0]

    # ---

    def _mine(self, disk_id: str, known: Mapping[str, Any]) -> Owner | None:
        """What is recorded, if anything is. Raises EngineError if it is another host's."""
        if not known:
            return None
        owner = Owner(known["host"], known["name"], known["clients"])
        if owner.host != self._host:
            raise EngineError(
                f"disk {disk_id} is in use on the host {owner.name}: detach it there, or, if that "
                f"host is lost, run `mooringd fence {owner.name}`"
            )
        return owner

    def _watchers(self, image: str) -> list[str]:
        found: list[str] = self._client.ask("watchers", image=image)["found"]
        return found

    def _of(self, host: str) -> dict[str, str]:
        """The records of the disks that a host uses, by their keys."""
        found: dict[str, str] = self._client.ask("keys", table=OBJECT, prefix=_DISK)["found"]
        return {key: text for key, text in found.items() if _owner(text).host == host}

    def _text(self, key: str) -> str:
        """A record as it is there; empty if there is none."""
        found: dict[str, str] = self._client.ask("get", table=OBJECT, wanted=[key])["found"]
        return found.get(key, "")

    def _change(
        self, key: str, change: Callable[[dict[str, Any]], dict[str, Any]]
    ) -> dict[str, Any]:
        """Replace a record by what `change` makes of it; again if it was changed meanwhile."""
        while True:
            text = self._text(key)
            fields = change(_fields(text))
            with suppress(OutdatedError):
                put = {key: json.dumps(fields)}
                self._client.ask("apply", table=OBJECT, put=put, drop=[], expect={key: text})
                return fields

    def _take_away(self, records: Mapping[str, str]) -> None:
        """Remove these records. Raises OutdatedError, and removes none, if one is another now."""
        if records:
            self._client.ask(
                "apply", table=OBJECT, put={}, drop=sorted(records), expect=dict(records)
            )


def _fields(text: str) -> dict[str, Any]:
    fields: dict[str, Any] = json.loads(text) if text else {}
    return fields


def _owner(text: str) -> Owner:
    fields = _fields(text)
    return Owner(fields["host"], fields["name"], fields["clients"])


def _fenced() -> FencedError:
    return FencedError(
        "this host was fenced, and its disks may be in use elsewhere: start the server anew"
    )
