"""Where the server is, told as soon as it can be."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from mooring.admin.running_server import RunningServer, announce, find_server
from mooring.admin.serving.announcement import Announcement
from mooring.host.reserve import FILE_BYTES, Reserve
from tests.mounts import file_system, fill

SERVER = RunningServer("http://127.0.0.1:1", "us-east-2", 1, None)


def test_it_is_written_once_it_can_be(tmp_path: Path) -> None:
    path = tmp_path / "server.json"
    in_the_way = tmp_path / "server.json.new"
    in_the_way.mkdir()
    announcement = Announcement(path, SERVER, Reserve(tmp_path / "reserve"))
    announcement.write()
    assert find_server(path) is None

    async def mend() -> None:
        trying = asyncio.create_task(announcement.until_written())
        await asyncio.sleep(0)
        in_the_way.rmdir()
        await trying

    asyncio.run(mend())
    assert find_server(path) == SERVER


@pytest.mark.full
@pytest.mark.parametrize("kind", ["ext4", "xfs"])
def test_on_a_file_system_without_a_free_byte(tmp_path: Path, kind: str) -> None:
    """Where whatever is given up is taken by others, such as disks in use."""
    with file_system(tmp_path / "data", kind) as mount:
        path, reserve = mount / "server.json", Reserve(mount / "reserve")
        reserve.take()
        held = reserve.held()
        assert held > 0
        fill(mount / "ballast")

        announce(path, SERVER, reserve)
        announce(path, replace(SERVER, pid=2), reserve)

        assert find_server(path) == replace(SERVER, pid=2)
        assert held - reserve.held() <= 2 * FILE_BYTES
        names = ["ballast", "lost+found", "reserve", "server.json"]
        assert {one.name for one in mount.iterdir()} <= set(names)
