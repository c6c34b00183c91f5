"""YAML output, as of `aws` v2: keys sorted, text quoted where needed."""

from __future__ import annotations

from mooring.cli import yaml_library

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, TextIO

_TEXT = "tag:yaml.org,2002:str"
_END = "...\n"
# Ends of lines to some readers, and to others not.
_BREAKS = "\x85\u2028\u2029\ufeff"
# Booleans by the letter of YAML 1.1, which no reader took at its word.
_LETTERS = {"y", "n"}


def write(value: Any, stream: TextIO) -> None:
    """Write the value as one YAML document, without markers.

    Raises CommandError if the library is missing.
    """
    import io

    library = yaml_library.load()
    older = library.resolver.VersionedResolver(version=(1, 1))

    def represent_text(representer: Any, text: str) -> Any:
        style = None
        if any(letter in _BREAKS for letter in text):
            style = '"'  # with escapes
        elif older.resolve(library.nodes.ScalarNode, text, (True, False)) != _TEXT:
            # YAML 1.1, which most readers still speak, takes more words for numbers, times and
            # booleans: no, on, 1:30. Quoted, they are text to all.
            style = None if text.lower() in _LETTERS else "'"
        return representer.represent_scalar(_TEXT, text, style=style)

    representer: Any = type("Representer", (library.representer.SafeRepresenter,), {})
    representer.add_representer(str, represent_text)
    writer = library.YAML(typ="safe", pure=True)
    writer.Representer = representer
    writer.default_flow_style = False  # before the representer is made, which takes it over
    writer.representer.ignore_aliases = lambda _: True
    writer.encoding = None
    document = io.StringIO()
    writer.dump(value, document)
    # A plain value alone is ended by a marker, of which nobody has any use.
    stream.write(document.getvalue().removesuffix(_END))
