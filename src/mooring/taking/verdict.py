"""What a freeze achieved, and whether that is enough for the disks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mooring.model.errors import OperationFailureException
from mooring.model.resources.consistency import Consistency, Wish, wish_of
from mooring.model.resources.disk import Disk

NOT_RECORDED = "the server was killed before it recorded whether they were"
"""Why nothing is known of the users of a disk that was frozen."""

_WAYS = (
    "attach it to an instance of the blueprint host and mount it, name the instance's guest agent "
    "with the tag mooring:guest-agent, or name commands for the instance in the settings; or set "
    "the disk's tag mooring:quiesce to try"
)


@dataclass(frozen=True, slots=True)
class Frozen:
    """How disks were frozen: kinds by the disks' ids, and why they are not better.

    `pause_seconds` is how long the engine held back writes, `rest_seconds` how long the users
    were held at rest; None if nobody was.
    """

    pause_seconds: float
    rest_seconds: float | None
    kinds: Mapping[str, Consistency]
    problem: str = ""

    @property
    def weakest(self) -> Consistency:
        """What all the disks are together: at most as good as the worst."""
        order = list(Consistency)
        return min(self.kinds.values(), key=order.index, default=Consistency.AT_REST)


def refusal(
    disks: Sequence[Disk], kinds: Mapping[str, Consistency], problem: str
) -> OperationFailureException | None:
    """Why there is to be no snapshot of these disks, by the rule of the tag `require`.

    A disk with it is never only as after a power cut, and nobody's rest was in doubt. `kinds` are
    those that are known, by the disks' ids; `problem` says what is wrong, if anything is.
    """
    required = [disk for disk in disks if wish_of(disk.tags) is Wish.REQUIRE]
    weak = [disk for disk in required if kinds.get(disk.id, Consistency.CRASH) is Consistency.CRASH]
    if not weak and not (required and problem):
        return None
    return OperationFailureException(
        f"The tag mooring:quiesce of the disk {(weak or required)[0].name} requires its users to "
        "be at rest for a snapshot, and they could not be brought to rest, so none was taken: "
        f"{problem or f'nobody knows how; {_WAYS}'}"
    )
