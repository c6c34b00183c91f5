"""The audit log that servers of one catalog share: a table of it."""

from __future__ import annotations

import structlog
from sqlalchemy.exc import SQLAlchemyError

from mooring.catalog.database import Catalog
from mooring.catalog.sharing.audit_lines import Note
from mooring.model.errors import CatalogError, CatalogFullError
from mooring.observe import metrics

log = structlog.get_logger("mooring.audit")


class SharedAudit:
    """Has the line of a request in the transaction of its change; `server` is who answers."""

    def __init__(self, catalog: Catalog, server: str) -> None:
        self._catalog = catalog
        self.server = server

    def end(self, note: Note) -> None:
        """Enter what became of a request, which failed or changed nothing in the catalog.

        A failure is logged and counted: the file has the line, too.
        """
        try:
            with self._catalog.write(durable=False) as transaction:
                if note.recorded:
                    transaction.audit_lines.correct(note)
                else:
                    transaction.audit_lines.add(note)
        except (SQLAlchemyError, CatalogError, CatalogFullError) as error:
            metrics.audit_failed(1)
            log.error("audit line not in the catalog", reason=type(error).__name__)
