"""Prints an answer, or its pages, in the format asked for."""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from mooring.cli.pages import Pages

FORMATS = {"json", "text", "table", "yaml", "yaml-stream", "off"}


class Renderer:
    """A format, a compiled query or None, and whether to use colours: `on`, `off` or `auto`."""

    def __init__(self, output: str, query: Any, color: str) -> None:
        if output not in FORMATS:
            raise ValueError(f"Unknown output type: {output}")
        if output.startswith("yaml"):
            from mooring.cli import yaml_library

            yaml_library.load()  # a request whose answer cannot be shown is not to be sent
        self.output = output
        self.query = query
        self.color = color

    def show(self, title: str, answer: Any) -> None:
        """Print one answer."""
        self._write(title, self._selected(answer))
        sys.stdout.flush()

    def show_pages(self, title: str, pages: Pages) -> None:
        """Print all pages: as one answer, or in text and yaml-stream each as it comes."""
        if self.output not in {"text", "yaml-stream"}:
            self.show(title, pages.joined())
            return
        for page in pages:
            self.show(title, page)
        if pages.resume_token is not None:
            token: Any = pages.resume_token
            if self.output == "text":
                token = {"NextToken": token}
            self.show(title, {"NextToken": token})

    def _selected(self, answer: Any) -> Any:
        return answer if self.query is None else self.query.search(answer)

    def _write(self, title: str, value: Any) -> None:
        if self.output == "off":
            return
        if self.output == "json":
            if value != {}:
                sys.stdout.write(to_json(value) + "\n")
        elif self.output == "text":
            from mooring.cli.output import text

            text.write(value, sys.stdout)
        elif self.output == "table":
            from mooring.cli.output import table

            table.write(title, value, sys.stdout, self._colored())
        elif value != {}:
            from mooring.cli.output import yaml

            yaml.write([value] if self.output == "yaml-stream" else value, sys.stdout)

    def _colored(self) -> bool:
        return sys.stdout.isatty() if self.color == "auto" else self.color == "on"


def to_json(value: Any) -> str:
    """JSON as aws prints it: four spaces, no escapes for what is not ASCII, times in ISO 8601."""
    import json

    return json.dumps(value, indent=4, ensure_ascii=False, default=_iso)


def _iso(value: Any) -> str:
    return str(value.isoformat())
