"""The commands of README, pasted into a shell in their order, with another home."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import CHECKOUT
from tests.e2e.processes import end_all

pytestmark = [pytest.mark.full, pytest.mark.requires("mkfs.ext4"), pytest.mark.requires("unshare")]

MOUNT_POINT = "/mnt/mooring-data"
LOOPBACK_UP = """\
import fcntl, socket, struct
fcntl.ioctl(socket.socket(), 0x8914, struct.pack("16sh22x", b"lo", 1))
"""
"""A network of its own, so that the usual port is free; SIOCSIFFLAGS with IFF_UP, netdevice(7)."""


@dataclass(frozen=True)
class Step:
    """A command, and what README shows as its output."""

    command: str
    shown: str


def steps() -> Iterator[Step]:
    text = (CHECKOUT / "README.md").read_text(encoding="utf-8")
    part = text[text.index("To use it for real") : text.index("## What works today")]
    blocks = re.findall(r"^```(console|python)\n(.*?)^```", part, re.MULTILINE | re.DOTALL)
    for kind, block in blocks:
        if kind == "python":
            yield Step(f".venv-clients/bin/python - <<'END'\n{block}END", "")
            continue
        for one in block.removeprefix("$ ").split("\n$ "):
            yield divided(one)


def divided(text: str) -> Step:
    """A command with the lines that go on with it; the rest is its output."""
    lines = text.splitlines()
    end = next(i for i, line in enumerate(lines) if not line.endswith("\\")) + 1
    return Step("\n".join(lines[:end]), "\n".join(lines[end:]))


@pytest.fixture
def home(run_dir: Path) -> Iterator[Path]:
    yield run_dir
    subprocess.run(["umount", "--lazy", str(run_dir / "mnt")], capture_output=True, check=False)
    # The server, if a command failed, and what serves snapshots until nobody needs it.
    data = run_dir / ".local/share/mooring"
    stop = [str(CHECKOUT / ".venv/bin/mooringd"), "stop", "--data", str(data)]
    subprocess.run(stop, capture_output=True, check=False)
    end_all(run_dir)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to use a disk on this host")
def test_pasted_in_their_order_they_work(home: Path) -> None:
    taken = list(steps())
    script = "".join(
        f"{step.command.replace(MOUNT_POINT, str(home / 'mnt'))}\nprintf '\\n@@%s\\n' $?\n"
        for step in taken
    )
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("AWS_", "XDG_", "MOORING_")) or name.startswith("MOORING_TEST_")
    }
    program = f"{CHECKOUT / '.venv/bin/python'}"
    done = subprocess.run(
        ["unshare", "--net", "sh", "-c", '"$1" -c "$2" && exec sh -c "$3"', "sh",
         program, LOOPBACK_UP, script],
        cwd=CHECKOUT, env={**kept, "HOME": str(home)}, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=300, check=False,
    )  # fmt: skip

    answers = re.findall(r"(.*?)\n@@(\d+)\n", done.stdout, re.DOTALL)
    assert len(answers) == len(taken) > 15, done.stdout
    for step, (output, status) in zip(taken, answers, strict=True):
        assert status == "0", f"{step.command}\n{output}"
        if step.shown:
            assert re.fullmatch(pattern(step.shown, home), output.strip()), output
    listing = next(
        answer
        for step, (answer, _) in zip(taken, answers, strict=True)
        if step.command == "mooring ls monday:/"
    )
    assert "written" in listing
    assert list((home / ".local/share/mooring/zones").rglob("*"))


def pattern(shown: str, home: Path) -> str:
    """What README shows, with this home, and with any socket."""
    expected = re.escape(shown.replace("/root/", f"{home}/"))
    expected = re.sub(r"server\\.path=[^,]*", r"server\\.path=[^,]+/nbd\\.sock", expected)
    return re.sub(r"socket=\S*", r"socket=\\S+/nbd\\.sock", expected)


def test_documents_send_nobody_to_a_strangers_package() -> None:
    """On the public index the name `mooring` is another project's: ours is `mooring-disks`."""
    texts = [*CHECKOUT.glob("*.md"), *(CHECKOUT / "docs").rglob("*.md")]
    texts += (CHECKOUT / "src").rglob("*.py")
    to_install = re.compile(r"(pip|pipx|uv|uvx) [^\n]*install[^\n]*?[\s'\"/]mooring(?![-_.])\b")
    with_extras = re.compile(r"\bmooring\[[a-z]")
    strangers = (to_install, with_extras)

    found = [text for text in texts if any(one.search(text.read_text()) for one in strangers)]

    assert found == []
