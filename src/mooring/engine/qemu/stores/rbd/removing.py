"""Removes images that nothing names any more, when nobody has them open."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress

from mooring.engine.qemu.stores.rbd.client import CephClient
from mooring.engine.qemu.stores.rbd.image_layer import Reading
from mooring.engine.qemu.stores.rbd.names import Names
from mooring.model.errors import MooringError
from mooring.observe.loop import Loop

_AGAIN_SECONDS = 5.0
"""After that an image is tried again: a client that was killed counts as there for 30 s."""


class Removing:
    """A thread that removes images; what it does not live to do, the next one finds."""

    def __init__(
        self,
        client: CephClient,
        names: Names,
        reading: Reading,
        removed: Callable[[str], None] = lambda image: None,
    ) -> None:
        """`removed` is told of each image that is gone."""
        self._client, self._names, self._reading = client, names, reading
        self._removed = removed
        self._changed = threading.Condition()
        self._waiting: list[str] = []
        self._busy: list[str] = []
        """Those that could not be removed yet."""
        self._closing = self._removing = False
        self._loop = Loop("ceph-removing", self._round, wake=self._wake)
        self._loop.start()

    def take(self, images: list[str]) -> None:
        """Remove these images some time, unless they have a name then."""
        with self._changed:
            self._waiting += images
            self._changed.notify_all()

    def settle(self, seconds: float) -> bool:
        """Wait until all that can be removed now are; False when so many seconds are over."""
        with self._changed:
            return self._changed.wait_for(lambda: not (self._waiting or self._removing), seconds)

    def signal(self) -> None:
        """Stop soon, without waiting."""
        self._loop.signal()

    def close(self) -> None:
        """Stop."""
        self._loop.stop()

    def _wake(self) -> None:
        with self._changed:
            self._closing = True
            self._changed.notify_all()

    def _round(self) -> None:
        with self._changed:
            again = _AGAIN_SECONDS if self._busy else None
            self._changed.wait_for(lambda: bool(self._waiting) or self._closing, again)
            if self._closing:
                return
            images = self._waiting or self._busy
            if images is self._busy:
                self._busy = []
            self._waiting = []
            self._removing = True
        busy: list[str] = []
        try:
            busy += [image for image in images if self._closing or not self._remove(image)]
        finally:
            with self._changed:
                self._removing = False
                self._busy += busy
                self._changed.notify_all()

    def _remove(self, image: str) -> bool:
        if image in self._reading:
            return False
        with suppress(OSError, MooringError):
            # It may have others than the one that was taken away; or it got one, though the cluster
            # did not answer in time to whoever gave it.
            if not self._names.is_named(image):
                self._client.ask("remove", image=image)
                self._removed(image)
            self._names.forget(image)
            return True
        return False
