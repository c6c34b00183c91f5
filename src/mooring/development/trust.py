"""Takes a caller's word for who it is, and in which region."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping

from mooring.api.exchange import Exchange
from mooring.model.errors import InvalidInputException
from mooring.model.names import shown
from mooring.service.credentials.keys import Key

NOBODY = "test"
"""Whoever says no name."""

BROWSERS: Mapping[str, Key] = {NOBODY: Key(NOBODY, NOBODY)}
"""Keys that sign in to the console: it seals its sessions with a secret, so not any will do."""

REGION = "us-east-1"
"""Where whoever says no region is: the region of Amazon's own clients that are told none."""

MOST_REGIONS = 100
"""Regions that one server makes: each has engines and a vault."""

_CREDENTIAL = re.compile(r"\bCredential=([^/,\s]{1,128})/[^/,\s]*/([^/,\s]*)/")
_REGION = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*", re.ASCII)
_LONGEST_REGION = 32


def trusting(make_region: Callable[[str], bool]) -> Callable[[Exchange], Awaitable[None]]:
    """The step that finds out who asks, without checking it; a region is made when it is asked for.

    `make_region` says whether there is one of that name now, as there is unless there are too many.
    """

    async def trust(exchange: Exchange) -> None:
        said = _CREDENTIAL.search(exchange.request.headers.get("authorization", ""))
        exchange.caller, region = said.groups() if said else (NOBODY, REGION)
        if not _REGION.fullmatch(region) or len(region) > _LONGEST_REGION:
            raise InvalidInputException(
                f"The region {shown(region[:100])} must be made of lower-case letters, digits and "
                f"hyphens, at most {_LONGEST_REGION} of them."
            )
        if not make_region(region):
            raise InvalidInputException(
                f"The region {region} would be one too many: a server for development makes "
                f"{MOST_REGIONS}. POST /mooring/reset forgets all of them."
            )
        exchange.region = region

    return trust
