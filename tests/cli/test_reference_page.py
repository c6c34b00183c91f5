"""The points of the reference page of `aws lightsail create-disk-snapshot`, one by one."""

from __future__ import annotations

import datetime as dt
import ipaddress
import json
import socket
import ssl
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.cli.conftest import Run, scripted
from tests.cli.recording_server import RecordingServer

BOTH = ("--disk-name", "Disk-1", "--disk-snapshot-name", "DiskSnapshot-1")
OPERATION = {
    "id": "fa74c6d2-03a6-4f4e-a6b7-5a5b5b5b5b5b",
    "resourceName": "DiskSnapshot-1",
    "resourceType": "DiskSnapshot",
    "createdAt": 1569625129.739,
    "location": {"availabilityZone": "all", "regionName": "us-west-2"},
    "isTerminal": False,
    "operationDetails": "Disk-1",
    "operationType": "CreateDiskSnapshot",
    "status": "Started",
    "statusChangedAt": 1569625129.739,
}


def body(server: RecordingServer) -> object:
    return json.loads(server.requests[-1].body)


def test_disk_name_and_disk_snapshot_name(mooring: Run, server: RecordingServer) -> None:
    assert mooring("create-disk-snapshot", *BOTH).status == 0

    request = server.requests[-1]
    assert request.target == "Lightsail_20161128.CreateDiskSnapshot"
    assert request.content_type == "application/x-amz-json-1.1"
    assert request.body == b'{"diskName": "Disk-1", "diskSnapshotName": "DiskSnapshot-1"}'


def test_disk_snapshot_name_is_required(mooring: Run, server: RecordingServer) -> None:
    result = mooring("create-disk-snapshot", "--disk-name", "Disk-1")

    assert result.status == 2
    assert result.stderr.endswith(
        "mooring: error: the following arguments are required: --disk-snapshot-name\n"
    )
    assert not server.requests


def test_instance_name_instead_of_disk_name(mooring: Run, server: RecordingServer) -> None:
    mooring("create-disk-snapshot", "--instance-name", "I", "--disk-snapshot-name", "S")

    assert body(server) == {"instanceName": "I", "diskSnapshotName": "S"}


def test_tags_in_shorthand(mooring: Run, server: RecordingServer) -> None:
    mooring("create-disk-snapshot", *BOTH, "--tags", "key=a,value=b", "key=c")

    assert body(server) == {
        "diskName": "Disk-1",
        "diskSnapshotName": "DiskSnapshot-1",
        "tags": [{"key": "a", "value": "b"}, {"key": "c"}],
    }


def test_tags_in_json(mooring: Run, server: RecordingServer) -> None:
    tags = [{"key": "a", "value": "b"}]
    mooring("create-disk-snapshot", *BOTH, "--tags", json.dumps(tags))

    assert body(server) == {
        "diskName": "Disk-1",
        "diskSnapshotName": "DiskSnapshot-1",
        "tags": tags,
    }


def test_cli_input_json_as_text(mooring: Run, server: RecordingServer) -> None:
    given = {"diskName": "D", "diskSnapshotName": "S"}
    mooring("create-disk-snapshot", "--cli-input-json", json.dumps(given))

    assert body(server) == given


def test_cli_input_json_from_a_file(mooring: Run, server: RecordingServer, home: Path) -> None:
    (home / "in.json").write_text('{"diskName": "D", "diskSnapshotName": "S"}')
    mooring("create-disk-snapshot", "--cli-input-json", "file://in.json")

    assert body(server) == {"diskName": "D", "diskSnapshotName": "S"}


def test_values_on_the_command_line_override_the_json(
    mooring: Run, server: RecordingServer
) -> None:
    text = '{"diskName": "json", "diskSnapshotName": "json", "tags": [{"key": "json"}]}'
    mooring("create-disk-snapshot", "--disk-name", "cli", "--cli-input-json", text)

    assert body(server) == {
        "diskName": "cli",
        "diskSnapshotName": "json",
        "tags": [{"key": "json"}],
    }


def test_binary_values_cannot_be_passed_in_the_json(mooring: Run, server: RecordingServer) -> None:
    mooring("create-disk-snapshot", "--cli-input-json", '{"diskSnapshotName": "fileb://x"}')

    assert body(server) == {"diskSnapshotName": "fileb://x"}


