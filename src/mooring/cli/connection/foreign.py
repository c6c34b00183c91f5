"""Refuses keys that only Amazon's own services issue: roles, single sign-on, logins."""

from __future__ import annotations

from mooring.model.errors import CommandError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mooring.cli.connection.ini import Section
    from mooring.cli.connection.session import Session

_TOKEN_FILE_VARIABLE = "AWS_WEB_IDENTITY_TOKEN_FILE"

_FOREIGN = (
    "web_identity_token_file", "role_arn", "sso_role_name", "sso_account_id", "sso_session",
)  # fmt: skip


def refuse_first(session: Session, name: str, profile: Section) -> None:
    """Refuse what `aws` would take before any key that is written down. Raises CommandError."""
    if session.profile_option is None and session.environ.get(_TOKEN_FILE_VARIABLE):
        raise _refused(f"The environment has {_TOKEN_FILE_VARIABLE}")
    for setting in _FOREIGN:
        if setting in profile:
            raise _refused(f"The profile {name} has {setting}")


def refuse_login(name: str, profile: Section) -> None:
    """Refuse what `aws` would take if the credentials file has no keys. Raises CommandError."""
    if "login_session" in profile:
        raise _refused(f"The profile {name} has login_session")


def refuse_last(name: str, profile: Section) -> None:
    """Name the reason if there are no keys but a beginning of others. Raises CommandError."""
    if "sso_start_url" in profile:
        raise _refused(f"The profile {name} has no keys, only sso_start_url")


def _refused(what: str) -> CommandError:
    return CommandError(
        f"{what}: roles, single sign-on and logins belong to Amazon's own services. Put a Mooring "
        "server's keys into a separate profile, or its access key into aws_access_key_id and "
        "aws_secret_access_key.",
        "configuration",
    )
