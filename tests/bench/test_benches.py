"""What the benches stand on: each can be started, and the load goes on."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from bench.http_load import run
from tests.conftest import CHECKOUT

PROGRAMS = sorted(
    file.stem for file in (CHECKOUT / "bench").glob("*.py") if "__main__" in file.read_text()
)
REQUEST = b"GET / HTTP/1.1\r\nHost: here\r\n\r\n"


class Forgetful(BaseHTTPRequestHandler):
    """Answers in HTTP/1.1, and ends the connection without having said so."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")
        self.close_connection = True

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def forgetful() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Forgetful) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.mark.full
@pytest.mark.parametrize("name", PROGRAMS)
def test_bench_starts_as_the_documents_say(name: str) -> None:
    subprocess.run(
        [sys.executable, "-m", f"bench.{name}", "--help"],
        cwd=CHECKOUT,
        stdout=subprocess.DEVNULL,
        check=True,
    )


def test_documents_start_benches_as_modules() -> None:
    texts = [*CHECKOUT.glob("*.md"), *CHECKOUT.glob("docs/**/*.md"), *CHECKOUT.glob("bench/*.py")]

    assert not [str(file) for file in texts if "python bench/" in file.read_text("utf-8")]


@pytest.mark.parametrize("rate", [None, 100.0])
def test_load_opens_connections_anew_that_the_server_ended(
    forgetful: str, rate: float | None
) -> None:
    measured = run(forgetful, lambda _: REQUEST, seconds=0.2, connections=2, rate=rate)

    assert len(measured.latencies) > 2
    assert not measured.failures
