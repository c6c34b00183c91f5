"""Holds the sources to the rules that linters do not know."""

from __future__ import annotations

import ast
import functools
import itertools
import re
import tomllib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
SOURCE = CHECKOUT / "src" / "mooring"
LONGEST_FILE = 600
LONGEST_HEADLINE = 15
LARGEST_FOLDER = 20
CATCH_ALLS = {"utils", "util", "common", "helpers", "helper", "manager", "misc", "base", "core"}
CLOCK = SOURCE / "model" / "clock.py"
MAY_PRINT = ("cli", "admin")
MAY_START_THREADS = {
    "observe/loop.py",  # the one class for threads that live long
    "engine/qemu/stores/rbd/program.py",  # a process of its own, which ends with the server
    "nbd/blocking.py",  # an event loop for one client, which has the user wait for its answers
    "quiesce/file_systems.py",  # one call that freezes a file system; its end is waited for
    "vault/writing/sharing.py",  # reads the index once; what it raises is logged
    "vault/region_vaults.py",  # one look at a mount that may hang
}
CLOCK_READERS = {
    "time": {
        "time", "time_ns", "monotonic", "monotonic_ns", "perf_counter", "perf_counter_ns",
        "localtime", "gmtime", "sleep",
    },
    "datetime": {"now", "utcnow", "today"},
    "date": {"today"},
}  # fmt: skip


def python_files(*folders: str) -> list[Path]:
    return sorted(
        file
        for folder in folders
        for file in (CHECKOUT / folder).rglob("*.py")
        if "__pycache__" not in file.parts
    )


ALL = python_files("src", "tests", "tools", "bench")
SOURCES = python_files("src")


def name(file: Path) -> str:
    return str(file.relative_to(CHECKOUT))


@functools.cache
def tree(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"))


def test_files_are_short_enough_to_read() -> None:
    lengths = {name(file): len(file.read_text(encoding="utf-8").splitlines()) for file in ALL}

    assert not {file: lines for file, lines in lengths.items() if lines > LONGEST_FILE}


def test_folders_are_small_enough_to_know() -> None:
    sizes = Counter(str(file.parent.relative_to(SOURCE)) for file in SOURCES)

    # Elsewhere, make a room of what belongs together.
    assert not {folder: files for folder, files in sizes.items() if files > LARGEST_FOLDER}


def test_every_room_has_its_floor() -> None:
    """Where a folder has several rooms, a contract says which stands on which."""
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))
    placed = {
        f"{container}.{room.strip()}"
        for contract in project["tool"]["importlinter"]["contracts"]
        for container in contract.get("containers", ())
        for layer in contract["layers"]
        for room in layer.split("|")
    }
    rooms = {".".join(("mooring", *file.parent.relative_to(SOURCE).parts)) for file in SOURCES}
    beside = Counter(room.rpartition(".")[0] for room in rooms)
    several = {room for room in rooms if beside[room.rpartition(".")[0]] > 1}

    assert sorted(several - placed) == []


def test_files_say_in_one_short_line_what_they_are() -> None:
    wrong = {}
    for file in ALL:
        if file.name == "__init__.py" and not file.read_text(encoding="utf-8").strip():
            continue
        headline = (ast.get_docstring(tree(file)) or "").partition("\n")[0]
        if not 0 < len(headline.split()) <= LONGEST_HEADLINE:
            wrong[name(file)] = headline or "no docstring"

    assert not wrong


def test_files_are_named_after_concepts() -> None:
    wrong = {
        name(file): part
        for file in ALL
        for part in (*file.relative_to(CHECKOUT).parent.parts, file.stem.removeprefix("test_"))
        if part in CATCH_ALLS
    }

    assert not wrong


