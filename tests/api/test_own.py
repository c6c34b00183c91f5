"""Requests of Mooring's own: questions by GET, actions by POST and JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

import pytest

from mooring.service.context import Context
from mooring.service.own.table import OWN_REQUESTS
from tests.api.door import HOST, Door, error_of, signature

ACTIONS = sorted(name for name, one in OWN_REQUESTS.items() if one.acts)
QUESTIONS = sorted(OWN_REQUESTS.keys() - ACTIONS)
FORMS = ["application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "text/plain", ""]
"""What a form of another site can send without the browser asking first."""


def test_a_question_has_its_members_in_the_query() -> None:
    door = Door(uri=lambda context, params: {"uri": f"nbd://{params['diskName']}"})
    reply = door.ask("uri", "diskName=a%20disk")

    assert reply.status == 200
    assert reply.json() == {"uri": "nbd://a disk"}
    assert reply.headers["content-type"] == "application/json"
    assert door.calls[0][1].region == "us-east-2"


def test_an_action_has_its_members_in_the_body() -> None:
    def answer(context: Context, params: Mapping[str, Any]) -> Mapping[str, Any]:
        return dict(params)

    door = Door(grant=answer)
    granted = {"diskSnapshotName": "ü 雪", "seconds": 60, "tcp": True}
    tags = [{"key": "team", "value": "a b"}, {"key": "keep"}]

    assert door.act("grant", granted).json() == granted
    assert door.act("grant", b"", "Application/JSON; charset=utf-8").json() == {}
    assert door.act("import", {"tags": tags, "place": None}).status == 200
    assert door.calls[-1][2] == {"tags": tags}


def test_operations_are_written_as_those_of_the_api() -> None:
    begun = {
        "id": "1",
        "createdAt": 1795785202712,
        "resourceType": "Disk",
        "operationDetails": "ü\n",
        "isTerminal": True,
        "errorCode": None,
    }
    door = Door(revert=lambda context, params: {"operations": [begun], "keptSnapshotName": None})

    assert door.act("revert", {}).json() == {
        "operations": [
            {
                "id": "1",
                "createdAt": 1795785202.712,
                "resourceType": "Disk",
                "operationDetails": "ü\n",
                "isTerminal": True,
            }
        ],
        "keptSnapshotName": None,
    }


@pytest.mark.parametrize("action", ACTIONS)
def test_what_changes_something_is_never_a_get(action: str) -> None:
    door = Door()
    reply = door.ask(action)

    status, name, message = error_of(reply)
    assert (status, name) == (405, "MethodNotAllowedException")
    assert message == (
        f"{action} changes something, so it must be a POST, with members as a JSON object, "
        "not a GET."
    )
    assert reply.headers["allow"] == "POST"
    assert not door.calls


@pytest.mark.parametrize("question", QUESTIONS)
def test_a_question_is_no_post(question: str) -> None:
    door = Door()
    reply = door.act(question)

    status, _, message = error_of(reply)
    assert status == 405
    assert "only asks, so it must be a GET" in message
    assert reply.headers["allow"] == "GET"
    assert not door.calls


@pytest.mark.parametrize("content_type", FORMS)
@pytest.mark.parametrize("action", ACTIONS)
def test_a_form_of_another_site_does_nothing(action: str, content_type: str) -> None:
    door = Door()
    status, name, message = error_of(door.act(action, b"{}", content_type))

    assert (status, name) == (400, "SerializationException")
    assert message == f"The Content-Type must be application/json, not {content_type!r}."
    assert not door.calls


@pytest.mark.parametrize(
    ("body", "error", "told"),
    [
        (b"[]", "SerializationException", "must be a JSON object"),
        (b"{", "SerializationException", "not valid JSON"),
        (b'{"seconds": "60"}', "SerializationException", "seconds must be a whole number"),
        (b'{"seconds": true}', "SerializationException", "seconds must be a whole number"),
        (b'{"seconds": 1e12}', "SerializationException", "seconds must be -2147483648 to"),
        (b'{"tcp": "true"}', "SerializationException", "tcp must be true or false"),
        (b'{"diskSnapshotName": 1}', "SerializationException", "must be a string"),
        (b'{"diskSnapshotName": "\\ud800"}', "SerializationException", "not valid Unicode"),
        (b'{"second": 60}', "InvalidInputException", "grant has no member second; known: diskSn"),
    ],
)
def test_members_of_an_action_that_do_not_fit(body: bytes, error: str, told: str) -> None:
    door = Door()
    status, name, message = error_of(door.act("grant", body))

    assert (status, name) == (400, error)
    assert told in message
    assert not door.calls


@pytest.mark.parametrize(
    "tags", ["x", {}, [1], ["a"], [{"key": 1}], [None], json.loads("[" * 90 + "]" * 90)]
)
def test_tags_that_are_none(tags: object) -> None:
    door = Door()

    assert error_of(door.act("import", {"tags": tags}))[1] == "SerializationException"
    assert not door.calls


def test_an_action_takes_no_query() -> None:
    door = Door()
    target = f"/mooring/grant?{urlencode({'diskSnapshotName': 'S'})}"
    sent = {"Host": HOST, "Content-Type": "application/json"}
    sent = {**sent, **signature("POST", target, sent, b"{}")}

    assert "takes its members in the body" in error_of(door.send("POST", target, sent, [b"{}"]))[2]
    assert not door.calls


def test_a_member_that_a_question_does_not_have() -> None:
    door = Door()
    message = error_of(door.ask("diff", "diskSnapshotName=S&fromSnapshot=R"))[2]

    assert message == (
        "diff has no member fromSnapshot; known: diskSnapshotName, fromDiskSnapshotName, "
        "startOffset."
    )
    assert error_of(door.ask("status", "all=1"))[2] == "status has no member all; known: none."
    assert not door.calls


def test_only_those_who_signed_are_answered() -> None:
    door = Door()
    json_type = {"Content-Type": "application/json"}

    assert error_of(door.ask("uri", "diskName=d", secret="wrong"))[0] == 400
    for reply in (
        door.send("GET", "/mooring/uri"),
        door.send("POST", "/mooring/grant", json_type, [b"{}"]),
    ):
        assert error_of(reply)[1] == "MissingAuthenticationTokenException"
    assert not door.calls


def test_the_signature_covers_the_members_of_an_action() -> None:
    door = Door()
    sent = {"Host": HOST, "Content-Type": "application/json"}
    sent |= signature("POST", "/mooring/device", sent, b'{"diskName": "mine"}')
    reply = door.send("POST", "/mooring/device", sent, [b'{"diskName": "other"}'])

    assert error_of(reply)[1] == "InvalidSignatureException"
    assert not door.calls


def test_there_are_no_other_requests() -> None:
    for reply in (Door().ask("weather"), Door().act("weather")):
        status, name, message = error_of(reply)
        assert (status, name) == (400, "UnknownOperationException")
        assert message.startswith("Mooring has no request 'weather' of its own; known: uri, ")


def test_a_browser_that_asks_whether_another_site_may_is_not_told_so() -> None:
    asked = {
        "Origin": "https://example.org",
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "content-type",
    }
    reply = Door().send("OPTIONS", "/mooring/grant", asked)

    assert reply.status == 404
    assert not any(name.startswith("access-control") for name in reply.headers)
