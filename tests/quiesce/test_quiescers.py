"""What every quiescer promises."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from mooring.model.errors import QuiesceError
from mooring.quiesce.interface import COMMANDS, GUEST_AGENT, Quiescer, Users
from mooring.quiesce.memory import MemoryQuiescer
from mooring.quiesce.process import CommandPair, ProcessQuiescer
from tests.quiesce.agent import Agent

WEB = Users("i-1", "web", ["a"])


@dataclass(frozen=True, slots=True)
class Site:
    """A quiescer; `at_rest` tells who is, `fail` and `slip` make a means of `web` go wrong."""

    quiescer: Quiescer
    socket: str
    at_rest: Callable[[], set[str]]
    fail: Callable[[str], None]
    slip: Callable[[str], None]
    forbidden: str


@pytest.fixture(params=["memory", "process"])
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Site:
    if request.param == "memory":
        memory = MemoryQuiescer(commands={"web"})
        return Site(
            memory,
            "/run/agent.sock",
            lambda: memory.held,
            lambda name: memory.failing.update({name: "cannot"}),
            lambda name: memory.slipping.update({name: "slipped"}),
            "",
        )
    agent: Agent = request.getfixturevalue("agent")
    pairs: dict[str, CommandPair] = request.getfixturevalue("pairs")
    quiescer: ProcessQuiescer = request.getfixturevalue("quiescer")
    flag, broken = tmp_path / "flag", tmp_path / "broken"
    pairs["web"] = CommandPair(f"test ! -e {broken} && touch {flag}", f"rm -f {flag}")

    def at_rest() -> set[str]:
        states = {COMMANDS: flag.exists(), GUEST_AGENT: agent.frozen}
        return {name for name, state in states.items() if state}

    def fail(name: str) -> None:
        if name == COMMANDS:
            broken.touch()
        else:
            agent.refusing.add("guest-fsfreeze-freeze")

    def slip(name: str) -> None:
        assert name == GUEST_AGENT
        agent.frozen = False

    return Site(quiescer, str(agent.path), at_rest, fail, slip, "/dev/null")


def test_nobody_to_bring_to_rest(site: Site) -> None:
    assert site.quiescer.means(Users("i-2", "other")) == []


def test_a_hold(site: Site) -> None:
    users = Users("i-1", "web", ["a"], {}, site.socket)
    assert list(site.quiescer.means(users)) == [COMMANDS, GUEST_AGENT]

    hold = site.quiescer.hold(users)
    assert hold.problems == {}
    assert site.at_rest() == {COMMANDS, GUEST_AGENT}
    rest = hold.thaw()

    assert sorted(rest.held) == [COMMANDS, GUEST_AGENT]
    assert rest.problems == {}
    assert 0 < rest.seconds < 60
    assert site.at_rest() == set()
    assert site.quiescer.left() == []


def test_who_cannot_be_brought_to_rest_does_not_keep_others_from_it(site: Site) -> None:
    site.fail(COMMANDS)

    hold = site.quiescer.hold(Users("i-1", "web", ["a"], {}, site.socket))
    assert list(hold.problems) == [COMMANDS]
    assert site.at_rest() == {GUEST_AGENT}
    rest = hold.thaw()

    assert (list(rest.held), list(rest.problems)) == ([GUEST_AGENT], [COMMANDS])
    assert site.at_rest() == set()


def test_nobody_at_rest(site: Site) -> None:
    site.fail(COMMANDS)

    hold = site.quiescer.hold(WEB)
    rest = hold.thaw()

    assert (list(rest.held), list(rest.problems)) == ([], [COMMANDS])


def test_whoever_was_thawed_too_early_was_not_at_rest(site: Site) -> None:
    hold = site.quiescer.hold(Users("i-1", "web", ["a"], {}, site.socket))
    site.slip(GUEST_AGENT)
    rest = hold.thaw()

    assert (list(rest.held), list(rest.problems)) == ([COMMANDS], [GUEST_AGENT])


def test_again_and_again(site: Site) -> None:
    for _ in range(3):
        assert site.quiescer.hold(WEB).thaw().problems == {}
    assert site.quiescer.mend() == {}


def test_a_socket_that_may_not_be_connected_to(site: Site) -> None:
    if isinstance(site.quiescer, MemoryQuiescer):
        site.quiescer.forbidden = "not below"
    users = Users("i-1", "web", ["a"], {}, site.forbidden)

    with pytest.raises(QuiesceError, match="not below"):
        site.quiescer.means(users)
    with pytest.raises(QuiesceError, match="not below"):
        site.quiescer.hold(users)
