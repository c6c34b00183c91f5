"""Notices that the cluster has shut this host out."""

from __future__ import annotations

import threading
from collections.abc import Callable

from mooring.engine.qemu.stores.rbd.owners import Owners
from mooring.model.errors import ClusterAwayError, EngineError, FencedError
from mooring.observe.loop import Loop

_LOOK_SECONDS = 2.0
_NEVER_SECONDS = 3600.0


class FenceWatch:
    """A thread that asks the cluster, which answers a client that is shut out with an error."""

    def __init__(self, owners: Owners, fenced: Callable[[], None]) -> None:
        """`fenced` is called once."""
        self._owners, self._fenced = owners, fenced
        self._told = False
        self._stopped = threading.Event()
        self._loop = Loop("ceph-fence-watch", self._round, wake=self._stopped.set)
        self._loop.start()

    def signal(self) -> None:
        """Stop soon, without waiting."""
        self._loop.signal()

    def close(self) -> None:
        """Stop."""
        self._loop.stop()

    def _round(self) -> None:
        if self._stopped.wait(_NEVER_SECONDS if self._told else _LOOK_SECONDS):
            return
        try:
            fenced = self._owners.was_fenced()
        except FencedError:
            fenced = True
        except ClusterAwayError:
            return  # whoever needs it says so
        except EngineError:
            if self._stopped.is_set():
                return  # the store is closed
            raise
        if fenced and not self._told:
            self._told = True
            self._fenced()
