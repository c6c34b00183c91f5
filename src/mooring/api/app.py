"""The front door: the path of a request as one list."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import suppress

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Mount, Route
from starlette.types import ASGIApp
from structlog.contextvars import bound_contextvars

from mooring.api.auditing import audit, note
from mooring.api.body import read_body
from mooring.api.buckets import Throttles
from mooring.api.content import parse, serialize, validate
from mooring.api.dispatch import dispatch
from mooring.api.exchange import Door, Exchange, Handler, Onward
from mooring.api.health import SILENT, SILENT_PARTS, Health, Parts, no_parts, no_problem, told
from mooring.api.own import JSON, dispatch_own, find_own, parse_own
from mooring.api.reply import close_unread, error_of, not_served, observe, reply
from mooring.api.shared_audit import SharedAudit
from mooring.api.signature import authenticate
from mooring.api.target import (
    check_content_type,
    find_operation,
    is_call,
    refuse_unserved,
)
from mooring.api.throttle import refuse, throttle
from mooring.api.workers import Workers
from mooring.config.settings import Limits, Throttle
from mooring.model.clock import Clock
from mooring.model.errors import HostElsewhereException, ServiceError
from mooring.model.ids import Ids
from mooring.model.traffic import Traffic
from mooring.observe import metrics
from mooring.observe.audit import AuditLog
from mooring.protocol.serialize import CONTENT_TYPE
from mooring.protocol.service_model import ServiceModel
from mooring.service.credentials.keys import Key
from mooring.service.entry import AnyEntry
from mooring.service.own.own_request import OwnRequest

Step = Callable[[Exchange], Awaitable[None]]


async def arrive(exchange: Exchange) -> None:
    """Note who passed the request on, if a server did."""
    if exchange.door.onward is not None:
        await exchange.door.onward.arrive(exchange)


OPERATION_STEPS: Sequence[Step] = (
    read_body,
    arrive,
    check_content_type,
    find_operation,
    authenticate,
    throttle,
    refuse_unserved,
    parse,
    validate,
    note,
    dispatch,
    serialize,
)
"""What every call of the Lightsail API goes through. The first error ends it."""

OWN_STEPS: Sequence[Step] = (
    read_body,
    arrive,
    find_own,
    authenticate,
    throttle,
    parse_own,
    note,
    dispatch_own,
)
"""The same for requests of Mooring's own, `/mooring/<name>`."""


