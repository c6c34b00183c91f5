"""A PostgreSQL server of the tests' own, on a Unix socket."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.exc import OperationalError

from mooring.model.clock import SystemClock

START_SECONDS = 60.0


def find_binaries() -> Path | None:
    """The directory of `postgres` and `initdb`; Debian keeps it out of the search path."""
    found = shutil.which("postgres")
    folders = [Path(found).resolve().parent] if found else []
    folders += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return next((one for one in folders if (one / "initdb").exists()), None)


def running(data: Path | None = None, certificate: Path | None = None) -> Iterator[PostgreSQL]:
    """A server for as long as a fixture lasts, with its files in `data` if given.

    Without PostgreSQL its tests are skipped; in CI they fail.
    """
    binaries = find_binaries()
    if binaries is None:
        reason = "PostgreSQL is not installed: apt-get install postgresql"
        if os.environ.get("CI"):
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)
    server = PostgreSQL(binaries, data, certificate)
    try:
        yield server
    finally:
        server.close()


class PostgreSQL:
    """A server that keeps nothing. It refuses to run as root, so then another user runs it."""

    def __init__(
        self, binaries: Path, data: Path | None = None, certificate: Path | None = None
    ) -> None:
        """`data` is where its files are, by default among its own.

        With a folder that has a `certificate` for this host it also listens on TCP, with TLS for
        those who want it.
        """
        self._certificate = certificate
        self.port = 0
        self._binaries = binaries
        self._user = "postgres" if os.getuid() == 0 else pwd.getpwuid(os.getuid()).pw_name
        # Not under the tests' own root: that is closed to other users.
        self._home = Path(tempfile.mkdtemp(prefix="m-pg-", dir="/tmp"))
        self._data = data or self._home / "data"
        self._schemas = 0
        self._process: subprocess.Popen[bytes] | None = None
        try:
            shutil.chown(self._home, self._user)
            self._make()
            self.start()
        except BaseException:
            self.close()
            raise

    def url(self) -> str:
        """The URL of a schema of its own: an empty database, as far as a catalog can see."""
        self._schemas += 1
        name = f"test_{self._schemas}"
        self._execute(f"CREATE SCHEMA {name}")
        return f"{self._server_url}&options={quote(f'-csearch_path={name}')}"

    def stop(self) -> None:
        """End it, as for an upgrade; its clients are cut off."""
        if self._process is not None:
            # The fast shutdown; the polite one waits for clients.
            self._process.send_signal(signal.SIGINT)
            try:
                self._process.wait(30)
            except subprocess.TimeoutExpired:
                self._process.send_signal(signal.SIGQUIT)
                self._process.wait(30)
        self._process = None

    def close(self) -> None:
        self.stop()
        shutil.rmtree(self._home)

    @property
    def _server_url(self) -> str:
        port = f"&port={self.port}" if self.port else ""
        return f"postgresql+psycopg:///postgres?host={quote(str(self._home))}{port}&user=mooring"

    def _make(self) -> None:
        # Sorts as people do, so that whatever relies on the order of bytes shows.
        language = ["--locale-provider=icu", "--icu-locale=en", "--encoding=UTF8"]
        options = ["--no-sync", "--auth=trust", "--username=mooring"]
        subprocess.run(
            [self._binaries / "initdb", *options, *language, "--pgdata", self._data],
            user=self._user,
            cwd=self._home,
            check=True,
            stdin=subprocess.DEVNULL,
            capture_output=True,
        )

    def start(self) -> None:
        """Start it, and wait until it answers."""
        settings = {
            "listen_addresses": "",
            "unix_socket_directories": str(self._home),
            "fsync": "off",
            "max_connections": "60",
        }
        if self._certificate is not None:
            settings |= self._with_tls(self._certificate)
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        log = self._home / "log"
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                [self._binaries / "postgres", "-D", self._data, *options],
                user=self._user,
                cwd=self._home,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        clock = SystemClock()
        deadline = clock.monotonic() + START_SECONDS
        while True:
            try:
                return self._execute("SELECT 1")
            except OperationalError:
                if self._process.poll() is not None or clock.monotonic() > deadline:
                    raise RuntimeError(log.read_text(errors="replace")) from None
            threading.Event().wait(0.05)

    def _with_tls(self, certificate: Path) -> dict[str, str]:
        """Settings for TCP on a port that is free now."""
        for name in ("server-cert.pem", "server-key.pem"):
            shutil.copy(certificate / name, self._home / name)
            (self._home / name).chmod(0o600)
            shutil.chown(self._home / name, self._user)
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        return {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "ssl": "on",
            "ssl_cert_file": str(self._home / "server-cert.pem"),
            "ssl_key_file": str(self._home / "server-key.pem"),
        }

    def _execute(self, statement: str) -> None:
        engine = create_engine(self._server_url, isolation_level="AUTOCOMMIT")
        try:
            with engine.connect() as connection:
                connection.execute(text(statement))
        finally:
            engine.dispose()
