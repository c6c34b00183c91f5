"""Records what an engine writes, and rebuilds the disk as a power cut leaves it."""

from __future__ import annotations

import contextlib
import ctypes
import os
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from mooring import files
from mooring.engine.qemu.daemon.connection import Connection
from mooring.engine.qemu.layers import qcow2
from mooring.engine.qemu.layers.disk_layers import DiskLayers
from mooring.engine.qemu.layers.layer import BASE_NAME, Layer
from mooring.engine.qemu.merging import copying
from mooring.engine.qemu.stores import directory
from mooring.host import allocation
from mooring.host.many_requests import WRITE, ManyRequests, Requests
from tests.engine.write_log import SECTOR, LoggedWrite, entry_count, read_log

_HEADER_BYTES = 4096

Positions = Mapping[Path, int]
"""How many entries each log had."""


@dataclass(frozen=True, slots=True)
class Event:
    """Something done outside of the daemons, or noted, when the logs stood at `positions`.

    `kind` is "made" (`data` is the file's content), "written" (`data` at `offset`), "synced" (what
    the file's logs had at `durable` is so now, as is what was written before, and then `data`, its
    first sectors), "removed" or "noted".
    """

    kind: str
    positions: Positions
    name: str = ""
    data: bytes = b""
    durable: Positions = field(default_factory=dict)
    note: object = None
    length: int = 0
    """Of a file that was made durable: its size, which the logs do not tell."""
    offset: int = 0


@dataclass(frozen=True, slots=True)
class Step:
    """One change of a file; after a `barrier` all before it is durable."""

    offset: int
    data: bytes
    barrier: bool
    durable: bool


