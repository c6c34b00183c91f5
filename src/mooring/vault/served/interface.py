"""What serves the completed snapshots of a vault over NBD."""

from __future__ import annotations

from typing import Protocol


class SnapshotServer(Protocol):
    """One for each vault."""

    def uri(self, export: str) -> str:
        """The NBD URI of an export; its name is the snapshot's id, or that of a grant."""
        ...

    def ensure(self) -> None:
        """See to it that it accepts connections. Raises StoreError."""
        ...

    def grant(
        self,
        snapshot_id: str,
        seconds: float,
        *,
        idle_seconds: float | None = None,
        tcp: bool = False,
        key_id: str = "",
    ) -> str:
        """Allow to read a snapshot for so long; returns the NBD URI, of TCP with TLS if asked.

        It ends with the access key `key_id`, if that is given, and when nobody was connected for
        `idle_seconds`. Raises StoreError, ConfigurationError if there is no TCP.
        """
        ...

    def withdraw(self, export: str, key_id: str) -> None:
        """End the grant of that name if the key asked for it; another's is left alone."""
        ...

    def granted(self) -> bool:
        """Whether somebody has been allowed to read a snapshot, and still is."""
        ...

    def alive(self) -> bool:
        """Whether it runs."""
        ...

    def answers(self) -> bool:
        """Whether it greets whoever connects within some seconds; one that hangs does not."""
        ...

    def kill(self) -> None:
        """End it at once, whatever state it is in; its readers connect to the next one."""
        ...

    def end(self) -> None:
        """Ask it to end, if it runs."""
        ...

    def release(self) -> None:
        """Want it no more: it ends by itself, soon after its last reader and its last grant."""
        ...


class NoServer:
    """For engines that read images without it."""

    def uri(self, export: str) -> str:
        return f"nbd://localhost/{export}"

    def ensure(self) -> None:
        """There is nothing to start."""

    def grant(
        self,
        snapshot_id: str,
        seconds: float,
        *,
        idle_seconds: float | None = None,
        tcp: bool = False,
        key_id: str = "",
    ) -> str:
        del seconds, idle_seconds, tcp, key_id
        return self.uri(snapshot_id)

    def withdraw(self, export: str, key_id: str) -> None:
        """There is nothing to end."""

    def granted(self) -> bool:
        return False

    def alive(self) -> bool:
        return True

    def answers(self) -> bool:
        return True

    def kill(self) -> None:
        """There is nothing to end."""

    def end(self) -> None:
        """There is nothing to end."""

    def release(self) -> None:
        """There is nothing to end."""
