"""Templates, and the words in which pages tell times and amounts."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from mooring.console.drawing import bars, marks, timeline
from mooring.model.amounts import amount
from mooring.model.counts import counted

HERE = Path(__file__).parent
STATIC = {
    file.name: file.read_bytes() for file in sorted((HERE / "static").iterdir()) if file.is_file()
}
"""Files that are sent as they are, by name."""

VERSIONS = {name: hashlib.sha256(text).hexdigest()[:12] for name, text in STATIC.items()}
"""What their addresses end with, so that browsers can keep them for good."""

_NOTHING = Markup('<span class="none">&ndash;</span>')
_SPANS = ((365 * 86_400, "year"), (30 * 86_400, "month"), (86_400, "day"), (3_600, "hour"))


def render(template: str, **values: Any) -> str:
    """The text of a page."""
    return _ENVIRONMENT.get_template(template).render(**values)


def moment(seconds: float | None) -> Markup:
    """A moment as an element of time, in UTC."""
    if seconds is None:
        return _NOTHING
    when = datetime.fromtimestamp(seconds, UTC)
    return Markup('<time datetime="{}">{}</time>').format(
        when.isoformat(timespec="seconds"), when.strftime("%Y-%m-%d %H:%M:%S")
    )


def date(seconds: float) -> str:
    """A moment as text, in UTC."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S")


def ago(seconds: float | None, now_ms: int) -> Markup:
    """How long ago, or how far ahead, a moment is; the moment itself on pointing at it."""
    if seconds is None:
        return Markup('<span class="none">never</span>')
    when = datetime.fromtimestamp(seconds, UTC)
    distance = now_ms / 1000 - seconds
    text = span(abs(distance))
    told = f"{text} ago" if distance >= 0 else f"in {text}"
    if text == "moments":
        told = "just now" if distance >= 0 else "any moment"
    return Markup('<time datetime="{}" title="{} UTC">{}</time>').format(
        when.isoformat(timespec="seconds"), when.strftime("%Y-%m-%d %H:%M:%S"), told
    )


def span(seconds: float) -> str:
    """A length of time in words."""
    for length, word in _SPANS:
        if seconds >= length:
            return counted(int(seconds // length), word)
    if seconds >= 60:
        return f"{int(seconds // 60)} min"
    return f"{int(seconds)} s" if seconds >= 10 else "moments"


def about(seconds: float) -> str:
    """A length of time that is not known well."""
    text = span(seconds)
    return text if text == "moments" else f"about {text}"


def size(count: float | None) -> Markup:
    """An amount of bytes."""
    if count is None:
        return _NOTHING
    number, _, unit = amount(int(count)).partition(" ")
    return Markup('{}<span class="unit"> {}</span>').format(number, unit)


def milliseconds(seconds: float | None) -> Markup:
    """A short time."""
    if seconds is None:
        return _NOTHING
    return escape(f"{seconds * 1000:.1f} ms")


def words(text: str) -> str:
    """A name of a program as words: `CreateDiskSnapshot`, `fill_disk`."""
    spaced = "".join(f" {one.lower()}" if one.isupper() else one for one in text)
    return spaced.replace("_", " ").strip().capitalize()


def static(name: str) -> str:
    """The address of a file that is sent as it is."""
    return f"/console/static/{VERSIONS[name]}/{name}"


_ENVIRONMENT = Environment(
    loader=FileSystemLoader(HERE / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    auto_reload=False,
    cache_size=200,
)
_ENVIRONMENT.filters.update(
    date=date,
    moment=moment,
    ago=ago,
    size=size,
    span=span,
    about=about,
    milliseconds=milliseconds,
    words=words,
)
_ENVIRONMENT.globals.update(
    static=static,
    counted=counted,
    amount=amount,
    sparkline=bars.sparkline,
    draw_timeline=timeline.draw,
    mark=marks.mark,
    meter=bars.meter,
)
