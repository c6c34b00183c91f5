"""What a body may be, and what not."""

from __future__ import annotations

import pytest

from mooring.model.errors import SerializationException
from mooring.protocol.parse import parse_request
from tests.protocol.botocore_peer import OURS


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"{", "not valid JSON: Expecting property name"),
        (b"{} {}", "not valid JSON: Extra data"),
        (b'{"diskName": "\xff"}', "not valid JSON."),
        ('{"diskName": "d"}'.encode("utf-16"), "not valid JSON."),
        (b"\xef\xbb\xbf{}", "not valid JSON"),
        (b'{"sizeInGb": NaN}', "not valid JSON."),
        (b'{"sizeInGb": -Infinity}', "not valid JSON."),
        (b'{"sizeInGb": ' + b"9" * 5000 + b"}", "not valid JSON."),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"x": ' * 100_000, "nested too deeply"),
        (b"[]", "must be a JSON object"),
        (b"null", "must be a JSON object"),
        (b'"text"', "must be a JSON object"),
        (b'{"diskName": 7}', "diskName must be a string"),
        (b'{"diskName": true}', "diskName must be a string"),
        (b'{"diskName": ["d"]}', "diskName must be a string"),
        (b'{"diskName": "\\ud800"}', "diskName is not valid Unicode"),
        (b'{"sizeInGb": "8"}', "sizeInGb must be a whole number"),
        (b'{"sizeInGb": true}', "sizeInGb must be a whole number"),
        (b'{"sizeInGb": 8.5}', "sizeInGb must be a whole number"),
        (b'{"sizeInGb": 1e999}', "sizeInGb must be a whole number"),
        (b'{"sizeInGb": 2147483648}', "sizeInGb must be -2147483648 to 2147483647"),
        (b'{"sizeInGb": -2147483649}', "sizeInGb must be -2147483648 to 2147483647"),
        (b'{"tags": {"key": "k"}}', "tags must be a list"),
        (b'{"tags": [["k"]]}', r"tags\[0\] must be an object"),
        (b'{"tags": [null]}', r"tags\[0\] must not be null"),
        (b'{"tags": [{"key": "k"}, {"key": 1}]}', r"tags\[1\]\.key must be a string"),
    ],
)
def test_what_does_not_fit_is_refused(body: bytes, message: str) -> None:
    with pytest.raises(SerializationException, match=message):
        parse_request(OURS, "CreateDisk", body)


@pytest.mark.parametrize(
    ("body", "parsed"),
    [
        (b"", {}),
        (b"{}", {}),
        (b'{"diskName": null, "tags": null}', {}),
        (b'{"colour": {"deep": [1, null, {}]}, "sizeInGb": 8}', {"sizeInGb": 8}),
        (b'{"sizeInGb": 8.0}', {"sizeInGb": 8}),
        (b'{"tags": [{"key": "k", "value": null}]}', {"tags": [{"key": "k"}]}),
        (b'{"diskName": "a", "diskName": "b"}', {"diskName": "b"}),
        ('{"diskName": "größe"}'.encode(), {"diskName": "größe"}),
    ],
)
def test_what_fits_is_read(body: bytes, parsed: dict[str, object]) -> None:
    assert parse_request(OURS, "CreateDisk", body) == parsed


def test_a_size_that_was_written_with_a_fraction_is_a_whole_number() -> None:
    size = parse_request(OURS, "CreateDisk", b'{"sizeInGb": 8.0}')["sizeInGb"]

    assert isinstance(size, int)


def test_booleans_are_true_or_false_and_nothing_else() -> None:
    assert parse_request(OURS, "GetBundles", b'{"includeInactive": false}') == {
        "includeInactive": False
    }
    with pytest.raises(SerializationException, match="includeInactive must be true or false"):
        parse_request(OURS, "GetBundles", b'{"includeInactive": 1}')


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("tcp", "tcp"),
        ("TCP", "tcp"),
        ("Udp", "udp"),
        ("ALL", "all"),
        ("-1", "all"),
        ("ICMP", "icmp"),
        ("ICMPv6", "icmpv6"),
        ("SCTP", "SCTP"),
        ("", ""),
    ],
)
def test_protocols_are_taken_in_any_case(written: str, meant: str) -> None:
    """AWS's examples write TCP, though the model has tcp; the real service answers -1."""
    port = f'{{"fromPort": 22, "toPort": 22, "protocol": "{written}"}}'
    for operation, member, text in (
        ("OpenInstancePublicPorts", "portInfo", port),
        ("CloseInstancePublicPorts", "portInfo", port),
        ("PutInstancePublicPorts", "portInfos", f"[{port}]"),
    ):
        body = f'{{"instanceName": "i", "{member}": {text}}}'
        parsed = parse_request(OURS, operation, body.encode())[member]
        assert (parsed if isinstance(parsed, dict) else parsed[0])["protocol"] == meant
