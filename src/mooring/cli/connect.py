"""Makes the connection that options, environment and files ask for."""

from __future__ import annotations

import re
import sys

from mooring.cli.connection import credentials as keys
from mooring.cli.connection import endpoint
from mooring.cli.connection.client import Connection
from mooring.cli.connection.transport import Settings
from mooring.model.errors import CommandError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mooring.cli.connection.credentials import Credentials
    from mooring.cli.connection.session import Session
    from mooring.cli.options import Options

_REGION = re.compile(r"(?![0-9]+$)(?!-)[a-zA-Z0-9-]{,63}(?<!-)")
_ATTEMPTS = {"legacy": 5, "standard": 3, "adaptive": 3}
_UNVERIFIED = (
    "warning: The server's certificate is not checked (--no-verify-ssl): anybody on the network "
    "could read and answer. Name its certificate with --ca-bundle instead.\n"
)
_NO_REGION = (
    "You must specify a region. You can also set AWS_DEFAULT_REGION, or `region` in the profile."
)


def connect(options: Options, session: Session, v2: bool) -> Connection:
    """The connection to use. Raises CommandError, in aws's order, for what is missing or wrong.

    Where no endpoint is configured, the server found on this host is used, with its region and
    its keys unless options name others.
    """
    url = options.endpoint_url or endpoint.configured(session)
    server = None if url else endpoint.find_server(session.environ)
    region = _region(options, session, server, v2)
    settings = _settings(options, session)
    credentials = _credentials(options, session, server) if options.sign else None
    if region is None:
        raise CommandError(_NO_REGION, "configuration", "NoRegion")
    url = url or (server.url if server else "")
    endpoint.check_url(url)
    if settings.verify is False and url.lower().startswith("https:"):
        sys.stderr.write(_UNVERIFIED)
    attempts, standard = _retries(session, v2)
    return Connection(
        url=url,
        region=region,
        credentials=credentials,
        signs=options.sign,
        settings=settings,
        attempts=attempts,
        standard_pauses=standard,
        found_here=server is not None,
        debug=options.debug,
        validates=_validates(session),
    )


def _validates(session: Session) -> bool:
    """Whether to check parameters; as in aws, whatever is not "true" means no."""
    setting = session.text("parameter_validation")
    return setting is None or setting.lower() == "true"


def _retries(session: Session, v2: bool) -> tuple[int, bool]:
    """How many attempts to make, and whether with the pauses of the standard mode."""
    mode = session.text("retry_mode", "AWS_RETRY_MODE") or ("standard" if v2 else "legacy")
    if mode not in _ATTEMPTS:
        raise CommandError(
            f'Invalid value provided to "mode": "{mode}" must be one of: {tuple(_ATTEMPTS)}'
        )
    limit = session.text("max_attempts", "AWS_MAX_ATTEMPTS")
    attempts = _ATTEMPTS[mode] if limit is None else int(limit)
    if attempts < 1:
        raise CommandError(
            f'Value provided to "max_attempts": {attempts} must be an integer greater than or '
            "equal to 1."
        )
    return attempts, mode != "legacy"


def _region(
    options: Options, session: Session, server: endpoint.Server | None, v2: bool
) -> str | None:
    region = options.region
    if region is None and server is not None and options.profile is None:
        region = server.region
    if region is None and v2:
        region = session.environ.get("AWS_REGION")
    if region is None:
        region = session.text("region", "AWS_DEFAULT_REGION")
    if region is None:
        region = session.environ.get("AWS_REGION")
    if region is None and server is not None:
        region = server.region
    if region is not None and not _REGION.fullmatch(region):
        raise CommandError(
            f"Provided region_name '{region}' doesn't match a supported format.", "parameter"
        )
    return region


def _credentials(
    options: Options, session: Session, server: endpoint.Server | None
) -> Credentials | None:
    if server is not None and options.profile is None:
        own = keys.read(server.credentials_path)
        if own is not None:
            return own
    from mooring.model.clock import SystemClock

    return keys.find(session, SystemClock())


def _settings(options: Options, session: Session) -> Settings:
    verify: bool | str = options.verify
    if options.verify:
        verify = (
            options.ca_bundle
            or session.text("ca_bundle", "AWS_CA_BUNDLE")
            or session.environ.get("REQUESTS_CA_BUNDLE")
            or True
        )
    for name, value in (("connect", options.connect_timeout), ("read", options.read_timeout)):
        if value is not None and value < 0:
            raise CommandError(
                f"Attempted to set {name} timeout to {value}, but the timeout cannot be set to a "
                "value less than or equal to 0."
            )
    return Settings(options.connect_timeout, options.read_timeout, verify)
