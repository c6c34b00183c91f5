"""What environment, profile and configuration files say."""

from __future__ import annotations

import os

from mooring.cli.connection import ini
from mooring.model.errors import CommandError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

Profile = dict[str, "str | dict[str, str]"]

_PROFILE_VARIABLES = ("AWS_DEFAULT_PROFILE", "AWS_PROFILE")


class Session:
    """Looks settings up in AWS's order: option, environment variable, profile, default."""

    def __init__(self, environ: Mapping[str, str], profile: str | None = None) -> None:
        self.environ = environ
        self.profile_option = profile or None
        self._files: dict[str, dict[str, Profile]] | None = None

    @property
    def profile_name(self) -> str | None:
        """The profile asked for; None if none was."""
        if self.profile_option is not None:
            return self.profile_option
        for name in _PROFILE_VARIABLES:
            if name in self.environ:
                return self.environ[name]
        return None

    @property
    def credentials_path(self) -> str:
        return self.environ.get("AWS_SHARED_CREDENTIALS_FILE", "~/.aws/credentials")

    @property
    def config_path(self) -> str:
        return self.environ.get("AWS_CONFIG_FILE", "~/.aws/config")

    def profile(self) -> Profile:
        """The settings of the profile in use. Raises CommandError if there is no such profile."""
        name = self.profile_name
        profiles = self.files()["profiles"]
        if name is None:
            return profiles.get("default", {})
        if name not in profiles:
            raise CommandError(
                f"The config profile ({name}) could not be found",
                "configuration",
                "ProfileNotFound",
            )
        return profiles[name]

    def text(self, setting: str, variable: str | None = None) -> str | None:
        """A setting: from the environment variable if there is one, else from the profile."""
        if variable is not None and variable in self.environ:
            return self.environ[variable]
        value = self.profile().get(setting)
        return value if isinstance(value, str) else None

    def files(self) -> dict[str, dict[str, Profile]]:
        """`profiles` and `services`, by name, from both files; the credentials file wins."""
        if self._files is None:
            self._files = self._load()
        return self._files

    def config_profile(self, name: str) -> dict[str, str] | None:
        """A profile of the configuration file alone, without what the credentials file adds."""
        for header, values in (ini.read(self.config_path) or {}).items():
            if _named(header, "profile") == name or header == name == "default":
                return values
        return None

    def _load(self) -> dict[str, dict[str, Profile]]:
        profiles: dict[str, Profile] = {}
        services: dict[str, Profile] = {}
        for header, values in (ini.read(self.config_path) or {}).items():
            if header == "default":
                profiles["default"] = self._nested(values)
            elif header.startswith("profile"):
                _add(profiles, _named(header, "profile"), self._nested(values))
            elif header.startswith("services"):
                _add(services, _named(header, "services"), self._nested(values))
        for header, values in (ini.read(self.credentials_path) or {}).items():
            profiles.setdefault(header, {}).update(self._nested(values))
        return {"profiles": profiles, "services": services}

    def _nested(self, values: dict[str, str]) -> Profile:
        return {
            key: self._inner(value) if value.startswith("\n") else value
            for key, value in values.items()
        }

    def _inner(self, value: str) -> dict[str, str]:
        inner = {}
        for line in value.split("\n"):
            if line.strip():
                key, sign, rest = line.partition("=")
                if not sign:
                    path = os.path.expanduser(self.config_path)  # noqa: PTH111
                    raise CommandError(f"Unable to parse config file: {path}", "configuration")
                inner[key.strip()] = rest.strip()
        return inner


def _add(target: dict[str, Profile], name: str | None, values: Profile) -> None:
    if name is not None:
        target[name] = values


def _named(header: str, word: str) -> str | None:
    """The name in a header such as `profile "my name"`."""
    if not header.startswith(word):
        return None
    if any(mark in header for mark in "'\"\\"):
        import shlex

        try:
            parts = shlex.split(header)
        except ValueError:
            return None
    else:
        parts = header.split()
    return parts[1] if len(parts) == 2 else None
