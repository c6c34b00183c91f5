"""A question about the server's threads: which have ended, or keep failing."""

from __future__ import annotations

from mooring.backend.backend import Backend
from mooring.observe import loop
from mooring.service.call import Params
from mooring.service.context import Context
from mooring.service.own.own_request import Answer


def threads(backend: Backend, context: Context, params: Params) -> Answer:
    """The number of threads that run all the time, and a sentence for each that has a problem."""
    del backend, context, params
    return {"threads": len(loop.states()), "problems": loop.problems()}
