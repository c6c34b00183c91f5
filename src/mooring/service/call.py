"""A call: an operation's input, and its answer kept for a second try."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mooring.backend.backend import Backend
from mooring.catalog.transaction import Transaction
from mooring.service.context import Context

Params = Mapping[str, Any]
Result = dict[str, Any]

ANSWERS_KEPT_MS = 15 * 60 * 1000
"""How long a client that lost an answer may ask again and get the same one."""


@dataclass(frozen=True, slots=True)
class Call:
    """One request for one operation, with its input."""

    context: Context
    operation: str
    params: Params

    @property
    def region(self) -> str:
        return self.context.region

    @property
    def digest(self) -> str:
        """Alike for alike inputs."""
        text = json.dumps([self.region, self.params], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def remember(self, backend: Backend, transaction: Transaction, result: Result) -> Result:
        """Keep the result within the transaction that makes it true, and return it."""
        if self.context.invocation_id is not None:
            now = backend.clock.now_ms()
            transaction.answers.remember(
                self.context.caller,
                self.context.invocation_id,
                operation=self.operation,
                digest=self.digest,
                answer=json.dumps(result),
                now_ms=now,
                forget_before_ms=now - ANSWERS_KEPT_MS,
            )
        return result

    def recall(self, backend: Backend) -> Result | None:
        """The result of an earlier try of this very call, if there was one."""
        if self.context.invocation_id is None:
            return None
        with backend.catalog.read() as transaction:
            answer = transaction.answers.find(
                self.context.caller, self.context.invocation_id, self.operation, self.digest
            )
        return None if answer is None else dict(json.loads(answer))
