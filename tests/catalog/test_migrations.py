"""Migrations make the tables that schema.py describes, and nothing less."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib import resources
from pathlib import Path

import pytest
from sqlalchemy import Engine, Integer, MetaData, Table, create_engine, text
from sqlalchemy.types import BigInteger, TypeEngine

from mooring.catalog import migrate as migrations
from mooring.catalog.database import Catalog
from mooring.catalog.tables import schema
from mooring.model.errors import ConfigurationError
from tests.catalog.kinds import on_shared_ones
from tests.catalog.values import REGION, disk, instance

Open = Callable[[], Engine]


@pytest.fixture
def open_engine(url: str, catalog: Catalog) -> Iterator[Open]:
    """A look at the catalog's database from outside."""
    opened: list[Engine] = []

    def open_one() -> Engine:
        opened.append(create_engine(url))
        return opened[-1]

    yield open_one
    for engine in opened:
        engine.dispose()


def holds(reflected: TypeEngine[object], wanted: TypeEngine[object]) -> bool:
    """Whether a column takes what the program puts there."""
    if isinstance(wanted, BigInteger):
        return isinstance(reflected, BigInteger)
    if isinstance(wanted, Integer):
        return isinstance(reflected, Integer)
    return reflected._type_affinity is wanted._type_affinity


# Indexes are not compared.
@pytest.mark.filterwarnings("ignore:Skipped unsupported reflection of expression-based index")
@on_shared_ones
def test_tables_are_those_of_the_schema(open_engine: Open) -> None:
    found = MetaData()
    found.reflect(open_engine())

    assert found.tables.keys() == schema.metadata.tables.keys() | {"migrations"}
    for name, wanted in schema.metadata.tables.items():
        table: Table = found.tables[name]
        # A later migration's column comes last, wherever the schema has it.
        assert sorted(table.columns.keys()) == sorted(wanted.columns.keys()), name
        keys = [column.name for column in table.primary_key.columns]
        assert keys == [column.name for column in wanted.primary_key.columns], name
        for column in wanted.columns:
            reflected = table.columns[column.name].type
            assert holds(reflected, column.type), f"{name}.{column.name} is {reflected}"


def test_migrating_again_does_nothing(catalog: Catalog) -> None:
    with catalog.write() as transaction:
        transaction.disks.add(disk("data"))

    assert catalog.migrate() == 0
    with catalog.read() as transaction:
        assert [one.name for one in transaction.disks.all()] == ["data"]


@on_shared_ones
def test_two_programs_may_migrate_at_once(url: str) -> None:
    catalogs = [Catalog(url) for _ in range(4)]
    try:
        with ThreadPoolExecutor(len(catalogs)) as pool:
            applied = sorted(pool.map(Catalog.migrate, catalogs))
        assert applied[:3] == [0, 0, 0]
        assert applied[3] >= 1
    finally:
        for catalog in catalogs:
            catalog.close()


@on_shared_ones
def test_a_newer_catalog_is_refused(open_engine: Open, catalog: Catalog) -> None:
    with open_engine().begin() as connection:
        connection.execute(text("INSERT INTO migrations VALUES (9999, 'contract_tomorrow')"))

    with pytest.raises(ConfigurationError, match=r"migration 9999.*start the newer program"):
        catalog.migrate()


def test_no_two_migrations_have_one_number() -> None:
    folder = resources.files("mooring.catalog") / "migrations"
    numbers = sorted(int(file.name[:4]) for file in folder.iterdir() if file.name.endswith(".sql"))

    assert numbers[0] == 1
    assert len(numbers) == len(set(numbers))


@pytest.mark.parametrize(
    "url", ["", "catalog.sqlite", "oracle://db/mooring", "postgresql://me:geheim@db:x/y"]
)
def test_urls_that_are_not_of_a_catalog(url: str) -> None:
    with pytest.raises(ConfigurationError, match="catalog must be the URL") as caught:
        Catalog(url)

    assert "geheim" not in str(caught.value)


def test_a_driver_that_is_missing() -> None:
    with pytest.raises(ConfigurationError, match=r"install 'mooring-disks\[postgres\]"):
        Catalog("postgresql+pg8000://db/mooring")


def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    file = tmp_path / "catalog.sqlite"
    file.write_bytes(b"this is not a database, but it is long enough to be looked at\n" * 20)
    catalog = Catalog(f"sqlite:///{file}")

    with pytest.raises(ConfigurationError, match=r"catalog\.sqlite cannot be used.*not a database"):
        catalog.migrate()
    catalog.close()


def test_a_server_that_is_not_there(tmp_path: Path) -> None:
    catalog = Catalog(f"postgresql+psycopg://me:geheim@/mooring?host={tmp_path}")

    with pytest.raises(ConfigurationError, match="cannot be used") as caught:
        catalog.migrate()
    assert "geheim" not in str(caught.value)
    catalog.close()


def test_instances_of_an_older_catalog_get_addresses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"sqlite:///{tmp_path}/catalog.sqlite"
    known = migrations._migrations()
    older = {number: one for number, one in known.items() if number < 120}
    monkeypatch.setattr(migrations, "_migrations", lambda: older)
    catalog = Catalog(url)
    catalog.migrate()
    monkeypatch.undo()
    row = {
        "region": REGION,
        "zone": "us-east-2a",
        "created_ms": 1,
        "support_code": "x",
        "blueprint_id": "external",
        "bundle_id": "external",
        "state": "running",
        "ip_address_type": "ipv4",
    }
    names = ", ".join(["id", "name", *row])
    values = ", ".join(f":{name}" for name in ["id", "name", *row])
    engine = create_engine(url)
    with engine.begin() as connection:
        for name in ("one", "two", "three"):
            connection.execute(
                text(f"INSERT INTO instances ({names}) VALUES ({values})"),
                {"id": f"id-{name}", "name": name, **row},
            )
    engine.dispose()

    catalog.migrate()

    with catalog.write() as transaction:
        transaction.instances.remove(transaction.instances.all()[1])
        transaction.instances.add(instance("four"))
        transaction.instances.add(instance("five"))
        found = {one.name: one.slot for one in transaction.instances.all()}
    catalog.close()
    assert found == {"one": 0, "three": 2, "four": 3, "five": 4}
