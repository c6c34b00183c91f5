"""What the front door does with a request, step by step."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy.exc import OperationalError

from mooring.config.settings import Limits
from mooring.model.errors import CatalogError, NotFoundException
from mooring.service.context import Context
from tests.api.door import HOST, MODEL, NOW_MS, Door, Reply, error_of, signature, signed

LIMITS = Limits()


def test_an_operation_is_answered() -> None:
    disk = {"name": "d", "createdAt": 1569625129739, "sizeInGb": 8}
    door = Door(GetDisk=lambda context, params: {"disk": disk})
    reply = door.call("GetDisk", {"diskName": "d", "unknown": 1})

    assert reply.status == 200
    assert reply.content == b'{"disk":{"name":"d","createdAt":1569625129.739,"sizeInGb":8}}'
    assert reply.headers["content-type"] == "application/x-amz-json-1.1"
    assert reply.headers["x-amzn-requestid"] == door.calls[0][1].request_id
    assert "connection" not in reply.headers


def test_the_handler_is_told_who_asks_where_and_when() -> None:
    door = Door()
    headers = {"amz-sdk-invocation-id": "11111111-2222-4333-8444-555555555555"}
    reply = door.call("GetDisk", {"diskName": "d"}, headers, {"region": "us-west-2"})

    assert door.calls == [
        (
            "GetDisk",
            Context(
                region="us-west-2",
                caller="AKIAMOORINGEXAMPLE77",
                request_id=reply.headers["x-amzn-requestid"],
                invocation_id="11111111-2222-4333-8444-555555555555",
                received_ms=NOW_MS,
            ),
            {"diskName": "d"},
        )
    ]


@pytest.mark.parametrize("headers", [{}, {"amz-sdk-invocation-id": "x" * 129}])
def test_no_good_invocation_id_is_none(headers: dict[str, str]) -> None:
    door = Door()
    door.call("GetDisks", b"{}", headers)

    assert door.calls[0][1].invocation_id is None


def test_each_request_has_an_id_of_its_own() -> None:
    door = Door()

    ids = {door.call("GetDisks").headers["x-amzn-requestid"] for _ in range(3)}
    ids |= {door.send("GET", path).headers["x-amzn-requestid"] for path in ("/", "/healthz", "/no")}

    assert len(ids) == 6


def test_errors_of_the_service_reach_the_client() -> None:
    def fail(context: Context, params: Mapping[str, Any]) -> Mapping[str, Any]:
        raise NotFoundException("The Disk does not exist: d")

    reply = Door(GetDisk=fail).call("GetDisk", {"diskName": "d"})

    assert error_of(reply) == (400, "NotFoundException", "The Disk does not exist: d")
    assert list(reply.json()) == ["code", "__type", "message"]
    assert reply.json()["code"] == "DoesNotExist"
    assert reply.headers["x-amzn-requestid"]


@pytest.mark.parametrize(
    "handler",
    [
        lambda context, params: 1 / 0,
        lambda context, params: {"disk": {"colour": "red"}},
        lambda context, params: {"disk": {"createdAt": "yesterday"}},
    ],
)
def test_a_fault_is_not_shown(handler: Any) -> None:
    reply = Door(GetDisk=handler).call("GetDisk", {"diskName": "d"})

    assert error_of(reply) == (
        500,
        "ServiceException",
        "An internal error occurred. The server's log has it under "
        f"{reply.headers['x-amzn-requestid']}.",
    )
    assert reply.json()["code"] == "InternalFailure"


@pytest.mark.parametrize(
    "error",
    [
        CatalogError("/srv/catalog.sqlite-wal could not be written to the disk"),
        OperationalError("INSERT", {}, Exception("connection to db.example failed")),
    ],
)
def test_a_catalog_that_cannot_be_used_is_told_without_its_place(error: Exception) -> None:
    def fail(*_: object) -> dict[str, Any]:
        raise error

    status, kind, message = error_of(Door(GetDisk=fail).call("GetDisk", {"diskName": "d"}))

    assert (status, kind) == (500, "ServiceException")
    assert message.startswith("The server's catalog cannot be used right now")
    assert "/srv" not in message
    assert "db.example" not in message


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("Lightsail_20161128.GetBoats", "Lightsail has no operation 'GetBoats'"),
        ("Lightsail_20161128.", "Lightsail has no operation ''"),
        ("Lightsail_20161128.GetDisks.x", "Lightsail has no operation 'GetDisks.x'"),
        ("DynamoDB_20120810.GetItem", "X-Amz-Target must be Lightsail_20161128.<Operation>, not"),
        ("", "X-Amz-Target must be Lightsail_20161128.<Operation>, not ''"),
    ],
)
def test_unknown_operations(target: str, message: str) -> None:
    headers = {"X-Amz-Target": target, "Content-Type": "application/x-amz-json-1.1"}
    status, name, told = error_of(Door().send("POST", "/", headers, [b"{}"]))

    assert (status, name) == (400, "UnknownOperationException")
    assert told.startswith(message)


def test_a_long_target_is_not_repeated() -> None:
    told = error_of(Door().call("x" * 5000))[2]

    assert len(told) < 300


def test_operations_that_are_not_served_say_so() -> None:
    assert "CreateDistribution" in MODEL.unserved
    reply = Door().call("CreateDistribution")

    status, name, message = error_of(reply)
    assert (status, name) == (400, "InvalidInputException")
    assert reply.json()["code"] == "UnsupportedOperation"
    assert message.startswith("Mooring does not serve CreateDistribution.")


def test_even_what_is_not_served_is_told_only_to_those_who_signed() -> None:
    reply = Door().call("CreateDistribution", signing={"secret": "wrong"})

    assert error_of(reply)[1] == "InvalidSignatureException"


@pytest.mark.parametrize("content_type", ["application/json", "text/html", ""])
def test_other_content_types(content_type: str) -> None:
    reply = Door().call("GetDisks", b"{}", {"Content-Type": content_type})

    assert error_of(reply)[:2] == (400, "SerializationException")
    assert "application/x-amz-json-1.1" in error_of(reply)[2]


@pytest.mark.parametrize(
    "content_type", ["application/x-amz-json-1.1; charset=utf-8", "Application/X-Amz-Json-1.1"]
)
def test_the_content_type_in_other_words(content_type: str) -> None:
    assert Door().call("GetDisks", b"{}", {"Content-Type": content_type}).status == 200


def test_unsigned_requests_are_refused() -> None:
    headers = {
        "X-Amz-Target": "Lightsail_20161128.GetDisks",
        "Content-Type": "application/x-amz-json-1.1",
    }
    door = Door()
    reply = door.send("POST", "/", headers, [b"{}"])

    assert error_of(reply) == (
        400,
        "MissingAuthenticationTokenException",
        "Missing Authentication Token",
    )
    assert list(reply.json()) == ["__type", "message"]
    assert not door.calls


@pytest.mark.parametrize(
    ("signing", "error"),
    [
        ({"secret": "wrong"}, "InvalidSignatureException"),
        ({"key": "AKIAUNKNOWN"}, "UnrecognizedClientException"),
        ({"region": "eu-north-1"}, "InvalidSignatureException"),
    ],
)
def test_wrong_signatures_are_refused(signing: dict[str, str], error: str) -> None:
    door = Door()

    assert error_of(door.call("GetDisks", signing=signing))[:2] == (400, error)
    assert not door.calls


def test_a_request_that_is_sent_again_much_later_is_refused() -> None:
    door = Door()
    door.clock.advance(16 * 60)

    assert error_of(door.call("GetDisks"))[2].startswith("Signature expired: 20261123T090937Z")


def test_malformed_bodies_are_refused() -> None:
    assert error_of(Door().call("GetDisks", b"{"))[:2] == (400, "SerializationException")


def test_inputs_that_lack_members_are_refused() -> None:
    reply = Door().call("GetDisk")

    assert error_of(reply) == (
        400,
        "InvalidInputException",
        "1 validation error detected: Value null at 'diskName' failed to satisfy constraint: "
        "Member must not be null",
    )


def test_an_empty_body_is_an_empty_input() -> None:
    assert Door().call("GetDisks", b"").status == 200


@pytest.mark.parametrize("size", [1025, 100_000])
def test_a_body_that_is_too_large_is_refused(size: int) -> None:
    door = Door(replace(LIMITS, body_bytes=1024))
    reply = door.call("GetDisks", b" " * size)

    status, name, message = error_of(reply)
    assert (status, name) == (400, "InvalidInputException")
    assert reply.json()["code"] == "RequestTooLarge"
    assert message.startswith("The request body is larger than 1024 bytes.")
    assert "connection" not in reply.headers  # it was read, so the connection can go on
    assert not door.calls


def test_a_body_of_just_the_limit_is_taken() -> None:
    door = Door(replace(LIMITS, body_bytes=1024))

    assert door.call("GetDisks", b"{}".ljust(1024)).status == 200


def endless(parts: list[bytes]) -> Iterator[bytes]:
    while True:
        parts.append(b" " * 1024 * 1024)
        yield parts[-1]


def test_a_body_without_end_is_not_read_for_ever() -> None:
    door, parts = Door(), list[bytes]()
    reply = door.send("POST", "/", signed("GetDisks", b""), endless(parts))

    assert reply.json()["code"] == "RequestTooLarge"
    assert reply.headers["connection"] == "close"
    assert len(parts) == 17


def test_a_body_that_says_it_is_far_too_large_is_not_read() -> None:
    door, parts = Door(), list[bytes]()
    headers = signed("GetDisks", b"") | {"Content-Length": str(10**12)}
    reply = door.send("POST", "/", headers, endless(parts))

    assert reply.json()["code"] == "RequestTooLarge"
    assert reply.headers["connection"] == "close"
    assert not parts


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/nothing"),
        ("POST", "/nothing"),
        ("PUT", "/"),
        ("DELETE", "/"),
        ("POST", "/healthz"),
        ("GET", "/healthz/"),
        ("GET", "/mooring/"),
        ("POST", "/ls/api/2016-11-28/GetDisks"),
        ("GET", "/ls/api/2016-11-28/GetDisks"),
    ],
)
def test_other_paths_and_methods(method: str, path: str) -> None:
    door = Door()
    reply = door.send(method, path, parts=[b"{}"])

    status, name, message = error_of(reply)
    assert (status, name) == (404, "UnknownOperationException")
    assert reply.headers["content-type"] == "application/json"
    assert message == (
        f"{method} {path} is not served: clients POST their requests, with the header "
        "X-Amz-Target: Lightsail_20161128.<Operation>."
    )
    assert reply.headers["x-amzn-requestid"]
    assert "connection" not in reply.headers  # what was sent has been read
    assert not door.calls


PATHS = [
    "/ls/api/2016-11-28/GetDisk",
    "/ls/api/2016-11-28/GetDisk/",
    "/ls/api/2016-11-28/DeleteDisk",  # the target decides
    "//",
    "//ls/api/2016-11-28/GetDisk",
    "/lightsail",
    "/lightsail/",
    "/a/b/c%20d/",
    "/a/../b/./c",
    "/metrics/",
    "/mooring",
    "/mooring-api/",
    "/?x=1&a=2",
    "/prefix?x=1",
]


@pytest.mark.parametrize("path", PATHS)
def test_an_operation_is_found_by_its_target_on_any_path(path: str) -> None:
    door = Door(GetDisk=lambda context, params: {"disk": {"name": params["diskName"]}})
    body = b'{"diskName": "d"}'
    reply = door.send("POST", path, signed("GetDisk", body, path=path), [body])

    assert reply.status == 200
    assert reply.content == b'{"disk":{"name":"d"}}'
    assert reply.headers["content-type"] == "application/x-amz-json-1.1"


def test_the_signature_covers_the_path_that_was_sent() -> None:
    door = Door()
    reply = door.send("POST", "/ls/api/2016-11-28/GetDisks", signed("GetDisks", b"{}"), [b"{}"])

    assert error_of(reply)[1] == "InvalidSignatureException"
    assert not door.calls


@pytest.mark.parametrize("path", ["/healthz", "/metrics", "/mooring/", "/mooring/x/y"])
def test_no_operation_is_called_on_our_own_paths(path: str) -> None:
    door = Door()
    reply = door.send("POST", path, signed("GetDisks", b"{}", path=path), [b"{}"])

    assert reply.status == 404
    assert not door.calls


def test_a_refused_path_reads_a_body_only_so_far() -> None:
    parts = list[bytes]()
    reply = Door().send("POST", "/nothing", parts=endless(parts))

    assert reply.status == 404
    assert reply.headers["connection"] == "close"
    assert len(parts) == 17


def test_errors_repeat_control_characters_as_escapes() -> None:
    def fail(context: Context, params: Mapping[str, Any]) -> Mapping[str, Any]:
        raise NotFoundException(f"The Disk does not exist: {params['diskName']}")

    text = "x\0\x1b[31m\r\n\t\x7f\x9b\u202eü 雪"
    message = error_of(Door(GetDisk=fail).call("GetDisk", {"diskName": text}))[2]

    assert message == (r"The Disk does not exist: x\x00\x1b[31m\x0d\x0a\x09\x7f\x9b\u202eü 雪")


def test_who_looks_at_it_with_a_browser_is_told_what_it_is() -> None:
    reply = Door().send("GET", "/")

    assert reply.status == 200
    assert reply.text.startswith("This is Mooring, which serves the Lightsail API")


def gather(door: Door, number: int) -> list[Reply]:
    """Send that many requests at once."""

    async def send_all() -> list[Reply]:
        headers = signed("GetDisks", b"{}")
        return await asyncio.gather(
            *(door.asend("POST", "/", headers, [b"{}"]) for _ in range(number))
        )

    return asyncio.run(send_all())


def test_no_more_requests_are_worked_on_at_once_than_the_limit_says() -> None:
    at_once, seen, lock = 0, list[int](), threading.Lock()
    meet = threading.Barrier(2)

    def handle(context: Context, params: Mapping[str, Any]) -> Mapping[str, Any]:
        nonlocal at_once
        with lock:
            at_once += 1
            seen.append(at_once)
        meet.wait(30)  # both must be here at once, or this breaks
        with lock:
            at_once -= 1
        return {}

    replies = gather(Door(replace(LIMITS, requests=2), GetDisks=handle), 8)

    assert [reply.status for reply in replies] == [200] * 8
    assert max(seen) == 2


def test_when_too_many_wait_the_next_is_sent_away() -> None:
    sent_away = threading.Event()

    def handle(context: Context, params: Mapping[str, Any]) -> Mapping[str, Any]:
        assert sent_away.wait(30)
        return {}

    door = Door(replace(LIMITS, requests=1), GetDisks=handle)

    async def send_all() -> list[Reply]:
        headers = signed("GetDisks", b"{}")
        tasks = [
            asyncio.ensure_future(door.asend("POST", "/", headers, [b"{}"])) for _ in range(20)
        ]
        while sum(task.done() for task in tasks) < 3:
            await asyncio.sleep(0.01)
        sent_away.set()
        return await asyncio.gather(*tasks)

    replies = asyncio.run(asyncio.wait_for(send_all(), 30))

    # One is worked on, sixteen wait.
    refused = [reply for reply in replies if reply.status != 200]
    assert len(refused) == 3
    assert {error_of(reply)[:2] for reply in refused} == {(400, "ThrottlingException")}


def test_the_signature_of_one_operation_is_not_good_for_another() -> None:
    door = Door()
    headers = {"Host": HOST, "Content-Type": "application/x-amz-json-1.1"}
    headers |= signature("POST", "/", headers, b"{}")
    headers["X-Amz-Target"] = "Lightsail_20161128.GetDisks"
    reply = door.send("POST", "/", headers, [b"{}"])

    assert error_of(reply)[2].startswith("'X-Amz-Target' must be a 'SignedHeader'")
    assert not door.calls
