"""Mooring's own questions: GET /mooring/<question>?<member>=<value>."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from mooring.api.dispatch import call
from mooring.api.exchange import Exchange
from mooring.model.errors import InvalidInputException, UnknownOperationException


async def find_question(exchange: Exchange) -> None:
    """Find the question that the path names; its members are in the query."""
    name = exchange.request.path_params["question"]
    if name not in exchange.door.questions:
        known = ", ".join(exchange.door.questions)
        raise UnknownOperationException(f"There is no question {name[:100]!r}; known: {known}.")
    exchange.operation = name
    exchange.params = _members(exchange.request.query_params)


def _members(query: Mapping[str, str]) -> dict[str, Any]:
    """Members are text, but for `tags`: a TagList as JSON."""
    members: dict[str, Any] = dict(query)
    if "tags" in members:
        try:
            members["tags"] = _tags(json.loads(members["tags"]))
        except (ValueError, RecursionError) as error:
            raise InvalidInputException(
                'tags must be a list as JSON: [{"key": "team", "value": "storage"}].'
            ) from error
    return members


def _tags(tags: Any) -> list[dict[str, str]]:
    """Raises ValueError if that is not a TagList."""
    if not isinstance(tags, list):
        raise ValueError(tags)  # noqa: TRY004 - to be told as one that is not JSON
    for tag in tags:
        texts = isinstance(tag, dict) and all(isinstance(text, str) for text in tag.values())
        if not texts or not {"key"} <= tag.keys() <= {"key", "value"}:
            raise ValueError(tag)
    return tags


async def answer_question(exchange: Exchange) -> None:
    """Let the service answer."""
    await call(exchange, exchange.door.questions[exchange.operation])
    exchange.reply = json.dumps(exchange.result).encode()
