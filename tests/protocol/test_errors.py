"""Errors as clients see them."""

from __future__ import annotations

import json

import pytest
from botocore.parsers import create_parser

from mooring.model import errors
from mooring.model.errors import ServiceError
from mooring.protocol.serialize import serialize_error
from tests.protocol.botocore_peer import OURS, operation_model

ALL = [
    error
    for error in vars(errors).values()
    if isinstance(error, type)
    and issubclass(error, ServiceError)
    # One is for servers among themselves, and clients are told of its parent.
    and error not in (ServiceError, errors.HostElsewhereException)
]
MODELLED = {name for operation in OURS.operations.values() for name in operation.errors}


@pytest.mark.parametrize("error", ALL, ids=lambda error: error.__name__)
def test_botocore_reads_type_and_message(error: type[ServiceError]) -> None:
    status, headers, body = serialize_error(OURS, error('disk "d" is größer'))
    shape = operation_model("CreateDisk").output_shape
    reply = {"status_code": status, "headers": headers, "body": body}
    read = create_parser("json").parse(reply, shape)

    assert read["Error"]["Code"] == error.__name__ == headers["x-amzn-ErrorType"]
    assert read["Error"]["Message"] == 'disk "d" is größer'
    assert status >= 400


@pytest.mark.parametrize("error", ALL, ids=lambda error: error.__name__)
def test_code_comes_before_type_and_nothing_is_null(error: type[ServiceError]) -> None:
    members = list(json.loads(serialize_error(OURS, error("m"))[2]).items())

    if error.__name__ in MODELLED:
        assert members == [("code", error.code), ("__type", error.__name__), ("message", "m")]
    else:
        assert members == [("__type", error.__name__), ("message", "m")]


def test_an_errors_own_code_is_told() -> None:
    error = errors.InvalidInputException("Some names are already in use: d", "NameExists")
    status, _, body = serialize_error(OURS, error)

    assert status == 400
    assert json.loads(body)["code"] == "NameExists"


def test_a_fault_of_the_server_is_told_as_one() -> None:
    status, _, body = serialize_error(OURS, errors.ServiceException("m"))

    assert status == 500
    assert json.loads(body)["code"] == "InternalFailure"


def test_bytes_that_came_in_as_surrogates_can_be_told() -> None:
    odd = b"\xff".decode("utf-8", "surrogateescape")
    body = serialize_error(OURS, errors.InvalidSignatureException(f"not '{odd}'"))[2]

    assert body.decode("ascii")
