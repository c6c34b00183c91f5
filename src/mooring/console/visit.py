"""One visit of a page: who asks, where, and what it gets from the service."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from mooring.api.exchange import Door
from mooring.api.inside import ask, may
from mooring.console.rendering import render
from mooring.console.sessions import Session
from mooring.model.errors import InvalidInputException, ServiceError
from mooring.service.credentials.keys import Key

ROOT = "/console"


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """What a page has to go by. `form` is what was posted, `query` what the address says."""

    door: Door
    request: Request
    session: Session
    key: Key
    token: str
    region: str
    form: Mapping[str, str] = field(default_factory=dict)

    @property
    def query(self) -> Mapping[str, str]:
        return self.request.query_params

    @property
    def now_ms(self) -> int:
        return self.door.clock.now_ms()

    async def ask(self, operation: str, **params: Any) -> Mapping[str, Any]:
        """What the service answers to the caller. Raises ServiceError."""
        given = {name: value for name, value in params.items() if value is not None}
        return await ask(self.door, self.request, self.key, self.region, operation, given)

    async def ask_all(self, operation: str, member: str) -> list[Mapping[str, Any]]:
        """What all pages of an answer list under that name. Raises ServiceError."""
        found: list[Mapping[str, Any]] = []
        token: str | None = None
        while True:
            told = await self.ask(operation, pageToken=token)
            found += told[member]
            token = told["nextPageToken"]
            if token is None:
                return found

    async def ask_elsewhere(self, region: str, operation: str, **params: Any) -> Mapping[str, Any]:
        """The same in another region of this server. Raises ServiceError."""
        if region not in self.door.regions:
            raise InvalidInputException("There is no such region here.")
        return await ask(self.door, self.request, self.key, region, operation, params)

    @property
    def in_region(self) -> str:
        """What to add to a command, so that it is about this region and no namesake elsewhere.

        Clients take the first region that a server names, if they are not told.
        """
        return "" if self.region == next(iter(self.door.regions)) else f" --region {self.region}"

    async def zones(self) -> list[str]:
        """The zones of the region."""
        told = await self.ask("GetRegions", includeAvailabilityZones=True)
        return [
            zone["zoneName"]
            for region in told["regions"]
            if region["name"] == self.region
            for zone in region["availabilityZones"]
        ]

    async def has_disk(self, name: str) -> bool:
        """Whether there is such a disk, as far as the caller may see it."""
        try:
            await self.ask("GetDisk", diskName=name)
        except ServiceError:
            return False
        return True

    def may(self, operation: str) -> bool:
        """Whether the caller's role allows it."""
        return may(self.door, self.key, operation)

    def address(self, page: str = "", /, **query: object) -> str:
        """The address of a page of the same region."""
        return address(self.region, page, **query)

    def address_in(self, region: str, page: str = "", /, **query: object) -> str:
        """The address of a page of any region."""
        return address(region, page, **query)

    def page(self, template: str, title: str, *, status: int = 200, **values: Any) -> Response:
        """The page."""
        return HTMLResponse(self.text(template, title, **values), status)

    def text(self, template: str, title: str, **values: Any) -> str:
        return render(
            template,
            visit=self,
            title=title,
            here=self.request.url.path,
            done=self.query.get("done", ""),
            **values,
        )

    def go(self, page: str, /, **query: object) -> Response:
        """On to another page, after a change."""
        return RedirectResponse(self.address(page, **query), 303)


def address(region: str, page: str = "", /, **query: object) -> str:
    """The address of a page."""
    given = {name: value for name, value in query.items() if value not in (None, "")}
    return f"{ROOT}/{region}/{page}" + (f"?{urlencode(given)}" if given else "")
