"""Where in which cluster layers lie."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RbdPlace:
    """A pool, or a name space of it, and the user who may use it; paths are paths of this host."""

    pool: str
    namespace: str = ""
    user: str = ""
    """Without `client.`; empty for the one that the configuration or the environment tells."""
    conf: str = "/etc/ceph/ceph.conf"
    python: str = "/usr/bin/python3"
    """The interpreter that Ceph's modules are for."""
    answer_seconds: float = 30.0
    """How long the cluster may be silent before a request fails; daemons wait for ever."""

    def __str__(self) -> str:
        return f"rbd:{self.pool}/{self.namespace}" if self.namespace else f"rbd:{self.pool}"
