"""Follows nextPageToken, with --max-items and --starting-token as botocore has them."""

from __future__ import annotations

import json

from mooring.model.errors import CommandError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

_TRUNCATED = "boto_truncate_amount"


class Pages:
    """The pages of one operation. Iterate once; then `resume_token` says where to continue."""

    def __init__(
        self,
        call: Callable[[dict[str, Any]], Any],
        pagination: dict[str, str],
        parameters: dict[str, Any],
    ) -> None:
        settings = parameters.pop("PaginationConfig", {})
        limit = settings.get("MaxItems", None)
        self._call = call
        self._parameters = parameters
        self._input = pagination["input_token"]
        self._output = pagination["output_token"]
        self._key = pagination["result_key"]
        self._limit = None if limit is None else int(limit)
        self._start: str | None = settings.get("StartingToken", None)
        self.resume_token: str | None = None

    def joined(self) -> dict[str, Any]:
        """All pages as one answer, with `NextToken` if there is more than was asked for."""
        answer: dict[str, Any] = {}
        for page in self:
            items = page[self._key]
            if items is None:
                continue
            if self._key in answer:
                answer[self._key].extend(items)
            else:
                answer[self._key] = items
        if self.resume_token is not None:
            answer["NextToken"] = self.resume_token
        return answer

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Pages reduced to their list of items, which is None where the server sent none."""
        token, skip = self._starting_point()
        self._set_token(token)
        before: Any = None
        seen = 0
        is_first = self._start is not None
        while True:
            page = self._call(self._parameters)
            items = page.get(self._key)
            if is_first:
                items = items[skip:] if isinstance(items, list) else None
                is_first = False
            else:
                skip = 0
            count = 0 if items is None else len(items)
            if self._limit is not None and seen + count > self._limit:
                kept = count - (seen + count - self._limit)
                yield {self._key: (items or [])[:kept]}
                self._resume_at(token, kept + skip)
                return
            yield {self._key: items}
            seen += count
            token = page.get(self._output) or None
            if token is None:
                return
            if self._limit is not None and seen == self._limit:
                self._resume_at(token, None)
                return
            if before is not None and before == token:
                named = {self._input: token}
                raise CommandError(
                    f"Error during pagination: The same next token was received twice: {named}"
                )
            self._set_token(token)
            before = token

    def _set_token(self, token: Any) -> None:
        if token is not None and token != "None":
            self._parameters[self._input] = token
        elif self._input in self._parameters and (self._start is not None):
            del self._parameters[self._input]

    def _resume_at(self, token: Any, amount: int | None) -> None:
        value = {self._input: token}
        if amount is not None:
            value[_TRUNCATED] = amount
        import base64

        self.resume_token = base64.b64encode(json.dumps(value).encode()).decode()

    def _starting_point(self) -> tuple[Any, int]:
        """The server's token and the items to skip, from the value of --starting-token."""
        if self._start is None:
            return None, 0
        import base64

        try:
            value = json.loads(base64.b64decode(self._start.encode()).decode())
            skip = value.pop(_TRUNCATED, 0)
        except (ValueError, TypeError):
            return self._old_starting_point(self._start)
        return value.get(self._input), skip

    def _old_starting_point(self, start: str) -> tuple[Any, int]:
        """The form of years ago: `token___skip`, or the server's own token as it is."""
        parts = start.split("___")
        skip = 0
        if len(parts) == 2:
            try:
                skip = int(parts[1])
                parts = parts[:1]
            except ValueError:
                parts = [start]
        if len(parts) > 1:
            raise CommandError(f"Bad starting token: {start}", "parameter")
        return (None if parts[0] == "None" else parts[0]), skip
