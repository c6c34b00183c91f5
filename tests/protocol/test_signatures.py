"""Signatures: ours against botocore's and AWS's own examples."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from urllib.parse import quote, urlsplit

import botocore.auth
import pytest
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mooring.model.errors import InvalidSignatureException
from mooring.protocol import sigv4
from mooring.protocol.verify import Identity, SignedRequest, verify

MOMENT = "20261123T090937Z"
NOW_MS = 1_795_424_977_000
KEY, SECRET = "AKIAMOORINGEXAMPLE77", "s3cr3t/with+signs="
REGION = "us-east-2"
BODY_HEADERS = {
    "Content-Type": "application/x-amz-json-1.1",
    "X-Amz-Target": "Lightsail_20161128.GetDisks",
}
FAST = settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))


@pytest.fixture(autouse=True)
def fixed_time(monkeypatch: pytest.MonkeyPatch) -> None:
    moment = datetime.strptime(MOMENT, "%Y%m%dT%H%M%SZ")  # noqa: DTZ007 - as botocore wants it
    monkeypatch.setattr(botocore.auth, "get_current_datetime", lambda: moment)


def signed_by_botocore(
    method: str, url: str, headers: dict[str, str], body: bytes, token: str | None = None
) -> dict[str, str]:
    """All headers that go over the wire."""
    request = AWSRequest(method, url, headers, body)
    signer = botocore.auth.SigV4Auth(Credentials(KEY, SECRET, token), "lightsail", REGION)
    signer.add_auth(request)
    return {"Host": urlsplit(url).netloc, **dict(request.headers.items())}


def check(method: str, target: str, headers: dict[str, str], body: bytes) -> Identity:
    return verify(
        SignedRequest(method, target, headers.items(), body),
        secret_of={KEY: SECRET}.get,
        regions=[REGION],
        service="lightsail",
        now_ms=NOW_MS,
    )


def signed_by_us(method: str, target: str, headers: dict[str, str], body: bytes) -> Any:
    return sigv4.sign(
        method, target, headers, body, KEY, SECRET, REGION, "lightsail", MOMENT
    )  # fmt: skip


@FAST
@given(
    body=st.binary(max_size=200),
    port=st.integers(1024, 65535),
    token=st.none() | st.text("abc/+=", min_size=1, max_size=9),
)
def test_a_post_is_signed_as_botocore_signs_it(body: bytes, port: int, token: str | None) -> None:
    host = f"127.0.0.1:{port}"
    theirs = signed_by_botocore("POST", f"http://{host}/", BODY_HEADERS, body, token)
    ours = sigv4.sign(
        "POST",
        "/",
        {"Host": host, "User-Agent": "mooring", **BODY_HEADERS},
        body,
        access_key=KEY,
        secret_key=SECRET,
        region=REGION,
        service="lightsail",
        amz_date=MOMENT,
        session_token=token,
    )

    assert {**BODY_HEADERS, "Host": host, **ours} == theirs
    names = "content-type;host;x-amz-date;"
    names += "x-amz-security-token;x-amz-target" if token else "x-amz-target"
    assert f"SignedHeaders={names}," in ours["Authorization"]
    assert check("POST", "/", theirs, body).access_key == KEY


@FAST
@given(members=st.dictionaries(st.text(max_size=6), st.text(max_size=6), max_size=4))
def test_a_query_is_signed_as_botocore_signs_it(members: dict[str, str]) -> None:
    def escape(text: str) -> str:
        return quote(text.encode("utf-8", "replace"), safe="-_.~")

    query = "&".join(f"{escape(name)}={escape(value)}" for name, value in members.items())
    target = f"/mooring/uri?{query}" if query else "/mooring/uri"
    theirs = signed_by_botocore("GET", f"http://localhost{target}", {}, b"")
    ours = signed_by_us("GET", target, {"Host": "localhost"}, b"")

    assert ours["Authorization"] == theirs["Authorization"]
    assert check("GET", target, theirs, b"").region == REGION


@FAST
@given(
    path=st.lists(st.sampled_from(["a", "b c", "%", "é", "..", ".", "", "~", "x:y"]), max_size=5),
    value=st.text(" \tab,", max_size=12),
)
def test_odd_paths_and_blanks_are_verified(path: list[str], value: str) -> None:
    target = "/" + "/".join(quote(segment) for segment in path)
    headers = signed_by_botocore("GET", f"http://localhost{target}", {"X-Amz-Meta": value}, b"")

    assert check("GET", target, headers, b"").access_key == KEY


AWS_KEY = {"AKIDEXAMPLE": "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"}
AWS_MOMENT_MS = 1_440_938_160_000


@pytest.mark.parametrize(
    ("method", "target", "headers", "names", "signature"),
    [
        ("GET", "/", [], "host;x-amz-date",
         "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
        ("POST", "/", [], "host;x-amz-date",
         "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"),
        ("GET", "/?Param2=value2&Param1=value1", [], "host;x-amz-date",
         "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500"),
        ("GET", "/", [("My-Header1", "value2"), ("My-Header1", "value2"), ("My-Header1", "value1")],
         "host;my-header1;x-amz-date",
         "c9d5ea9f3f72853aea855b47ea873832890dbdd183b4468f858259531a5138ea"),
    ],
)  # fmt: skip
def test_aws_own_examples_are_verified(
    method: str, target: str, headers: list[tuple[str, str]], names: str, signature: str
) -> None:
    authorization = (
        "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, "
        f"SignedHeaders={names}, Signature={signature}"
    )
    request = SignedRequest(
        method,
        target,
        [
            ("Host", "example.amazonaws.com"),
            *headers,
            ("X-Amz-Date", "20150830T123600Z"),
            ("Authorization", authorization),
        ],
        b"",
    )
    identity = verify(
        request,
        secret_of=AWS_KEY.get,
        regions=["us-east-1"],
        service="service",
        now_ms=AWS_MOMENT_MS,
    )

    assert (identity.access_key, identity.region) == ("AKIDEXAMPLE", "us-east-1")


def test_header_bytes_that_are_no_utf_8_are_verified_as_sent() -> None:
    odd = b"caf\xe9".decode("utf-8", "surrogateescape")
    headers = {"Host": "localhost", "X-Amz-Meta": odd}
    headers.update(signed_by_us("GET", "/", headers, b""))

    assert check("GET", "/", headers, b"").access_key == KEY


def test_only_the_signed_headers_count() -> None:
    headers = signed_by_botocore("POST", "http://localhost/", BODY_HEADERS, b"{}")
    headers.update({"User-Agent": "changed on the way", "X-Forwarded-For": "192.0.2.1"})

    assert check("POST", "/", headers, b"{}").access_key == KEY


@pytest.mark.parametrize("path", ["//", "/a//b/", "/a%20b", "/a/../b", "/a:b"])
@pytest.mark.parametrize("path_as_sent", [False, True])
def test_an_odd_path_may_be_signed_as_it_is_sent(path: str, path_as_sent: bool) -> None:
    """As curl 7.88 does; others normalize it first."""

    def signed(signed_path: str) -> dict[str, str]:
        headers = [("host", "localhost"), ("x-amz-date", MOMENT)]
        scope = ["20261123", REGION, "lightsail", "aws4_request"]
        empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        canonical = sigv4.canonical_request(
            "POST", signed_path, headers, empty, path_as_sent=path_as_sent
        )
        authorization = (
            f"AWS4-HMAC-SHA256 Credential={KEY}/{'/'.join(scope)}, "
            f"SignedHeaders=host;x-amz-date, "
            f"Signature={sigv4.signature(SECRET, scope, MOMENT, canonical)}"
        )
        return {"Host": "localhost", "X-Amz-Date": MOMENT, "Authorization": authorization}

    assert check("POST", path, signed(path), b"").access_key == KEY
    with pytest.raises(InvalidSignatureException):
        check("POST", path, signed(f"{path}/other"), b"")


def test_the_date_header_will_do() -> None:
    target, scope = "/", ["20261123", REGION, "lightsail", "aws4_request"]
    headers = {"Host": "localhost", "Date": "Mon, 23 Nov 2026 09:09:37 GMT"}
    signed = [("date", headers["Date"]), ("host", "localhost")]
    empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    canonical = sigv4.canonical_request("GET", target, signed, empty)
    headers["Authorization"] = (
        f"AWS4-HMAC-SHA256 Credential={KEY}/{'/'.join(scope)}, SignedHeaders=date;host, "
        f"Signature={sigv4.signature(SECRET, scope, MOMENT, canonical)}"
    )

    assert check("GET", target, headers, b"").access_key == KEY