def create_app(
    *,
    model: ServiceModel,
    handlers: Mapping[str, Handler],
    own_requests: Mapping[str, OwnRequest],
    own_handlers: Mapping[str, Handler],
    find_key: Callable[[str], Key | None],
    regions: Collection[str],
    clock: Clock,
    ids: Ids,
    limits: Limits,
    throttles: Throttle | None = None,
    entries: Mapping[str, AnyEntry] = {},
    audit_log: AuditLog | None = None,
    shared_audit: SharedAudit | None = None,
    traffic: Traffic | None = None,
    servers: Callable[[], int] = lambda: 1,
    problem: Callable[[], str | None] = no_problem,
    parts: Callable[[], Parts] = no_parts,
    identify: Step = authenticate,
    console: Callable[[Door], ASGIApp] | None = None,
    note_use: Callable[[str], None] = lambda _key_id: None,
    onward: Onward | None = None,
) -> Starlette:
    """The ASGI application. See `Door` for what the arguments mean.

    `traffic` counts requests; `servers` says how many share the throttles; `problem` says why
    nothing can be recorded, if so, and `parts` what works and what does not. `identify` is the step
    that finds out who asks; `console` makes the pages for browsers.
    """
    alive: Health[str | None] = Health(problem, SILENT, clock)
    ready = Health(parts, SILENT_PARTS, clock)
    door = Door(
        model=model,
        handlers=handlers,
        own_requests=own_requests,
        own_handlers=own_handlers,
        find_key=find_key,
        regions=regions,
        clock=clock,
        ids=ids,
        limits=limits,
        workers=Workers(limits.requests, traffic or Traffic()),
        throttles=Throttles(throttles or Throttle(), clock, servers),
        entries={**entries, **{name: one.entry for name, one in own_requests.items()}},
        audit=audit_log,
        shared_audit=shared_audit,
        note_use=note_use,
        onward=onward,
    )

    operation_steps, own_steps = (
        [identify if step is authenticate else step for step in steps]
        for steps in (OPERATION_STEPS, OWN_STEPS)
    )

    async def operation(request: Request) -> Response:
        return await _lead(door, request, operation_steps, CONTENT_TYPE)

    async def own(request: Request) -> Response:
        return await _lead(door, request, own_steps, JSON)

    async def plain(request: Request, answer: Response) -> Response:
        exchange = Exchange(door, request, door.ids.new_id(), door.clock.now_ms())
        with suppress(ServiceError):
            # Most clients send all before they read: who cannot send does not see the answer.
            await read_body(exchange)
        close_unread(exchange, answer)
        answer.headers["x-amzn-RequestId"] = exchange.request_id
        return answer

    async def hint(request: Request) -> Response:
        return await plain(request, PlainTextResponse(_HINT))

    async def health(request: Request) -> Response:
        found = await alive.found()
        if found is not None:
            return await plain(request, PlainTextResponse(f"{found}\n", 503))
        return await plain(request, PlainTextResponse("ok\n"))

    async def readiness(request: Request) -> Response:
        found = await ready.found()
        status = 200 if all(why is None for why in found.values()) else 503
        return await plain(request, PlainTextResponse(told(found), status))

    async def numbers(request: Request) -> Response:
        return await plain(request, Response(metrics.text(), media_type=metrics.CONTENT_TYPE))

    async def anywhere(request: Request) -> Response:
        if is_call(request):
            return await operation(request)
        return await refuse_path(request)

    async def refuse_path(request: Request, _error: Exception | None = None) -> Response:
        return await plain(request, not_served(door.model, request))

    app = Starlette(
        routes=[
            Route("/", operation, methods=["POST"]),
            Route("/", hint, methods=["GET"]),
            Route("/mooring/{name}", own, methods=["GET", "POST"]),
            Route("/healthz", health, methods=["GET"]),
            Route("/readyz", readiness, methods=["GET"]),
            Route("/metrics", numbers, methods=["GET"]),
            *([] if console is None else [Mount("/console", console(door))]),
            Route("/{path:path}", anywhere, methods=["POST"]),
        ],
        exception_handlers={404: refuse_path, 405: refuse_path},
    )
    app.router.redirect_slashes = False
    return app


_HINT = (
    "This is Mooring, which serves the Lightsail API for disks and snapshots.\n"
    'Clients POST here. On the server\'s host, eval "$(mooringd env)" sets them up.\n'
)


async def _lead(door: Door, request: Request, path: Sequence[Step], content_type: str) -> Response:
    """Lead a request through its steps, and answer it."""
    began = door.clock.monotonic()
    exchange = Exchange(door, request, door.ids.new_id(), door.clock.now_ms())
    error: ServiceError | None = None
    passed: Response | None = None
    with bound_contextvars(request_id=exchange.request_id):
        try:
            try:
                for step in path:
                    await step(exchange)
            except HostElsewhereException as needed:
                if door.onward is None:
                    raise
                passed = await door.onward.pass_on(exchange, needed)
        except Exception as exception:  # noqa: BLE001 - answered, and logged if unforeseen
            error = error_of(exchange, exception)
        quiet = False
        if error is not None and not exchange.caller:
            error, quiet = refuse(exchange, error)
        # What was passed on is in the log of the host that did it.
        if not quiet and passed is None:
            await audit(exchange, error)
        observe(exchange, error, door.clock.monotonic() - began, quiet=quiet)
    response = passed or reply(exchange, error, content_type)
    response.headers["x-amzn-RequestId"] = exchange.request_id
    return response
