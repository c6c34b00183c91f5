"""Where the server is, told as soon as it can be."""

from __future__ import annotations

import asyncio
from pathlib import Path

from mooring.admin.running_server import RunningServer, find_server
from mooring.admin.serving.announcement import Announcement
from mooring.host.reserve import Reserve

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