def clock_reads(module: ast.Module) -> Iterator[tuple[int, str]]:
    """Yield line and name of what reads the system's clock, by attribute or by import."""
    for node in ast.walk(module):
        if isinstance(node, ast.Attribute):
            owner = node.value
            owner_name = (
                owner.id if isinstance(owner, ast.Name)
                else owner.attr if isinstance(owner, ast.Attribute)
                else ""
            )  # fmt: skip
            if node.attr in CLOCK_READERS.get(owner_name, ()):
                yield node.lineno, f"{owner_name}.{node.attr}"
            elif node.attr == "wait" and isinstance(owner, ast.Call):
                # An event that nobody has cannot be set: a sleep by another name.
                yield node.lineno, "wait"
        elif isinstance(node, ast.ImportFrom) and node.module == "time":
            for alias in node.names:
                if alias.name in CLOCK_READERS["time"]:
                    yield node.lineno, f"time.{alias.name}"


def test_only_the_clock_reads_the_time_and_sleeps() -> None:
    reads = {name(file): list(clock_reads(tree(file))) for file in SOURCES if file != CLOCK}

    # Elsewhere, take a mooring.model.clock.Clock.
    assert not {file: found for file, found in reads.items() if found}


def test_threads_that_live_long_are_loops() -> None:
    makers = {str(file.relative_to(SOURCE)) for file in SOURCES if makes_threads(tree(file))}

    # Elsewhere, take a mooring.observe.loop.Loop: it goes on, and tells of its errors.
    assert makers == MAY_START_THREADS


def makes_threads(module: ast.Module) -> bool:
    """Whether a thread is made there; to name the type is allowed."""
    called = [node.func for node in ast.walk(module) if isinstance(node, ast.Call)]
    names = [
        one.attr if isinstance(one, ast.Attribute) else one.id
        for one in called
        if isinstance(one, (ast.Attribute, ast.Name))
    ]
    return not {"Thread", "Timer", "start_new_thread"}.isdisjoint(names)


def prints(module: ast.Module) -> list[int]:
    return [
        node.lineno
        for node in ast.walk(module)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "print"
    ]


def test_only_commands_print() -> None:
    silent = [file for file in SOURCES if file.relative_to(SOURCE).parts[0] not in MAY_PRINT]

    # Elsewhere, log, or return the text.
    assert not {name(file): prints(tree(file)) for file in silent if prints(tree(file))}


def test_the_checks_see_what_they_look_for() -> None:
    guilty = ast.parse(
        "import time, datetime\nfrom time import monotonic\n"
        "time.time()\ndatetime.datetime.now()\ndatetime.date.today()\n"
        "time.sleep(1)\nthreading.Event().wait(1)\nprocess.wait(1)\n"
    )

    assert [read for _, read in clock_reads(guilty)] == [
        "time.monotonic", "time.time", "datetime.now", "date.today", "time.sleep", "wait"
    ]  # fmt: skip
    assert prints(ast.parse("if x:\n    print(1)\n")) == [2]
    assert len(SOURCES) > 10
    assert CLOCK in SOURCES


COUNTABLE = (
    "attempt block claim connection device disk error extent file frame hour instance layer minute "
    "object partition record request rhythm root second segment snapshot thread"
).split()
COUNTS = re.compile(rf" (?:[a-z-]+ )?(?:{'|'.join(COUNTABLE)})s\b")


def counts(module: ast.Module) -> Iterator[tuple[int, str]]:
    """Yield line and text of numbers in sentences before a noun that is always in the plural."""
    for node in ast.walk(module):
        if not isinstance(node, ast.JoinedStr):
            continue
        for value, text in itertools.pairwise(node.values):
            if not isinstance(value, ast.FormattedValue) or not isinstance(text, ast.Constant):
                continue
            told, words = ast.unparse(value.value), str(text.value)
            form = "" if value.format_spec is None else ast.unparse(value.format_spec)
            # A limit in capitals is known to be more; digits after a point make a plural.
            if told.rpartition(".")[2].isupper() or form.endswith("f'"):
                continue
            if not told.startswith("counted(") and COUNTS.match(words):
                yield value.lineno, f"{{{told}}}{words}"


def test_one_thing_is_told_in_the_singular() -> None:
    found = {name(file): list(counts(tree(file))) for file in SOURCES}

    # Use mooring.model.counts.counted: 1 disk, 2 disks.
    assert not {file: wrong for file, wrong in found.items() if wrong}
