"""The layers that one storage daemon has open, and what lies on what."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any

from mooring.engine.qemu.daemon.connection import Connection
from mooring.engine.qemu.daemon.nodes import layer_node, shared_node, source_node
from mooring.engine.qemu.daemon.settings import DaemonSettings
from mooring.engine.qemu.holders import outlasting
from mooring.engine.qemu.layers.base_source import BaseSource
from mooring.engine.qemu.layers.layer import BASE_NUMBER, SHARED_NAME, Layer
from mooring.engine.qemu.stores.directory import DIRECTORY
from mooring.engine.qemu.stores.store import LayerStore
from mooring.host.qmp import QmpError
from mooring.model.clock import Clock
from mooring.model.errors import EngineError, MooringError

_RELEASE_PAUSE = 0.005


class OpenLayers:
    """The open layers of one daemon's disks."""

    def __init__(
        self,
        connection: Connection,
        settings: DaemonSettings,
        clock: Clock,
        store: LayerStore = DIRECTORY,
    ) -> None:
        self._connection = connection
        self._settings = settings
        self._clock = clock
        self._store = store

    def add(self, disk_id: str, layers: Sequence[Layer], *, writable: bool = True) -> None:
        """Open the layers, lowest first, each on the one before; the last takes the writes."""
        known = self._nodes()
        if self._open_nodes(disk_id):
            self._add(disk_id, layers, known, writable=writable)
            return
        self._store.begin_use(disk_id)
        try:
            self._add(disk_id, layers, known, writable=writable)
        except (MooringError, OSError):
            with contextlib.suppress(MooringError):
                # Other hosts may use what this one could not open.
                if not self._open_nodes(disk_id):
                    self.ended(disk_id)
            raise

    def _add(
        self, disk_id: str, layers: Sequence[Layer], known: Collection[str], *, writable: bool
    ) -> None:
        below: str | None = None
        for layer in layers:
            if layer.source is not None:
                below = self._open_source(disk_id, layer.source)
                continue
            node = _node(disk_id, layer)
            if node not in known:
                read_only = layer is not layers[-1] or not writable
                self._open(disk_id, layer, below, read_only=read_only)
            below = node

    def add_top(self, disk_id: str, layer: Layer) -> None:
        """Open an overlay that `snapshot` is to put on top."""
        self._open(disk_id, layer, None, read_only=False)

    def _open(self, disk_id: str, layer: Layer, below: str | None, *, read_only: bool) -> None:
        options = self._options(disk_id, layer, below, read_only=read_only)
        problem: QmpError | None = None
        others = self._store.opening(layer.path)

        def holder() -> str | None:
            nonlocal problem
            try:
                self._connection.call("blockdev-add", options)
            except QmpError as error:
                if "lock" not in error.description:
                    raise
                problem = error
                return self._store.in_use_by(layer.path)
            return None

        if (found := outlasting(self._clock, holder)) is not None:
            raise EngineError(f"{problem}{found}") from problem
        # It has written nothing yet: nobody has been told to.
        self._store.opened(disk_id, layer.path, others)

    def _options(
        self, disk_id: str, layer: Layer, below: str | None, *, read_only: bool
    ) -> dict[str, object]:
        is_base = layer.number == BASE_NUMBER
        options: dict[str, object] = {
            "driver": "raw" if is_base else "qcow2",
            "node-name": _node(disk_id, layer),
            "read-only": read_only,
            "file": self._store.node(
                layer.path, aio=self._settings.aio, direct=self._settings.direct
            ),
        }
        if is_base:
            # QEMU below 10 merges zeros as data; this gives their space back.
            options |= {"discard": "unmap", "detect-zeroes": "unmap"}
        else:
            options |= {
                "backing": below,
                "discard": "unmap" if self._may_discard() else "ignore",
            }
        return options

    def _open_source(self, disk_id: str, source: BaseSource) -> str:
        """Open what stands in for a base that is not filled yet; returns its node's name."""
        node = source_node(disk_id)
        if not self.has_source(disk_id):
            options = {
                "driver": "nbd",
                "node-name": node,
                "read-only": True,
                "server": {"type": "unix", "path": source.socket},
                "export": source.export,
                # A server that is started again is found again; until then reads wait.
                "reconnect-delay": self._settings.source_seconds,
                "open-timeout": self._settings.source_seconds,
            }
            self._connection.call("blockdev-add", options)
        return node

    def has_source(self, disk_id: str) -> bool:
        """Whether the disk is read from the source of its base."""
        return source_node(disk_id) in self._nodes()

    def switch_to_base(self, disk_id: str, base: Layer, lowest: Layer) -> None:
        """Let the lowest overlay lie on the base, which is filled now, instead of its source."""
        if base.number not in self.numbers(disk_id):
            self._open(disk_id, base, None, read_only=True)
        if _node(disk_id, lowest) not in self._nodes():
            # Its copy is there, but what the disk is forked from is still read.
            path = lowest.path.parent / SHARED_NAME / lowest.path.name
            lowest = replace(lowest, path=path, shared=True)
        self.lay_on(disk_id, lowest, base)
        self._connection.call("blockdev-del", {"node-name": source_node(disk_id)})

    def lay_on(self, disk_id: str, upper: Layer, below: Layer) -> None:
        """Let an open layer lie on another open one, which has what it read from those between."""
        read_only = bool(self._nodes()[_node(disk_id, upper)]["ro"])
        node = layer_node(disk_id, below.number)
        options = self._options(disk_id, upper, node, read_only=read_only)
        self._connection.call("blockdev-reopen", {"options": [options]})

    def has_shared(self, disk_id: str) -> bool:
        """Whether layers are open that are another disk's, too."""
        prefix = shared_node(disk_id, "")
        return any(name.startswith(prefix) for name in self._nodes())

    def switch_to_own(self, disk_id: str, layers: Sequence[Layer]) -> None:
        """Let the layers lie on the disk's own copies instead of those that were shared."""
        known = self._nodes()
        prefix = shared_node(disk_id, "")
        shared = sorted(int(name[len(prefix) :]) for name in known if name.startswith(prefix))
        below: str | None = None
        moved = False
        for layer in layers:
            node = layer_node(disk_id, layer.number)
            if layer.source is not None:
                below = source_node(disk_id)
                continue
            if node not in known:
                self._open(disk_id, layer, below, read_only=True)
            elif below is not None and not moved:
                options = self._options(disk_id, layer, below, read_only=bool(known[node]["ro"]))
                self._connection.call("blockdev-reopen", {"options": [options]})
            # The lowest above all that was shared is the last that lay on any of it.
            moved = moved or layer.number > shared[-1]
            below = node
        for number in reversed(shared):
            self._connection.call("blockdev-del", {"node-name": shared_node(disk_id, number)})

    def _nodes(self) -> dict[str, Any]:
        found = self._connection.call("query-named-block-nodes", {"flat": True})
        return {node["node-name"]: node for node in found}

    def numbers(self, disk_id: str) -> set[int]:
        """The layers of the disk that are open."""
        return {number for number, _ in self._open_nodes(disk_id)}

    def _open_nodes(self, disk_id: str) -> list[tuple[int, str]]:
        """The open layers and their nodes, highest first."""
        found = []
        names = self._nodes()
        for prefix in (layer_node(disk_id, ""), shared_node(disk_id, "")):
            found += [(int(name[len(prefix) :]), name) for name in names if name.startswith(prefix)]
        return sorted(found, reverse=True)

    def drop_unused(self, disk_id: str, top: int) -> set[int]:
        """Close layers that merges have emptied, never `top`; return those still in use."""
        kept = set()
        # Highest first, because each layer keeps the one below it in use.
        for number, node in self._open_nodes(disk_id):
            if number == top or not self._try_close(node):
                kept.add(number)
        return kept

    def drop_above(self, disk_id: str, top: int) -> None:
        """Close overlays that were opened but never put on top."""
        for number, node in self._open_nodes(disk_id):
            if number > top:
                self._try_close(node)

    def drop(self, disk_id: str) -> None:
        """Flush and close all layers of a disk that is not exported any more."""
        deadline = self._clock.monotonic() + self._settings.answer_seconds
        found = self._open_nodes(disk_id)
        for number, node in found:
            # An export disappears only when its requests under way are done.
            while not self._try_close(node):
                if self._clock.monotonic() > deadline:
                    raise EngineError(
                        f"layer {number} of disk {disk_id} stays in use in the storage daemon"
                    )
                self._clock.sleep(_RELEASE_PAUSE)
        if self.has_source(disk_id):
            self._connection.call("blockdev-del", {"node-name": source_node(disk_id)})
        if found:
            self.ended(disk_id)

    def ended(self, disk_id: str, *, died: bool = False) -> None:
        """Nothing of the disk is open any more; the daemon may have `died` instead of closing it.

        Raises EngineError.
        """
        if died:
            # What it has left under way shall not arrive at the disk's next user.
            self._store.begin_use(disk_id)
        self._store.end_use(disk_id)

    def _try_close(self, node: str) -> bool:
        try:
            self._connection.call("blockdev-del", {"node-name": node})
        except QmpError:
            return False
        return True

    def snapshot(self, tops: dict[str, tuple[int, int]]) -> float:
        """Put new overlays on top of disks, all at one instant.

        `tops` maps disk ids to the numbers of the present and the new top. Returns the seconds
        it took, during which writes were held back. On QmpError nothing has changed.
        """
        actions = [
            {
                "type": "blockdev-snapshot",
                "data": {"node": layer_node(disk_id, old), "overlay": layer_node(disk_id, new)},
            }
            for disk_id, (old, new) in tops.items()
        ]
        started = self._clock.monotonic()
        self._connection.call("transaction", {"actions": actions})
        return self._clock.monotonic() - started

    def _may_discard(self) -> bool:
        return may_discard(self._connection.version())


def _node(disk_id: str, layer: Layer) -> str:
    """Layers that are shared have other names than the copies that take their place."""
    name = shared_node if layer.shared else layer_node
    return name(disk_id, layer.number)


def may_discard(version: tuple[int, ...]) -> bool:
    """Whether a QEMU of that version is asked to discard; trims are ignored by others.

    Discards on qcow2 could lose data before "qcow2: Fix corruption on discard during write with
    COW", which is in 10.0.11 and, made after 11.0, not in 10.1 to 11.0.
    """
    return (10, 0, 11) <= version < (10, 1) or version >= (11, 1)
