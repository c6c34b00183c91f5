"""What whoever makes block devices of disks promises."""

from __future__ import annotations

import pytest

from mooring.model.errors import DiskBusyError
from tests.host.conftest import PROGRAMS, Site

pytestmark = pytest.mark.requires(*PROGRAMS)


def test_attach_and_detach(site: Site) -> None:
    devices = site.devices()
    assert devices.why_not() == ""
    disk_id, uri = site.disk()
    assert devices.device(disk_id) is None

    path = devices.attach(disk_id, uri)
    assert path.startswith("/dev/")
    assert devices.device(disk_id) == path
    assert devices.attach(disk_id, uri) == path
    assert (devices.users(disk_id), devices.problem(disk_id)) == ("", "")
    assert list(devices.known()) == [disk_id]

    devices.detach(disk_id)
    devices.detach(disk_id)
    assert devices.device(disk_id) is None
    assert list(devices.known()) == []


def test_each_disk_has_its_own(site: Site) -> None:
    devices = site.devices()
    pairs = [site.disk() for _ in range(3)]
    paths = [devices.attach(disk_id, uri) for disk_id, uri in pairs]

    assert len(set(paths)) == 3
    devices.detach(pairs[1][0])
    assert [devices.device(disk_id) for disk_id, _ in pairs] == [paths[0], None, paths[2]]


def test_one_in_use_is_not_taken_away(site: Site) -> None:
    devices = site.devices()
    disk_id, uri = site.disk()
    path = devices.attach(disk_id, uri)
    mount = site.mount(disk_id)

    assert devices.users(disk_id) == f"mounted at {mount}"
    with pytest.raises(DiskBusyError, match=f"{path} is mounted at"):
        devices.detach(disk_id)
    assert devices.device(disk_id) == path

    site.unmount(mount)
    devices.detach(disk_id)


def test_a_restarted_server_takes_over_what_is_there(site: Site) -> None:
    disk_id, uri = site.disk()
    path = site.devices().attach(disk_id, uri)
    mount = site.mount(disk_id)

    site.restart()
    assert site.devices().adopt({disk_id: uri}) == {}

    assert site.devices().device(disk_id) == path
    assert site.devices().users(disk_id) == f"mounted at {mount}"
    site.unmount(mount)


def bring_together(site: Site, *wanted: tuple[str, str]) -> dict[str, str]:
    """As a starting server does; what could not be done."""
    devices = site.devices()
    gone = set(devices.known()) - dict(wanted).keys()
    return {**devices.leave(gone), **devices.adopt(dict(wanted))}


def test_what_is_not_wanted_any_more_goes_unless_it_is_in_use(site: Site) -> None:
    devices = site.devices()
    wanted, unwanted, used = site.disk(), site.disk(), site.disk()
    devices.attach(*unwanted)
    devices.attach(*used)
    mount = site.mount(used[0])

    site.restart()
    problems = bring_together(site, wanted)

    assert site.devices().device(wanted[0]) is not None
    assert site.devices().device(unwanted[0]) is None
    assert list(problems) == [used[0]]
    assert f"mounted at {mount}" in problems[used[0]]
    site.unmount(mount)
    assert bring_together(site, wanted) == {}
    assert list(site.devices().known()) == [wanted[0]]


def test_a_broken_one_is_made_anew_when_nobody_uses_it(site: Site) -> None:
    devices = site.devices()
    disk_id, uri = site.disk()
    devices.attach(disk_id, uri)
    mount = site.mount(disk_id)
    site.spoil(disk_id)

    assert str(mount) in devices.problem(disk_id)
    with pytest.raises(DiskBusyError):
        devices.attach(disk_id, uri)
    assert list(devices.adopt({disk_id: uri})) == [disk_id]
    site.unmount(mount)
    assert "nobody uses it" in devices.problem(disk_id)
    devices.attach(disk_id, uri)

    assert devices.problem(disk_id) == ""
    assert site.devices().adopt({disk_id: uri}) == {}
