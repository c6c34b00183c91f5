"""Measures the vault side by side with restic, borg, Benji and qemu-img.

    .venv/bin/python -m bench.vault_peers --size-mib 1024 --rounds 3

Images are made at run time: an ext4 file system with this machine's system files, one with a
PostgreSQL data directory before and after pgbench, and random bytes. Of each a first snapshot is
stored, then the next one, then the next is restored into a file. Every step is a process of its
own, measured from outside; what is missing on this machine is skipped, and that is said. The
figures are medians; those of one round are taken one after the other. `inside` is Mooring's time
without the start of Python, which a server does not have.

Mooring is told which blocks changed, as its engine tells it: the others read the whole image to
find out. For pgbench nobody is told, so Mooring compares the whole image, too.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from mooring.model.clock import SystemClock
from mooring.model.extents import BLOCK_SIZE, Extent
from mooring.vault.frame import Kind, Packer
from mooring.vault.layout import FRAME_BYTES
from mooring.vault.root import SnapshotInfo
from mooring.vault.store.directory import DirectoryStore
from mooring.vault.vault import Vault

MIB = 1024 * 1024
CHUNK = 4 * MIB
STEPS = ("first", "next", "restore")
_TELLS = "seconds inside: "
_ENVIRONMENT = {
    **os.environ,
    "RESTIC_PASSWORD": "bench",
    "BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK": "yes",
    "BORG_RELOCATED_REPO_ACCESS_IS_OK": "yes",
}


class Figures(NamedTuple):
    """Of one step. `stored`: the bytes by which the repository grew.

    `inside`: the seconds without the start of the process, where it tells them.
    """

    seconds: float
    cpu_seconds: float
    peak_mib: float
    stored: int
    inside: float


@dataclass(frozen=True)
class Images:
    """A disk at two times. `changes`: a file with the numbers of changed blocks, if known."""

    name: str
    before: Path
    after: Path
    changes: Path | None


Commands = Callable[[Path, Path, str, Images], list[list[str]]]
"""For work directory, repository and step: the commands to run, of which all are measured."""


# --- what is measured


def mooring(*options: str) -> Commands:
    def commands(work: Path, repository: Path, step: str, images: Images) -> list[list[str]]:
        own = [sys.executable, __file__, "--step", step, "--repository", str(repository), *options]
        own += ["--image", str(images.before if step == "first" else work / "image")]
        if images.changes is not None:
            own += ["--changes", str(images.changes)]
        return [own]

    return commands


def restic(work: Path, repository: Path, step: str, _images: Images) -> list[list[str]]:
    base = ["restic", "--quiet", "--no-cache", "--repo", str(repository)]
    if step == "restore":
        return [[*base, "restore", "latest", "--target", str(work / "out")]]
    start = [[*base, "init", "--repository-version", "2"]] if step == "first" else []
    return [*start, [*base, "backup", str(work / "image")]]


def borg(work: Path, repository: Path, step: str, _images: Images) -> list[list[str]]:
    if step == "restore":
        return [["borg", "extract", f"{repository}::next"]]
    start = [["borg", "init", "--encryption", "none", str(repository)]] if step == "first" else []
    how = ["--compression", "zstd,1", "--chunker-params", "fixed,524288"]
    return [*start, ["borg", "create", *how, f"{repository}::{step}", str(work / "image")]]


def qemu_img(work: Path, repository: Path, step: str, _images: Images) -> list[list[str]]:
    repository.mkdir(exist_ok=True)
    stored = str(repository / ("next" if step == "restore" else step))
    if step == "restore":
        return [["qemu-img", "convert", "-O", "raw", stored, str(work / "out")]]
    how = ["-c", "-O", "qcow2", "-o", "compression_type=zstd"]
    return [["qemu-img", "convert", "-f", "raw", *how, str(work / "image"), stored]]


def benji(command: str) -> Commands:
    def commands(work: Path, repository: Path, step: str, images: Images) -> list[list[str]]:
        repository.mkdir(exist_ok=True)
        settings = repository / "benji.yaml"
        if not settings.exists():
            settings.write_text(_BENJI.format(repository=repository), encoding="utf-8")
        base = [command, "--config-file", str(settings)]
        if step == "restore":
            return [[*base, "restore", "--force", "next", f"file:{work / 'out'}"]]
        start = [[*base, "database-init"]] if step == "first" else []
        return [*start, [*base, "backup", "--uid", step, f"file:{work / 'image'}", "image"]]

    return commands


_BENJI = """\
configurationVersion: '1'
databaseEngine: sqlite:///{repository}/database.sqlite
defaultStorage: local
blockSize: 524288
storages:
  - name: local
    module: file
    storageId: 1
    configuration:
      path: {repository}/data
      activeTransforms: [zstd]
