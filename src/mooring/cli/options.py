"""The global options' values, checked, as one object."""

from __future__ import annotations

from mooring.cli.connection import endpoint
from mooring.cli.connection.transport import DEFAULT_TIMEOUT
from mooring.model.errors import CommandError

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from typing import Any


class Options:
    """What the options common to all commands ask for. Times are seconds, None for no limit."""

    def __init__(self, parsed: argparse.Namespace) -> None:
        """Raises CommandError and ValueError, in the order in which aws finds things wrong."""
        self.debug: bool = parsed.debug
        self.query: Any = None if parsed.query is None else _compiled(parsed.query)
        if parsed.endpoint_url is not None:
            endpoint.check_option(parsed.endpoint_url)
        self.endpoint_url: str | None = parsed.endpoint_url
        self.sign: bool = parsed.sign_request
        self.verify: bool = parsed.verify_ssl
        self.ca_bundle: str | None = parsed.ca_bundle
        self.read_timeout = _seconds(parsed.read_timeout)
        self.connect_timeout = _seconds(parsed.connect_timeout)
        self.paginate: bool = parsed.paginate
        self.output: str | None = parsed.output
        self.profile: str | None = parsed.profile
        self.region: str | None = parsed.region
        self.color: str = parsed.color


def _seconds(value: str | None) -> float | None:
    if value is None:
        return DEFAULT_TIMEOUT
    return int(value) or None


def _compiled(expression: str) -> Any:
    try:
        import jmespath
    except ImportError:
        raise CommandError(
            "--query needs the Python package jmespath: pip install jmespath, or on Debian "
            "apt install python3-jmespath",
            "configuration",
        ) from None
    try:
        return jmespath.compile(expression)
    except (RecursionError, MemoryError):
        raise  # the expression that is too large would be most of the message
    except Exception as error:  # noqa: BLE001 - jmespath raises lookup errors of many kinds, too
        raise CommandError(f"Bad value for --query {expression}: {error}", "parameter") from None
