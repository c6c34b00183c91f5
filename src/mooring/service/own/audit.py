"""A question about the audit log: who changed what, or was denied."""

from __future__ import annotations

from mooring.backend.backend import Backend
from mooring.model.errors import OperationFailureException
from mooring.observe.audit_trail import read_trail
from mooring.service.answers import pages
from mooring.service.call import Params
from mooring.service.context import Context
from mooring.service.own.own_request import Answer


def audit(backend: Backend, context: Context, params: Params) -> Answer:
    """Lines of the audit log that contain `text`, newest first, as they stand there.

    Where servers share the catalog they are those of all of them, each with its `server`.
    """
    del context
    if backend.audit_file is None:
        raise OperationFailureException("This server keeps no audit log: audit.enabled is false.")
    text, token = str(params.get("text") or ""), params.get("pageToken")
    if backend.catalog.is_for_many:
        with backend.catalog.read() as transaction:
            told = transaction.audit_lines.trail(text, pages.read_number(token), pages.SIZE)
        return {"lines": told.lines, "nextPageToken": pages.token(told.more)}
    try:
        found = read_trail(backend.audit_file, text, pages.read_text(token), pages.SIZE)
    except OSError as error:
        raise OperationFailureException(
            f"The audit log {backend.audit_file} cannot be read: {error.strerror}."
        ) from error
    return {"lines": found.lines, "nextPageToken": pages.token(found.more)}
