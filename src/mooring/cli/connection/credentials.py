"""Finds the keys to sign with, in AWS's order."""

from __future__ import annotations

from mooring.cli.connection import ini
from mooring.model.errors import CommandError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from mooring.cli.connection.session import Session


class Credentials:
    """An access key, its secret, and the session token or None."""

    __slots__ = ("access_key", "secret_key", "token")

    def __init__(self, access_key: str, secret_key: str, token: str | None) -> None:
        self.access_key = access_key
        self.secret_key = secret_key
        self.token = token


def find(session: Session) -> Credentials | None:
    """The keys of the session, or None.

    Environment (unless a profile was named as an option), credentials file, `credential_process`,
    configuration file. Raises CommandError if a source holds only a part.
    """
    if session.profile_option is None:
        found = _from_environment(session.environ)
        if found is not None:
            return found
    name = session.profile_name or "default"
    if name != "default" or session.profile_name is not None:
        session.profile()  # complains if it does not exist
    profile = session.files()["profiles"].get(name, {})
    for setting in ("role_arn", "sso_session", "sso_start_url"):
        if setting in profile:
            raise CommandError(
                f"The profile {name} has {setting}: roles and single sign-on belong to Amazon's "
                "own services. Put a Mooring server's keys into a profile of its own, or its "
                "access key into aws_access_key_id and aws_secret_access_key.",
                "configuration",
            )
    stored = (ini.read(session.credentials_path) or {}).get(name)
    if stored is not None and "aws_access_key_id" in stored:
        return _from_mapping(stored, "shared-credentials-file")
    process = profile.get("credential_process")
    if isinstance(process, str):
        return _from_process(process)
    configured = session.config_profile(name)
    if configured is not None and "aws_access_key_id" in configured:
        return _from_mapping(configured, "config-file")
    return None


def read(path: str) -> Credentials | None:
    """The keys of the profile `default` in a credentials file, or None."""
    stored = (ini.read(path) or {}).get("default")
    if stored is None or "aws_access_key_id" not in stored:
        return None
    return _from_mapping(stored, path)


def _from_environment(environ: Mapping[str, str]) -> Credentials | None:
    access_key = environ.get("AWS_ACCESS_KEY_ID", "")
    if not access_key:
        return None
    secret_key = environ.get("AWS_SECRET_ACCESS_KEY", "")
    if not secret_key:
        raise _partial("env", "AWS_SECRET_ACCESS_KEY")
    token = environ.get("AWS_SECURITY_TOKEN") or environ.get("AWS_SESSION_TOKEN") or None
    return Credentials(access_key, secret_key, token)


def _from_mapping(values: dict[str, str], source: str) -> Credentials:
    secret_key = values.get("aws_secret_access_key")
    if secret_key is None:
        raise _partial(source, "aws_secret_access_key")
    token = values.get("aws_security_token", values.get("aws_session_token"))
    return Credentials(values["aws_access_key_id"], secret_key, token)


def _partial(source: str, missing: str) -> CommandError:
    return CommandError(
        f"Partial credentials found in {source}, missing: {missing}", "configuration"
    )


def _from_process(command: str) -> Credentials:
    """Run the program that the profile names; it prints the keys as JSON, version 1."""
    import json
    import shlex
    import subprocess

    def failed(reason: str) -> CommandError:
        return CommandError(
            f"Error when retrieving credentials from custom-process: {reason}", "configuration"
        )

    done = subprocess.run(shlex.split(command), capture_output=True, check=False)
    if done.returncode != 0:
        raise failed(done.stderr.decode(errors="replace"))
    answer = json.loads(done.stdout)
    version = answer.get("Version", "<Version key not provided>")
    if version != 1:
        raise failed(
            f"Unsupported version '{version}' for credential process provider, "
            "supported versions: 1"
        )
    try:
        return Credentials(
            answer["AccessKeyId"], answer["SecretAccessKey"], answer.get("SessionToken")
        )
    except KeyError as missing:
        raise failed(f"Missing required key in response: {missing}") from None
