"""Odd headers and queries get modelled answers, never internal errors."""

from __future__ import annotations

import random

import pytest

from tests.api.door import HOST, Door, signed

DATES = [
    "Mon, 01 Jan 99999999999999 00:00:00 GMT",
    "Mon, 01 Jan 2026 99:99:9999999999999 GMT",
    "99:99:9999999999999",
    "Mon, 99 Jan 2026 00:00:00 GMT",
    "Mon, 01 Jan 2026 00:00:00 +99999999999999",
    "Mon, 01 Jan " + "9" * 5000 + " 00:00:00 GMT",
    "Mon, 01 Jan -1 00:00:00 GMT",
    "99999999T999999Z",
    "00000000T000000Z",
    "\udcff",
    "\x00",
    ",",
    "",
]
ODD = [*DATES, "AWS4-HMAC-SHA256", "=" * 100, "/" * 100, "9" * 5000, "-1", "١٢", "%", "%zz", "é"]
HEADERS = (
    "Date",
    "X-Amz-Date",
    "Authorization",
    "Content-Length",
    "Content-Type",
    "X-Amz-Target",
    "X-Amz-Content-Sha256",
    "amz-sdk-invocation-id",
    "Host",
    "Transfer-Encoding",
)
UNSIGNED = "AWS4-HMAC-SHA256 Credential=A/20261123/us-east-2/lightsail/aws4_request, "
UNSIGNED += "SignedHeaders=host, Signature=ab"


def sendable(text: str) -> str:
    """As the bytes of a header, one character each."""
    return text.encode("utf-8", "surrogateescape").decode("latin-1")


@pytest.mark.parametrize("date", DATES)
def test_odd_dates_are_refused(date: str) -> None:
    sent = {"Host": HOST, "Date": sendable(date), "Authorization": UNSIGNED}
    sent |= {"Content-Type": "application/x-amz-json-1.1"}
    sent |= {"X-Amz-Target": "Lightsail_20161128.GetDisks"}
    answer = Door().send("POST", "/", sent, [b"{}"])

    assert answer.status == 400, answer.text


@pytest.mark.parametrize("header", HEADERS)
def test_odd_headers_are_refused_or_ignored(header: str) -> None:
    door = Door()
    for value in ODD:
        for base in (signed("GetDisks", b"{}", None), {"Host": HOST, "Authorization": UNSIGNED}):
            answer = door.send("POST", "/", {**base, header: sendable(value)}, [b"{}"])
            assert answer.status < 500, (header, value, answer.text)


def test_random_authorizations_are_refused() -> None:
    door, chance = Door(), random.Random(7)
    pieces = ["Credential=", "Signature=", "SignedHeaders=", "host", ";", "/", ",", " ", "\x85"]
    pieces += ["AWS4-HMAC-SHA256", "AWS4-", "aws4_request", "us-east-2", "20261123", "é", "=", ""]
    for _ in range(300):
        value = "AWS4-" + "".join(chance.choices(pieces, k=chance.randrange(30)))
        sent = {"Host": HOST, "X-Amz-Date": "20261123T090937Z", "Authorization": sendable(value)}
        answer = door.send("POST", "/", sent, [b"{}"])
        assert 400 <= answer.status < 500, (value, answer.text)


@pytest.mark.parametrize(
    "query",
    [
        *("%", "%zz=%", "=", "&&", "a=%ff", "a=\x85", "X-Amz-Algorithm=1"),
        *("tags=" + "[" * 50_000, "tags=" + "9" * 5000, "tags=[{}]", "tags=NaN"),
    ],
)
def test_odd_queries_are_refused(query: str) -> None:
    answer = Door().send("GET", f"/mooring/uri?{query}", {"Host": HOST, "Authorization": UNSIGNED})

    assert 400 <= answer.status < 500, answer.text