ios:
  - module: file
    name: file
transforms:
  - name: zstd
    module: zstd
    configuration: {{level: 1}}
"""


def tools(benji_command: str) -> Iterator[tuple[str, Commands]]:
    """Those that are here; says which are not."""
    yield "mooring", mooring()
    yield "mooring, sealed", mooring("--sealed")
    for name, command, commands in (
        ("restic", "restic", restic),
        ("borg", "borg", borg),
        ("benji", benji_command, benji(benji_command)),
        ("qemu-img -c", "qemu-img", qemu_img),
    ):
        if shutil.which(command):
            yield name, commands
        else:
            print(f"{name}: skipped, there is no command {command}")


# --- the steps of Mooring, each in a process of its own


def run_step(
    step: str, repository: Path, image: Path, changes: Path | None, key: bytes | None
) -> None:
    with Vault.create_or_open(
        DirectoryStore(repository), SystemClock(), threads=os.cpu_count() or 1, secret=key
    ) as vault:
        if step == "restore":
            restore(vault, image.with_name("out"))
            return
        extents = [Extent(0, image.stat().st_size)]
        if step == "next" and changes is not None:
            numbers = changes.read_text(encoding="ascii").split()
            extents = [Extent(int(number) * BLOCK_SIZE, BLOCK_SIZE) for number in numbers]
        parent = None if step == "first" else "first"
        with (
            vault.begin(info(step, image.stat().st_size), parent) as writer,
            image.open("rb") as file,
        ):
            for extent in extents:
                for offset in range(extent.offset, extent.end, CHUNK):
                    data = os.pread(file.fileno(), min(CHUNK, extent.end - offset), offset)
                    writer.write(offset, data, compare=changes is None)
            writer.commit()


def info(name: str, size: int) -> SnapshotInfo:
    return SnapshotInfo(
        id=name,
        region="bench",
        name=name,
        disk_id="disk",
        disk_name="disk",
        size=size,
        created_ms=0,
    )


def restore(vault: Vault, target: Path) -> None:
    with vault.open("next") as reader, target.open("wb") as file:
        file.truncate(reader.size)
        for extent in reader.extents():
            for offset in range(extent.offset, extent.end, CHUNK):
                data = reader.read(offset, min(CHUNK, extent.end - offset))
                os.pwrite(file.fileno(), data, offset)


def compress_alone(image: Path) -> None:
    """Digest and compress the same frames on all cores, and store nothing."""
    packer = Packer(1)
    with ThreadPoolExecutor(os.cpu_count()) as pool, image.open("rb", buffering=0) as file:
        waiting = []
        while data := file.read(CHUNK):
            for at in range(0, len(data), FRAME_BYTES):
                piece = memoryview(data)[at : at + FRAME_BYTES]
                if piece != bytes(len(piece)):
                    waiting.append(pool.submit(packer.pack, piece, Kind.DATA))
            while len(waiting) > 32:
                waiting.pop(0).result()


# --- images


def make_images(work: Path, size: int) -> Iterator[Images]:
    yield changed(work, "system files", lambda image: system_files(work, image, size))
    yield changed(work, "random", lambda image: random_bytes(image, size))
    if shutil.which("pgbench") and os.geteuid() == 0:
        yield postgres(work, size)
    else:
        print("postgres: skipped, it needs pgbench, and root for a loop device")


def changed(work: Path, name: str, make: Callable[[Path], None]) -> Images:
    """An image, and one in which 1 % of its blocks have other, random content."""
    folder = work / name.replace(" ", "-")
    folder.mkdir()
    before, after, changes = folder / "before", folder / "after", folder / "changes"
    make(before)
    shutil.copyfile(before, after)
    blocks = before.stat().st_size // BLOCK_SIZE
    chosen = sorted(random.Random(1).sample(range(blocks), blocks // 100))
    with after.open("r+b") as file:
        for number in chosen:
            os.pwrite(file.fileno(), os.urandom(BLOCK_SIZE), number * BLOCK_SIZE)
    changes.write_text("\n".join(map(str, chosen)), encoding="ascii")
    return Images(f"{name}, then 1 % of random 4 KiB writes", before, after, changes)


def random_bytes(image: Path, size: int) -> None:
    with image.open("wb") as file:
        for _ in range(0, size, MIB):
            file.write(os.urandom(MIB))


def system_files(work: Path, image: Path, size: int) -> None:
    """An ext4 file system filled with files of /usr to three quarters."""
    tree, filled = work / "tree", 0
    for base, folders, files in os.walk("/usr"):
        folders.sort()
        for name in sorted(files):
            source = Path(base) / name
            if source.is_symlink() or not source.is_file():
                continue
            filled += source.stat().st_size + 2 * BLOCK_SIZE
            if filled > size * 3 // 4:
                break
            target = tree / source.relative_to("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)
        if filled > size * 3 // 4:
            break
    command = ["mke2fs", "-q", "-t", "ext4", "-b", "4096", "-m", "0", "-N", str(size // 8192)]
    quietly([*command, "-d", str(tree), str(image), f"{size // 1024}k"])
    shutil.rmtree(tree)


def postgres(work: Path, size: int) -> Images:
    """The file system of a database before and after some thousand transactions."""
    folder = work / "postgres"
    folder.mkdir()
    image, before = folder / "after", folder / "before"
    quietly(["mke2fs", "-q", "-t", "ext4", str(image), f"{size // 1024}k"])
    with database(folder, image) as run:
        run(["pgbench", "-q", "-i", "-s", str(max(1, size // MIB // 64)), "postgres"])
    shutil.copyfile(image, before)
    with database(folder, image) as run:
        run(["pgbench", "-c", "4", "-t", "2500", "postgres"])
    return Images("postgres, then 10000 transactions of pgbench", before, image, None)


@contextmanager
def database(folder: Path, image: Path) -> Iterator[Callable[[list[str]], None]]:
    """Run the database whose files are in the image, made if there are none."""
    place = folder / "mounted"
    place.mkdir(exist_ok=True)
    folder.parent.chmod(0o755)
    quietly(["mount", "-o", "loop", str(image), str(place)])

    def run(command: list[str]) -> None:
        quietly(["runuser", "-u", "postgres", "--", "env", f"PGHOST={place}/socket", *command])

    try:
        data = place / "data"
        if not data.exists():
            for one in (data, place / "socket"):
                one.mkdir(mode=0o700)
                shutil.chown(one, "postgres")
            run(["pg_ctl", "-s", "-D", str(data), "initdb"])
        options = f"-c listen_addresses='' -k {place}/socket"
        log = str(place / "socket" / "log")
        run(["pg_ctl", "-s", "-w", "-D", str(data), "-o", options, "-l", log, "start"])
        try:
            yield run
        finally:
            run(["pg_ctl", "-s", "-w", "-D", str(data), "-m", "fast", "stop"])
    finally:
        quietly(["umount", str(place)])


def quietly(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd="/")
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")


# --- measuring


def measure(commands: list[list[str]], repository: Path, work: Path) -> Figures:
    before, seconds, cpu, peak, inside = allocated(repository), 0.0, 0.0, 0.0, 0.0
    for command in commands:
        began = time.perf_counter()
        with (work / "log").open("wb") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log, cwd=work, env=_ENVIRONMENT)
            _, status, used = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
        text = (work / "log").read_text(encoding="utf-8", errors="replace")
        if process.returncode:
            raise SystemExit(f"{' '.join(command)} failed:\n{text}")
        seconds += time.perf_counter() - began
        cpu += used.ru_utime + used.ru_stime
        peak = max(peak, used.ru_maxrss / 1024)
        inside += float(text.removeprefix(_TELLS)) if text.startswith(_TELLS) else 0.0
    return Figures(seconds, cpu, peak, allocated(repository) - before, inside)


def allocated(folder: Path) -> int:
    return sum(path.stat().st_blocks * 512 for path in folder.rglob("*") if path.is_file())


def one_round(work: Path, images: Images, commands: Commands) -> dict[str, Figures]:
    repository = work / "repository"
    figures = {}
    for step in STEPS:
        if step != "restore":
            shutil.copyfile(images.before if step == "first" else images.after, work / "image")
        os.sync()
        figures[step] = measure(commands(work, repository, step, images), repository, work)
    restored = next(
        path for path in (work / "out", work / str(work)[1:] / "image") if path.exists()
    )
    if restored.is_dir():
        restored = restored / str(work)[1:] / "image"
    quietly(["cmp", str(restored), str(images.after)])
    return figures


def compare(work: Path, images: Images, rounds: int, benji_command: str) -> None:
    size = images.before.stat().st_size / MIB
    print(f"\n{images.name}, {size:.0f} MiB, medians of {rounds}")
    print(
        f"{'':16} {'step':8} {'time':>8} {'CPU':>8} {'peak':>9} {'stored':>11} {'time/mooring':>13}"
    )
    chosen = list(tools(benji_command))
    found: dict[str, list[dict[str, Figures]]] = {name: [] for name, _ in chosen}
    alone = []
    for _ in range(rounds):
        own = [sys.executable, __file__, "--step", "alone", "--image", str(images.before)]
        alone.append(measure([own], work / "none", work).inside)
        for name, commands in chosen:
            with tempfile.TemporaryDirectory(dir=work) as folder:
                found[name].append(one_round(Path(folder), images, commands))
    for step in STEPS:
        base = 0.0
        for name, results in found.items():
            middle = [
                statistics.median(column)
                for column in zip(*(one[step] for one in results), strict=True)
            ]
            base = base or middle[0]
            print(
                f"{name:16} {step:8} {middle[0]:6.2f} s {middle[1]:6.2f} s {middle[2]:5.0f} MiB"
                f" {middle[3] / MIB:7.1f} MiB {middle[0] / base:13.1f}"
            )
            if middle[4]:
                print(f"{'  inside':16} {step:8} {middle[4]:6.2f} s")
        if step == "first":
            print(f"{'zstd alone':16} {step:8} {statistics.median(alone):6.2f} s")
    sys.stdout.flush()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--size-mib", type=int, default=1024)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default="", help="images whose names begin like this")
    parser.add_argument("--directory", type=Path, help="where to work; default: a temporary one")
    parser.add_argument("--benji", default="benji", help="path of Benji's command")
    parser.add_argument("--step", help=argparse.SUPPRESS)
    parser.add_argument("--repository", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--image", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--changes", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--sealed", action="store_true", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    began = time.perf_counter()
    if chosen.step == "alone":
        compress_alone(chosen.image)
        print(f"{_TELLS}{time.perf_counter() - began}")
    elif chosen.step:
        key = b"bench" if chosen.sealed else None
        run_step(chosen.step, chosen.repository, chosen.image, chosen.changes, key)
        print(f"{_TELLS}{time.perf_counter() - began}")
    else:
        with tempfile.TemporaryDirectory(dir=chosen.directory) as folder:
            for images in make_images(Path(folder), chosen.size_mib * MIB):
                if images.name.startswith(chosen.only):
                    compare(Path(folder), images, chosen.rounds, chosen.benji)


if __name__ == "__main__":
    main()
