"""Snapshots read over NBD without making a disk, with the backend that people use."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from mooring.admin.demo.server import DemoError
from mooring.images.image_file import ImagePart
from mooring.model.errors import NbdError
from mooring.nbd.blocking import BlockingNbdClient
from tests.e2e.deployment import Deployment
from tests.e2e.processes import until
from tests.e2e.test_restore import MIB, PIECES, check, noise, serve, snapshot, snapshot_server

pytestmark = [pytest.mark.full, pytest.mark.usefixtures("importable_tests")]


def export(deployment: Deployment, *options: str) -> str:
    command = ["mooring", "export", "--disk-snapshot-name", "saved", *options]
    return deployment.server.run(*command).output.strip()


@pytest.mark.requires("nbdcopy")
@pytest.mark.requires("nbdinfo")
def test_export_is_read_by_everybody(deployment: Deployment) -> None:
    serve(deployment)
    snapshot(deployment)
    uri = export(deployment)

    with BlockingNbdClient(uri) as client:
        assert client.info.read_only
        check(client)
    size = subprocess.run(["nbdinfo", "--size", uri], capture_output=True, text=True, check=True)
    assert int(size.stdout) == 8192 * MIB
    copy, image = deployment.folder / "copy.raw", deployment.folder / "image.qcow2"
    subprocess.run(["nbdcopy", uri, str(copy)], check=True)
    check_file(copy)
    assert copy.stat().st_blocks * 512 < 64 * MIB
    convert = ["qemu-img", "convert", "-f", "raw", "-O", "qcow2", uri, str(image)]
    subprocess.run(convert, check=True)
    compare = ["qemu-img", "compare", "-f", "raw", "-F", "qcow2", str(copy), str(image)]
    subprocess.run(compare, check=True, stdout=subprocess.DEVNULL)


def test_export_outlives_the_server_and_the_snapshot(deployment: Deployment) -> None:
    serve(deployment)
    snapshot(deployment)
    with BlockingNbdClient(export(deployment)) as client:
        deployment.server.kill()
        assert client.read(0, MIB) == noise(0, 4 * MIB)[:MIB]
        serve(deployment)
        deployment.call("DeleteDiskSnapshot", diskSnapshotName="saved")
        segments = deployment.data / "vaults" / "us-east-2" / "segments"
        roots = deployment.data / "vaults" / "us-east-2" / "roots"
        until(lambda: not list(roots.iterdir()), "the snapshot to go")
        time.sleep(1)
        assert [path for path in segments.rglob("*") if path.is_file()]
        check(client)


def test_export_ends_in_time(deployment: Deployment) -> None:
    serve(deployment)
    snapshot(deployment)
    uri = export(deployment, "--seconds", "3")
    client = BlockingNbdClient(uri)
    assert client.read(0, MIB) == noise(0, 4 * MIB)[:MIB]
    time.sleep(3.2)
    with pytest.raises(NbdError):
        client.read(0, MIB)
    client.close()
    with pytest.raises(NbdError):
        BlockingNbdClient(uri)
    again = export(deployment)
    assert again != uri
    grants = deployment.data / "run" / "snapshots-us-east-2" / "grants"
    assert len(list(grants.iterdir())) == 1


def is_served(uri: str) -> bool:
    with contextlib.suppress(NbdError):
        BlockingNbdClient(uri).close()
        return True
    return False


def test_export_survives_the_server_of_snapshots(deployment: Deployment) -> None:
    serve(deployment)
    snapshot(deployment)
    uri = export(deployment)
    pid = snapshot_server(deployment)
    assert pid is not None

    os.kill(pid, signal.SIGKILL)

    until(lambda: is_served(uri), "it to come back")
    assert snapshot_server(deployment) not in (None, pid)
    with BlockingNbdClient(uri) as client:
        check(client)


def test_what_cannot_be_exported_is_told(deployment: Deployment) -> None:
    serve(deployment)
    with pytest.raises(DemoError, match="does not exist"):
        export(deployment)
    snapshot(deployment)
    for seconds in ("0", "-1", "86401"):
        with pytest.raises(DemoError, match="An export lasts 1 to 86400 seconds"):
            export(deployment, f"--seconds={seconds}")
    guess = export(deployment).replace("nbd+unix:///", "nbd+unix:///0")
    with pytest.raises(NbdError):
        BlockingNbdClient(guess)


def check_file(path: Path) -> None:
    with path.open("rb") as file:
        for position, length in PIECES.items():
            file.seek(position)
            assert file.read(length) == noise(position, length)


def to_file(
    deployment: Deployment, output: Path, *options: str
) -> subprocess.CompletedProcess[str]:
    """Run `mooring export --output`; its errors are kept."""
    command = [sys.executable, "-m", "mooring.cli.main", "export", "--disk-snapshot-name", "saved"]
    return subprocess.run(
        [*command, *options, "--output", str(output)],
        env=deployment.server.environment(),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.requires("qemu-img")
@pytest.mark.parametrize("image_format", ["raw", "qcow2", "vmdk"])
def test_export_into_a_file(deployment: Deployment, image_format: str) -> None:
    serve(deployment)
    snapshot(deployment)
    output, back = deployment.folder / f"image.{image_format}", deployment.folder / "back"

    done = to_file(deployment, output)

    assert (done.returncode, done.stderr) == (0, "")
    assert f"saved is in {output}: {image_format}, 8.0 GiB" in done.stdout
    convert = ["qemu-img", "convert", "-f", image_format, "-O", "raw", str(output), str(back)]
    subprocess.run(convert, check=True)
    check_file(back)
    assert output.stat().st_blocks * 512 < 64 * MIB
    assert not list(deployment.folder.glob(f"{output.name}?*"))
    again = to_file(deployment, output)
    assert again.returncode == 255
    assert "exists and was left as it is: name another file" in again.stderr


def test_export_into_a_file_goes_on(deployment: Deployment) -> None:
    serve(deployment)
    snapshot(deployment)
    output = deployment.folder / "image"
    known = deployment.server.ask("snapshot", diskSnapshotName="saved")
    with ImagePart(output) as part:
        part.begin(8192 * MIB)
        os.pwrite(part.fd, noise(0, 4 * MIB), 0)
        part.mark({"snapshot": known["id"], "size": 8192 * MIB}, 4 * MIB)
    done = to_file(deployment, output)
    assert done.returncode == 0
    told = f"{output}.part resumes at 4.0 MiB, where an earlier attempt was interrupted.\n"
    assert done.stderr == told
    check_file(output)

    output.rename(deployment.folder / "first")
    output.with_name("image.part").write_text("of something else")
    done = to_file(deployment, output)
    assert done.returncode == 0
    assert "starts over: what an earlier attempt left cannot be resumed" in done.stderr
    check_file(output)


@pytest.mark.requires("cmp")
def test_export_into_a_file_goes_on_when_it_was_killed(deployment: Deployment) -> None:
    """What was durable when the process died is kept; the end is as if nothing had been."""
    serve(deployment)
    source = deployment.folder / "source"
    with source.open("wb") as file:
        file.truncate(2048 * MIB)
        # More than the distance between two marks, in two places.
        for begin, count in ((0, 190), (1500, 190)):
            for at in range(begin, begin + count, 10):
                os.pwrite(file.fileno(), np.random.default_rng(at).bytes(10 * MIB), at * MIB)
    words = ["import", str(source), "--disk-snapshot-name", "saved", "--format", "raw"]
    deployment.server.run("mooring", *words)
    output = deployment.folder / "image"
    mark = output.with_name("image.part.mark")
    command = [sys.executable, "-m", "mooring.cli.main", "export", "--disk-snapshot-name", "saved"]
    with subprocess.Popen(
        [*command, "--output", str(output)],
        env=deployment.server.environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        until(lambda: mark.exists() or process.poll() is not None, "a mark")
        process.kill()
    assert mark.exists()
    assert not output.exists()

    done = to_file(deployment, output)

    assert done.returncode == 0
    number, unit = done.stderr.partition("resumes at ")[2].split(",")[0].split()
    assert float(number) * {"MiB": 1, "GiB": 1024}[unit] >= 256
    compare = ["cmp", "--bytes", str(2048 * MIB), str(source), str(output)]
    subprocess.run(compare, check=True)
    assert output.stat().st_size == 8192 * MIB
    assert output.stat().st_blocks * 512 < 450 * MIB
    assert [path.name for path in deployment.folder.glob("image*")] == ["image"]


def test_what_cannot_be_written(deployment: Deployment) -> None:
    serve(deployment)
    output = deployment.folder / "image"
    assert "does not write 'vdi'" in to_file(deployment, output, "--format", "vdi").stderr
    assert "would not be a vdi image" in to_file(deployment, output.with_suffix(".VDI")).stderr
    assert "NotFoundException" in to_file(deployment, output).stderr
    assert "cannot be written" in to_file(deployment, deployment.folder / "no" / "image").stderr
    assert not list(deployment.folder.glob("image*"))
