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
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from bench.vault_images import MIB, Images, make_images, quietly
from bench.vault_step import TELLS

STEPS = ("first", "next", "restore")
STEP = str(Path(__file__).with_name("vault_step.py"))
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


Commands = Callable[[Path, Path, str, Images], list[list[str]]]
"""For work directory, repository and step: the commands to run, of which all are measured."""


# --- what is measured


def mooring(*options: str) -> Commands:
    def commands(work: Path, repository: Path, step: str, images: Images) -> list[list[str]]:
        own = [sys.executable, STEP, step, "--repository", str(repository), *options]
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
        inside += float(text.removeprefix(TELLS)) if text.startswith(TELLS) else 0.0
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
        own = [sys.executable, STEP, "alone", "--image", str(images.before)]
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
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=chosen.directory) as folder:
        for images in make_images(Path(folder), chosen.size_mib * MIB, chosen.only):
            compare(Path(folder), images, chosen.rounds, chosen.benji)


if __name__ == "__main__":
    main()
