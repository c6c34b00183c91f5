"""Compares mooring with the real aws, command line by command line."""

from __future__ import annotations

import random
import shutil
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from tests.cli import cases, configuration_cases, generated
from tests.cli.differences import DIFFERENCES, DOCUMENT, document, mended
from tests.cli.recording_server import RecordingServer
from tests.cli.runs import Case, Outcome, Worker, clients_python, write_files

pytestmark = [pytest.mark.full, pytest.mark.timeout(600), pytest.mark.xdist_group("differential")]

SEED = 20161128
GROUPS = {**cases.GROUPS, **configuration_cases.GROUPS}
GENERATED_PER_KIND = 40


class Lane:
    """Both programs and a server of their own."""

    def __init__(self) -> None:
        self.server = RecordingServer()
        self.workers = [Worker("aws"), Worker("mooring")]

    def close(self) -> None:
        for worker in self.workers:
            worker.close()
        self.server.close()

    def outcomes(self, case: Case) -> list[Outcome]:
        results = []
        for worker in self.workers:
            directory = Path(tempfile.mkdtemp(prefix="mooring-cli-"))
            try:
                write_files(case, self.server, directory)
                outcome = worker.run(case, self.server, directory)
            finally:
                shutil.rmtree(directory)
            results.append(
                replace(
                    outcome,
                    stdout=outcome.stdout.replace(str(directory), "HOME"),
                    stderr=outcome.stderr.replace(str(directory), "HOME"),
                )
            )
        return results


class Comparison:
    """Two lanes side by side, and which intended differences were met so far."""

    def __init__(self) -> None:
        self.lanes = [Lane(), Lane()]
        self.met: set[str] = set()

    def close(self) -> None:
        for lane in self.lanes:
            lane.close()

    def unlike(self, cases: list[Case]) -> list[str]:
        """Descriptions of the cases in which the programs differ without intention."""
        with ThreadPoolExecutor(len(self.lanes)) as pool:
            shares = [cases[index :: len(self.lanes)] for index in range(len(self.lanes))]
            found = pool.map(self._unlike, self.lanes, shares)
            return [description for share in found for description in share]

    def _unlike(self, lane: Lane, cases: list[Case]) -> list[str]:
        found = []
        for case in cases:
            aws, mooring, met = mended(case, *lane.outcomes(case))
            self.met.update(met)
            if aws != mooring:
                found.append(described(case, aws, mooring))
        return found


def described(case: Case, aws: Outcome, mooring: Outcome) -> str:
    lines = [f"{case.arguments} {case.environment or ''} {case.files or ''}"]
    for part in ("status", "stdout", "stderr", "requests"):
        theirs, ours = getattr(aws, part), getattr(mooring, part)
        if theirs != ours:
            lines += [f"  {part}", f"    aws     {theirs!r}", f"    mooring {ours!r}"]
    return "\n".join(lines)


@pytest.fixture(scope="module")
def comparison() -> Iterator[Comparison]:
    if not clients_python().exists():
        pytest.skip("the real aws is not installed: run scripts/setup, or set MOORING_CLIENTS")
    both = Comparison()
    yield both
    both.close()


def assert_alike(found: list[str], total: int) -> None:
    assert not found, f"{len(found)} of {total} differ:\n" + "\n".join(found[:5])


@pytest.mark.parametrize("group", GROUPS)
def test_picked_command_lines_do_as_aws_does(group: str, comparison: Comparison) -> None:
    picked = GROUPS[group]()

    assert_alike(comparison.unlike(picked), len(picked))


@pytest.mark.parametrize("kind", generated.KINDS)
def test_generated_command_lines_do_as_aws_does(kind: str, comparison: Comparison) -> None:
    chance = random.Random(f"{SEED} {kind}")
    made = [generated.KINDS[kind](chance) for _ in range(GENERATED_PER_KIND)]

    assert_alike(comparison.unlike(made), len(made))


def test_every_intended_difference_is_met(comparison: Comparison) -> None:
    for make in GROUPS.values():
        if comparison.met >= {entry.name for entry in DIFFERENCES if entry.mend is not None}:
            break
        comparison.unlike(make())

    # What is met no more has to leave the table, and the page that it makes.
    assert comparison.met == {entry.name for entry in DIFFERENCES if entry.mend is not None}


def test_the_page_of_differences_is_the_table() -> None:
    # Made by: python -m tests.cli.differences
    assert DOCUMENT.read_text(encoding="utf-8") == document()
