"""What waits for a server that may not come back, in words."""

from __future__ import annotations

from mooring.catalog.transaction import Transaction
from mooring.model.counts import counted
from mooring.model.resources.job_kind import AT_SERVER, JobKind
from mooring.model.resources.server import Server


def waiting_for(transaction: Transaction, server: Server) -> str:
    """The imports and exports that only this server can do, to end a sentence with; or nothing."""
    kinds = [job.kind for job in transaction.jobs.of_server(server.id) if job.kind in AT_SERVER]
    if not kinds:
        return ""
    imports = kinds.count(JobKind.IMPORT_SNAPSHOT)
    told = [(imports, "import"), (len(kinds) - imports, "export")]
    return (
        f". {' and '.join(counted(number, noun) for number, noun in told if number)} "
        f"{'waits' if len(kinds) == 1 else 'wait'} for it: if it is gone, `mooringd fence "
        f"{server.name}` ends that; imports end after ten minutes by themselves"
    )
