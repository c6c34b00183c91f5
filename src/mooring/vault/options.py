"""What a process chooses for its work on a vault; the content is the same."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mooring.vault.claims.margins import MARGINS, Margins
from mooring.vault.format.layout import SEGMENT_BYTES
from mooring.vault.writing.consolidation import CONSOLIDATE_FRAMES

INDEX_BYTES = 256 * 1024 * 1024
"""What the index of contents may take: 16 million frames, 8 TiB of content."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VaultOptions:
    """What one process chooses when it opens a vault."""

    level: int = 1
    """How hard zstd compresses."""

    threads: int = 2
    """Those that compress and decode."""

    nice: int = 0
    """How much the threads that compress, decode and store yield to others."""

    segment_bytes: int = SEGMENT_BYTES
    """What a segment is sealed at; never above what the format allows."""

    index: Path | None = None
    """A local directory, made if need be, for the index of content; None keeps it in memory."""

    index_bytes: int = INDEX_BYTES
    """How large the index may be that finds content that is there already; 0: nothing is looked
    for."""

    bytes_per_second: int = 0
    """What all writers of the process may store together; 0 for no limit."""

    consolidate_frames: int = CONSOLIDATE_FRAMES
    """Writers propose to write again what lies in more frames for each 512 KiB; 0: they do not."""

    margins: Margins = MARGINS


DEFAULTS = VaultOptions()
