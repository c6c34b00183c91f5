"""A zone of hosts in one Ceph cluster, and its disks as users see them."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator

from mooring.model.errors import NbdError
from mooring.nbd.blocking import BlockingNbdClient
from tests.ceph_cluster import POOL, SPACE, USER, CephCluster
from tests.e2e.client import Client, RefusedError
from tests.e2e.hosts import ZONE, uri
from tests.e2e.processes import until


def ceph_zone(ceph: CephCluster) -> str:
    """The settings of a host whose zone is in the cluster."""
    return (
        f'[ceph.{ZONE}]\npool = "{POOL}"\nnamespace = "{SPACE}"\nuser = "{USER}"\n'
        f'conf = "{ceph.folder / "ceph.conf"}"\n'
    )


def connected(client: Client, name: str) -> BlockingNbdClient:
    """A connection to the disk, as soon as it is served."""
    found: list[BlockingNbdClient] = []

    def connects() -> bool:
        try:
            found.append(BlockingNbdClient(uri(client, name)))
        except (NbdError, OSError, RefusedError):
            return False
        return True

    until(connects, f"{name} to be served")
    return found[0]


@contextlib.contextmanager
def standing_still(pids: list[int]) -> Iterator[None]:
    """The processes of these ids stand still meanwhile."""
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
