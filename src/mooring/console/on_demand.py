"""The console, imported when first asked for: a server's start needs none."""

from __future__ import annotations

from pathlib import Path

from starlette.types import ASGIApp, Receive, Scope, Send

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mooring.api.exchange import Door
    from mooring.console.console import Console


class ConsoleOnDemand:
    """The console of one server. Call `app` once there is a door, and `end` before its end.

    `links` is where links lie that sign in once.
    """

    def __init__(self, links: Path) -> None:
        self._links = links
        self._console: Console | None = None

    def app(self, door: Door) -> ASGIApp:
        """The ASGI application, which is mounted under /console."""
        made: list[ASGIApp] = []

        async def serve(scope: Scope, receive: Receive, send: Send) -> None:
            if not made:
                from mooring.console.console import Console

                self._console = Console(self._links)
                made.append(self._console.app(door))
            await made[0](scope, receive, send)

        return serve

    def end(self) -> None:
        """Let go of pages that wait for news."""
        if self._console is not None:
            self._console.end()
