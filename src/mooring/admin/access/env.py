"""mooringd env: what AWS clients need, as shell exports."""

from __future__ import annotations

import os
import shlex
import socket
import sys
from collections.abc import Mapping
from urllib.parse import urlsplit

from mooring.admin.running_server import RunningServer, read_server
from mooring.config.settings import Settings
from mooring.model.errors import ConfigurationError
from mooring.model.paths import Paths
from mooring.service.credentials.keys import Key, open_keys

UNSET = (
    # JavaScript takes a profile's keys before those of the environment.
    "AWS_PROFILE",
    "AWS_DEFAULT_PROFILE",
    # These belong to other keys.
    "AWS_SESSION_TOKEN",
    "AWS_SECURITY_TOKEN",
    "AWS_CREDENTIAL_EXPIRATION",
    # With these, clients refuse an endpoint that is named.
    "AWS_USE_FIPS_ENDPOINT",
    "AWS_USE_DUALSTACK_ENDPOINT",
)
"""What may stand in a shell already, and would lead a client elsewhere."""

CONNECT_SECONDS = 1.0


def env(settings: Settings, user: str | None = None) -> int:
    """Print the exports. Raises ConfigurationError when no server has been started."""
    values = variables(settings, user)
    for name, value in {**values, **past_proxies(os.environ, values)}.items():
        print(f"export {name}={shlex.quote(value)}")
    print(f"unset {' '.join(UNSET)}")
    url = values["AWS_ENDPOINT_URL_LIGHTSAIL"]
    if nobody_listens(url):
        written = Paths(settings.data_directory).settings
        start = f"mooringd serve --config {written}" if written.exists() else "mooringd serve"
        print(
            f"mooringd: nobody listens at {url}: the server on {settings.data_directory} was "
            f"killed; start it again with `{start}`",
            file=sys.stderr,
        )
    return 0


def server_and_key(paths: Paths, user: str | None) -> tuple[RunningServer, Key]:
    """The running server, and the user's newest key. Raises ConfigurationError."""
    try:
        server = read_server(paths.server)
    except FileNotFoundError:
        raise ConfigurationError(
            f"no server runs on {paths.data}: start one with `mooringd serve`"
        ) from None
    if not paths.credentials.exists():
        raise ConfigurationError(
            f"{paths.credentials} is gone: restart the server; it makes new keys"
        )
    return server, key_of(open_keys(paths.credentials), user)


def variables(settings: Settings, user: str | None = None) -> dict[str, str]:
    """The environment variables for a client of the running server, with the user's newest key."""
    server, key = server_and_key(Paths(settings.data_directory), user)
    return {
        "AWS_ENDPOINT_URL_LIGHTSAIL": server.url,
        # `aws` and boto3 read the first, JavaScript and `aws` v2 the second.
        "AWS_DEFAULT_REGION": server.region,
        "AWS_REGION": server.region,
        "AWS_ACCESS_KEY_ID": key.id,
        "AWS_SECRET_ACCESS_KEY": key.secret,
        # Said here, it wins over a profile that says otherwise: requests would go to Amazon.
        "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "false",
    }


def past_proxies(environ: Mapping[str, str], values: Mapping[str, str]) -> dict[str, str]:
    """The variables that let clients reach the server past a proxy; others stay excepted."""
    host = _host(values["AWS_ENDPOINT_URL_LIGHTSAIL"])
    # Some compare an address of IPv6 with its brackets.
    hosts = [host, f"[{host}]"] if ":" in host else [host]
    spared: list[str] = []
    for name in ("no_proxy", "NO_PROXY"):
        spared += [one.strip() for one in environ.get(name, "").split(",")]
    # As clients read the one or the other, both get all.
    every = ",".join(dict.fromkeys(one for one in [*spared, *hosts] if one))
    return {"NO_PROXY": every, "no_proxy": every}


def for_clients(environ: Mapping[str, str], values: Mapping[str, str]) -> dict[str, str]:
    """The environment that a shell has after the exports."""
    kept = {name: value for name, value in environ.items() if name not in UNSET}
    return {**kept, **values, **past_proxies(environ, values)}


def _host(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def nobody_listens(url: str) -> bool:
    """Whether it is certain that no server is there."""
    try:
        parts = urlsplit(url)
        port = parts.port or {"https": 443}.get(parts.scheme, 80)
        socket.create_connection((parts.hostname or "", port), CONNECT_SECONDS).close()
    except ConnectionRefusedError:
        return True
    except (OSError, ValueError):
        return False  # slow, or another host's business
    return False


def key_of(keys: Mapping[str, Key], user: str | None) -> Key:
    """The user's newest key. Raises ConfigurationError."""
    for key in keys.values():
        if user in (None, key.access.user):
            return key
    raise ConfigurationError(f"there is no user {user}; `mooringd keys list` shows all users")
