"""Reads AWS configuration files, as Python's RawConfigParser does, faster."""

from __future__ import annotations

import os

from mooring.model.errors import CommandError

Sections = dict[str, dict[str, str]]

_COMMENTS = ("#", ";")


def read(path: str) -> Sections | None:
    """The file's sections, or None where there is no such file.

    `~` and `$NAME` in the path are expanded. Raises CommandError if the file cannot be parsed.
    The grammar is that of `configparser.RawConfigParser` with its default settings: full-line
    comments, `=` or `:`, deeper indented lines continue a value, nothing may come twice.
    """
    path = os.path.expanduser(os.path.expandvars(path))  # noqa: PTH111
    if not os.path.isfile(path):  # noqa: PTH113
        return None
    try:
        with open(path) as file:  # noqa: PTH123
            return parse(file.read())
    except OSError:
        return {}  # unreadable counts as empty, as for aws
    except ValueError:
        raise CommandError(f"Unable to parse config file: {path}", "configuration") from None


def parse(text: str) -> Sections:
    """Sections of the text. Raises ValueError."""
    sections: dict[str, dict[str, list[str]]] = {}
    defaults: dict[str, list[str]] = {}
    section: dict[str, list[str]] | None = None
    option = ""
    indent = 0
    for line in text.split("\n"):
        value = line.strip()
        if not value or value.startswith(_COMMENTS):
            if not value and section is not None and option:
                section[option].append("")
            continue
        depth = len(line) - len(line.lstrip())
        if section is not None and option and depth > indent:
            section[option].append(value)
            continue
        indent = depth
        end = value.rfind("]") if value[0] == "[" else -1
        if end > 1:
            section = _open_section(value[1:end], sections, defaults)
            option = ""
        elif section is None:
            raise ValueError("no section header")
        else:
            option = _add_option(value, section)
    return {
        name: {key: "\n".join(value).rstrip() for key, value in {**own, **defaults}.items()}
        for name, own in sections.items()
    }


def _open_section(
    name: str, sections: dict[str, dict[str, list[str]]], defaults: dict[str, list[str]]
) -> dict[str, list[str]]:
    if name == "DEFAULT":
        return defaults
    if name in sections:
        raise ValueError("section twice")
    return sections.setdefault(name, {})


def _add_option(line: str, section: dict[str, list[str]]) -> str:
    places = [place for place in (line.find("="), line.find(":")) if place >= 0]
    if not places:
        raise ValueError("no delimiter")
    option = line[: min(places)].rstrip().lower()
    if not option or option in section:
        raise ValueError("no name, or a name twice")
    section[option] = [line[min(places) + 1 :].strip()]
    return option
