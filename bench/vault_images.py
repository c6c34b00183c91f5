"""Images of a disk at two times, made from what this machine has."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from mooring.model.extents import BLOCK_SIZE

MIB = 1024 * 1024


@dataclass(frozen=True)
class Images:
    """A disk at two times. `changes`: a file with the numbers of changed blocks, if known."""

    name: str
    before: Path
    after: Path
    changes: Path | None


def make_images(work: Path, size: int, only: str) -> Iterator[Images]:
    """Those whose names begin with `only`, each made when it is asked for; says what is missing."""
    makers: dict[str, Callable[[], Images]] = {
        "system files": lambda: changed(
            work, "system files", lambda image: system_files(work, image, size)
        ),
        "random": lambda: changed(work, "random", lambda image: random_bytes(image, size)),
        "postgres": lambda: postgres(work, size),
    }
    for name, make in makers.items():
        if not name.startswith(only):
            continue
        if name == "postgres" and not (shutil.which("pgbench") and os.geteuid() == 0):
            print("postgres: skipped, it needs pgbench, and root for a loop device")
        else:
            yield make()


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
