"""Finds the keys to sign with, in AWS's order."""

from __future__ import annotations

from mooring.cli.connection import ini
from mooring.model.errors import CommandError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from mooring.cli.connection.ini import Section
    from mooring.cli.connection.session import Session
    from mooring.model.clock import Clock


class Credentials:
    """An access key, its secret, and the session token or None."""

    __slots__ = ("access_key", "secret_key", "token")

    def __init__(self, access_key: str, secret_key: str, token: str | None) -> None:
        self.access_key = access_key
        self.secret_key = secret_key
        self.token = token


def find(session: Session, clock: Clock) -> Credentials | None:
    """The keys of the session, or None.

    Environment (unless a profile was named as an option), credentials file, `credential_process`,
    configuration file. Raises CommandError if a source holds only a part, or keys that have
    expired or that no request can carry.
    """
    if session.profile_option is None:
        found = _from_environment(session.environ, clock)
        if found is not None:
            return found
    from mooring.cli.connection import foreign

    name = session.profile_name or "default"
    if name != "default" or session.profile_name is not None:
        session.profile()  # complains if it does not exist
    profile = session.files()["profiles"].get(name, {})
    foreign.refuse_first(session, name, profile)
    stored = session.stored().get(name)
    if stored is not None and "aws_access_key_id" in stored:
        return _from_mapping(stored, "shared-credentials-file")
    foreign.refuse_login(name, profile)
    process = profile.get("credential_process")
    if isinstance(process, str):
        from mooring.cli.connection import credential_process

        keys = Credentials(*credential_process.run(process, clock))
        return _carried(keys, "the output of credential_process")
    configured = session.config()["profiles"].get(name)
    if configured is not None and "aws_access_key_id" in configured:
        return _from_mapping(configured, "config-file")
    foreign.refuse_last(name, profile)
    return None


def read(path: str) -> Credentials | None:
    """The keys of the profile `default` in a credentials file, or None."""
    stored = (ini.read(path) or {}).get("default")
    if stored is None or "aws_access_key_id" not in stored:
        return None
    return _from_mapping(stored, path)


def _from_environment(environ: Mapping[str, str], clock: Clock) -> Credentials | None:
    access_key = environ.get("AWS_ACCESS_KEY_ID", "")
    if not access_key:
        return None
    secret_key = environ.get("AWS_SECRET_ACCESS_KEY", "")
    if not secret_key:
        raise _partial("env", "AWS_SECRET_ACCESS_KEY")
    expiry = environ.get("AWS_CREDENTIAL_EXPIRATION")
    if expiry:
        from mooring.cli.connection import expiration

        expiration.refuse_expired(expiration.seconds_left(expiry, clock))
    token = environ.get("AWS_SECURITY_TOKEN") or environ.get("AWS_SESSION_TOKEN") or None
    return _carried(Credentials(access_key, secret_key, token), "the environment")


def _from_mapping(values: Section, source: str) -> Credentials:
    if values.get("aws_secret_access_key") is None:
        raise _partial(source, "aws_secret_access_key")
    names = ["aws_access_key_id", "aws_secret_access_key"]
    names += [name for name in _TOKENS if name in values][:1]
    texts: list[str] = []
    for name in names:
        value = values[name]
        if not isinstance(value, str):
            raise CommandError(
                f"{name} in {source} is not text: write its value on the line of its name",
                "configuration",
            )
        texts.append(value)
    return _carried(Credentials(texts[0], texts[1], texts[2] if texts[2:] else None), source)


_TOKENS = ("aws_security_token", "aws_session_token")


def _partial(source: str, missing: str) -> CommandError:
    return CommandError(
        f"Partial credentials found in {source}, missing: {missing}", "configuration"
    )


def _carried(found: Credentials, source: str) -> Credentials:
    """The keys, if a request's head can carry them: a line end would begin another header."""
    for what, value in (
        ("access key", found.access_key),
        ("secret access key", found.secret_key),
        ("session token", found.token or ""),
    ):
        wrong = next((letter for letter in value if _is_control(letter)), None)
        if wrong is not None:
            raise CommandError(
                f"The {what} in {source} contains the control character {wrong!r}. "
                "If it comes from a file with Windows line endings, convert them.",
                "configuration",
            )
    return found


def _is_control(letter: str) -> bool:
    return letter < " " or "\x7f" <= letter <= "\x9f" or "\ud800" <= letter <= "\udfff"
