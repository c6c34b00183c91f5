"""The layers of a disk as a chain, and whether they fit together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise

from mooring.engine.qemu.layers import qcow2
from mooring.engine.qemu.layers.layer import Layer
from mooring.engine.qemu.layers.qcow2 import Header
from mooring.model.errors import LayerDamagedError


def check_chain(
    disk_id: str, base: Layer, overlays: Sequence[Layer], base_size: Callable[[], int]
) -> list[Layer]:
    """Return base and overlays with their sizes, without what merges have left over.

    `base_size` is asked only once the base is known to be there. Raises LayerDamagedError unless
    they fit together.
    """
    headers = {layer.number: _own_header(disk_id, layer) for layer in overlays}
    chain = _linked(disk_id, base, overlays, headers)
    sized = [replace(base, size=base_size())]
    for layer in chain[1:]:
        header = headers[layer.number]
        sized.append(replace(layer, size=header.size, below=header.below))
    _check_sizes(sized)
    return sized


def _own_header(disk_id: str, layer: Layer) -> Header:
    header = qcow2.read_header(layer)
    ours = layer.shared or header.disk_id == disk_id
    if not ours or header.point_id != layer.point:
        raise LayerDamagedError(
            f"layer {layer.path} belongs to disk {header.disk_id}, point {header.point_id}"
        )
    return header


def _linked(
    disk_id: str, base: Layer, overlays: Sequence[Layer], headers: dict[int, Header]
) -> list[Layer]:
    """Follow the headers from the newest overlay down; return it base first."""
    files = {layer.path.name: layer for layer in [base, *overlays]}
    chain = [overlays[-1]]
    while chain[-1] != base:
        name = headers[chain[-1].number].backing
        below = files.get(name)
        there = below is not None and (below.source is not None or below.store.exists(below.path))
        if below is None or below.number >= chain[-1].number or not there:
            raise LayerDamagedError(
                f"layer {name} of disk {disk_id}, on which {chain[-1].path.name} lies, "
                f"is missing from {chain[-1].path.parent}"
            )
        chain.append(below)
    return chain[::-1]


def _check_sizes(chain: Sequence[Layer]) -> None:
    """Raise LayerDamagedError if a layer is shorter than it was, or longer than the one above."""
    for lower, upper in pairwise(chain):
        least = upper.size if upper.below is None else upper.below
        if not least <= lower.size <= upper.size:
            wanted = f"{least}" if least == upper.size else f"{least} to {upper.size}"
            raise LayerDamagedError(
                f"layer {upper.path} lies on one of {wanted} bytes, "
                f"but {lower.path} has {lower.size}"
            )
