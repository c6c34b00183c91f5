"""Keeps a disk to one process: a second one that connects is cut off.

QEMU lets anybody who reaches an instance's socket use its disks, two machines the same disk as
well, and their file systems are soon destroyed. So a thread is woken by each new connection (by
the line that the daemon traces of it), finds out whose it is and which disk it uses, and ends it if
another process uses that disk already. This takes about a millisecond, which is before the first
write of a machine that starts, but it is no fence: a program that writes at once may get its first
requests through.

A client on another host has a process of the relay, which refuses a second one by itself; only what
a process of this host uses, the guard has to tell the relay.

Clients come again by themselves, a millisecond each time. So the socket has no name as long as
whoever was cut off lives and the disk is in use; nobody can connect to the instance meanwhile.
"""

from __future__ import annotations

import contextlib
import os
import select
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import structlog

from mooring.engine.interface import Clients, MayShare
from mooring.engine.qemu.daemon import process
from mooring.engine.qemu.daemon.latecomers import Cut
from mooring.engine.qemu.instances import Instance
from mooring.engine.qemu.users.changes import Changes
from mooring.engine.qemu.users.sockets import Peer, Sockets
from mooring.engine.qemu.users.users import Use, Users, client, clients
from mooring.host.processes.lasting_process import LastingProcess
from mooring.host.processes.process_stat import started_at
from mooring.model.clock import Clock
from mooring.observe.loop import Loop
from mooring.relay import marks

log = structlog.get_logger("mooring.engine")

_FIRST_PAUSE = 0.001
_LONGEST_PAUSE = 0.05
_KEPT_OFF_PAUSE = 0.1
_KEEPING_OFF = "guard"
_UNSEEN_SECONDS = 5.0
"""How long a process is kept off of which cannot be seen whether it lives."""

_SETTLED_SECONDS = 1.0
"""After this time a connection whose disk is not known will not tell it any more."""


@dataclass(frozen=True, slots=True)
class _KeptOff:
    """Why a process is kept off: the name of the export, and who uses that; since when."""

    name: str
    user: Peer
    since: float


@dataclass(eq=False)
class _Watched:
    """A running daemon: its connections, and when to look at them again."""

    instance: Instance
    process: LastingProcess
    users: Users
    watch: int
    refused: dict[str, str] = field(default_factory=dict)
    """Who was cut off last, by the name of the export."""
    since: float | None = None
    """Since when connections are there whose disk is not known yet."""
    pause: float = _FIRST_PAUSE
    due: float | None = None
    kept_off: dict[Peer, _KeptOff] = field(default_factory=dict)
    """The processes for whose sake the socket has no name."""
    closed_outside: dict[str, Peer] = field(default_factory=dict)
    """By the name of an export, who uses it, for which the relay refuses it to other hosts."""


