"""Access keys that servers share in a catalog, and each server's copy of them."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text
from structlog.testing import capture_logs

from mooring.backend.cluster_key import ClusterKey, new_cluster_key, read_cluster_key
from mooring.backend.default_keys import DefaultKeys, SharedDefaultKeys
from mooring.catalog.database import Catalog
from mooring.catalog.sharing.shared_secrets import SealedSecret
from mooring.host.reserve import Reserve
from mooring.model.access import Access, Role
from mooring.model.clock import ManualClock
from mooring.model.errors import ConfigurationError
from mooring.model.paths import Paths
from mooring.service.credentials.keyring import Keyring
from mooring.service.credentials.keys import Key, new_key, open_keys, read_keys, write_keys
from mooring.service.credentials.shared_keys import KEYS, SharedKeys
from tests.mounts import file_system, fill

CI = new_key("ci", Access("ci", Role.READ_ONLY))


class Server:
    """What a server has of the keys: its copy, and the file with the cluster's key."""

    def __init__(self, folder: Path, catalog: Catalog) -> None:
        folder.mkdir()
        self.file, self.key_file = folder / "credentials", folder / "cluster-key"
        self.keys = SharedKeys(catalog, self.file, self.key_file)
        self._catalog = catalog

    def look(self) -> bool:
        """Follow the catalog."""
        with self._catalog.read() as transaction:
            version = transaction.shared_secrets.version(KEYS)
        return self.keys.follow(version)

    @property
    def ids(self) -> set[str]:
        return set(read_keys(self.file))


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[Catalog]:
    catalog = Catalog(f"sqlite:///{tmp_path / 'catalog.sqlite'}")
    catalog.migrate()
    yield catalog
    catalog.close()


@pytest.fixture
def first(tmp_path: Path, catalog: Catalog) -> Server:
    server = Server(tmp_path / "first", catalog)
    server.keys.begin()
    return server


def second_of(first: Server, catalog: Catalog) -> Server:
    """Another server, which has been given the cluster's key."""
    server = Server(first.file.parent.parent / "second", catalog)
    server.key_file.write_bytes(first.key_file.read_bytes())
    server.key_file.chmod(0o600)
    return server


def add(server: Server, *keys: Key) -> None:
    server.keys.edit(lambda known: [*known, *keys])


def test_the_first_server_makes_a_key_for_all(first: Server, catalog: Catalog) -> None:
    (key,) = first.keys.read().values()
    assert (key.access.user, key.access.role) == ("default", Role.ADMINISTRATOR)
    assert first.ids == {key.id}
    for file in (first.file, first.key_file):
        assert stat.S_IMODE(file.stat().st_mode) == 0o600

    second = second_of(first, catalog)
    second.keys.begin()
    assert read_keys(second.file) == read_keys(first.file)
    first.keys.begin()
    assert first.keys.read() == {key.id: key}


def test_a_change_at_one_server_comes_to_the_others(first: Server, catalog: Catalog) -> None:
    second, clock = second_of(first, catalog), ManualClock()
    second.keys.begin()
    keyring = Keyring(second.file, clock, makes=False)

    add(first, CI)
    assert second.look()
    keyring.refresh()
    found = keyring.find(CI.id)
    assert found is not None
    assert found.access == CI.access

    first.keys.edit(lambda known: [key for key in known if key.id != CI.id])
    assert second.look()
    keyring.refresh()
    assert keyring.find(CI.id) is None


def test_a_copy_that_somebody_edits_is_made_again(first: Server) -> None:
    first.look()
    before = first.file.read_bytes()
    write_keys(first.file, [CI])
    with capture_logs() as lines:
        first.look()
        first.look()

    assert first.file.read_bytes() == before
    assert [line["log_level"] for line in lines] == ["warning"]
    first.file.unlink()
    first.look()
    assert first.file.read_bytes() == before


@pytest.mark.full
def test_a_deleted_key_goes_from_a_full_disk_too(
    first: Server, catalog: Catalog, tmp_path: Path
) -> None:
    add(first, CI)
    second = second_of(first, catalog)
    with file_system(tmp_path / "full", "ext4") as mount:
        second.file = mount / "credentials"
        second.keys = SharedKeys(catalog, second.file, second.key_file)
        second.keys.begin()
        assert CI.id in second.ids
        first.keys.edit(lambda known: [key for key in known if key.id != CI.id])
        Reserve(Paths(mount).reserve).take()
        fill(mount / "ballast")

        assert second.look()
        assert CI.id not in second.ids


def test_the_keys_of_a_server_from_before_are_taken_along(first: Server, catalog: Catalog) -> None:
    second = second_of(first, catalog)
    (own,) = open_keys(second.file).values()
    second.keys.begin()

    keys = second.keys.read()
    assert keys[own.id].secret == own.secret
    assert len({key.profile for key in keys.values()}) == 2
    # Once: what was deleted since does not come back from the copy.
    first.keys.edit(lambda known: [key for key in known if key.id != own.id])
    second.keys.begin()
    assert own.id not in second.keys.read()


