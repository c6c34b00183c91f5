"""Every operation between botocore and us, in both directions."""

from __future__ import annotations

import json
from typing import Any

import pytest
from botocore.parsers import create_parser
from botocore.serialize import create_serializer
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mooring.protocol.parse import parse_request
from mooring.protocol.serialize import Settled, serialize_result
from tests.protocol.botocore_peer import OPERATIONS, OURS, as_ours, operation_model, values

EXAMPLES = settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))


@pytest.mark.parametrize("operation", OPERATIONS)
@EXAMPLES
@given(data=st.data())
def test_we_read_what_botocore_writes(operation: str, data: st.DataObject) -> None:
    model = operation_model(operation)
    given_input = data.draw(values(model.input_shape))
    sent = create_serializer("json").serialize_to_request(given_input, model)

    assert sent["headers"]["X-Amz-Target"] == f"{OURS.target_prefix}.{operation}"
    assert parse_request(OURS, operation, sent["body"]) == given_input


@pytest.mark.parametrize("operation", OPERATIONS)
@EXAMPLES
@given(data=st.data())
def test_botocore_reads_what_we_write(operation: str, data: st.DataObject) -> None:
    shape = operation_model(operation).output_shape
    result = data.draw(values(shape))
    reply = {"status_code": 200, "headers": {}, "body": serialize_result(OURS, operation, result)}
    read = create_parser("json").parse(reply, shape)
    read.pop("ResponseMetadata")

    assert as_ours(shape, read) == result


def test_members_come_in_the_models_order_and_none_is_left_out() -> None:
    disk = {"state": "available", "arn": None, "name": "d", "createdAt": 1569625129739}
    body = serialize_result(OURS, "GetDisk", {"disk": disk})

    assert body == b'{"disk":{"name":"d","createdAt":1569625129.739,"state":"available"}}'


@pytest.mark.parametrize(
    ("milliseconds", "written"),
    [(1569625129739, "1569625129.739"), (1569625129000, "1569625129.0"), (1, "0.001"), (0, "0.0")],
)
def test_times_are_written_as_seconds_with_a_fraction(milliseconds: int, written: str) -> None:
    body = serialize_result(OURS, "GetDisk", {"disk": {"createdAt": milliseconds}})

    assert body == f'{{"disk":{{"createdAt":{written}}}}}'.encode()


@pytest.mark.parametrize("result", [{"disc": {}}, {"disk": {"colour": "red"}}])
def test_a_member_that_the_model_does_not_have_is_a_fault(result: dict[str, Any]) -> None:
    with pytest.raises(KeyError, match="has no member"):
        serialize_result(OURS, "GetDisk", result)


def test_what_is_settled_is_written_like_anything_else_each_time() -> None:
    disk = {"name": "d", "createdAt": 1000, "tags": [{"key": "k", "value": 'a "quoted" one'}]}
    settled = Settled(disk)

    wanted = serialize_result(OURS, "GetDisks", {"disks": [disk, disk], "nextPageToken": "next"})
    for _ in range(2):
        page = {"disks": [settled, settled], "nextPageToken": "next"}
        assert serialize_result(OURS, "GetDisks", page) == wanted
    assert serialize_result(OURS, "GetDisk", {"disk": settled}) == (
        serialize_result(OURS, "GetDisk", {"disk": disk})
    )
    assert settled == disk


def test_what_is_settled_is_written_by_the_shape_that_it_has_now() -> None:
    settled = Settled({"name": "d", "sizeInGb": 8})
    serialize_result(OURS, "GetDisk", {"disk": settled})

    assert serialize_result(OURS, "GetDiskSnapshot", {"diskSnapshot": settled}) == (
        b'{"diskSnapshot":{"name":"d","sizeInGb":8}}'
    )


def test_text_of_all_languages_goes_over_the_wire_as_utf_8() -> None:
    body = serialize_result(OURS, "GetDisk", {"disk": {"name": "größe-🚤"}})

    assert json.loads(body.decode("utf-8"))["disk"]["name"] == "größe-🚤"
