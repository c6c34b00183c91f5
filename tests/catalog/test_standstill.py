"""A server that stands still in the middle of a transaction."""

from __future__ import annotations

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from mooring.catalog import connections
from mooring.catalog.database import Catalog
from tests.catalog.postgresql import PostgreSQL
from tests.catalog.values import job

pytestmark = [pytest.mark.full]

_TOUCH = text("UPDATE jobs SET kind = kind WHERE id = 'one'")


def test_it_does_not_keep_what_it_has_locked(
    postgresql: PostgreSQL, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "STANDSTILL_SECONDS", 1)
    url = postgresql.url()
    still, other = Catalog(url), Catalog(url)
    try:
        still.migrate()
        with still.write() as transaction:
            transaction.jobs.add(job("one"))

        with pytest.raises(DBAPIError):
            _stand_still(still, other)

        # It goes on with another session.
        with still.read() as transaction:
            assert [one.id for one in transaction.jobs.all()] == ["one"]
    finally:
        still.close()
        other.close()


def _stand_still(still: Catalog, other: Catalog) -> None:
    with still.write() as transaction:
        transaction.snapshots.connection.execute(_TOUCH)
        # Without a limit this would wait for ever.
        with other.write() as meanwhile:
            meanwhile.snapshots.connection.execute(text("SET LOCAL statement_timeout = '20s'"))
            meanwhile.snapshots.connection.execute(_TOUCH)
        transaction.snapshots.connection.execute(_TOUCH)