def test_copies_bring_back_what_the_catalog_has_lost(first: Server, catalog: Catalog) -> None:
    """As after the loss of the cluster's key: the row that nobody can open is deleted."""
    add(first, CI)
    first.look()
    before = first.keys.read()
    with catalog.write() as transaction:
        transaction.shared_secrets.remove(KEYS)
    first.key_file.unlink()

    first.keys.begin()
    assert first.keys.read() == before


def test_no_secret_can_be_read_in_the_catalog(first: Server, catalog: Catalog) -> None:
    add(first, CI)
    with catalog.read() as transaction:
        found = transaction.shared_secrets.find(KEYS)
    assert found is not None
    assert CI.secret not in found.sealed
    assert CI.id not in found.sealed


def forged(catalog: Catalog, version: int, sealed: str) -> None:
    """As by somebody who can change the tables, and has no server's files."""
    with catalog.write() as transaction:
        transaction.shared_secrets.put(SealedSecret(KEYS, version, sealed))


def test_who_can_only_change_the_catalog_makes_no_key(first: Server, catalog: Catalog) -> None:
    with catalog.read() as transaction:
        before = transaction.shared_secrets.find(KEYS)
    assert before is not None
    mine = new_cluster_key().seal(KEYS, 2, "[evil]")
    for version, sealed in ((2, mine), (2, before.sealed), (1, "?"), (1, before.sealed[:-8])):
        forged(catalog, version, sealed)
        with pytest.raises(ConfigurationError, match="does not open the secrets"):
            first.keys.read()
        with pytest.raises(ConfigurationError, match="does not open the secrets"):
            add(first, CI)


def test_a_server_without_the_key_is_told_how_to_get_it(first: Server, catalog: Catalog) -> None:
    second = Server(first.file.parent.parent / "second", catalog)
    for act in (second.keys.begin, second.keys.read):
        with pytest.raises(ConfigurationError, match="`mooringd join` brings it"):
            act()
    assert not second.file.exists()
    second.key_file.write_bytes(first.key_file.read_bytes())
    second.key_file.chmod(0o644)
    with pytest.raises(ConfigurationError, match="chmod 600"):
        second.keys.begin()
    second.key_file.chmod(0o600)
    second.key_file.write_text("mooring-cluster-key-1 short")
    with pytest.raises(ConfigurationError, match="is not a cluster's key"):
        second.keys.begin()


def test_a_start_that_was_cut_off_goes_on_with_its_key(tmp_path: Path, catalog: Catalog) -> None:
    """The file is there before the row: the other way round nobody could open it."""
    server = Server(tmp_path / "first", catalog)
    with catalog.write() as transaction:
        transaction.shared_secrets._connection.execute(text("DROP TABLE shared_secrets"))
        transaction.shared_secrets._connection.execute(
            text(
                "CREATE TABLE shared_secrets "
                "(name TEXT, version BIGINT, sealed TEXT CHECK (sealed = ''))"
            )
        )
    with pytest.raises(Exception, match="CHECK"):
        server.keys.begin()
    made = read_cluster_key(server.key_file)
    assert made is not None
    with catalog.write() as transaction:
        transaction.shared_secrets._connection.execute(text("DROP TABLE shared_secrets"))
        transaction.shared_secrets._connection.execute(
            text("CREATE TABLE shared_secrets (name TEXT, version BIGINT, sealed TEXT)")
        )
    server.keys.begin()
    again = read_cluster_key(server.key_file)
    assert again is not None
    assert again.key == made.key


def test_what_is_sealed_opens_in_its_place_only() -> None:
    key = ClusterKey(bytes(32))
    sealed = key.seal("a", 1, "x")
    assert key.open("a", 1, sealed) == "x"
    for name, version in (("b", 1), ("a", 2)):
        with pytest.raises(ValueError, match="not sealed with this key"):
            key.open(name, version, sealed)
    assert key.seal("a", 1, "x") != sealed


def test_an_edit_that_is_refused_changes_nothing(first: Server) -> None:
    before = first.keys.read()

    def refuse(_known: list[Key]) -> list[Key]:
        raise ConfigurationError("no")

    with pytest.raises(ConfigurationError, match="no"):
        first.keys.edit(refuse)
    assert first.keys.read() == before


def test_default_key_pairs_are_found_at_any_server(first: Server, catalog: Catalog) -> None:
    second = second_of(first, catalog)
    folders = [one.file.parent / "default-key-pairs" for one in (first, second)]
    one, two = (
        SharedDefaultKeys(folder, catalog, server.key_file)
        for folder, server in zip(folders, (first, second), strict=True)
    )
    one.keep("pair", "private")
    assert two.find("pair") == one.find("pair") == "private"
    assert not any(folder.exists() for folder in folders)
    with catalog.read() as transaction:
        found = transaction.shared_secrets.find("default key pair pair")
    assert found is not None
    assert "private" not in found.sealed
    two.forget("pair")
    assert one.find("pair") is None

    # That of a server from before is in its file.
    DefaultKeys(folders[0]).keep("old", "older")
    assert one.find("old") == "older"
    one.forget("old")
    assert one.find("old") is None
    second.key_file.unlink()
    one.keep("pair", "private")
    assert two.find("pair") is None
