"""What an own request is: its members, whether it acts, who may make it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from mooring.backend.backend import Backend
from mooring.model.errors import InvalidInputException
from mooring.service.call import Params
from mooring.service.context import Context
from mooring.service.entry import Entry

Answer = dict[str, Any]
Function = Callable[[Backend, Context, Params], Answer]

TEXT, NUMBER, FLAG, TAGS = "string", "integer", "boolean", "TagList"
"""What members can be: names of shapes in the service model."""


@dataclass(frozen=True, slots=True)
class OwnRequest:
    """An action, which changes something, or a question, which does not.

    `members` says of each member which shape it has. Those of a question come as text.
    """

    entry: Entry[Function]
    members: Mapping[str, str]
    acts: bool

    @property
    def method(self) -> str:
        """The HTTP method. Browsers send a GET by themselves, so nothing may change by one."""
        return "POST" if self.acts else "GET"


def asks(entry: Entry[Function], *members: str) -> OwnRequest:
    """A question."""
    return OwnRequest(entry, dict.fromkeys(members, TEXT), acts=False)


def acts(entry: Entry[Function], **members: str) -> OwnRequest:
    """An action."""
    return OwnRequest(entry, members, acts=True)


def member(params: Params, name: str) -> str:
    """A member that the request needs. Raises InvalidInputException."""
    value = params.get(name)
    if not isinstance(value, str) or not value:
        raise InvalidInputException(f"{name} is required.")
    return value
