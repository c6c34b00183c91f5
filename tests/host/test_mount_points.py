"""Mount points where nothing is mounted, by the host's table and by our own notes."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from mooring.host.mount_points import MountPoints, missing, mounted, not_mounted, promised
from mooring.model.errors import PlaceAwayError
from tests.mounts import file_system

TABLE = """\
# <file system> <mount point> <type> <options>
UUID=1 / ext4 defaults 0 1
UUID=2 none swap sw 0 0
 # UUID=3 /commented ext4
UUID=4\t/srv/with\\040blanks\text4\tnofail 0 2
UUID=5 /srv/deep/er ext4
broken
"""


def test_the_hosts_table_is_read(tmp_path: Path) -> None:
    table = tmp_path / "fstab"
    table.write_text(TABLE)
    assert promised(table) == {Path("/srv/with blanks"), Path("/srv/deep/er")}
    assert promised(tmp_path / "none") == frozenset()
    told = not_mounted(Path("/srv/with blanks/mooring"), table)
    assert told is not None
    assert "nothing is mounted at /srv/with blanks, which" in told
    for elsewhere in ("/srv", "/srv/with blanks too", "/srv/deep", "/srv/deep/erring", "/"):
        assert not_mounted(Path(elsewhere), table) is None


def test_what_is_mounted_is_not_missing(tmp_path: Path) -> None:
    assert Path("/proc") in mounted()
    assert missing(Path("/proc/self"), [Path("/proc")]) is None
    assert missing(tmp_path / "a" / "b", [tmp_path, tmp_path / "a"]) == tmp_path / "a"
    (tmp_path / "link").symlink_to(tmp_path / "a")
    assert missing(tmp_path / "link" / "b", [tmp_path / "a"]) == tmp_path / "a"


@pytest.mark.full
def test_a_noted_mount_point_must_stay_mounted(tmp_path: Path) -> None:
    none = tmp_path / "fstab"
    mounts = MountPoints(tmp_path / "noted", none)
    with file_system(tmp_path / "a mount", "ext4", 16 << 20) as mount:
        folder = mount / "exports"
        assert mounts.differ(tmp_path, folder)
        mounts.note([folder, mount / "audit" / "file"])
        assert mounts.record.read_text() == f"{mount}\n"
        assert mounts.problem(folder, "exports") is None
        subprocess.run(["umount", mount], check=True)
        try:
            with pytest.raises(PlaceAwayError, match=r"exports, .* is away: nothing is mounted at"):
                mounts.check(folder, "exports")
            # What is below no mount point now is noted nowhere, and forgets none.
            mounts.note([folder])
            assert mounts.differ(tmp_path, folder)
            assert mounts.problem(folder, "exports") is not None
            assert mounts.problem(tmp_path / "exports", "exports") is None
        finally:
            subprocess.run(["mount", "-o", "loop", f"{mount}.img", mount], check=True)
        assert mounts.problem(folder, "exports") is None
    # It is no mount point any more, and somebody says so.
    mounts.record.write_text("\n")
    assert mounts.problem(folder, "exports") is None


@pytest.mark.full
def test_a_mount_point_of_the_record_itself_is_not_noted(tmp_path: Path) -> None:
    with file_system(tmp_path / "data", "ext4", 16 << 20) as data:
        mounts = MountPoints(data / "noted", tmp_path / "fstab")
        mounts.note([data / "exports"])
        assert not mounts.record.exists()


def test_a_change_of_the_table_is_seen(tmp_path: Path) -> None:
    table = tmp_path / "fstab"
    mounts = MountPoints(tmp_path / "noted", table)
    assert mounts.problem(tmp_path / "a" / "b", "exports") is None

    table.write_text(f"UUID=1 {tmp_path / 'a'} ext4 defaults\n")
    problem = mounts.problem(tmp_path / "a" / "b", "exports")
    assert problem is not None
    assert f"nothing is mounted at {tmp_path / 'a'}" in problem

    table.write_text(f"UUID=1 {tmp_path / 'c'} ext4 defaults\n")
    assert mounts.problem(tmp_path / "a" / "b", "exports") is None
    table.unlink()
    assert mounts.problem(tmp_path / "c" / "b", "exports") is None
