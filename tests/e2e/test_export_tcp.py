"""Snapshots for other hosts: over TCP with TLS, by the backend that people use."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from mooring.admin.demo.server import DemoError
from mooring.nbd.uri import parse_uri
from tests.e2e.authority import Authority, pem
from tests.e2e.deployment import Deployment
from tests.e2e.processes import until
from tests.e2e.test_export import check_file, export
from tests.e2e.test_restore import MIB, snapshot, snapshot_server

pytestmark = [
    pytest.mark.full,
    pytest.mark.usefixtures("importable_tests"),
    pytest.mark.requires("nbdinfo", "qemu-img"),
]


def start(deployment: Deployment, folder: Path, *more: str) -> None:
    config = deployment.folder / "mooring.toml"
    lines = [
        "[nbd]",
        'host = "127.0.0.1"',
        "port = 0",
        'name = "localhost"',
        f'certificate = "{folder}/server-cert.pem"',
        f'key = "{folder}/server-key.pem"',
        *more,
    ]
    config.write_text("\n".join(lines) + "\n")
    serve = [sys.executable, "-m", "mooring.admin.main", "serve", "--port", "0"]
    deployment.start(*serve, "--config", str(config))


def nbdinfo(uri: str, certificates: Path | None = None) -> subprocess.CompletedProcess[str]:
    place = uri if certificates is None else f"{uri}?tls-certificates={certificates}"
    return subprocess.run(
        ["nbdinfo", "--size", place], capture_output=True, text=True, timeout=60, check=False
    )


def test_other_hosts_need_tls_and_a_grant(deployment: Deployment) -> None:
    certificates = deployment.folder / "pki"
    Authority("ours").issue(certificates, "server")
    Authority("another").issue(deployment.folder / "wrong", "server")
    start(deployment, certificates)
    snapshot(deployment)
    uri = export(deployment, "--tcp")

    assert uri.startswith("nbds://localhost:")
    assert nbdinfo(uri, certificates).stdout == f"{8192 * MIB}\n"
    place = parse_uri(uri)
    image = deployment.folder / "image"
    creds = f"tls-creds-x509,id=t,dir={certificates},endpoint=client"
    options = f"driver=nbd,host=localhost,port={place.port},export={place.export},tls-creds=t"
    convert = ["qemu-img", "convert", "--object", creds, "--image-opts", options, "-O", "raw"]
    subprocess.run([*convert, str(image)], check=True, timeout=120)
    check_file(image)
    assert image.stat().st_blocks * 512 < 64 * MIB

    assert nbdinfo(uri, deployment.folder / "wrong").returncode
    assert nbdinfo(uri.replace("nbds://", "nbd://")).returncode
    snapshot_id = deployment.server.ask("snapshot", diskSnapshotName="saved")["id"]
    by_id = uri.replace(place.export, str(snapshot_id))
    assert nbdinfo(by_id, certificates).returncode
    assert nbdinfo(uri.replace(place.export, "0" * 32), certificates).returncode
    local = export(deployment)
    assert local.startswith("nbd+unix:///")
    assert nbdinfo(local).stdout == f"{8192 * MIB}\n"

    # Certificates that went bad are no reason to stop serving this host.
    (certificates / "server-cert.pem").write_text("nonsense")
    pid = snapshot_server(deployment)
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    until(lambda: snapshot_server(deployment) not in (None, pid), "it to come back")
    assert nbdinfo(export(deployment)).stdout == f"{8192 * MIB}\n"
    with pytest.raises(DemoError, match="not served over TCP"):
        export(deployment, "--tcp")


def test_clients_with_certificates_only(deployment: Deployment) -> None:
    authority = Authority("ours")
    certificates, anonymous = deployment.folder / "pki", deployment.folder / "anonymous"
    for role in ("server", "client"):
        authority.issue(certificates, role)
    anonymous.mkdir()
    (anonymous / "ca-cert.pem").write_bytes(pem(authority.own))
    start(deployment, certificates, f'client_authority = "{certificates}/ca-cert.pem"')
    snapshot(deployment)
    uri = export(deployment, "--tcp")

    assert nbdinfo(uri, certificates).stdout == f"{8192 * MIB}\n"
    assert nbdinfo(uri, anonymous).returncode


def test_nothing_leaves_the_host_unless_set_up(deployment: Deployment) -> None:
    deployment.start()
    snapshot(deployment)
    with pytest.raises(DemoError, match=r"not served over TCP: set nbd.host and"):
        export(deployment, "--tcp")


def test_certificate_that_cannot_be_used(deployment: Deployment) -> None:
    certificates = deployment.folder / "pki"
    certificates.mkdir()
    (certificates / "server-cert.pem").write_text("nonsense")
    (certificates / "server-key.pem").write_text("nonsense")
    with pytest.raises(DemoError, match=r"nbd.certificate, nbd.key or nbd.client_authority cannot"):
        start(deployment, certificates)
