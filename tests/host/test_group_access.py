"""Sockets for a group: who gets through, who does not, and what an error says."""

from __future__ import annotations

import grp
import os
import stat
from pathlib import Path

import pytest

from mooring.host.group_access import check_way, group_id, share_folder, share_socket
from mooring.model.errors import ConfigurationError

OURS = os.getgid()
"""The group of a file that this user makes: anybody may give it that."""


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("inherits", [0, stat.S_ISGID])
def test_a_folder_is_opened_and_closed_again(tmp_path: Path, inherits: int) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    folder.chmod(0o700 | inherits)
    for _ in range(2):
        share_folder(folder, OURS)
        assert _mode(folder) == 0o710 | inherits
    share_folder(folder, None)
    assert _mode(folder) == 0o700 | inherits


def test_a_socket_is_opened_and_closed_again(tmp_path: Path) -> None:
    socket = tmp_path / "socket"
    socket.touch(0o600)
    share_socket(socket, OURS)
    assert _mode(socket) == 0o660
    socket.chmod(0o666)
    share_socket(socket, None)
    assert _mode(socket) == 0o600


def test_a_link_leads_nowhere_else(tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.touch(0o600)
    link = tmp_path / "nbd.sock"
    link.symlink_to(other)
    before = other.stat()
    share_socket(link, before.st_gid)
    assert _mode(other) == 0o600


def test_a_way_that_is_closed(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    folder = closed / "run"
    folder.mkdir(parents=True)
    closed.chmod(0o700)
    share_folder(folder, OURS)
    with pytest.raises(ConfigurationError, match=f"because {closed} lets nobody else through"):
        check_way(folder, OURS)


def test_names_of_groups() -> None:
    assert group_id("") is None
    assert group_id(grp.getgrgid(OURS).gr_name) == OURS
    with pytest.raises(ConfigurationError, match="there is no group no-such-group"):
        group_id("no-such-group")