@pytest.mark.parametrize("value", [[], ["input"]])
def test_generate_cli_skeleton_input(value: list[str], bare: Run, server: RecordingServer) -> None:
    result = bare("create-disk-snapshot", "--generate-cli-skeleton", *value)

    assert result.status == 0
    assert result.stdout == (
        '{\n    "diskName": "",\n    "diskSnapshotName": "",\n    "instanceName": "",\n'
        '    "tags": [\n        {\n            "key": "",\n            "value": ""\n'
        "        }\n    ]\n}\n"
    )
    assert not server.requests


def test_the_skeleton_can_be_filled_in_and_sent(mooring: Run, server: RecordingServer) -> None:
    sample = json.loads(mooring("create-disk-snapshot", "--generate-cli-skeleton").stdout)
    sample.update(diskName="D", diskSnapshotName="S", tags=[{"key": "k", "value": "v"}])
    mooring("create-disk-snapshot", "--cli-input-json", json.dumps(sample))

    assert body(server) == sample


def test_generate_cli_skeleton_output(mooring: Run, server: RecordingServer) -> None:
    result = mooring("create-disk-snapshot", *BOTH, "--generate-cli-skeleton", "output")

    sample = json.loads(result.stdout)["operations"][0]
    assert sample["resourceType"] == "resourceType"
    assert sample["createdAt"] == "1970-01-01T00:00:00"
    assert list(sample)[:3] == ["id", "resourceName", "resourceType"]
    assert not server.requests


def test_generate_cli_skeleton_output_validates_the_inputs(
    mooring: Run, server: RecordingServer
) -> None:
    line = ("create-disk-snapshot", *BOTH, "--tags", "zzz=1", "--generate-cli-skeleton", "output")
    result = mooring(*line)

    assert result.status == 255
    assert result.stderr == (
        "\nParameter validation failed:\n"
        'Unknown parameter in tags[0]: "zzz", must be one of: key, value\n'
    )
    assert not server.requests


def test_generate_cli_skeleton_yaml_input(bare: Run) -> None:
    result = bare("create-disk-snapshot", "--generate-cli-skeleton", "yaml-input")

    assert "diskSnapshotName: ''  # [REQUIRED] The name of the snapshot." in result.stdout


def test_output_operations(mooring: Run, server: RecordingServer) -> None:
    scripted(server, {"operations": [OPERATION]})
    result = mooring("create-disk-snapshot", *BOTH)

    assert json.loads(result.stdout) == {"operations": [OPERATION]}
    assert '            "createdAt": 1569625129.739,\n' in result.stdout


