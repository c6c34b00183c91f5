"""Files out of snapshots of real file systems, by the command."""

from __future__ import annotations

import os
import random
import stat
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mooring.admin.demo.file_writer import is_whole, read_journal
from mooring.admin.demo.filesystem import PROGRAMS, device_of, mounted, run, why_not
from tests.e2e.deployment import Deployment
from tests.e2e.test_ext4 import wait_for_files, writing_files

pytestmark = [pytest.mark.full, pytest.mark.requires("qemu-storage-daemon")]

MIB = 1024 * 1024
ODD = b"caf\xe9 \t\x01 line\nbreak"
MANY = 300


def noise(seed: int, length: int) -> bytes:
    return random.Random(seed).randbytes(length)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Files of all sorts."""
    root = tmp_path / "tree"
    for folder in ("etc", "deep/a/b/c", "many"):
        (root / folder).mkdir(parents=True)
    (root / "etc/hosts").write_bytes(b"127.0.0.1 localhost\n")
    (root / "etc/shadow").write_bytes(b"secret")
    (root / "etc/shadow").chmod(0o640)
    (root / "empty").touch()
    (root / "deep/a/b/c/file").write_bytes(noise(1, 5 * MIB + 17))
    for number in range(MANY):
        (root / f"many/file-{number:04}").write_bytes(noise(number, number))
    with (root / "sparse").open("wb") as file:
        file.truncate(24 * MIB)
        for place in (0, 9 * MIB + 512, 23 * MIB):
            os.pwrite(file.fileno(), noise(place, 4096), place)
    os.utime(root / "empty", ns=(10**18, 10**18 + 7 * 10**9))
    return root


def add_what_only_unix_has(root: Path) -> None:
    (root / "relative").symlink_to("etc/hosts")
    (root / "deep/absolute").symlink_to("/etc/hosts")
    (root / "etc/up").symlink_to("../../../../../etc/hosts")
    (root / "outside").symlink_to("/no/such/place")
    (root / "circle").symlink_to("circle")
    (root / "folder").symlink_to("deep/a")
    os.mkfifo(root / "fifo")
    (Path(os.fsdecode(os.fsencode(root) + b"/" + ODD))).write_bytes(b"odd")
    (root / "tool").write_bytes(b"#!")
    (root / "tool").chmod(0o4755)
    if os.geteuid() == 0:
        os.chown(root / "tool", 1234, 70000)


def bring(deployment: Deployment, image: Path, name: str) -> None:
    words = ["import", str(image), "--disk-snapshot-name", name, "--format", "raw"]
    done = mooring(deployment, *words)
    assert done.returncode == 0, done.stderr


def mooring(deployment: Deployment, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "mooring.cli.main", *words],
        env=deployment.server.environment(),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def names(listing: str) -> list[str]:
    return [line.split(None, 6)[6].split(" -> ")[0] for line in listing.splitlines()]


def check_copy(tree: Path, copy: Path, *, unix: bool) -> None:
    """The copy is as the original, files, modes, times and holes."""
    expected = {os.fsencode(path.relative_to(tree)) for path in tree.rglob("*")}
    found = {os.fsencode(path.relative_to(copy)) for path in copy.rglob("*")}
    assert found == expected - {b"fifo"} | (found & {b"lost+found"})
    for path in tree.rglob("*"):
        other = copy / path.relative_to(tree)
        if path.is_symlink():
            assert other.readlink() == path.readlink()
        elif path.is_file():
            assert other.read_bytes() == path.read_bytes(), path
            if unix:
                assert other.stat().st_mode == path.stat().st_mode, path
                assert other.stat().st_mtime_ns // 10**9 == path.stat().st_mtime_ns // 10**9
                if os.geteuid() == 0:
                    assert other.stat().st_uid == path.stat().st_uid
                    assert other.stat().st_gid == path.stat().st_gid
    sparse = (copy / "sparse").stat()
    assert sparse.st_blocks * 512 < 4 * MIB


def file_system(kind: str, tree: Path, image: Path) -> None:
    """Make a file system with the tree in it, without mounting anything."""
    with image.open("wb") as file:
        file.truncate(400 * MIB)
    if kind == "ext4":
        run("mke2fs", "-q", "-t", "ext4", "-d", str(tree), str(image))
    elif kind == "ext2":
        run("mke2fs", "-q", "-t", "ext2", "-b", "1024", "-d", str(tree), str(image))
    elif kind == "btrfs":
        run("mkfs.btrfs", "-q", "--rootdir", str(tree), str(image))
    elif kind == "vfat":
        run("mkfs.vfat", "-F", "32", str(image))
        run("mcopy", "-s", "-i", str(image), *map(str, sorted(tree.iterdir())), "::")
    else:
        proto = image.with_suffix(".proto")
        proto.write_text("\n".join(["/", "0 0", "d--755 0 0", *prototype(tree), "$", ""]))
        run("mkfs.xfs", "-q", "-p", str(proto), str(image))


def prototype(folder: Path) -> Iterator[str]:
    """What mkfs.xfs wants to know; it takes no names with spaces."""
    for path in sorted(folder.iterdir()):
        if path.name.encode("utf-8", "surrogateescape") == ODD:
            path.unlink()
            continue
        info = path.lstat()
        mode = f"{'u' if info.st_mode & 0o4000 else '-'}-{info.st_mode & 0o777:03o}"
        owner = f"{info.st_uid} {info.st_gid}"
        if path.is_symlink():
            yield f"{path.name} l--777 {owner} {path.readlink()}"
        elif path.is_dir():
            yield f"{path.name} d{mode} {owner}"
            yield from prototype(path)
            yield "$"
        elif stat.S_ISFIFO(info.st_mode):
            yield f"{path.name} p{mode} {owner}"
        else:
            yield f"{path.name} -{mode} {owner} {path}"


@pytest.mark.requires("mke2fs", "mkfs.xfs", "mkfs.btrfs", "mkfs.vfat", "mcopy")
@pytest.mark.parametrize("kind", ["ext4", "ext2", "xfs", "btrfs", "vfat"])
def test_every_file_system(kind: str, deployment: Deployment, tree: Path) -> None:
    unix = kind != "vfat"
    if unix:
        add_what_only_unix_has(tree)
    image = deployment.folder / "image"
    file_system(kind, tree, image)
    deployment.start()
    bring(deployment, image, "saved")

    listing = mooring(deployment, "ls", "saved")
    assert listing.returncode == 0, listing.stderr
    assert {"deep", "empty", "etc", "many", "sparse"} <= set(names(listing.stdout))
    listing = mooring(deployment, "ls", "--disk-snapshot-name", "saved", "--path", "/many")
    assert names(listing.stdout) == [f"file-{number:04}" for number in range(MANY)]
    done = mooring(deployment, "cp", "saved:/", str(deployment.folder / "copy"))
    if unix:
        assert done.returncode == 1
        assert [line for line in done.stderr.splitlines() if line.startswith("copy/")] == [
            "copy/fifo: is a device, a FIFO or a socket, and was skipped"
        ]
    else:
        assert (done.returncode, done.stderr) == (0, "")
    # mkfs.xfs gives all files one time.
    check_copy(tree, deployment.folder / "copy", unix=unix and kind != "xfs")
    if unix:
        check_links(deployment)
    if kind in ("ext4", "btrfs"):
        assert "caf\\xe9 \\x09\\x01 line\\x0abreak" in mooring(deployment, "ls", "saved").stdout


def check_links(deployment: Deployment) -> None:
    """Links are followed, and never out of the snapshot."""
    folder = deployment.folder / "into"
    folder.mkdir()
    for path in (
        "/relative",
        "/deep/absolute",
        "/etc/up",
        "/deep/../relative",
        "//folder/../absolute",
    ):
        target = folder / "x"
        done = mooring(deployment, "cp", f"saved:{path}", str(target))
        assert (done.returncode, done.stderr) == (0, ""), path
        assert target.read_bytes() == b"127.0.0.1 localhost\n"
        again = mooring(deployment, "cp", f"saved:{path}", str(target))
        assert again.returncode == 1
        assert "exists already" in again.stderr
        target.unlink()
    done = mooring(deployment, "cp", "saved:/deep/a", str(folder))
    assert (folder / "a/b/c/file").read_bytes() == noise(1, 5 * MIB + 17), done.stderr
    assert names(mooring(deployment, "ls", "saved:/folder").stdout) == ["b"]
    for path, words in (
        ("/circle", "too many symbolic links"),
        ("/outside", "the snapshot has no /no, to which the link to "),
        ("/none", "the snapshot has no /none."),
        ("/empty/x", "empty is not a directory"),
    ):
        done = mooring(deployment, "ls", f"saved:{path}")
        assert done.returncode == 255
        assert words in done.stderr


@pytest.mark.requires("mke2fs", "mkfs.vfat", "mcopy", "sfdisk")
@pytest.mark.parametrize("label", ["gpt", "dos"])
def test_partitions(label: str, deployment: Deployment, tree: Path) -> None:
    first, second = deployment.folder / "first", deployment.folder / "second"
    file_system("vfat", tree, first)
    file_system("ext4", tree, second)
    disk = deployment.folder / "disk"
    with disk.open("wb") as file:
        file.truncate(1200 * MIB)
    if label == "gpt":
        script, numbers = "label: gpt\nsize=8M\nsize=400M\nsize=400M\n", (2, 3)
    else:
        # The second logical one holds it, so it is number 6.
        script = "label: dos\nsize=400M,type=c\ntype=5\nsize=8M,type=83\nsize=400M,type=83\n"
        numbers = (1, 6)
    subprocess.run(
        ["sfdisk", "-q", str(disk)], input=script, text=True, check=True,
        env={**os.environ, "PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin"},
    )  # fmt: skip
    for number, image in zip(numbers, (first, second), strict=True):
        dump = run("sfdisk", "-d", str(disk))
        line = next(line for line in dump.splitlines() if f"disk{number} " in line)
        start = int(line.split("start=")[1].split(",")[0])
        run("dd", f"if={image}", f"of={disk}", "bs=512", f"seek={start}", "conv=notrunc,sparse")
    deployment.start()
    bring(deployment, disk, "saved")

    done = mooring(deployment, "ls", "saved")
    assert done.returncode == 255
    assert "several file systems: choose one with --partition" in done.stderr
    assert f"{numbers[0]} (vfat, 400 MiB), {numbers[1]} (ext4, 400 MiB)" in done.stderr
    for number in numbers:
        done = mooring(deployment, "ls", "saved:/etc", "--partition", str(number))
        assert {"hosts", "shadow"} <= set(names(done.stdout)), done.stderr
    done = mooring(deployment, "ls", "saved", "--partition", "9")
    assert "has no partition 9; it has" in done.stderr


@pytest.mark.requires("mke2fs")
def test_hostile_file_systems(deployment: Deployment, tree: Path) -> None:
    """Names that lead out, directories inside of themselves, and noise."""
    image = deployment.folder / "image"
    (tree / "many" / "aaaaaaaaaa").write_bytes(b"evil")
    (tree / "deep" / "a" / "LOOPLOOP").mkdir()
    file_system("ext2", tree, image)
    content = bytearray(image.read_bytes())
    name = content.index(b"aaaaaaaaaa")
    content[name : name + 10] = b"../../evil"
    entry = content.index(b"LOOPLOOP") - 8
    struct.pack_into("<I", content, entry, 2)  # the root is inside of its own grandchild
    image.write_bytes(content)
    random.seed(1)
    broken = deployment.folder / "broken"
    for place in range(0, 40 * MIB, 1000):
        if not 1024 <= place < 2048:
            content[place] = random.randrange(256)
    broken.write_bytes(content)
    empty = deployment.folder / "empty"
    empty.write_bytes(bytes(MIB))
    deployment.start()
    for one in (image, broken, empty):
        bring(deployment, one, one.name)

    inside = deployment.folder / "inside" / "inside"
    inside.mkdir(parents=True)
    done = mooring(deployment, "cp", "image:/", str(inside / "copy"))
    assert done.returncode == 1
    assert "copy/many/../../evil: this name is not possible here" in done.stderr
    assert "is in several places" in done.stderr
    assert not list(deployment.folder.rglob("evil"))
    assert (inside / "copy/etc/hosts").is_file()

    done = mooring(deployment, "cp", "broken:/", str(inside / "broken"))
    assert done.returncode != 0
    assert "Traceback" not in done.stderr
    done = mooring(deployment, "ls", "empty")
    assert "has no file system that can be read" in done.stderr
    done = mooring(deployment, "cp", "empty:/etc")
    assert "Name where to copy it to: mooring cp empty:/etc ." in done.stderr


def test_ext4_in_use(deployment: Deployment) -> None:
    """What had been synchronised is there, although much of it is in the journal only."""
    if reason := why_not():
        pytest.skip(reason)
    deployment.start()
    uri = deployment.used_disk()
    journal = deployment.folder / "files"
    with device_of(uri, deployment.folder / "live") as device:
        run("mkfs.ext4", "-q", "-E", "nodiscard", device, "1G")
        with (
            mounted(device, deployment.folder / "mount") as root,
            writing_files(root, journal) as writer,
        ):
            wait_for_files(writer, journal, 60)
            asked = deployment.snapshot("saved")
            _, durable = read_journal(journal)
    assert deployment.ended("saved") == ["completed"]

    done = mooring(deployment, "cp", "saved:/", str(deployment.folder / "copy"))

    assert (done.returncode, done.stderr) == (0, "")
    before = [number for number, moment in durable.items() if moment < asked.requested]
    assert len(before) >= 60
    wrong = [number for number in before if not is_whole(deployment.folder / "copy", number)]
    assert not wrong


test_ext4_in_use = pytest.mark.requires(*PROGRAMS)(test_ext4_in_use)


@pytest.mark.requires("mkfs.btrfs")
def test_without_the_library(deployment: Deployment, tree: Path) -> None:
    """ext and XFS need none; for others the message says what to install."""
    deployment.start()
    for kind in ("ext4", "btrfs"):
        file_system(kind, tree, deployment.folder / kind)
        bring(deployment, deployment.folder / kind, kind)
    code = (
        "import sys; sys.modules['dissect'] = None; sys.modules['dissect.btrfs'] = None\n"
        "from mooring.cli.main import main; sys.exit(main(['ls', sys.argv[1]]))"
    )
    found = [
        subprocess.run(
            [sys.executable, "-c", code, kind],
            env=deployment.server.environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        for kind in ("ext4", "btrfs")
    ]
    assert [done.returncode for done in found] == [0, 255], found
    assert "empty" in names(found[0].stdout)
    assert "pip install 'dissect.btrfs>=1.10'" in found[1].stderr
