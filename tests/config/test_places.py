"""Which data directory and settings are meant when nobody names any."""

from __future__ import annotations

from pathlib import Path

import pytest

from mooring.config.places import HostPlaces, default_data_directory, default_settings


@pytest.fixture
def host(tmp_path: Path) -> HostPlaces:
    return HostPlaces(tmp_path / "var", tmp_path / "etc.toml")


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    return {"XDG_DATA_HOME": str(tmp_path / "home")}


def test_the_users_own_where_there_is_no_other(
    host: HostPlaces, environment: dict[str, str], tmp_path: Path
) -> None:
    assert default_data_directory(environment, host) == tmp_path / "home" / "mooring"
    assert default_settings(environment, host) is None


def test_the_hosts_for_whom_it_belongs_to(host: HostPlaces, environment: dict[str, str]) -> None:
    host.data.mkdir()

    assert default_data_directory(environment, host) == host.data
    assert default_settings(environment, host) is None
    host.settings.touch()
    assert default_settings(environment, host) == str(host.settings)


def test_the_users_own_comes_first(
    host: HostPlaces, environment: dict[str, str], tmp_path: Path
) -> None:
    host.data.mkdir()
    host.settings.touch()
    (tmp_path / "home" / "mooring").mkdir(parents=True)

    assert default_data_directory(environment, host) == tmp_path / "home" / "mooring"
    assert default_settings(environment, host) is None


def test_the_environment_comes_before_both(host: HostPlaces, environment: dict[str, str]) -> None:
    host.data.mkdir()
    host.settings.touch()
    environment["MOORING_DATA"] = "/elsewhere"

    assert default_data_directory(environment, host) == Path("/elsewhere")
    assert default_settings(environment, host) is None
