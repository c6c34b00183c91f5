"""The name of a daemon's socket: given, taken away for a reason, and given back."""

from __future__ import annotations

from pathlib import Path

from mooring.engine.qemu.daemon.door import Door
from mooring.model.clock import ManualClock


def _names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def test_a_socket_has_no_name_until_it_is_published(tmp_path: Path) -> None:
    (tmp_path / "nbd.sock.new").touch()
    door = Door(tmp_path, ManualClock())

    with door.closed("growth"):
        pass
    assert _names(tmp_path) == ["nbd.sock.new"]
    door.publish()
    assert _names(tmp_path) == ["nbd.sock"]


def test_the_name_comes_back_when_no_reason_is_left(tmp_path: Path) -> None:
    (tmp_path / "nbd.sock").touch()
    door = Door(tmp_path, ManualClock())

    with door.closed("growth"):
        door.close("guard")
        door.open("adoption")
        door.publish()
        assert _names(tmp_path) == ["nbd.sock.off"]
    assert _names(tmp_path) == ["nbd.sock.off"]
    door.open("guard")
    assert _names(tmp_path) == ["nbd.sock"]


def test_a_socket_published_while_there_is_a_reason_waits_for_its_end(tmp_path: Path) -> None:
    (tmp_path / "nbd.sock.new").touch()
    door = Door(tmp_path, ManualClock())

    with door.closed("growth"):
        door.publish()
        assert _names(tmp_path) == ["nbd.sock.off"]
    assert _names(tmp_path) == ["nbd.sock"]


def test_what_an_earlier_server_closed_is_published_again(tmp_path: Path) -> None:
    (tmp_path / "nbd.sock").touch()
    Door(tmp_path, ManualClock()).close("growth")

    Door(tmp_path, ManualClock()).publish()

    assert _names(tmp_path) == ["nbd.sock"]


def test_clients_are_expected_for_a_while_after_they_lost_it(tmp_path: Path) -> None:
    (tmp_path / "nbd.sock.new").touch()
    clock = ManualClock()
    door = Door(tmp_path, clock)
    door.publish()
    assert not door.in_a_rush()  # nobody had it

    with door.closed("growth"):
        pass
    clock.advance(4)
    assert door.in_a_rush()
    clock.advance(2)
    assert not door.in_a_rush()

    (tmp_path / "nbd.sock").rename(tmp_path / "nbd.sock.new")
    door.publish(again=True)
    assert door.in_a_rush()
