"""The API over TLS, with the clients that people have, and certificates that change."""

from __future__ import annotations

import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509

from mooring.admin.demo.server import client_program
from tests.clients.certificates import Authority
from tests.clients.site import SETTINGS, Site

pytestmark = pytest.mark.full

TLS = """
[listen]
host = "0.0.0.0"
name = "localhost"
certificate = "{folder}/certificate.pem"
key = "{folder}/key.pem"
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tls")


@pytest.fixture(scope="module")
def authority(folder: Path) -> Authority:
    return Authority(folder)


@pytest.fixture(scope="module")
def secure(folder: Path, authority: Authority) -> Iterator[Site]:
    authority.sign(folder / "certificate.pem", folder / "key.pem")
    data = folder / "data"
    data.mkdir()
    site = Site(data, SETTINGS + TLS.format(folder=folder), authority.bundle)
    yield site
    site.close()


def run(site: Site, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [client_program(words[0]), *words[1:]],
        env={**site.environment, **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def serial(site: Site, bundle: Path) -> int:
    """The serial number of the certificate that a new connection gets."""
    port = int(site.url.rpartition(":")[2])
    context = ssl.create_default_context(cafile=bundle)
    with (
        socket.create_connection(("127.0.0.1", port), timeout=30) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as wrapped,
    ):
        certificate = wrapped.getpeercert(binary_form=True)
    assert certificate is not None
    return x509.load_der_x509_certificate(certificate).serial_number


def hang_up(site: Site, wanted: str) -> None:
    """Send SIGHUP, and wait until the log says what came of it."""
    before = site.log().count(wanted)
    os.kill(site.server.pid, signal.SIGHUP)
    for _ in range(3000):
        if site.log().count(wanted) > before:
            return
        threading.Event().wait(0.01)
    raise AssertionError(f"the log has no new {wanted!r}")


def test_the_server_says_where_it_is(secure: Site) -> None:
    assert secure.url.startswith("https://localhost:")


@pytest.mark.parametrize("words", [["mooring"], ["aws", "lightsail"]], ids=["mooring", "aws"])
def test_commands_use_it(secure: Site, words: list[str]) -> None:
    done = run(secure, *words, "get-disks")

    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["disks"] == []


def test_boto3_uses_it(secure: Site) -> None:
    disk = secure.disk()

    assert secure.snapshot(disk)


@pytest.mark.parametrize("words", [["mooring"], ["aws", "lightsail"]], ids=["mooring", "aws"])
def test_an_unknown_authority_is_refused(secure: Site, folder: Path, words: list[str]) -> None:
    bundle = str(Authority(folder, "stranger").bundle)

    by_environment = run(secure, *words, "get-disks", AWS_CA_BUNDLE=bundle, AWS_MAX_ATTEMPTS="1")
    by_option = run(secure, *words, "--ca-bundle", bundle, "get-disks", AWS_MAX_ATTEMPTS="1")

    for done in (by_environment, by_option):
        assert done.returncode != 0
        assert "SSL validation failed" in done.stderr or "certificate" in done.stderr.lower()


def test_without_tls_nothing_is_answered(secure: Site) -> None:
    port = int(secure.url.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), timeout=30) as plain:
        plain.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        try:
            received = plain.recv(100)
        except ConnectionResetError:
            received = b""

    assert b"ok" not in received


def test_old_versions_are_refused(secure: Site) -> None:
    port = int(secure.url.rpartition(":")[2])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    with (
        socket.create_connection(("127.0.0.1", port), timeout=30) as plain,
        pytest.raises((ssl.SSLError, ConnectionResetError)),
    ):
        context.wrap_socket(plain, server_hostname="localhost")


def test_a_certificate_is_renewed_without_a_restart(
    secure: Site, folder: Path, authority: Authority
) -> None:
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    new = authority.sign(certificate, key)
    assert serial(secure, authority.bundle) != new
    hang_up(secure, "certificate reloaded")
    assert serial(secure, authority.bundle) == new

    # Half of a pair, and rubbish, leave what is in force.
    authority.sign(folder / "other.pem", key)
    hang_up(secure, "certificate not renewed")
    certificate.write_text("rubbish")
    hang_up(secure, "certificate not renewed")
    assert serial(secure, authority.bundle) == new

    newest = authority.sign(certificate, key)
    hang_up(secure, "certificate reloaded")
    assert serial(secure, authority.bundle) == newest
    assert secure.call("GetDisks")["ResponseMetadata"]["HTTPStatusCode"] == 200


@pytest.mark.parametrize("wrong", ["missing", "rubbish", "pair", "passphrase"])
def test_files_that_cannot_be_used_stop_the_start(
    tmp_path: Path, authority: Authority, wrong: str
) -> None:
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    authority.sign(certificate, key)
    if wrong == "missing":
        certificate.unlink()
    elif wrong == "rubbish":
        key.write_text("rubbish")
    elif wrong == "pair":
        authority.sign(tmp_path / "other.pem", key)
    else:
        encrypt = ["openssl", "ec", "-in", str(key), "-out", str(key), "-aes128", "-passout"]
        subprocess.run([*encrypt, "pass:x"], check=True, capture_output=True)
    config = tmp_path / "mooring.toml"
    config.write_text(SETTINGS + TLS.format(folder=tmp_path))

    command = [sys.executable, "-m", "mooring.admin.main", "serve", "--port", "0"]
    done = subprocess.run(
        [*command, "--config", str(config), "--data", str(tmp_path / "data")],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 2
    assert "listen.certificate" in done.stderr
    assert "cannot be used" in done.stderr
