"""Runs the program that a profile names as `credential_process`; it prints keys as JSON."""

from __future__ import annotations

import json
import shlex
import subprocess

from mooring.cli.connection import expiration
from mooring.model.errors import CommandError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from mooring.model.clock import Clock

    Keys = tuple[str, str, str | None]

# As in botocore: keys that end sooner are asked for again, and sooner still, must be.
_ADVISORY_SECONDS = 15 * 60
_MANDATORY_SECONDS = 10 * 60


def run(command: str, clock: Clock) -> Keys:
    """Access key, secret and token that the program gives.

    It is asked a second time if they are about to expire.

    Raises CommandError; OSError and ValueError for what cannot be run or is not JSON.
    """
    found, left = _ask(command, clock)
    if left < _ADVISORY_SECONDS:
        try:
            found, left = _ask(command, clock)
        except (CommandError, OSError, ValueError):
            if left < _MANDATORY_SECONDS:
                raise
        expiration.refuse_expired(left)
    return found


def _ask(command: str, clock: Clock) -> tuple[Keys, float]:
    """Keys, and for how many seconds they are valid."""
    done = subprocess.run(shlex.split(command), capture_output=True, check=False)
    if done.returncode != 0:
        raise _failed(done.stderr.decode(errors="replace"))
    answer = json.loads(done.stdout.decode("utf-8"))
    version = answer.get("Version", "<Version key not provided>")
    if version != 1:
        raise _failed(
            f"Unsupported version '{version}' for credential process provider, "
            "supported versions: 1"
        )
    access_key, secret_key = _text(answer, "AccessKeyId"), _text(answer, "SecretAccessKey")
    token = None if answer.get("SessionToken") is None else _text(answer, "SessionToken")
    expiry = answer.get("Expiration")
    left = expiration.ENDLESS if expiry is None else expiration.seconds_left(expiry, clock)
    return (access_key, secret_key, token), left


def _text(answer: dict[str, Any], name: str) -> str:
    if name not in answer:
        raise _failed(f"Missing required key in response: '{name}'")
    value = answer[name]
    if not isinstance(value, str):
        raise _failed(f"{name} in the response is not text but {json.dumps(value)[:40]}")
    return value


def _failed(reason: str) -> CommandError:
    return CommandError(
        f"Error when retrieving credentials from custom-process: {reason}", "configuration"
    )
