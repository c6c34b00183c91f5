"""mooringd env: what AWS clients need, as shell exports."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping

from mooring.config.settings import Settings
from mooring.model.errors import ConfigurationError
from mooring.model.paths import Paths
from mooring.service.keys import Key, open_keys


def env(settings: Settings, user: str | None = None) -> int:
    """Print the exports. Raises ConfigurationError when no server has been started."""
    for name, value in variables(settings, user).items():
        print(f"export {name}={shlex.quote(value)}")
    return 0


def variables(settings: Settings, user: str | None = None) -> dict[str, str]:
    """The environment variables for a client of the running server, with the user's newest key."""
    paths = Paths(settings.data_directory)
    try:
        server = json.loads(paths.server.read_text(encoding="utf-8"))
        url, region = str(server["url"]), str(server["region"])
    except FileNotFoundError:
        raise ConfigurationError(
            f"no server runs on {paths.data}: start one with `mooringd serve`"
        ) from None
    except (ValueError, TypeError, KeyError) as error:
        raise ConfigurationError(
            f"{paths.server} is damaged: stop the server and start it again"
        ) from error
    if not paths.credentials.exists():
        raise ConfigurationError(
            f"{paths.credentials} is gone: stop the server and start it again; it makes new keys"
        )
    key = _key(open_keys(paths.credentials), user)
    return {
        "AWS_ENDPOINT_URL_LIGHTSAIL": url,
        "AWS_DEFAULT_REGION": region,
        "AWS_ACCESS_KEY_ID": key.id,
        "AWS_SECRET_ACCESS_KEY": key.secret,
    }


def _key(keys: Mapping[str, Key], user: str | None) -> Key:
    for key in keys.values():
        if user in (None, key.access.user):
            return key
    raise ConfigurationError(f"there is no user {user}; `mooringd keys list` shows them")
