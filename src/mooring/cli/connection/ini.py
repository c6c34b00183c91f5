"""Reads AWS configuration files, as botocore does with RawConfigParser, faster."""

from __future__ import annotations

import os

from mooring.model.errors import CommandError

Section = dict[str, "str | dict[str, str]"]
Sections = dict[str, Section]

_COMMENTS = ("#", ";")
_BYTE_ORDER_MARK = "\ufeff"


def read(path: str) -> Sections | None:
    """The file's sections, or None where there is no such file.

    `~` and `$NAME` in the path are expanded. Raises CommandError if the file cannot be parsed.
    The grammar is that of `configparser.RawConfigParser` with its default settings: full-line
    comments, `=` or `:`, deeper indented lines continue a value, nothing may come twice, and what
    stands under `[DEFAULT]` holds where a section says nothing else. A value that begins on the
    line after its name holds settings of its own, in every section, used or not.
    """
    path = os.path.expanduser(os.path.expandvars(path))  # noqa: PTH111
    if not os.path.isfile(path):  # noqa: PTH113
        return None
    try:
        with open(path) as file:  # noqa: PTH123
            return parse(file.read())
    except OSError:
        return {}  # unreadable counts as empty, as for aws
    except UnicodeDecodeError as error:
        raise _broken(path, f"it is not text in {error.encoding}") from None
    except ValueError as error:
        raise _broken(path, str(error)) from None


def _broken(path: str, why: str) -> CommandError:
    return CommandError(f"Unable to parse config file: {path}\n({why})", "configuration")


def parse(text: str) -> Sections:
    """Sections of the text. Raises ValueError, naming the line."""
    sections: dict[str, dict[str, list[str]]] = {}
    defaults: dict[str, list[str]] = {}
    section: dict[str, list[str]] | None = None
    option = ""
    indent = 0
    for number, line in enumerate(text.split("\n"), 1):
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
        try:
            if end > 1:
                section = _open_section(value[1:end], sections, defaults)
                option = ""
            elif section is None:
                raise ValueError(_why_no_section(value))
            else:
                option = _add_option(value, section)
        except ValueError as error:
            raise ValueError(f"line {number}: {error}") from None
    return {name: _values({**defaults, **own}) for name, own in sections.items()}


def _why_no_section(line: str) -> str:
    if line.startswith(_BYTE_ORDER_MARK):
        return "it starts with a byte order mark; save it as UTF-8 without one"
    return "a section such as [default] must come first"


def _open_section(
    name: str, sections: dict[str, dict[str, list[str]]], defaults: dict[str, list[str]]
) -> dict[str, list[str]]:
    if name == "DEFAULT":
        return defaults
    if name in sections:
        raise ValueError(f"the section {name} appears twice")
    return sections.setdefault(name, {})


def _add_option(line: str, section: dict[str, list[str]]) -> str:
    places = [place for place in (line.find("="), line.find(":")) if place >= 0]
    if not places:
        raise ValueError("neither = nor : separates a name from its value")
    option = line[: min(places)].rstrip().lower()
    if not option:
        raise ValueError("there is no name before the value")
    if option in section:
        raise ValueError(f"{option} appears twice in its section")
    section[option] = [line[min(places) + 1 :].strip()]
    return option


def _values(section: dict[str, list[str]]) -> Section:
    values: Section = {}
    for option, lines in section.items():
        value = "\n".join(lines).rstrip()
        values[option] = _nested(option, value) if value.startswith("\n") else value
    return values


def _nested(option: str, value: str) -> dict[str, str]:
    inner = {}
    for raw in value.splitlines():
        line = raw.strip()
        if line:
            key, sign, rest = line.partition("=")
            if not sign:
                raise ValueError(f"under {option}, no = separates a name from its value: {line}")
            inner[key.strip()] = rest.strip()
    return inner
