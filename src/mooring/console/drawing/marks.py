"""Marks of a state: a shape beside a word, never a colour alone."""

from __future__ import annotations

from markupsafe import Markup

_SHAPES = {
    "well": '<circle cx="6" cy="6" r="5"/><path d="M3.6 6.2l1.7 1.7 3.2-3.6"/>',
    "waiting": '<circle cx="6" cy="6" r="4.4" class="hollow"/><path d="M6 3.4V6l1.8 1.2"/>',
    "late": '<path class="body" d="M6 .8l5.4 9.9H.6z"/><path d="M6 4.4v2.8M6 8.9v.2"/>',
    "none": '<circle cx="6" cy="6" r="4.4" class="hollow dashed"/>',
    "bad": '<path class="body" d="M3.6.8h4.8l2.8 2.8v4.8l-2.8 2.8H3.6L.8 8.4V3.6z"/>'
    '<path d="M4 4l4 4M8 4L4 8"/>',
    "busy": '<circle cx="6" cy="6" r="4.4" class="hollow"/><path d="M6 1.6A4.4 4.4 0 0 1 10.4 6"/>',
}


def mark(kind: str) -> Markup:
    """The shape of a state; the word beside it says the same."""
    shape = _SHAPES.get(kind, _SHAPES["none"])
    return Markup('<svg class="mark {}" viewBox="0 0 12 12" aria-hidden="true">{}</svg>').format(
        kind, Markup(shape)
    )
