"""mooring uri and mooring device: print where an attached disk is."""

from __future__ import annotations

import os
import sys

from mooring.model.errors import CommandError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace
    from typing import Any

    from mooring.cli.connection.client import Client
    from mooring.cli.own.invocation import Invocation
    from mooring.nbd.uri_forms import Form


def run_uri(invocation: Invocation, parsed: Namespace) -> int:
    """Run `mooring uri`; the exit code is returned."""
    if (parsed.disk_name is None) == (parsed.instance_name is None):
        raise CommandError(
            "Name the disk with --disk-name, or with --instance-name an instance for its system "
            "disk.",
            "usage",
        )
    form = _form(parsed.as_)
    members = {"diskName": parsed.disk_name, "instanceName": parsed.instance_name}
    given = {member: name for member, name in members.items() if name is not None}
    client = invocation.client()
    if not parsed.tcp:
        if parsed.close:
            raise CommandError("--close belongs to --tcp.", "usage")
        told = client.ask("uri", given, "the URI")
        uri = told.get("uri")
        return _show(client, _formed(uri, form), elsewhere(uri, told.get("hostName")))
    if parsed.close:
        client.act("tcp-uri", {**given, "close": True}, "the end of the way")
        return 0
    uri = client.act("tcp-uri", given, "the URI").get("uri")
    return _show(client, _formed(uri, form))


def _form(name: str | None) -> Form | None:
    """What makes the form of that name. Raises CommandError for one that there is not."""
    if name is None:
        return None
    from mooring.nbd.uri_forms import FORMS

    if name not in FORMS:
        raise CommandError(f"--as must be one of {', '.join(FORMS)}, not {name!r}.", "usage")
    return FORMS[name]


def _formed(uri: Any, form: Form | None) -> Any:
    """The URI, or what to paste instead of it."""
    if form is None or not isinstance(uri, str):
        return uri
    from mooring.nbd.uri import parse_uri

    return form(parse_uri(uri)).removesuffix("\n")


def run_device(invocation: Invocation, parsed: Namespace) -> int:
    """Run `mooring device`: an action, since a device that was broken is recreated."""
    client = invocation.client()
    told = client.act("device", {"diskName": parsed.disk_name}, "the device")
    device = told.get("device")
    return _show(client, device, elsewhere(device, told.get("hostName")))


def _show(client: Client, address: Any, host: Any = None) -> int:
    if address is None:
        raise client.misunderstood()
    sys.stdout.write(f"{address}\n")
    if host is not None:
        sys.stderr.write(f"That is on the host {host}.\n")
    return 0


def elsewhere(place: Any, host: Any) -> Any:
    """The host if it is another one: nothing here is in that place."""
    from urllib.parse import unquote

    here = os.access(unquote(str(place).rpartition("?socket=")[2]), os.F_OK)
    return None if here else host
