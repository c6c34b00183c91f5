"""The YAML library, loaded when YAML is read or written."""

from __future__ import annotations

from mooring.model.errors import CommandError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def load() -> Any:
    """The package ruamel.yaml, which `aws` v2 uses as well. Raises CommandError without it."""
    try:
        import ruamel.yaml
    except ImportError:
        raise CommandError(
            "YAML needs the Python package ruamel.yaml: pip install ruamel.yaml, or on Debian "
            "apt install python3-ruamel.yaml. Or use --output json and --cli-input-json.",
            "configuration",
        ) from None
    return ruamel.yaml
