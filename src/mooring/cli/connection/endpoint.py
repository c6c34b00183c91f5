"""Decides which server to talk to, and finds one on this host."""

from __future__ import annotations

import os
import re

from mooring.cli.connection.transport import Url
from mooring.model.errors import CommandError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from mooring.cli.connection.session import Session

_SERVICE_VARIABLE = "AWS_ENDPOINT_URL_LIGHTSAIL"
_GLOBAL_VARIABLE = "AWS_ENDPOINT_URL"
_IGNORE_VARIABLE = "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS"
_LAST_PORT = 65535
_HOST_DATA = "/var/lib/mooring"

NOT_CONFIGURED = """\
No Mooring server is configured, and none was found on this host.
Start one here:        mooringd serve
Or name a running one: mooring ... --endpoint-url http://HOST:PORT
                       export AWS_ENDPOINT_URL_LIGHTSAIL=http://HOST:PORT
(looked for {path}; mooring never falls back to Amazon's own endpoint)"""


class Server:
    """A server found on this host: its address, its home region, its credentials file."""

    __slots__ = ("credentials_path", "region", "url")

    def __init__(self, url: str, region: str, credentials_path: str) -> None:
        self.url = url
        self.region = region
        self.credentials_path = credentials_path


def configured(session: Session) -> str | None:
    """The endpoint from environment and profile, in AWS's order, or None.

    The service's own variable, the global variable, the profile's `services` section, the
    profile's `endpoint_url`. Raises CommandError if the section named does not exist.
    """
    if _ignores_configuration(session):
        return None
    for variable in (_SERVICE_VARIABLE, _GLOBAL_VARIABLE):
        if session.environ.get(variable):
            return session.environ[variable]
    return _from_services_section(session) or _from_profile(session)


def _ignores_configuration(session: Session) -> bool:
    return (session.text("ignore_configured_endpoint_urls", _IGNORE_VARIABLE) or "").lower() == (
        "true"
    )


def _from_services_section(session: Session) -> str | None:
    name = session.text("services")
    if name is None:
        return None
    section = session.files()["services"].get(name)
    if not section:
        raise CommandError(
            "The profile is configured to use the services section but the "
            f'"{name}" services configuration does not exist.',
            "configuration",
        )
    settings = section.get("lightsail", {})
    if isinstance(settings, str):
        raise CommandError(
            f'lightsail in the services section "{name}" has no nested settings: write '
            "`lightsail =` alone, and endpoint_url on the next line, indented.",
            "configuration",
        )
    return settings.get("endpoint_url")


def _from_profile(session: Session) -> str | None:
    return session.text("endpoint_url") or None


def data_directory(environ: Mapping[str, str]) -> str:
    """Where a server of this user keeps its files: `$MOORING_DATA`, or the XDG data directory.

    If none runs there, the place of the host's server, for those who may look into it.
    """
    if environ.get("MOORING_DATA"):
        return environ["MOORING_DATA"]
    home = environ.get("XDG_DATA_HOME") or os.path.expanduser("~/.local/share")  # noqa: PTH111
    own = os.path.join(home, "mooring")  # noqa: PTH118
    if not _serves(own) and _serves(_HOST_DATA):
        return _HOST_DATA
    return own


def _serves(directory: str) -> bool:
    return os.path.exists(os.path.join(directory, "server.json"))  # noqa: PTH110, PTH118


def find_server(environ: Mapping[str, str]) -> Server:
    """The server whose `server.json` lies in the data directory.

    Raises CommandError, saying what to type, if there is none or its file is damaged.
    """
    import json

    directory = data_directory(environ)
    path = os.path.join(directory, "server.json")  # noqa: PTH118
    try:
        with open(path, encoding="utf-8") as file:  # noqa: PTH123
            description = json.load(file)
        return Server(
            str(description["url"]),
            str(description["region"]),
            os.path.join(directory, "credentials"),  # noqa: PTH118
        )
    except FileNotFoundError:
        raise CommandError(NOT_CONFIGURED.format(path=path), "configuration") from None
    except OSError as error:
        raise CommandError(
            f"Cannot read {path}: {error.strerror}. Ask the server's operator for an endpoint and "
            "keys, and name the endpoint with --endpoint-url.",
            "configuration",
        ) from None
    except (ValueError, KeyError, TypeError):
        raise CommandError(
            f"{path} does not describe a server: start `mooringd serve` again, or name the server "
            "with --endpoint-url.",
            "configuration",
        ) from None


def check_option(url: str) -> None:
    """Raises CommandError if the value of `--endpoint-url` has no scheme."""
    # argparse makes an empty list of a value that is `--`.
    if not isinstance(url, str) or not Url(url).scheme:
        raise CommandError(
            f'Bad value for --endpoint-url "{url}": scheme is missing.  '
            "Must be of the form http://<hostname>/ or https://<hostname>/",
            "parameter",
        )


def check_url(url: str) -> None:
    """Raises CommandError unless host, port and scheme are well-formed (botocore's rules)."""
    parts = Url(url)
    host = "" if any(mark in url for mark in "\t\r\n") else parts.host
    label = r"(?!-)[A-Za-z\d-]{1,63}(?<!-)"
    named = re.fullmatch(rf"({label}\.)*{label}\.?", host)
    if len(host) > 255 or not (named or ":" in host):
        raise CommandError(f"Invalid endpoint: {url}")
    if not (parts.port.isascii() and parts.port.isdigit()):
        raise CommandError(f"Port could not be cast to integer value as {parts.port!r}")
    if int(parts.port) > _LAST_PORT:
        raise CommandError(f"Port out of range 0-{_LAST_PORT}")
    if parts.scheme not in {"http", "https"}:
        raise CommandError(
            f"An HTTP Client raised an unhandled exception: Not supported URL scheme {parts.scheme}"
        )
