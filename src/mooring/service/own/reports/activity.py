"""Questions about what goes on in a region: jobs, and what changes."""

from __future__ import annotations

import hashlib

from mooring.backend.backend import Backend
from mooring.service.call import Params
from mooring.service.context import Context
from mooring.service.own.own_request import Answer
from mooring.service.own.reports.work import work_of


def jobs(backend: Backend, context: Context, params: Params) -> Answer:
    """The jobs of the region that are the caller's: how far they are, and what holds them up."""
    del params
    with backend.catalog.read() as transaction:
        return work_of(backend, transaction, context)


def pulse(backend: Backend, context: Context, params: Params) -> Answer:
    """A text that is another one once something has happened in the region."""
    del params
    with backend.catalog.read() as transaction:
        newest, _ = transaction.operations.page(context.region, None, 1)
        work = transaction.jobs.pulse(context.region)
        progress = transaction.snapshots.progress(context.region)
    operation = newest[0].id if newest else ""
    # A digest: it says that something happened, and nothing else.
    text = f"{operation} {work} {progress}"
    return {"pulse": hashlib.sha256(text.encode()).hexdigest()[:16]}
