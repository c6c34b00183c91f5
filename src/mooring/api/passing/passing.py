"""Sends a request on to the host that it needs."""

from __future__ import annotations

import http.client
import ssl
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import structlog
from anyio import to_thread
from starlette.responses import Response
from structlog.contextvars import bind_contextvars

from mooring.api.exchange import Exchange
from mooring.api.passing.connections import Answer, Connections, NotSentError
from mooring.api.passing.message import Message, of_client, of_page, read_answer
from mooring.api.passing.seal import HEADER, SEAL, Passed, sealed, unsealed
from mooring.api.workers import Workers
from mooring.backend.hosts import HostBook
from mooring.model.errors import (
    AccessDeniedException,
    HostElsewhereException,
    InvalidSignatureException,
    OperationFailureException,
    ServiceError,
    ServiceException,
)
from mooring.model.resources.host import SeenHost
from mooring.model.traffic import Traffic
from mooring.observe import metrics
from mooring.service.credentials.keys import Key

BEGIN_SECONDS = 10.0
"""How long a host may take to begin with a request; one that comes later is not begun."""

ANSWER_SECONDS = 30.0
"""How long it is waited for the answer of a host that may have begun."""

AT_ONCE = 32
"""Requests that are passed on to one host at a time; more wait, within bounds."""

_KEPT_OF_ANSWERS = {"x-amzn-errortype", "allow", "retry-after"}

log = structlog.get_logger("mooring.api")


class Passing:
    """Passes requests on, and recognizes those that other servers passed on. For one event loop."""

    def __init__(
        self,
        hosts: HostBook,
        server_id: str,
        secret_of: Callable[[str], str],
        context: ssl.SSLContext | None = None,
        *,
        only: bool = False,
    ) -> None:
        """`secret_of` gives what is sealed with for the host of an id.

        `only`: this server takes only what others pass on, and what its own host asks.
        """
        self._hosts, self._server_id, self._only = hosts, server_id, only
        self._secret_of = secret_of
        self._connections = Connections(context)
        self._workers: dict[str, Workers] = {}

    async def arrive(self, exchange: Exchange) -> None:
        """Note who passed the request on, if a server did.

        Raises InvalidSignatureException, and ServiceException if it comes too late.
        """
        headers = exchange.request.headers
        text = headers.get(HEADER)
        if text is None:
            if self._only and not _is_of_this_host(exchange):
                raise AccessDeniedException(
                    "This server serves disks for other servers only (mooringd host): ask one "
                    "that runs `mooringd serve`."
                )
            return
        passed = unsealed(
            text,
            headers.get(SEAL, ""),
            self._secret_of(self._server_id),
            headers.get("authorization", ""),
            exchange.body,
        )
        if passed is None:
            raise InvalidSignatureException(
                f"The header {HEADER} is for servers of this catalog. Leave it out."
            )
        exchange.passed_by, exchange.source = passed.server, passed.source
        exchange.request_id = passed.request_id
        bind_contextvars(request_id=passed.request_id)
        if await to_thread.run_sync(self._hosts.now_ms) > passed.until_ms:
            log.warning("a request came too late to be begun", passed_by=passed.server)
            raise ServiceException(
                "The request came too late to be begun: its client has been answered."
            )

    async def pass_on(self, exchange: Exchange, needed: HostElsewhereException) -> Response:
        """The answer of the host that has what is needed. Raises errors of the API."""
        answer = await self._answer(exchange, of_client(exchange), needed)
        headers = {name: value for name, value in answer.headers if name in _KEPT_OF_ANSWERS}
        kind = next((value for name, value in answer.headers if name == "content-type"), None)
        return Response(answer.body, answer.status, headers, media_type=kind)

    async def ask(
        self, exchange: Exchange, key: Key, needed: HostElsewhereException
    ) -> Mapping[str, Any] | ServiceError:
        """The same for a page; see `Onward`."""
        return read_answer(exchange, await self._answer(exchange, of_page(exchange, key), needed))

    def close(self) -> None:
        self._connections.close()

    async def _answer(
        self, exchange: Exchange, message: Message, needed: HostElsewhereException
    ) -> Answer:
        if exchange.passed_by:
            raise ServiceException(
                "What this is about is being moved to another host right now. Please try again."
            )
        seen = await to_thread.run_sync(self._find, needed)
        workers = self._workers.setdefault(seen.host.id, Workers(AT_ONCE, Traffic()))
        began = exchange.door.clock.monotonic()
        answer = await workers.run(partial(self._send, exchange, message, seen, needed))
        metrics.passed_on(exchange.door.clock.monotonic() - began)
        return answer

    def _find(self, needed: HostElsewhereException) -> SeenHost:
        """The host to ask; the one named, or any of the zone. Raises errors of the API."""
        if not needed.host:
            found = [one for one in self._hosts.all() if needed.zone in one.host.zones]
            up = [one for one in found if one.is_up]
            if not up:
                raise needed
            return up[0]
        seen = self._hosts.find(needed.host)
        if seen is None:
            raise needed
        if not seen.is_up:
            name = seen.host.name
            why = seen.problem or (
                f"its host {name} was stopped; what it serves goes on, but only it can do this: "
                "start it again"
            )
            raise OperationFailureException(f"This is not possible right now: {why}.", "HostNotUp")
        return seen

    def _send(
        self, exchange: Exchange, message: Message, seen: SeenHost, needed: HostElsewhereException
    ) -> Answer:
        """In a thread. A host that was started anew may be at another address."""
        try:
            return self._send_to(exchange, message, seen)
        except NotSentError:
            self._hosts.forget()
            seen = self._find(needed)
        except (OSError, http.client.HTTPException) as error:
            raise _no_answer(seen, error) from error
        try:
            return self._send_to(exchange, message, seen)
        except NotSentError as error:
            raise ServiceException(
                f"The host {seen.host.name} cannot be reached at {seen.host.address} "
                f"({error}), so nothing was done. `mooringd hosts` tells how it is."
            ) from error
        except (OSError, http.client.HTTPException) as error:
            raise _no_answer(seen, error) from error

    def _send_to(self, exchange: Exchange, message: Message, seen: SeenHost) -> Answer:
        client = exchange.request.client
        passed = Passed(
            self._server_id,
            client.host if client else "",
            exchange.request_id,
            self._hosts.now_ms() + round(BEGIN_SECONDS * 1000),
        )
        added = sealed(passed, self._secret_of(seen.host.id), message.signature, message.body)
        if message.method != "GET" or message.body:
            added["content-length"] = str(len(message.body))
        return self._connections.send(
            seen.host.address,
            message.method,
            message.target,
            [*message.headers, *((name.encode(), text.encode()) for name, text in added.items())],
            message.body,
            ANSWER_SECONDS,
        )


def _no_answer(seen: SeenHost, error: Exception) -> ServiceException:
    log.warning("a host does not answer", host=seen.host.name, why=repr(error))
    return ServiceException(
        f"The host {seen.host.name} did not answer in time, so this may or may not have been "
        "done. Try again: a second try with the same invocation id gets the answer of the first."
    )


def _is_of_this_host(exchange: Exchange) -> bool:
    client = exchange.request.client
    return client is not None and client.host in ("127.0.0.1", "::1")
