"""Calls boto3 as lines of JSON ask; runs in the clients' own environment.

A line in is one call: `id`, `operation`, `params`, and optionally `client` (how the client is
made), `twist` (what to change on the way out) and `paginate` (take all pages). A line out is its
reply: `id`, and `result` with `raw` (the body as it came), or `error`. Calls run side by side.
"""

from __future__ import annotations

import datetime as dt
import json
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import boto3
import botocore
import botocore.auth
import botocore.exceptions
from botocore.config import Config

THREADS = 24

local = threading.local()
clients: dict[str, Any] = {}
lock = threading.Lock()
session = boto3.session.Session()
true_time = botocore.auth.get_current_datetime


def skewed_time(remove_tzinfo: bool = True) -> dt.datetime:
    """The time that signatures state."""
    moment: dt.datetime = true_time(remove_tzinfo)
    skew = getattr(local, "twist", {}).get("skew", 0)
    return moment + dt.timedelta(seconds=skew)


botocore.auth.get_current_datetime = skewed_time


def twist_request(params: dict[str, Any], **_: Any) -> None:
    """Change body and headers before they are signed."""
    twist = local.twist
    if "body" in twist:
        params["body"] = twist["body"].encode("utf-8", "surrogateescape")
    params["headers"].update(twist.get("headers", {}))


def keep_body(response_dict: dict[str, Any], **_: Any) -> None:
    """Keep what the parser of the client does not show."""
    local.raw.append(response_dict["body"].decode())


def client_for(options: dict[str, Any]) -> Any:
    key = json.dumps(options, sort_keys=True)
    with lock:
        if key not in clients:
            retries = {"total_max_attempts": options["attempts"]} if "attempts" in options else None
            config = Config(
                retries=retries,
                parameter_validation=options.get("validate", True),
                max_pool_connections=THREADS,
                read_timeout=options.get("read_timeout", 60),
                signature_version=botocore.UNSIGNED if options.get("unsigned") else "v4",
            )
            clients[key] = session.client(
                "lightsail",
                region_name=options.get("region"),
                endpoint_url=options.get("endpoint"),
                aws_access_key_id=options.get("key"),
                aws_secret_access_key=options.get("secret"),
                config=config,
            )
            clients[key].meta.events.register("before-call.lightsail.*", twist_request)
            clients[key].meta.events.register("before-parse.lightsail.*", keep_body)
        return clients[key]


def answer(call: dict[str, Any]) -> dict[str, Any]:
    local.twist = call.get("twist", {})
    local.raw = []
    client = client_for(call.get("client", {}))
    method = botocore.xform_name(call["operation"])
    try:
        if "paginate" in call:
            pages = client.get_paginator(method).paginate(
                **call["params"], PaginationConfig=call["paginate"]
            )
            return {"result": list(pages), "raw": local.raw}
        result = getattr(client, method)(**call["params"])
        return {"result": result, "raw": local.raw}
    except botocore.exceptions.ClientError as error:
        modelled = {key: value for key, value in error.response.items() if key != "Error"}
        return {
            "error": {
                "type": type(error).__name__,
                "is_client_error": isinstance(error, client.exceptions.ClientError),
                "text": str(error),
                **error.response["Error"],
                "modelled": modelled,
            },
            "raw": local.raw,
        }
    except botocore.exceptions.BotoCoreError as error:
        return {"error": {"type": type(error).__name__, "text": str(error)}, "raw": local.raw}


def handle(line: str) -> None:
    call = json.loads(line)
    try:
        reply = answer(call)
    except Exception as error:  # noqa: BLE001 - the test shall see it, not a hanging future
        reply = {"error": {"type": type(error).__name__, "text": repr(error)}, "raw": []}
    text = json.dumps({"id": call["id"], **reply}, default=str)
    with lock:
        print(text, flush=True)


def main() -> None:
    with ThreadPoolExecutor(THREADS) as pool:
        for line in sys.stdin:
            pool.submit(handle, line)


if __name__ == "__main__":
    main()
