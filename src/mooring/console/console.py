"""The console as an application: which page answers which address, and to whom."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from urllib.parse import parse_qsl, quote

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from mooring.api.body import read_body
from mooring.api.exchange import Door
from mooring.api.inside import begin, sign_in, sign_in_by_link
from mooring.api.reply import close_unread, error_of
from mooring.console import guard
from mooring.console.links import use_link
from mooring.console.live import Live
from mooring.console.pages.table import ACTIONS, PAGES
from mooring.console.rendering import STATIC, VERSIONS, render
from mooring.console.sessions import LONGEST_MS, Session, Sessions
from mooring.console.visit import ROOT, Visit, address
from mooring.model.errors import ServiceError
from mooring.service.credentials.keys import Key

Page = Callable[[Visit], Awaitable[Response]]

_TYPES = {
    ".css": "text/css",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
    ".txt": "text/plain",
}
_MOST_FIELDS = 100


class Console:
    """The console of one server. Call `app` once there is a door, and `end` before its end."""

    def __init__(self, links: Path) -> None:
        self._links = links
        self._live = Live()

    def end(self) -> None:
        """Let go of pages that wait for news."""
        self._live.end()

    def app(self, door: Door) -> Starlette:
        """The ASGI application, which is mounted under /console."""
        front = _Front(door, self._links, self._live)
        pages = [
            Route(f"/{{region}}/{name}", front.page(page), methods=["GET"])
            for name, page in PAGES.items()
        ]
        actions = [
            Route(f"/{{region}}/{name}", front.action(page), methods=["POST"])
            for name, page in ACTIONS.items()
        ]
        app = Starlette(
            routes=[
                Route("/", front.home, methods=["GET"]),
                Route("/sign-in", front.sign_in_page, methods=["GET"]),
                Route("/sign-in", front.sign_in, methods=["POST"]),
                Route("/sign-out", front.sign_out, methods=["POST"]),
                Route("/enter/{code}", front.enter_page, methods=["GET"]),
                Route("/enter/{code}", front.enter, methods=["POST"]),
                Route("/static/{version}/{name}", front.static, methods=["GET"]),
                Route("/{region}/events", front.events, methods=["GET"]),
                *pages,
                *actions,
            ],
            exception_handlers={404: front.missing, 405: front.missing},
        )
        app.router.redirect_slashes = False
        return app


class _Front:
    """Lets visitors in, and leads them to pages."""

    def __init__(self, door: Door, links: Path, live: Live) -> None:
        self._door, self._links, self._live = door, links, live
        self._sessions = Sessions(door.find_key, door.clock, door.ids)

    # --- pages

    def page(self, page: Page) -> Callable[[Request], Awaitable[Response]]:
        async def answer(request: Request) -> Response:
            return await self._visit(request, page, {})

        return answer

    def action(self, page: Page) -> Callable[[Request], Awaitable[Response]]:
        async def answer(request: Request) -> Response:
            try:
                form = await self._posted(request)
            except ServiceError as error:
                return self._refused(request, error)
            return await self._visit(request, page, form, acts=True)

        return answer

    async def _visit(
        self, request: Request, page: Page, form: Mapping[str, str], *, acts: bool = False
    ) -> Response:
        found = self._signed_in(request)
        if found is None:
            return self._to_sign_in(request)
        session, key = found
        region = request.path_params["region"]
        if region not in self._door.regions:
            return await self.missing(request)
        token = self._sessions.token(session, key)
        visit = Visit(
            door=self._door,
            request=request,
            session=session,
            key=key,
            token=token,
            region=region,
            form=form,
        )
        try:
            if acts:
                guard.check_token(self._sessions.is_token(session, key, form.get("token", "")))
            response = await page(visit)
        except Exception as exception:  # noqa: BLE001 - told, and logged if unforeseen
            error = error_of(begin(self._door, request), exception)
            response = visit.page(
                "error.html", "That did not work", status=guard.status_of(error), error=error
            )
        renewed = self._sessions.renewed(session)
        if renewed is not None:
            self._give(request, response, renewed, key)
        return guard.protect(response)

    async def home(self, request: Request) -> Response:
        """To the first region's overview."""
        if self._signed_in(request) is None:
            return self._to_sign_in(request)
        return guard.protect(RedirectResponse(address(next(iter(self._door.regions))), 303))

    async def missing(self, request: Request, _error: Exception | None = None) -> Response:
        text = render("missing.html", title="There is no such page", path=request.url.path)
        response = HTMLResponse(text, 404)
        if request.method == "POST":
            response.headers["Connection"] = "close"  # its body was not read
        return guard.protect(response)

    async def static(self, request: Request) -> Response:
        """A file that is sent as it is; its address changes with it."""
        name, version = request.path_params["name"], request.path_params["version"]
        if VERSIONS.get(name) != version:
            return await self.missing(request)
        response = Response(STATIC[name], media_type=_TYPES[Path(name).suffix])
        response.headers["Cache-Control"] = "public, max-age=31536000, immutable"
        return guard.protect(response)

    async def events(self, request: Request) -> Response:
        """News for a page that is open, for as long as its session lasts."""
        found = self._signed_in(request)
        region = request.path_params["region"]
        if found is None or region not in self._door.regions:
            return guard.protect(Response(status_code=403))
        return guard.protect(
            self._live.stream(
                self._door, request, found[1], region, lambda: self._signed_in(request) is not None
            )
        )

    # --- signing in and out

    async def sign_in_page(self, request: Request) -> Response:
        return self._sign_in_page(request.query_params.get("next", ""))

    async def sign_in(self, request: Request) -> Response:
        """By an access key and its secret."""
        onward = ""
        try:
            form = await self._posted(request)
            onward = form.get("next", "")
            key = await sign_in(
                self._door, request, form.get("key", "").strip(), form.get("secret", "").strip()
            )
        except ServiceError as error:
            return self._sign_in_page(onward, error)
        return self._welcome(request, key, onward)

    async def enter_page(self, request: Request) -> Response:
        """Of a link: looking at it uses nothing up, for programs look at links as well."""
        text = render("enter.html", title="Sign in", path=request.url.path, error=None)
        return guard.protect(HTMLResponse(text))

    async def enter(self, request: Request) -> Response:
        """By a link."""
        try:
            await self._posted(request)
            key_id = use_link(self._links, request.path_params["code"], self._door.clock)
            key = await sign_in_by_link(self._door, request, key_id)
        except ServiceError as error:
            return self._sign_in_page("", error)
        return self._welcome(request, key, "")

    async def sign_out(self, request: Request) -> Response:
        try:
            form = await self._posted(request)
            if (found := self._signed_in(request)) is not None:
                guard.check_token(self._sessions.is_token(*found, form.get("token", "")))
                self._sessions.end(found[0])
        except ServiceError as error:
            return self._refused(request, error)
        response = RedirectResponse(f"{ROOT}/sign-in", 303)
        response.delete_cookie(_cookie(request), path=ROOT)
        return guard.protect(response)

    def _sign_in_page(self, onward: str, error: ServiceError | None = None) -> Response:
        status = 200 if error is None else guard.status_of(error)
        text = render("sign_in.html", title="Sign in", onward=onward, error=error)
        return guard.protect(HTMLResponse(text, status))

    def _to_sign_in(self, request: Request) -> Response:
        onward = ""
        if request.method == "GET":
            query = f"?{request.url.query}" if request.url.query else ""
            onward = f"?next={quote(request.url.path + query, safe='')}"
        return guard.protect(RedirectResponse(f"{ROOT}/sign-in{onward}", 303))

    def _welcome(self, request: Request, key: Key, onward: str) -> Response:
        safe = onward.startswith(f"{ROOT}/") and "\\" not in onward and onward.isprintable()
        response = RedirectResponse(onward if safe else f"{ROOT}/", 303)
        self._give(request, response, self._sessions.begin(key), key)
        return guard.protect(response)

    def _signed_in(self, request: Request) -> tuple[Session, Key] | None:
        cookie = request.cookies.get(_cookie(request))
        return None if cookie is None else self._sessions.read(cookie)

    def _give(self, request: Request, response: Response, session: Session, key: Key) -> None:
        response.set_cookie(
            _cookie(request),
            self._sessions.seal(session, key),
            max_age=LONGEST_MS // 1000,
            path=ROOT,
            secure=request.url.scheme == "https",
            httponly=True,
            samesite="strict",
        )

    async def _posted(self, request: Request) -> Mapping[str, str]:
        """The fields of a form of this console. Raises ServiceError."""
        exchange = begin(self._door, request)
        await read_body(exchange)
        guard.check_origin(request)
        text = exchange.body.decode("utf-8", "replace")
        try:
            fields = parse_qsl(text, keep_blank_values=True, max_num_fields=_MOST_FIELDS)
        except ValueError:
            fields = []
        return dict(fields)

    def _refused(self, request: Request, error: ServiceError) -> Response:
        text = render("refused.html", title="Nothing was done", error=error)
        response = HTMLResponse(text, guard.status_of(error))
        close_unread(begin(self._door, request), response)
        return guard.protect(response)


def _cookie(request: Request) -> str:
    """The cookie's name: with TLS one that browsers take from nowhere but TLS."""
    return "__Secure-mooring" if request.url.scheme == "https" else "mooring-console"
