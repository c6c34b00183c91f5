"""An attempt at what a request has recorded: done, or nothing of it is left."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import structlog

from mooring.backend.backend import Backend
from mooring.catalog.database import CATALOG_ERRORS
from mooring.catalog.transaction import Transaction
from mooring.model.errors import MooringError, OperationFailureException, ServiceError

log = structlog.get_logger("mooring.service")


def given_up(what: str) -> OperationFailureException:
    """The error for what the catalog knows no more when it was done: the host was fenced."""
    return OperationFailureException(
        f"{what} was given up while it was being made, because its host stood still and was fenced "
        "meanwhile: its disks may be on another host by now. Try again.",
        "HostFenced",
    )


def _nothing() -> None:
    """Nothing is left but what is recorded."""


@contextlib.contextmanager
def attempt(
    backend: Backend,
    failure: str,
    forget: Callable[[Transaction], None],
    undo: Callable[[], None] = _nothing,
) -> Iterator[None]:
    """Do what has been recorded; if that fails, undo it, and forget the record.

    Where even that fails, it is done later, as of a request that nobody confirmed: `forget` keeps
    what is needed for that. `failure` says what did not succeed. Raises OperationFailureException
    for what an engine raises; service errors stay as they are.
    """
    try:
        yield
    except BaseException as error:
        with contextlib.suppress(MooringError):
            undo()
        try:
            with backend.catalog.write() as transaction:
                forget(transaction)
        except CATALOG_ERRORS as problem:
            # Whatever hindered the attempt is what the client is to hear.
            log.warning("a request was not taken back", what=failure, why=str(problem))
        if isinstance(error, ServiceError) or not isinstance(error, MooringError):
            raise
        raise OperationFailureException(f"{failure}: {error}") from error
