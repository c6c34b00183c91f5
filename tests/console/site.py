"""A console with a whole server in memory behind it, and visitors, without a network."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from dataclasses import replace
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlencode

from mooring.api.app import create_app
from mooring.api.shared_audit import SharedAudit
from mooring.catalog.database import Catalog
from mooring.config.settings import Limits, Throttle
from mooring.console.console import Console
from mooring.model.access import Access, Role
from mooring.observe.audit import AuditLog
from mooring.service.credentials.keys import Key
from mooring.service.own.table import OWN_REQUESTS, own_handlers
from mooring.service.table import OPERATIONS, handlers
from tests.api.door import Reply
from tests.service.world import MODEL, REGIONS, World

HOST = "console.test:8470"
ADDRESS = "192.0.2.7"
SECRET = "s3cr3t-of-"
CALLERS = {
    "admin": Access("admin"),
    "operator": Access("operator", Role.OPERATOR),
    "reader": Access("reader", Role.READ_ONLY),
    "team": Access("team", Role.OPERATOR, {"team": "db"}),
}


class Site:
    """The console, its keys (whose ids and secrets end with their user's name) and its clock."""

    def __init__(
        self, folder: Path, throttle: Throttle | None = None, catalog: Catalog | None = None
    ) -> None:
        self.world = World(catalog=catalog)
        self.audit = folder / "audit.jsonl"
        self.cluster_key = folder / "cluster-key"
        self.world.backend = replace(
            self.world.backend, audit_file=self.audit, cluster_key=self.cluster_key
        )
        self.keys = {
            f"KEY{name}": Key(f"KEY{name}", SECRET + name, access=access)
            for name, access in CALLERS.items()
        }
        self.links = folder / "links"
        self.console = Console(self.links)
        self.app = create_app(
            model=MODEL,
            handlers=handlers(self.world.backend),
            own_requests=OWN_REQUESTS,
            own_handlers=own_handlers(self.world.backend),
            find_key=self.keys.get,
            regions=list(REGIONS),
            clock=self.world.clock,
            ids=self.world.backend.ids,
            limits=Limits(),
            throttles=throttle,
            entries=OPERATIONS,
            audit_log=AuditLog(self.audit, sync=False),
            shared_audit=None if catalog is None else SharedAudit(catalog, "one"),
            console=self.console.app,
        )

    def visitor(self, name: str | None = None, scheme: str = "http") -> Visitor:
        """A browser; signed in by the key of a caller, if one is named."""
        visitor = Visitor(self, scheme)
        if name is not None:
            reply = visitor.post("/console/sign-in", key=f"KEY{name}", secret=SECRET + name)
            assert reply.status == 303, reply.text
        return visitor

    def close(self) -> None:
        self.world.close()


class Visitor:
    """What a browser does, as far as the console relies on it: cookies, and the token of forms."""

    def __init__(self, site: Site, scheme: str) -> None:
        self.site, self.scheme = site, scheme
        self.cookies: dict[str, str] = {}
        self.token = ""

    def get(self, target: str, **headers: str) -> Reply:
        reply = self.send("GET", target, headers)
        found = re.search(r'name="token" value="([0-9a-f]+)"', reply.text)
        if found:
            self.token = found[1]
        return reply

    def see(self, target: str, status: int = 200) -> str:
        """The text of a page, without its elements."""
        reply = self.get(target)
        assert reply.status == status, reply.text
        return " ".join(unescape(re.sub(r"<[^>]+>", " ", reply.text)).split())

    def post(self, target: str, headers: Mapping[str, str] | None = None, **form: str) -> Reply:
        """Post a form of the page that was loaded last."""
        sent = {"origin": f"{self.scheme}://{HOST}", **(headers or {})}
        return self.send("POST", target, sent, {"token": self.token, **form})

    def send(
        self,
        method: str,
        target: str,
        headers: Mapping[str, str],
        form: Mapping[str, str] | None = None,
    ) -> Reply:
        """Send a request as it is, with the cookies."""
        body = b"" if form is None else urlencode(form).encode()
        sent: dict[str, str] = {"host": HOST, **headers}
        if self.cookies:
            sent["cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        if form is not None:
            sent |= {
                "content-type": "application/x-www-form-urlencoded",
                "content-length": str(len(body)),
            }
        return asyncio.run(self._send(method, target, sent, body))

    async def _send(
        self, method: str, target: str, headers: Mapping[str, str], body: bytes
    ) -> Reply:
        path, _, query = target.partition("?")
        scope = {
            "type": "http",
            "http_version": "1.1",
            "method": method,
            "scheme": self.scheme,
            "path": unquote(path),
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "client": (ADDRESS, 40000),
            "server": ("127.0.0.1", 8470),
            "root_path": "",
            "headers": [(name.lower().encode(), text.encode()) for name, text in headers.items()],
        }
        reply = Reply()
        waiting = [{"type": "http.request", "body": body, "more_body": False}]

        async def receive() -> dict[str, Any]:
            if waiting:
                return waiting.pop()
            await asyncio.sleep(3600)
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            if message["type"] == "http.response.start":
                reply.status = message["status"]
                for name, text in message["headers"]:
                    if name == b"set-cookie":
                        self._take(text.decode())
                reply.headers = {name.decode(): text.decode() for name, text in message["headers"]}
            else:
                reply.content += message.get("body", b"")

        await self.site.app(scope, receive, send)
        return reply

    def _take(self, cookie: str) -> None:
        name, _, rest = cookie.partition("=")
        value = rest.partition(";")[0].strip('"')
        if value and "max-age=0" not in cookie.lower():
            self.cookies[name] = value
        else:
            self.cookies.pop(name, None)
