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
    """Lines of the audit log that contain `text`, newest first, as they stand there."""
    del context
    if backend.audit_file is None:
        raise OperationFailureException("This server keeps no audit log: audit.enabled is false.")
    place = pages.read_text(params.get("pageToken"))
    try:
        found = read_trail(backend.audit_file, str(params.get("text") or ""), place, pages.SIZE)
    except OSError as error:
        raise OperationFailureException(
            f"The audit log {backend.audit_file} cannot be read: {error.strerror}."
        ) from error
    return {"lines": found.lines, "nextPageToken": pages.token(found.more)}
