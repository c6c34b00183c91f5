"""Which disk each connection asked for, read from the daemon's trace of negotiations.

QEMU tells nobody which export a connection uses. Its trace has a line when a negotiation begins,
one with each name asked for, and one when it succeeded, but none of them says whose. A connection
is in the list of descriptors before its negotiation begins. So as long as as many began as there
are connections without a name, each line belongs to one of these; otherwise some came and went
unseen, and nothing is concluded unless all asked for the same name. The relay's processes say
themselves what they asked for.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mooring.engine.qemu.daemon.process import TRACED
from mooring.engine.qemu.users.sockets import Link

LOG_LIMIT = 1 << 20
"""Bytes above which a daemon's log is started again."""

_BEGIN, _REQUEST, _SUCCESS = (event.encode() for event in TRACED)
_NAME = re.compile(rb"Client requested export '(.*)'$")


@dataclass(slots=True)
class _Window:
    """What was traced since the last time that every connection had its name."""

    begun: int = 0
    asked: list[str] = field(default_factory=list)
    agreed: list[str] = field(default_factory=list)
    mixed: bool = False
    """Whether one began before another had ended."""


class Trace:
    """Reads what a daemon traces; `offset` is where to begin in its log."""

    def __init__(self, log: Path, offset: int = 0) -> None:
        self._log = log
        self.understood = offset
        """Up to where in the log every connection had its name."""
        self.read_to = offset
        self._rest = b""
        self._window = _Window()

    def nothing_new(self) -> bool:
        """Whether nothing was traced since every connection had its name."""
        try:
            return os.stat(self._log).st_size == self.understood  # noqa: PTH116 - for each freeze
        except OSError:
            return False

    def read(self) -> None:
        """Take in what was traced since."""
        try:
            with self._log.open("rb") as file:
                if os.fstat(file.fileno()).st_size < self.read_to:
                    self.read_to, self._rest = 0, b""
                file.seek(self.read_to)
                data = file.read()
        except FileNotFoundError:
            return
        self.read_to += len(data)
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._take(line)

    def _take(self, line: bytes) -> None:
        if _BEGIN in line:
            self._window.mixed |= len(self._window.agreed) < self._window.begun
            self._window.begun += 1
        elif _REQUEST in line:
            if found := _NAME.search(line):
                self._window.asked.append(found[1].decode(errors="replace"))
        elif _SUCCESS in line and self._window.asked:
            # QEMU says so right after the request that it grants, with nothing in between.
            self._window.agreed.append(self._window.asked[-1])

    @property
    def mixed(self) -> bool:
        """Whether a process that asked for several names may have them in another order."""
        return self._window.mixed and len(set(self._window.agreed)) > 1

    def forget(self) -> None:
        """Every connection that there is has its name."""
        self._window = _Window()
        if self.read_to > LOG_LIMIT:
            # The daemon appends to it: what it writes from now on is at the start.
            os.truncate(self._log, 0)
            self.read_to, self._rest = 0, b""
        self.understood = self.read_to

    def name(self, nameless: Sequence[Link]) -> Mapping[int, str] | None:
        """The name that each of these asked for, by inode; None as long as it is not known.

        Those that cannot be told apart are left out.
        """
        window = self._window
        if len(window.agreed) < len(nameless) or len(window.agreed) < window.begun:
            return None
        told = {link.inode: link.peer.remote.export for link in nameless if link.peer.remote}
        agreed = list(window.agreed)
        for name in told.values():
            if name in agreed:
                agreed.remove(name)
        rest = [link for link in nameless if link.inode not in told]
        inodes = [link.inode for link in rest]
        if len(set(agreed)) == 1:
            return told | dict.fromkeys(inodes, agreed[0])
        if len(agreed) == len(rest) and len({link.peer for link in rest}) == 1:
            # A process opens one after the other, and its inodes ascend likewise; or several of
            # its threads do at once, and only all of them together have all these names.
            return told | dict(zip(inodes, agreed, strict=True))
        return told
