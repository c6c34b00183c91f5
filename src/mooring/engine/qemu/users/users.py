"""The processes that use the disks of one storage daemon, and which ones."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from mooring.engine.interface import Client
from mooring.engine.qemu.daemon.process import CLIENTS_FILE, LOG_FILE
from mooring.engine.qemu.users.negotiations import Trace
from mooring.engine.qemu.users.sockets import Link, Peer, Sockets, command_of
from mooring.files import write_whole


@dataclass(frozen=True, slots=True)
class Use:
    """A connection; `name` is that of its export, None if that cannot be known."""

    link: Link
    name: str | None


class Users:
    """What is known of the connections of one daemon. May be used from any thread."""

    def __init__(self, folder: Path, sockets: Sockets) -> None:
        self._file = folder / CLIENTS_FILE
        self._sockets = sockets
        self._lock = threading.Lock()
        offset, self._names, self._mixed = _read(self._file)
        self._known_at = dict.fromkeys(self._names, offset)
        """Up to where the trace was read when a connection got its name, by inode."""
        self._trace = Trace(folder / LOG_FILE, offset)
        self._kept = ""

    def look(self, *, only: str | None = None, settled: bool = False) -> tuple[list[Use], bool]:
        """All connections, oldest first, and whether each one's disk is known by now.

        `settled` says that those whose disk is still unknown will not tell it any more; they use
        `only`, if the daemon has no other export. Raises OSError as `Sockets.links`.
        """
        with self._lock:
            # The trace has the beginning of every negotiation whose connection is in the first
            # list, and nothing of one whose connection, if it still is there, lacks in the second.
            before = self._sockets.links()
            self._trace.read()
            links = self._sockets.links()
            names = {inode: name for inode, name in self._names.items() if inode in links}
            self._unmix(names)
            nameless = [link for inode, link in links.items() if inode not in names]
            found: Mapping[int, str] | None = {}
            if nameless:
                all_traced = all(link.inode in before for link in nameless)
                found = self._trace.name(nameless) if all_traced else None
            if found is None and settled:
                found = {}
            if found is not None:
                names |= {link.inode: found.get(link.inode, only) for link in nameless}
                if found and self._trace.mixed:
                    self._mixed.append(set(found))
                self._trace.forget()
                self._date(names)
            self._names = names
            self._keep()
            ages = {inode: age for age, inode in enumerate(names)}
            oldest = sorted(links.values(), key=lambda link: ages.get(link.inode, len(ages)))
            uses = [Use(link, names.get(link.inode)) for link in oldest]
            return uses, found is not None

    def settled(self) -> bool:
        """Whether each connection's disk is known. Raises OSError as `Sockets.links`."""
        return self._trace.nothing_new() or self.look()[1]

    def latecomers(self, since: int) -> list[Link]:
        """Connections whose negotiation had not ended at that place in the daemon's log.

        Raises OSError as `Sockets.links`.
        """
        uses, _ = self.look()
        with self._lock:
            if since > self._trace.read_to:
                since = 0  # the log was started again
            known_at = self._known_at
            return [use.link for use in uses if known_at.get(use.link.inode, since + 1) > since]

    def cut(self, links: Iterable[Link]) -> None:
        """End connections. Raises OSError."""
        with self._lock:
            for link in links:
                self._sockets.cut(link)

    def _date(self, names: Mapping[int, str | None]) -> None:
        """Note when the connections became known; all did before where the log begins anew."""
        now = self._trace.understood
        dated = self._known_at if now else dict.fromkeys(self._known_at, 0)
        self._known_at = {inode: dated.get(inode, now or 1) for inode in names}

    def _unmix(self, names: dict[int, str | None]) -> None:
        """When one of several that were mixed up is gone, nobody knows which are left."""
        for inodes in list(self._mixed):
            if not inodes <= names.keys():
                names |= dict.fromkeys(inodes & names.keys())
                self._mixed.remove(inodes)

    def _keep(self) -> None:
        mixed = [sorted(inodes) for inodes in self._mixed]
        known = {"offset": self._trace.understood, "names": self._names, "mixed": mixed}
        text = json.dumps(known)
        if text == self._kept:
            return
        self._kept = text
        # Without the file the next server knows less, and nothing worse happens.
        with contextlib.suppress(OSError):
            write_whole(self._file, text, durable=False)


def clients(uses: Iterable[Use], name: str) -> list[Client]:
    """The processes that use the export of that name, in the order in which they came."""
    counted: dict[Peer, int] = {}
    for use in uses:
        if use.name == name:
            counted[use.link.peer] = counted.get(use.link.peer, 0) + 1
    return [client(peer, number) for peer, number in counted.items()]


def client(peer: Peer, connections: int = 1) -> Client:
    """A peer as others know it."""
    if peer.remote is not None:
        return Client(peer.pid, None, connections, str(peer.remote))
    return Client(peer.pid, command_of(peer), connections)


def _read(path: Path) -> tuple[int, dict[int, str | None], list[set[int]]]:
    try:
        found = json.loads(path.read_text())
        names = {int(inode): name for inode, name in found["names"].items()}
        return int(found["offset"]), names, [set(one) for one in found.get("mixed", ())]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return 0, {}, []
