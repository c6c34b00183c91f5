"""What blocks and merges of a disk are called in its daemon."""

from __future__ import annotations

import hashlib


def layer_node(disk_id: str, number: int | str) -> str:
    """The node of a layer; with an empty number what all names of the disk's layers begin with."""
    # Node names have at most 31 bytes, fewer than an id.
    return f"d{_short(disk_id)}-{number}"


def shared_node(disk_id: str, number: int | str) -> str:
    """The node of a layer that is another disk's, too; with an empty number as above."""
    return f"h{_short(disk_id)}-{number}"


def source_node(disk_id: str) -> str:
    """The node that stands in for a base that is not filled yet."""
    return f"s{_short(disk_id)}"


def merge_node(disk_id: str) -> str:
    """The node on which a merge is started, and the merge's job."""
    return f"m{_short(disk_id)}"


def _short(disk_id: str) -> str:
    return hashlib.blake2s(disk_id.encode(), digest_size=8).hexdigest()
