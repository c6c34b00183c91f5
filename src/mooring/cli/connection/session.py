"""What environment, profile and configuration files say."""

from __future__ import annotations

from mooring.cli.connection import ini
from mooring.model.errors import CommandError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from mooring.cli.connection.ini import Section, Sections

_PROFILE_VARIABLES = ("AWS_DEFAULT_PROFILE", "AWS_PROFILE")


class Session:
    """Looks settings up in AWS's order: option, environment variable, profile, default."""

    def __init__(self, environ: Mapping[str, str], profile: str | None = None) -> None:
        self.environ = environ
        self.profile_option = profile or None
        self._files: dict[str, Sections] | None = None
        self._config: dict[str, Sections] | None = None
        self._stored: Sections | None = None

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

    def profile(self) -> Section:
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
        """A setting: from the environment variable if there is one, else from the profile.

        Raises CommandError if the profile has settings under it instead of a value.
        """
        if variable is not None and variable in self.environ:
            return self.environ[variable]
        value = self.profile().get(setting)
        if isinstance(value, dict):
            raise CommandError(
                f"{setting} in the profile is not text: write its value on the line of its name",
                "configuration",
            )
        return value

    def files(self) -> dict[str, Sections]:
        """`profiles` and `services`, by name, from both files; the credentials file wins."""
        if self._files is None:
            profiles = {name: dict(values) for name, values in self.config()["profiles"].items()}
            for name, values in self.stored().items():
                profiles.setdefault(name, {}).update(values)
            self._files = {"profiles": profiles, "services": self.config()["services"]}
        return self._files

    def config(self) -> dict[str, Sections]:
        """`profiles` and `services` of the configuration file alone.

        Of two headers for one name, the last one counts, and counts alone.
        """
        if self._config is None:
            profiles: Sections = {}
            services: Sections = {}
            for header, values in (ini.read(self.config_path) or {}).items():
                if header.startswith("profile"):
                    _add(profiles, header, values)
                elif header.startswith("services"):
                    _add(services, header, values)
                elif header == "default":
                    profiles[header] = values
            self._config = {"profiles": profiles, "services": services}
        return self._config

    def stored(self) -> Sections:
        """The profiles of the credentials file alone."""
        if self._stored is None:
            self._stored = ini.read(self.credentials_path) or {}
        return self._stored


def _add(target: Sections, header: str, values: Section) -> None:
    """Enter the values under the name in a header such as `profile "my name"`, if it has one."""
    if header.isascii() and header.isprintable() and not any(mark in header for mark in "'\"\\"):
        parts = header.split()
    else:
        import shlex

        try:
            parts = shlex.split(header)
        except ValueError:
            return
    if len(parts) == 2:
        target[parts[1]] = values
