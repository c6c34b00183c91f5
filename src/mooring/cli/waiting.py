"""Waits for what was started: asks again and again until it is done."""

from __future__ import annotations

import json

from mooring.cli.connection.client import Unreachable
from mooring.cli.progress import Progress
from mooring.model.counts import counted
from mooring.model.errors import CommandError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from mooring.cli.connection.client import Client
    from mooring.model.clock import Clock

# The pauses between questions grow: short waits end at once, long ones cost the server little.
_FIRST_PAUSE = 0.005
_LONGEST_PAUSE = 2.0
_GROWTH = 1.4
# For so long a server may be away, for a restart, while somebody waits.
_LONGEST_OUTAGE = 120.0
_DONE = {"Succeeded", "Completed"}


class State:
    """What one question found: done or not, the part done, its bytes, and words for messages."""

    __slots__ = ("done", "fraction", "total_bytes", "words")

    def __init__(
        self, done: bool, words: str, fraction: float | None = None, total_bytes: int | None = None
    ) -> None:
        self.done = done
        self.words = words
        self.fraction = fraction
        self.total_bytes = total_bytes


def wait(
    title: str,
    ask: Callable[[], State],
    clock: Clock,
    timeout: float | None,
    heard: bool = False,
) -> None:
    """Ask until the state is done. Raises CommandError after `timeout` seconds, None for never.

    A server that goes away after its first answer may come back within two minutes; `heard` says
    that it has given one already.
    """
    progress = Progress(title, clock)
    started = last_heard = clock.monotonic()
    pause = _FIRST_PAUSE
    words = "not known"
    try:
        while True:
            try:
                state = ask()
            except Unreachable:
                if not heard or clock.monotonic() - last_heard > _LONGEST_OUTAGE:
                    raise
            else:
                heard = True
                last_heard = clock.monotonic()
                words = state.words
                progress.show(state.fraction, state.total_bytes)
                if state.done:
                    return
            if timeout is not None and clock.monotonic() - started + pause > timeout:
                raise CommandError(
                    f"Waited {counted(timeout, 'second')}, but {title} is {words}. Wait again, or "
                    "longer with --timeout SECONDS; the work itself continues."
                )
            clock.sleep(pause)
            pause = min(pause * _GROWTH, _LONGEST_PAUSE)
    finally:
        progress.clear()


def wait_for_answer(client: Client, answer: Any, clock: Clock) -> Any:
    """Wait for the operations that an answer names; the answer comes back with their last state.

    Raises CommandError if one of them failed.
    """
    if not isinstance(answer, dict):
        return answer
    known = dict(answer)
    if isinstance(answer.get("operations"), list):
        known["operations"] = [_finish(client, item, clock) for item in answer["operations"]]
    if isinstance(answer.get("operation"), dict):
        known["operation"] = _finish(client, answer["operation"], clock)
    return known


def _finish(client: Client, operation: Any, clock: Clock) -> Any:
    if operation.get("status") in _DONE:
        return operation
    latest = [operation]

    def ask() -> State:
        latest[0] = show(client, "GetOperation", operationId=operation["id"])["operation"]
        state = operation_state(latest[0])
        watch = _WATCHED.get(operation.get("resourceType"))
        if not state.done and watch is not None:
            found = watch(client, operation["resourceName"])
            return State(False, state.words, found.fraction, found.total_bytes)
        return state

    wait(operation.get("resourceName") or "the operation", ask, clock, None)
    return latest[0]


def show(client: Client, operation: str, **parameters: str) -> Any:
    """The answer to a question with these parameters."""
    return client.call(client.model.operations[operation], dict(parameters))


def operation_state(operation: Any) -> State:
    """The state of an operation. Raises CommandError if it failed."""
    status = operation.get("status", "unknown")
    if status == "Failed":
        details = operation.get("errorDetails") or "no details"
        code = operation.get("errorCode") or "no code"
        raise CommandError(
            f"The operation {operation.get('operationType')} of {operation.get('resourceName')} "
            f"failed ({code}): {details}"
        )
    return State(status in _DONE, status)


def snapshot_state(client: Client, name: str) -> State:
    """The state of a snapshot. Raises CommandError if it failed."""
    if "@" in name:
        # The operations of Lightsail show no automatic ones.
        snapshot = client.ask("snapshot", {"diskSnapshotName": name}, "the snapshot", ("state",))
    else:
        snapshot = show(client, "GetDiskSnapshot", diskSnapshotName=name)["diskSnapshot"]
    return _stored(
        snapshot, name, "completed", lambda: _bytes(client, "snapshot", diskSnapshotName=name)
    )


def instance_snapshot_state(client: Client, name: str) -> State:
    """The state of an instance snapshot. Raises CommandError if it failed."""
    answer = show(client, "GetInstanceSnapshot", instanceSnapshotName=name)
    return _stored(
        answer["instanceSnapshot"],
        name,
        "available",
        lambda: _bytes(client, "instance-snapshot", instanceSnapshotName=name),
    )


def export_state(client: Client, name: str) -> State:
    """How far an export is; only Mooring's own servers tell."""
    try:
        reply = client.get("export-record", {"exportSnapshotRecordName": name})
        told = json.loads(reply.body) if reply.status == 200 else {}
    except (CommandError, ValueError):
        told = {}
    return State(False, "being exported", _fraction(told.get("progress"), False))


_WATCHED = {
    "DiskSnapshot": snapshot_state,
    "ExportSnapshotRecord": export_state,
    "InstanceSnapshot": instance_snapshot_state,
}


def filling_state(client: Client, name: str) -> State:
    """How far a disk is filled from its snapshot. Raises CommandError if it cannot be."""
    told = client.ask("disk", {"diskName": name}, "the disk")
    try:
        done, total = told["filledBytes"], told["bytesToFill"]
        if told["state"] == "error":
            raise CommandError(f"The disk {name} failed.")
        if told["filled"]:
            return State(True, "filled", 1.0)
        problem = told.get("problem")
        text = f"not filled yet: {problem}" if problem else "being filled"
        return State(False, text, done / total if total else None, total)
    except (KeyError, TypeError):
        raise client.misunderstood() from None


def _stored(snapshot: Any, name: str, ready: str, stored: Callable[[], int | None]) -> State:
    """How far a snapshot is that is `ready` in the end; `stored` asks for the bytes until then."""
    state = snapshot.get("state", "unknown")
    if state == "error":
        raise CommandError(
            f"The snapshot {name} failed. mooring get-operations-for-resource --resource-name "
            f"{name} says why."
        )
    done = state == ready
    fraction = _fraction(snapshot.get("progress"), done)
    return State(done, state, fraction, None if done else stored())


def _fraction(progress: Any, done: bool) -> float | None:
    """The API writes per cent as text: `45%`, or `45`."""
    if done:
        return 1.0
    try:
        return float(str(progress).rstrip("%")) / 100
    except ValueError:
        return None


def _bytes(client: Client, question: str, **members: str) -> int | None:
    """How many bytes the snapshot has to store; only Mooring's own servers tell."""
    try:
        reply = client.get(question, members)
        count = json.loads(reply.body).get("changedBytes") if reply.status == 200 else None
    except (CommandError, ValueError, AttributeError):
        return None
    return count if isinstance(count, int) else None
