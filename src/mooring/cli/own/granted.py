"""A snapshot that the server lets a command read, for as long as that runs."""

from __future__ import annotations

from contextlib import contextmanager, suppress

from mooring.cli.own.ending import tidy_up_when_ended
from mooring.cli.own.uri import elsewhere
from mooring.model.errors import CommandError
from mooring.nbd.uri import parse_uri

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from mooring.cli.connection.client import Client

LONGEST_SECONDS = 24 * 60 * 60
IDLE_SECONDS = 5 * 60
"""How long it can still be read what a command has left that was killed."""


@contextmanager
def granted(client: Client, snapshot: str, seconds: int | None = None) -> Iterator[dict[str, Any]]:
    """Have the server serve a snapshot; gives what it says, and has it end that at the end.

    Raises CommandError.
    """
    tidy_up_when_ended()
    lasting = LONGEST_SECONDS if seconds is None else seconds
    idle = {"idleSeconds": IDLE_SECONDS} if lasting > IDLE_SECONDS else {}
    members = {"diskSnapshotName": snapshot, "seconds": lasting, **idle}
    told = client.act("grant", members, "the export", ("uri",))
    try:
        host = elsewhere(told["uri"], told.get("hostName"))
        if host is not None:
            raise CommandError(
                f"The snapshot can be read on the host {host} only, by its server's user: run this "
                "command there, or ask the server that is here."
            )
        yield told
    finally:
        # What cannot be withdrawn ends by itself.
        with suppress(CommandError):
            export = parse_uri(told["uri"]).export
            client.act("withdraw", {"export": export}, "the end of the export")
