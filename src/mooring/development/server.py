"""The server for development: one world after the other, behind one door."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path

from mooring.development.front import Front
from mooring.development.requests import requests
from mooring.development.world import World
from mooring.service.own.own_request import OwnRequest


class DevelopmentServer:
    """Has a world in `folder`, and another one after each reset."""

    def __init__(self, folder: Path, engine: str) -> None:
        """`engine` is `memory` or `qemu`."""
        self._folder, self._engine = folder, engine
        self._number = 0
        self._lock = threading.Lock()
        self._world = self._make()
        self.app = Front(self._now)

    def reset(self) -> None:
        """Begin a new world, and end the one of now; whoever asks meanwhile waits for nothing."""
        with self._lock:
            before, self._world = self._world, self._make()
            before.end()

    def end_pages(self) -> None:
        """Let go of the console's pages that wait for news."""
        self._world.end_pages()

    def stop(self) -> None:
        """End the world."""
        with self._lock:
            self._world.stop()

    def _now(self) -> World:
        return self._world

    def _make(self) -> World:
        self._number += 1
        return World(self._folder / str(self._number), self._engine, self._requests)

    def _requests(self, world: World) -> Mapping[str, OwnRequest]:
        return requests(world, self.reset)