class Guard:
    """The thread, and what it knows."""

    def __init__(
        self,
        instances: Callable[[], list[Instance]],
        instance_in: Callable[[Path], Instance | None],
        clock: Clock,
        may_share: MayShare,
    ) -> None:
        self._instances = instances
        self._instance_in = instance_in
        self._clock = clock
        self._may_share = may_share
        self._lock = threading.Lock()
        self._watched: dict[str, _Watched] = {}
        self._blind: dict[str, str] = {}
        self._changes = Changes()
        self._waking = threading.Lock()
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._closed = False
        self._loop = Loop("guard-of-disks", self._round, wake=self.wake)
        self._loop.start()

    def wake(self) -> None:
        """Look again at which daemons there are."""
        # Once it is closed the number may be another file's.
        with self._waking:
            if self._wake >= 0:
                os.eventfd_write(self._wake, 1)

    def close(self) -> None:
        """Stop looking. Whoever is connected stays so."""
        if self._closed:
            return
        self._closed = True
        self._loop.stop()
        with self._lock:
            for instance_id in list(self._watched):
                self._drop(instance_id)
            self._changes.close()
        with self._waking:
            os.close(self._wake)
            self._wake = -1

    def clients(self, instance: Instance, name: str) -> Clients:
        """The processes connected to the instance's export of that name."""
        watched = self._watch(instance)
        if watched is None:
            return Clients()
        try:
            uses, _ = watched.users.look()
        except OSError:
            uses = []
        refused = watched.refused.get(name) or marks.noted(instance.folder, marks.REFUSED).get(name)
        return Clients(clients(uses, name), refused or "")

    def negotiating(self, folder: Path) -> bool:
        """Whether anybody negotiates with the daemon in that folder, as far as that is known."""
        watched = self._watched_in(folder)
        try:
            return watched is not None and not watched.users.settled()
        except OSError:
            return False

    def latecomers(self, folder: Path, since: int) -> Sequence[Cut] | None:
        """Connections whose negotiation ended later than that place in the daemon's log.

        None if nobody can tell.
        """
        watched = self._watched_in(folder)
        if watched is None:
            return None
        try:
            links = watched.users.latecomers(since)
        except OSError:
            return None
        return [partial(watched.users.cut, [link]) for link in links]

    def in_a_rush(self, folder: Path) -> bool:
        """Whether clients of that daemon are coming again, because they had lost it."""
        instance = self._instance_in(folder)
        return instance is not None and instance.door.in_a_rush()

    def _watched_in(self, folder: Path) -> _Watched | None:
        """What is known of the daemon there, which may have been started just now."""
        instance = self._instance_in(folder)
        return None if instance is None else self._watch(instance)

    # ---

    def _round(self) -> None:
        self._follow()
        now = self._clock.monotonic()
        dues = [one.due for one in self._watched.values() if one.due is not None]
        poll = select.poll()
        poll.register(self._wake, select.POLLIN)
        poll.register(self._changes.fd, select.POLLIN)
        poll.poll(max(0.0, min(dues) - now) * 1000 if dues else None)
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(self._wake)
        changed = self._changes.read()
        now = self._clock.monotonic()
        # Noted first: what one of them raises shall not make the others forgotten.
        all_watched = list(self._watched.values())
        for watched in all_watched:
            if watched.watch in changed:
                watched.due = now
        for watched in all_watched:
            if watched.due is not None and watched.due <= now:
                self._check(watched, now)

    def _follow(self) -> None:
        """Watch the daemons that run now, and no others."""
        instances = self._instances()
        for instance in instances:
            self._watch(instance)
        with self._lock:
            for gone in self._watched.keys() - {one.instance_id for one in instances}:
                self._drop(gone)

    def _watch(self, instance: Instance) -> _Watched | None:
        with self._lock:
            if self._closed:
                return None
            known = self._watched.get(instance.instance_id)
            pid = instance.pid()
            if known is not None:
                if known.process.pid == pid and known.process.alive():
                    return known
                self._drop(instance.instance_id)
            running = process.find(instance.folder) if pid is not None else None
            if running is None:
                return None
            watched = self._open(instance, running)
            if watched is None:
                running.close()
                return None
            self._watched[instance.instance_id] = watched
        self.wake()
        return watched

    def _open(self, instance: Instance, running: LastingProcess) -> _Watched | None:
        sockets = Sockets(running.pid, running.pidfd, process.bound_at(instance.folder))
        try:
            sockets.links()
            watch = self._changes.watch(instance.folder / process.LOG_FILE)
        except OSError as error:
            self._note_blind(instance, error)
            return None
        users = Users(instance.folder, sockets)
        # What an earlier guard noted may be over; this one sees it again if not.
        marks.note(instance.folder, marks.KEPT_OFF, {})
        return _Watched(instance, running, users, watch, due=self._clock.monotonic())

    def _drop(self, instance_id: str) -> None:
        watched = self._watched.pop(instance_id, None)
        if watched is not None:
            self._changes.forget(watched.watch)
            watched.process.close()
            if not self._closed:
                watched.instance.door.open(_KEEPING_OFF)
                marks.note(watched.instance.folder, marks.KEPT_OFF, {})

    def _check(self, watched: _Watched, now: float) -> None:
        settled = watched.since is not None and now - watched.since > _SETTLED_SECONDS
        try:
            names = [export.name for export in watched.instance.exports.values()]
            only = names[0] if len(names) == 1 else None
            uses, known = watched.users.look(only=only, settled=settled)
            self._judge(watched, uses, now)
            self._let_in(watched, uses, now)
        except OSError as error:
            if not isinstance(error, ProcessLookupError):
                self._note_blind(watched.instance, error)
            known = True
        if known:
            watched.since, watched.pause = None, _FIRST_PAUSE
            waits = watched.kept_off or watched.closed_outside
            watched.due = now + _KEPT_OFF_PAUSE if waits else None
        else:
            watched.since = watched.since or now
            watched.due = now + watched.pause
            watched.pause = min(watched.pause * 2, _LONGEST_PAUSE)

    def _judge(self, watched: _Watched, uses: Sequence[Use], now: float) -> None:
        instance = watched.instance
        for disk_id, export in list(instance.exports.items()):
            links = [use.link for use in uses if use.name == export.name]
            if not links or all(link.peer == links[0].peer for link in links):
                continue
            if self._may_share(disk_id):
                continue
            for peer in dict.fromkeys(link.peer for link in links):
                if peer == links[0].peer:
                    continue
                self._keep_off(watched, peer, _KeptOff(export.name, links[0].peer, now))
                watched.users.cut(link for link in links if link.peer == peer)
                text = f"{told(peer)} was cut off: {told(links[0].peer)} uses the disk"
                watched.refused[export.name] = text
                log.warning("a second process was cut off", disk=disk_id, why=text)

    def _keep_off(self, watched: _Watched, peer: Peer, why: _KeptOff) -> None:
        if peer.remote is None:
            watched.kept_off[peer] = why
            watched.instance.door.close(_KEEPING_OFF)
        else:
            # It comes again by another process, and other disks are none of its business.
            watched.closed_outside[why.name] = why.user
            self._tell_relay(watched)

    def _tell_relay(self, watched: _Watched) -> None:
        closed = {name: told(user) for name, user in watched.closed_outside.items()}
        marks.note(watched.instance.folder, marks.KEPT_OFF, closed)

    def _let_in(self, watched: _Watched, uses: Sequence[Use], now: float) -> None:
        """Name the socket again when nobody has to be kept off any more."""
        if not watched.kept_off and not watched.closed_outside:
            return
        using = {(use.name, use.link.peer) for use in uses}
        for name, user in list(watched.closed_outside.items()):
            if (name, user) not in using:
                del watched.closed_outside[name]
                self._tell_relay(watched)
        if not watched.kept_off:
            return
        for peer, kept in list(watched.kept_off.items()):
            seen = peer.pid > 0 and started_at(peer.pid) == peer.started
            lives = seen or (not peer.pid and now - kept.since < _UNSEEN_SECONDS)
            if not lives or (kept.name, kept.user) not in using:
                del watched.kept_off[peer]
        if not watched.kept_off:
            watched.instance.door.open(_KEEPING_OFF)

    def _note_blind(self, instance: Instance, error: OSError) -> None:
        if self._blind.get(instance.instance_id) != str(error):
            self._blind[instance.instance_id] = str(error)
            log.warning(
                "nobody watches who uses the disks of an instance",
                instance=instance.instance_id,
                why=str(error),
            )


def told(peer: Peer) -> str:
    """A process in words."""
    return str(client(peer))