def test_debug(mooring: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SESSION_TOKEN", "very-secret-token")
    result = mooring("create-disk-snapshot", *BOTH, "--debug")

    assert "Lightsail_20161128.CreateDiskSnapshot" in result.stderr
    assert "example-secret" not in result.stderr
    assert "very-secret-token" not in result.stderr


def test_endpoint_url(bare: Run, mooring: Run, server: RecordingServer) -> None:
    mooring("create-disk-snapshot", *BOTH, "--endpoint-url", f"{server.url}/elsewhere")

    assert server.requests[-1].path == "/elsewhere"


def test_no_paginate(mooring: Run, server: RecordingServer) -> None:
    scripted(server, {"disks": [], "nextPageToken": "more"})
    result = mooring("get-disks", "--no-paginate")

    assert len(server.requests) == 1
    assert json.loads(result.stdout) == {"disks": [], "nextPageToken": "more"}


def test_pages_are_followed(mooring: Run, server: RecordingServer) -> None:
    scripted(server, {"disks": [{"name": "a"}], "nextPageToken": "2"}, {"disks": [{"name": "b"}]})
    result = mooring("get-disks")

    assert json.loads(result.stdout) == {"disks": [{"name": "a"}, {"name": "b"}]}
    assert body(server) == {"pageToken": "2"}


def test_output_text(mooring: Run, server: RecordingServer) -> None:
    scripted(server, {"operations": [OPERATION]})
    result = mooring("create-disk-snapshot", *BOTH, "--output", "text")

    assert result.stdout == (
        f"OPERATIONS\t1569625129.739\t{OPERATION['id']}\tFalse\tDisk-1\tCreateDiskSnapshot\t"
        "DiskSnapshot-1\tDiskSnapshot\tStarted\t1569625129.739\n"
        "LOCATION\tall\tus-west-2\n"
    )


def test_output_table(mooring: Run, server: RecordingServer) -> None:
    scripted(server, {"disk": {"name": "a", "sizeInGb": 8}})
    result = mooring("get-disk", "--disk-name", "a", "--output", "table")

    assert result.stdout == (
        "------------------------\n"
        "|        GetDisk       |\n"
        "+----------------------+\n"
        "||        disk        ||\n"
        "|+-------+------------+|\n"
        "|| name  | sizeInGb   ||\n"
        "|+-------+------------+|\n"
        "||  a    |  8         ||\n"
        "|+-------+------------+|\n"
    )


def test_query(mooring: Run, server: RecordingServer) -> None:
    scripted(server, {"operations": [OPERATION]})
    line = ("create-disk-snapshot", *BOTH, "--query", "operations[0].status", "--output", "text")

    assert mooring(*line).stdout == "Started\n"


def test_profile(bare: Run, server: RecordingServer, home: Path) -> None:
    (home / ".aws").mkdir()
    (home / ".aws" / "config").write_text(
        f"[profile other]\nregion = eu-west-1\nendpoint_url = {server.url}\n"
    )
    (home / ".aws" / "credentials").write_text(
        "[other]\naws_access_key_id = AKIAOTHER\naws_secret_access_key = x\n"
    )
    bare("create-disk-snapshot", *BOTH, "--profile", "other")

    assert server.requests[-1].scope == "AKIAOTHER/eu-west-1/lightsail/aws4_request"


def test_region(mooring: Run, server: RecordingServer) -> None:
    mooring("create-disk-snapshot", *BOTH, "--region", "us-east-2")

    assert server.requests[-1].scope == "AKIAEXAMPLEEXAMPLE00/us-east-2/lightsail/aws4_request"


def test_version(bare: Run) -> None:
    result = bare("--version")

    assert (result.status, result.stderr) == (0, "")
    assert result.stdout.startswith("mooring/")


@pytest.mark.parametrize(("value", "colored"), [("on", True), ("off", False), ("auto", False)])
def test_color(value: str, colored: bool, mooring: Run, server: RecordingServer) -> None:
    scripted(server, {"operations": [OPERATION]})
    line = ("create-disk-snapshot", *BOTH, "--output", "table", "--color", value)

    assert ("\x1b[" in mooring(*line).stdout) is colored


def test_no_sign_request(bare: Run, server: RecordingServer) -> None:
    line = ("create-disk-snapshot", *BOTH, "--endpoint-url", server.url, "--region", "us-east-2")

    assert bare(*line, "--no-sign-request").status == 0
    assert server.requests[-1].scope is None


@pytest.fixture
def certificate(home: Path) -> Path:
    """A certificate for 127.0.0.1 that signs itself, and its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")])
    day = dt.timedelta(days=1)
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - day)
        .not_valid_after(now + day)
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]),
            critical=False,
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = home / "cert.pem"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + made.public_bytes(serialization.Encoding.PEM)
    )
    return path


@pytest.fixture
def secure(server: RecordingServer, certificate: Path) -> str:
    """The recording server behind TLS; its address."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    server.secure(context)
    return server.url.replace("http:", "https:")


def test_certificates_are_verified(mooring: Run, secure: str) -> None:
    result = mooring("get-disks", "--endpoint-url", secure)

    assert result.status == 255
    assert result.stderr.startswith(f"\nSSL validation failed for {secure}/ ")


def test_no_verify_ssl(mooring: Run, secure: str) -> None:
    assert mooring("get-disks", "--endpoint-url", secure, "--no-verify-ssl").status == 0


def test_ca_bundle(mooring: Run, secure: str, certificate: Path) -> None:
    line = ("get-disks", "--endpoint-url", secure, "--ca-bundle", str(certificate))

    assert mooring(*line).status == 0


def test_cli_read_timeout(mooring: Run) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        result = mooring("get-disks", "--endpoint-url", url, "--cli-read-timeout", "1")

    assert result.status == 255
    assert result.stderr == f'\nRead timeout on endpoint URL: "{url}/"\n'


def test_cli_connect_timeout(mooring: Run, server: RecordingServer) -> None:
    assert mooring("get-disks", "--cli-connect-timeout", "5").status == 0
    assert mooring("get-disks", "--cli-connect-timeout", "soon").status == 255
