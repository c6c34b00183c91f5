"""What is asked about the server's threads: which died, or keep failing."""

from __future__ import annotations

from mooring.backend.backend import Backend
from mooring.observe import loop
from mooring.service.call import Params
from mooring.service.context import Context
from mooring.service.own.own_request import Answer


def threads(backend: Backend, context: Context, params: Params) -> Answer:
    """How many threads go on by themselves, and a sentence for each that is in trouble."""
    del backend, context, params
    return {"threads": len(loop.states()), "problems": loop.problems()}