@dataclass
class Recorder:
    """Puts a log under each layer that a daemon opens, and notes what the engine does itself.

    Events are noted while the daemons stand still, so that each has its place between the
    entries of all logs: a power cut right then leaves what was durable, and any part of the rest.
    """

    folder: Path
    patch: pytest.MonkeyPatch
    pids: Callable[[], list[int]]
    events: list[Event] = field(default_factory=list)
    logs: dict[str, list[Path]] = field(default_factory=dict)
    entries: dict[Path, list[LoggedWrite]] = field(default_factory=dict)
    _lock: threading.RLock = field(default_factory=threading.RLock)
    _opened: int = 0
    _nodes: dict[str, str] = field(default_factory=dict)

    def start(self) -> None:
        self._log_daemons()
        self._log_engine()

    def note(self, note: object) -> None:
        """Remember something together with the place in the logs."""
        self._event("noted", note=note)

    def _positions(self) -> Positions:
        with self._standstill():
            return {log: entry_count(log) for logs in self.logs.values() for log in logs}

    @contextlib.contextmanager
    def _standstill(self) -> Iterator[None]:
        with self._lock:
            pids = self.pids()
            try:
                for pid in pids:
                    stop(pid)
                yield
            finally:
                for pid in pids:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGCONT)

    def _event(
        self,
        kind: str,
        name: str = "",
        data: bytes = b"",
        durable: Positions | None = None,
        note: object = None,
        length: int = 0,
        offset: int = 0,
    ) -> None:
        with self._lock:
            positions = self._positions()
            event = Event(kind, positions, name, data, durable or {}, note, length, offset)
            self.events.append(event)

    def _log_daemons(self) -> None:
        call = Connection.call

        def logged(
            connection: Connection,
            command: str,
            arguments: dict[str, Any] | None = None,
            timeout: float | None = None,
        ) -> Any:
            if command == "blockdev-add" and arguments and arguments["driver"] in ("raw", "qcow2"):
                node = self._put_log_under(connection, call, arguments["file"])
                self._nodes[arguments["node-name"]] = node
                arguments = {**arguments, "file": node}
            elif command == "blockdev-reopen" and arguments:
                (options,) = arguments["options"]
                options = {**options, "file": self._nodes[options["node-name"]]}
                arguments = {"options": [options]}
            return call(connection, command, arguments, timeout)

        self.patch.setattr(Connection, "call", logged)

    def _put_log_under(self, connection: Connection, call: Any, file: dict[str, Any]) -> str:
        with self._lock:
            self._opened += 1
            number = self._opened
            log = self.folder / f"{number}.log"
            log.touch()
            self.logs.setdefault(Path(file["filename"]).name, []).append(log)
        # Nodes of their own, because blklogwrites cannot be reopened, as merges would want.
        call(connection, "blockdev-add", {**file, "node-name": f"file-{number}"})
        options = {
            "driver": "blklogwrites",
            "node-name": f"log-{number}",
            "file": f"file-{number}",
            "log": {"driver": "file", "filename": str(log)},
            "log-sector-size": SECTOR,
            "log-super-update-interval": 1,
        }
        call(connection, "blockdev-add", options)
        return f"log-{number}"

    def _log_engine(self) -> None:
        add, remove_top, remove = (
            DiskLayers.add_overlay, DiskLayers.remove_top, DiskLayers.remove,
        )  # fmt: skip
        lay_on, sync_data, make_base = qcow2.lay_on, files.sync_data, DiskLayers.make_base

        def recorded_make(disk: DiskLayers, size: int) -> None:
            make_base(disk, size)
            self._event("made", BASE_NAME, bytes(size))

        def recorded_add(disk: DiskLayers, point: str, size: int | None = None) -> Layer:
            layer = add(disk, point, size)
            self._event("made", layer.path.name, layer.path.read_bytes())
            return layer

        def recorded_lay_on(layer: Layer, backing: str) -> None:
            if qcow2.lies_on(layer) != backing:
                before = self._positions()
                lay_on(layer, backing)
                header = layer.path.read_bytes()[:_HEADER_BYTES]
                self._event("synced", layer.path.name, header, before)

        def recorded_sync(path: Path) -> None:
            before = self._positions()
            length = path.stat().st_size
            sync_data(path)
            self._event("synced", path.name, durable=before, length=length)

        def recorded_remove_top(disk: DiskLayers, layer: Layer) -> None:
            remove_top(disk, layer)
            self._event("removed", layer.path.name)

        def recorded_remove(disk: DiskLayers, merged: list[Layer]) -> contextlib.ExitStack:
            freed = remove(disk, merged)
            for layer in merged:
                self._event("removed", layer.path.name)
            return freed

        run, punch = ManyRequests.run, allocation.punch

        def recorded_run(many: ManyRequests, wanted: Sequence[Requests]) -> None:
            run(many, wanted)
            for several in wanted:
                for one in several[several["kind"] == WRITE]:
                    data = ctypes.string_at(int(one["memory"]), int(one["length"]))
                    self._written(int(one["file"]), data, int(one["offset"]))

        def recorded_punch(file: int, offset: int, length: int) -> bool:
            done = punch(file, offset, length)
            self._written(file, bytes(length), offset)
            return done

        self.patch.setattr(ManyRequests, "run", recorded_run)
        self.patch.setattr(copying, "punch", recorded_punch)
        self.patch.setattr(copying, "sync_data", recorded_sync)
        self.patch.setattr(DiskLayers, "make_base", recorded_make)
        self.patch.setattr(DiskLayers, "add_overlay", recorded_add)
        self.patch.setattr(DiskLayers, "remove_top", recorded_remove_top)
        self.patch.setattr(DiskLayers, "remove", recorded_remove)
        self.patch.setattr(qcow2, "lay_on", recorded_lay_on)
        self.patch.setattr(directory, "sync_data", recorded_sync)

    def _written(self, file: int, data: bytes, offset: int) -> None:
        name = Path(f"/proc/self/fd/{file}").readlink().name
        self._event("written", name, data, offset=offset)

    # --- afterwards

    def finish(self) -> None:
        """Read the logs; the daemons must have ended."""
        self.patch.undo()
        self.entries = {log: read_log(log) for logs in self.logs.values() for log in logs}

    def flush_points(self, number: int) -> Iterator[Positions]:
        """Where the logs stood at each flush between this event and the next, and at this."""
        here = self.events[number].positions
        yield here
        if number + 1 == len(self.events):
            return
        there = self.events[number + 1].positions
        for log in there:
            for place in range(here.get(log, 0), there[log]):
                if self.entries[log][place].flush:
                    yield {**here, log: place + 1}

    def rebuild(
        self, folder: Path, number: int, positions: Positions, lot: random.Random | None
    ) -> None:
        """Write the files as a cut at `positions`, after that event, leaves them.

        Of what was not durable then nothing is left, or with `lot` a part chosen by it.
        """
        past = self.events[: number + 1]
        gone = {event.name for event in past if event.kind == "removed"}
        for made in past:
            # A file that was removed may still be there, since nothing made that durable.
            if made.kind == "made" and (made.name not in gone or (lot and lot.random() < 0.5)):
                content = bytearray(made.data)
                for step in survivors(self._steps(made.name, past, positions), lot):
                    if len(content) < step.offset + len(step.data):
                        content.extend(bytes(step.offset + len(step.data) - len(content)))
                    content[step.offset : step.offset + len(step.data)] = step.data
                (folder / made.name).write_bytes(content)

    def _steps(self, name: str, past: list[Event], positions: Positions) -> list[Step]:
        steps: list[Step] = []
        done: dict[Path, int] = {}

        def advance(to: Positions) -> None:
            for log in self.logs.get(name, ()):
                first, last = done.get(log, 0), to.get(log, 0)
                for entry in self.entries[log][first:last]:
                    steps.append(Step(entry.offset, entry.data, entry.flush, entry.durable))
                done[log] = max(first, last)

        for event in past:
            if event.name == name and event.kind == "written":
                advance(event.positions)
                steps.append(Step(event.offset, event.data, barrier=False, durable=False))
            if event.name == name and event.kind == "synced":
                advance(event.durable)
                steps.append(Step(event.length, b"", True, True))
                steps.append(Step(0, event.data, True, True))
        advance(positions)
        return steps


def stop(pid: int) -> None:
    """Halt a process, and wait until it stands still."""
    with contextlib.suppress(ProcessLookupError, FileNotFoundError):
        os.kill(pid, signal.SIGSTOP)
        while Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "TtZX":
            time.sleep(0.0001)


def survivors(steps: list[Step], lot: random.Random | None) -> list[Step]:
    """What of the steps a power cut leaves."""
    barriers = [place for place, step in enumerate(steps) if step.barrier]
    last = barriers[-1] + 1 if barriers else 0
    # A barrier that is itself a change is durable with it.
    return [
        step
        for place, step in enumerate(steps)
        if place < last or step.durable or (lot is not None and lot.random() < 0.5)
    ]
