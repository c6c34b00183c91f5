"""Reads the YAML of --cli-input-yaml, as `aws` v2 does."""

from __future__ import annotations

from mooring.cli import yaml_library

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_TIMESTAMP = "tag:yaml.org,2002:timestamp"


def parse(text: str) -> Any:
    """The value of the one document in the text: YAML 1.2, of plain values, mappings and lists.

    Dates stay text: the API takes them so, and `aws` v2 fails at them. Raises ValueError, with the
    line, for what is no YAML, and CommandError if the library is missing.
    """
    import warnings

    library = yaml_library.load()
    safe = library.constructor.SafeConstructor
    constructor: Any = type("Constructor", (safe,), {})
    constructor.add_constructor(_TIMESTAMP, safe.construct_yaml_str)
    reader = library.YAML(typ="safe", pure=True)
    reader.Constructor = constructor
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return reader.load(text)
    except Exception as error:  # noqa: BLE001 - beside its own errors, Python's of many kinds
        raise ValueError(str(error) or type(error).__name__) from None
