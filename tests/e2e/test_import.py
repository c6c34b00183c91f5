"""Image files brought in as snapshots, by the command that people use."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from mooring.nbd.blocking import BlockingNbdClient
from tests.e2e.deployment import Deployment
from tests.e2e.processes import until
from tests.e2e.test_restore import MIB, noise, serve

pytestmark = [
    pytest.mark.full,
    pytest.mark.usefixtures("importable_tests"),
    pytest.mark.requires("qemu-img"),
]

DRIVERS = {
    "raw": "raw", "qcow2": "qcow2", "vmdk": "vmdk", "vdi": "vdi", "vhdx": "vhdx", "vhd": "vpc",
}  # fmt: skip
CONTENT = {0: 64 * 1024, 3 * MIB: MIB, 60 * MIB + 512: 4 * MIB - 512}
SIZE = 64 * MIB


def make_images(folder: Path) -> None:
    """An image of each format with the same content."""
    with (folder / "raw").open("wb") as file:
        file.truncate(SIZE)
        for position, length in CONTENT.items():
            os.pwrite(file.fileno(), noise(position, length), position)
    for name, driver in DRIVERS.items():
        if name != "raw":
            options = ["-o", "force_size=on"] if driver == "vpc" else []
            convert = ["qemu-img", "convert", "-f", "raw", "-O", driver, *options]
            subprocess.run([*convert, str(folder / "raw"), str(folder / name)], check=True)


def command(file: Path, image_format: str, name: str, *options: str) -> list[str]:
    words = ["import", str(file), "--disk-snapshot-name", name, "--format", image_format]
    return [sys.executable, "-m", "mooring.cli.main", *words, *options]


def run(
    deployment: Deployment, file: Path, image_format: str, name: str, *options: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(file, image_format, name, *options),
        env=deployment.server.environment(),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def check(uri: str) -> None:
    with BlockingNbdClient(uri) as client:
        for position, length in CONTENT.items():
            assert client.read(position, length) == noise(position, length)
        data = sum(extent.length for _, extent in client.map() if not extent.flags & 2)
        assert data < SIZE
        assert client.read(SIZE, MIB) == bytes(MIB)


def test_every_format(deployment: Deployment) -> None:
    make_images(deployment.folder)
    serve(deployment)
    for name in DRIVERS:
        tags = ("--tags", "key=team,value=storage", f"key={name}")
        done = run(deployment, deployment.folder / name, name, f"from-{name}", *tags)
        assert (done.returncode, done.stderr) == (0, ""), name
        assert "is the snapshot" in done.stdout
        shown = deployment.call("GetDiskSnapshot", diskSnapshotName=f"from-{name}")["diskSnapshot"]
        assert (shown["state"], shown["sizeInGb"]) == ("completed", 8)
        told = {tag["key"]: tag.get("value") for tag in shown["tags"]}
        assert told == {"team": "storage", name: None}
        assert "fromDiskName" not in shown
        export = ["mooring", "export", "--disk-snapshot-name", f"from-{name}"]
        check(deployment.server.run(*export).output.strip())
    with deployment.restored("from-qcow2") as (uri,):
        check(uri)
    larger = run(deployment, deployment.folder / "raw", "raw", "larger", "--disk-size-in-gb", "9")
    assert larger.returncode == 0
    shown = deployment.call("GetDiskSnapshot", diskSnapshotName="larger")["diskSnapshot"]
    assert shown["sizeInGb"] == 9
    assert deployment.statuses("larger") == ["Succeeded"]


def test_what_is_refused(deployment: Deployment) -> None:
    folder = deployment.folder
    make_images(folder)
    serve(deployment)
    secret = folder / "secret"
    secret.write_bytes(b"secret" * 1000)
    create = ["qemu-img", "create", "-q", "-f"]
    subprocess.run(
        [*create, "qcow2", "-b", str(secret), "-F", "raw", str(folder / "laid")], check=True
    )
    outside = f"data_file={secret},data_file_raw=on"
    subprocess.run([*create, "qcow2", "-o", outside, str(folder / "out"), "6000"], check=True)
    subprocess.run(
        [*create, "vmdk", "-o", "subformat=monolithicFlat", str(folder / "flat"), "1M"], check=True
    )
    subprocess.run(["qemu-img", "snapshot", "-c", "s", str(folder / "qcow2")], check=True)
    subprocess.run([*create, "qcow2", str(folder / "huge"), "32T"], check=True)
    with (folder / "large").open("wb") as file:
        file.truncate(8 * 1024 * MIB + 1)
    os.mkfifo(folder / "fifo")
    (folder / "empty").touch()
    for name, image_format, options, words in (
        ("laid", "qcow2", [], "has a backing file"),
        ("out", "qcow2", [], "stores its data in another file"),
        ("flat", "vmdk", [], "only describes other files"),
        ("qcow2", "qcow2", [], "contains 1 internal snapshot"),
        ("huge", "qcow2", [], "disks have at most 16384 GB"),
        ("fifo", "raw", [], "is not a regular file"),
        ("none", "raw", [], "No such file"),
        ("empty", "raw", [], "is empty"),
        ("raw", "qcow2", [], "is not a qcow2 image"),
        ("raw", "qed", [], "does not read 'qed'"),
        ("raw", "raw", ["--disk-size-in-gb", "7"], "7 is not possible: disks have at least 8 GB"),
        ("large", "raw", ["--disk-size-in-gb", "8"], "large needs at least 9 GB"),
        ("raw", "raw", ["--disk-size-in-gb", "16385"], "disks have at most 16384 GB"),
    ):
        done = run(deployment, folder / name, image_format, "refused", *options)
        assert done.returncode, name
        assert words in done.stderr, name
    assert deployment.states() == {}


def told(deployment: Deployment) -> dict[str, Any]:
    return dict(deployment.server.ask("snapshot", diskSnapshotName="moved"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_nothing_is_left_of_an_import_that_is_ended(
    deployment: Deployment, number: signal.Signals
) -> None:
    settings = deployment.folder / "settings.toml"
    settings.write_text("[vault]\nupload_mib_per_second = 8\n")
    server = [sys.executable, "-m", "mooring.admin.main", "serve", "--port", "0"]
    deployment.start(*server, "--config", str(settings))
    image = deployment.folder / "slow"
    image.write_bytes(os.urandom(64 * MIB))
    process = subprocess.Popen(
        command(image, "raw", "moved"),
        env=deployment.server.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        until(lambda: deployment.states() == {"moved": "pending"}, "the import to begin")
        # By then the command has its answer and waits; before, it can only end.
        until(lambda: told(deployment)["progress"] >= 10, "a part to be stored")
        process.send_signal(number)
        _, errors = process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait()
    if number is signal.SIGKILL:
        assert process.returncode == -signal.SIGKILL
    else:
        assert process.returncode == 130
        assert errors == "canceled: there is no snapshot moved\n"
    until(lambda: deployment.states() == {}, "the snapshot to go")
    vault = deployment.data / "vaults" / "us-east-2"
    until(lambda: not list(vault.glob("roots/*")), "the vault to be empty")


def test_the_server_is_killed_meanwhile(deployment: Deployment) -> None:
    serve(deployment)
    image = deployment.folder / "large"
    with image.open("wb") as file:
        for number in range(300):
            file.write(noise(number, MIB))
    # The port is another one then, so this client does not find the server again by itself.
    process = subprocess.Popen(command(image, "raw", "moved"), env=deployment.server.environment())
    try:
        until(lambda: deployment.states() == {"moved": "pending"}, "the import to begin")
        deployment.server.kill()
        serve(deployment)
        assert deployment.ended("moved") == ["completed"]
    finally:
        process.kill()
        process.wait()
    uri = deployment.server.run("mooring", "export", "--disk-snapshot-name", "moved").output
    with BlockingNbdClient(uri.strip()) as client:
        for number in range(300):
            assert client.read(number * MIB, MIB) == noise(number, MIB)


def test_missing_program(deployment: Deployment, tmp_path: Path) -> None:
    serve(deployment)
    (deployment.folder / "raw").write_bytes(bytes(4096))
    environment = {**deployment.server.environment(), "PATH": str(tmp_path)}
    done = subprocess.run(
        command(deployment.folder / "raw", "raw", "moved"),
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 255
    assert "qemu-storage-daemon is missing, which reads images: apt-get install" in done.stderr
