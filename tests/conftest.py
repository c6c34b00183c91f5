"""What every test can ask for, and the check for leftovers."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.catalog.postgresql import PostgreSQL, running
from tests.ceph_cluster import CephCluster, running_cluster
from tests.leaks import Leaks, remove_sockets

CHECKOUT = Path(__file__).resolve().parent.parent

SEARCH_PATH = os.pathsep.join(
    [os.environ.get("PATH", ""), str(CHECKOUT / ".venv-clients" / "bin"), "/usr/sbin", "/sbin"]
)

LEAKS = pytest.StashKey[Leaks]()
FOUND = pytest.StashKey[list[str]]()


def find_tool(name: str) -> str:
    """Return the path of a command; skip the test without it, but fail it in CI.

    Client commands such as `aws` are found in `.venv-clients`.
    """
    path = shutil.which(name, path=SEARCH_PATH)
    if path is not None:
        return path
    reason = f"{name} is not installed: run scripts/setup"
    if os.environ.get("CI"):
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def requires() -> Callable[[str], str]:
    """`requires("fio")` returns the command's path, or skips the test (in CI: fails it)."""
    return find_tool


@pytest.fixture
def run_dir(pytestconfig: pytest.Config) -> Iterator[Path]:
    """A directory with a path so short that Unix sockets fit into it (107 bytes)."""
    path = Path(tempfile.mkdtemp(dir=pytestconfig.stash[LEAKS].root))
    yield path
    remove_sockets(path)
    shutil.rmtree(path)


@pytest.fixture(scope="module")
def module_run_dir(pytestconfig: pytest.Config) -> Iterator[Path]:
    """As `run_dir`, for daemons that serve a whole module."""
    path = Path(tempfile.mkdtemp(dir=pytestconfig.stash[LEAKS].root))
    yield path
    remove_sockets(path)
    shutil.rmtree(path)


@pytest.fixture(scope="session")
def ceph_cluster(pytestconfig: pytest.Config) -> Iterator[CephCluster]:
    """A Ceph cluster for all tests of a worker; without one they are skipped, in CI they fail."""
    folder = Path(tempfile.mkdtemp(dir=pytestconfig.stash[LEAKS].root))
    with running_cluster(folder) as cluster:
        yield cluster
    shutil.rmtree(folder)


@pytest.fixture
def ceph(ceph_cluster: CephCluster, monkeypatch: pytest.MonkeyPatch) -> CephCluster:
    """The same, with what programs need to find Ceph's libraries in the environment."""
    for name, value in ceph_cluster.environment.items():
        monkeypatch.setenv(name, value)
    ceph_cluster.mend()
    return ceph_cluster


@pytest.fixture(scope="module")
def postgresql() -> Iterator[PostgreSQL]:
    """A PostgreSQL server for a file; without one its tests are skipped, in CI they fail."""
    yield from running()


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", "requires(*commands): skipped without these commands, in CI failed"
    )
    # A shell that starts the run in the background has it ignored, and processes inherit that.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    leaks = config.stash[LEAKS] = Leaks()
    # Puts `tmp_path` below the root, so that mounts there are found as well.
    os.environ["PYTEST_DEBUG_TEMPROOT"] = str(leaks.root)
    config.stash[FOUND] = []


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    # Ten minutes in one file: at the end it would be alone.
    items.sort(key=lambda item: item.path.name != "test_packages.py")


def pytest_unconfigure(config: pytest.Config) -> None:
    config.stash[LEAKS].close()


def pytest_runtest_setup(item: pytest.Item) -> None:
    for mark in item.iter_markers("requires"):
        for command in mark.args:
            find_tool(command)


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    config = session.config
    found = config.stash[FOUND]
    found += config.stash[LEAKS].end_all(bool(config.getoption("numprocesses", default=None)))
    if hasattr(config, "workeroutput"):
        config.workeroutput["leaks"] = found
    elif found:
        reporter = config.pluginmanager.get_plugin("terminalreporter")
        assert reporter is not None
        reporter.stats.setdefault("error", []).append(
            pytest.TestReport(
                nodeid="what the tests left behind",
                location=("", None, "what the tests left behind"),
                keywords={},
                outcome="failed",
                longrepr="\n".join(found),
                when="teardown",
            )
        )
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: object) -> None:
    config: pytest.Config = node.config  # type: ignore[attr-defined]
    config.stash[FOUND] += getattr(node, "workeroutput", {}).get("leaks", [])
