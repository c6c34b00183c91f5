"""Keeps the storage daemons of all instances running."""

from __future__ import annotations

import contextlib
import os
import select
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import structlog

from mooring.engine.qemu.instances import Instance
from mooring.model.clock import Clock
from mooring.observe import metrics
from mooring.observe.loop import Loop, Repeats

_BRING_BACK_AT_ONCE = 4
_UNEXPECTED_SECONDS = 30.0

log = structlog.get_logger("mooring.engine")


class Watcher:
    """A thread that brings back daemons that have died, and disks that these could not open."""

    def __init__(self, instances: Callable[[], list[Instance]], clock: Clock) -> None:
        self._instances = instances
        self._clock = clock
        self._repeats = Repeats()
        self._retry_at: dict[str, float] = {}
        self._wake_read, self._wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._closed = False
        self._pool = ThreadPoolExecutor(_BRING_BACK_AT_ONCE, "daemon-starts")
        self._loop = Loop("daemon-watcher", self._round, wake=self.wake)
        self._loop.start()

    def wake(self) -> None:
        """Look again at which daemons there are."""
        with contextlib.suppress(BlockingIOError):
            os.write(self._wake_write, b"x")

    def close(self) -> None:
        """Stop watching."""
        if not self._closed:
            self._closed = True
            self._loop.stop()
            self._pool.shutdown()
            os.close(self._wake_read)
            os.close(self._wake_write)

    def _round(self) -> None:
        poll = select.poll()
        poll.register(self._wake_read, select.POLLIN)
        instances = self._instances()
        now = self._clock.monotonic()
        due = [one for one in instances if self._retry_at.get(one.instance_id, 0.0) <= now]
        # Side by side: one daemon that takes long to start shall not hold up the others.
        if len(due) == 1:
            self._bring_back(due[0])
        else:
            list(self._pool.map(self._bring_back, due))
        now = self._clock.monotonic()
        pauses = []
        for instance in instances:
            retry_at = self._retry_at.get(instance.instance_id)
            if retry_at is not None:
                pauses.append(max(0.0, retry_at - now))
            elif (pidfd := instance.pidfd()) is not None:
                poll.register(pidfd, select.POLLIN)
        poll.poll(max(1.0, min(pauses) * 1000) if pauses else None)
        with contextlib.suppress(BlockingIOError):
            os.read(self._wake_read, 4096)

    def _bring_back(self, instance: Instance) -> None:
        """Bring back one; what nobody expected is that one's problem, not the others'."""
        try:
            pause = instance.bring_back()
        except Exception as error:
            pause = _UNEXPECTED_SECONDS
            metrics.thread_failed("daemon-watcher")
            if times := self._repeats.count(error):
                log.exception(
                    "a storage daemon could not be restarted",
                    instance=instance.instance_id,
                    times=times,
                )
        if pause is None:
            self._retry_at.pop(instance.instance_id, None)
        else:
            self._retry_at[instance.instance_id] = self._clock.monotonic() + pause
