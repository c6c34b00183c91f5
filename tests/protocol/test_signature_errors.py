"""Each way in which a signature is refused, and the order of the checks."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import pytest

from mooring.model.errors import (
    IncompleteSignatureException,
    InvalidSignatureException,
    MissingAuthenticationTokenException,
    ServiceError,
    UnrecognizedClientException,
)
from mooring.protocol import sigv4
from mooring.protocol.verify import SignedRequest, verify

MOMENT = "20261123T090937Z"
NOW_MS = 1_795_424_977_000
KEY, SECRET = "AKIAMOORINGEXAMPLE77", "s3cr3t"
SCOPE = f"{KEY}/20261123/us-east-2/lightsail/aws4_request"
MISMATCH = (
    "The request signature we calculated does not match the signature you provided. Check your "
    "AWS Secret Access Key and signing method. Consult the service documentation for details."
)


class Attempt:
    """A request that would be let in, to be spoilt."""

    def __init__(self) -> None:
        self.target = "/"
        self.body = b"{}"
        self.now_ms = NOW_MS
        self.headers = {
            "Host": "localhost:8470",
            "Content-Type": "application/x-amz-json-1.1",
            "X-Amz-Target": "Lightsail_20161128.GetDisks",
        }
        self.sign()

    def sign(self, secret: str = SECRET, key: str = KEY, moment: str = MOMENT) -> None:
        self.headers.update(
            sigv4.sign(
                "POST", "/", self.headers, self.body, key, secret, "us-east-2", "lightsail", moment
            )
        )

    def replace(self, old: str, new: str) -> None:
        assert old in self.headers["Authorization"]
        self.headers["Authorization"] = self.headers["Authorization"].replace(old, new)

    def make(self) -> str:
        identity = verify(
            SignedRequest("POST", self.target, self.headers.items(), self.body),
            secret_of={KEY: SECRET}.get,
            regions=["us-east-2", "us-west-2"],
            service="lightsail",
            now_ms=self.now_ms,
        )
        return identity.access_key

    def fail(self) -> ServiceError:
        with pytest.raises(ServiceError) as caught:
            self.make()
        return caught.value


@pytest.fixture
def attempt() -> Attempt:
    return Attempt()


def expect(
    attempt: Attempt, error: type[ServiceError], message: str | Callable[[str], str]
) -> None:
    caught = attempt.fail()
    assert type(caught) is error
    assert caught.message == message
    assert caught.status == 400


def test_the_request_is_good_as_it_is(attempt: Attempt) -> None:
    assert attempt.make() == KEY


def test_no_signature(attempt: Attempt) -> None:
    del attempt.headers["Authorization"]

    expect(attempt, MissingAuthenticationTokenException, "Missing Authentication Token")


@pytest.mark.parametrize("other", ["Basic bW9vcmluZw==", "", "AWS key:signature"])
def test_another_kind_of_signature(attempt: Attempt, other: str) -> None:
    attempt.headers["Authorization"] = other

    expect(attempt, MissingAuthenticationTokenException, "Missing Authentication Token")


def test_signatures_in_header_and_query(attempt: Attempt) -> None:
    attempt.target = "/?X-Amz-Algorithm=AWS4-HMAC-SHA256"

    expect(
        attempt,
        InvalidSignatureException,
        "Found both 'X-Amz-Algorithm' as a query-string param and 'Authorization' as HTTP header.",
    )


def test_signature_in_the_query_lacks_parts(attempt: Attempt) -> None:
    attempt.target = "/?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Date=20261123T090937Z"
    del attempt.headers["Authorization"]

    expect(
        attempt,
        IncompleteSignatureException,
        "AWS query-string parameters must include 'X-Amz-Credential'. "
        "AWS query-string parameters must include 'X-Amz-Signature'. "
        "AWS query-string parameters must include 'X-Amz-SignedHeaders'. "
        "Re-examine the query-string parameters.",
    )


def test_signature_in_the_query(attempt: Attempt) -> None:
    names = ("Algorithm", "Credential", "Signature", "SignedHeaders", "Date")
    attempt.target = "/?" + "&".join(f"X-Amz-{name}=x" for name in names)
    del attempt.headers["Authorization"]

    expect(
        attempt,
        InvalidSignatureException,
        "Signatures in the query string are not served here: sign the Authorization header.",
    )


def test_header_without_any_part(attempt: Attempt) -> None:
    attempt.headers["Authorization"] = "AWS4-HMAC-SHA256 nothing"
    del attempt.headers["X-Amz-Date"]

    expect(
        attempt,
        IncompleteSignatureException,
        "Authorization header requires 'Credential' parameter. "
        "Authorization header requires 'Signature' parameter. "
        "Authorization header requires 'SignedHeaders' parameter. "
        "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header. "
        "Authorization=AWS4-HMAC-SHA256 nothing",
    )


@pytest.mark.parametrize(
    "date", ["201", "20261123T090937", "20261323T090937Z", "00000101T000000Z", "٢0261123T090937Z"]
)
def test_dates_of_another_format(attempt: Attempt, date: str) -> None:
    attempt.headers["X-Amz-Date"] = date

    expect(
        attempt,
        IncompleteSignatureException,
        f"Date must be in ISO-8601 'basic format'. Got '{date}'. "
        "See http://en.wikipedia.org/wiki/ISO_8601",
    )


@pytest.mark.parametrize("date", ["yesterday", "Mon, 99 Nov 2026 09:09:37 GMT"])
def test_dates_of_no_format(attempt: Attempt, date: str) -> None:
    del attempt.headers["X-Amz-Date"]
    attempt.headers["Date"] = date

    assert attempt.fail().message.startswith("Date must be in ISO-8601 'basic format'. Got '")


def test_too_late(attempt: Attempt) -> None:
    attempt.now_ms = NOW_MS + 15 * 60 * 1000 + 1000

    expect(
        attempt,
        InvalidSignatureException,
        "Signature expired: 20261123T090937Z is now earlier than 20261123T090938Z "
        "(20261123T092438Z - 15 min.)",
    )


def test_too_early(attempt: Attempt) -> None:
    attempt.now_ms = NOW_MS - 15 * 60 * 1000 - 1000

    expect(
        attempt,
        InvalidSignatureException,
        "Signature not yet current: 20261123T090937Z is still later than 20261123T090936Z "
        "(20261123T085436Z + 15 min.)",
    )


@pytest.mark.parametrize("minutes", [-15, 15])
def test_just_in_time(attempt: Attempt, minutes: int) -> None:
    attempt.now_ms = NOW_MS + minutes * 60 * 1000

    assert attempt.make() == KEY


def test_the_host_is_not_signed(attempt: Attempt) -> None:
    attempt.replace("content-type;host;", "content-type;")

    expect(
        attempt,
        InvalidSignatureException,
        "'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization.",
    )


def test_the_target_is_not_signed(attempt: Attempt) -> None:
    attempt.replace(";x-amz-target", "")

    expect(
        attempt,
        InvalidSignatureException,
        "'X-Amz-Target' must be a 'SignedHeader' in the AWS Authorization.",
    )


def test_another_algorithm(attempt: Attempt) -> None:
    attempt.replace("AWS4-HMAC-SHA256", "AWS4-HMAC-SHA25")

    expect(
        attempt,
        IncompleteSignatureException,
        "Unsupported AWS 'algorithm': 'AWS4-HMAC-SHA25' (only AWS4-HMAC-SHA256 for now). ",
    )


def test_a_scope_of_another_form(attempt: Attempt) -> None:
    attempt.replace(SCOPE, "a/b/c/d")

    expect(
        attempt,
        IncompleteSignatureException,
        "Credential must have exactly 5 slash-delimited elements, e.g. "
        "keyid/date/region/service/term, got 'a/b/c/d'",
    )


def test_a_scope_of_which_nothing_is_right(attempt: Attempt) -> None:
    attempt.replace(SCOPE, "a/b/c/d/e")

    expect(
        attempt,
        InvalidSignatureException,
        "Credential should be scoped to a valid region, not 'c'. "
        "Regions served here: us-east-2, us-west-2. "
        "Credential should be scoped to correct service: 'lightsail'. "
        "Credential should be scoped with a valid terminator: 'aws4_request', not 'e'. "
        "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from "
        "HTTP: 'b' != '20261123', from '20261123T090937Z'.",
    )


def test_an_unknown_key(attempt: Attempt) -> None:
    attempt.sign(key="AKIAUNKNOWN")

    expect(
        attempt,
        UnrecognizedClientException,
        "The security token included in the request is invalid.",
    )


def test_an_unknown_key_with_an_empty_secret_is_still_unknown(attempt: Attempt) -> None:
    attempt.sign(key="AKIAUNKNOWN", secret="")

    assert type(attempt.fail()) is UnrecognizedClientException


def test_a_wrong_secret(attempt: Attempt) -> None:
    attempt.sign(secret="wrong")

    expect(attempt, InvalidSignatureException, MISMATCH)


def test_a_signature_that_is_not_ascii(attempt: Attempt) -> None:
    signature = attempt.headers["Authorization"].rpartition("Signature=")[2]
    attempt.replace(signature, b"\xe9\xff".decode("utf-8", "surrogateescape"))

    expect(attempt, InvalidSignatureException, MISMATCH)


@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("X-Amz-Target", "Lightsail_20161128.DeleteDisk"),
        ("Host", "elsewhere"),
        ("Content-Type", "text/plain"),
        ("X-Amz-Date", "20261123T090938Z"),
    ],
)
def test_a_signed_header_was_changed(attempt: Attempt, header: str, value: str) -> None:
    attempt.headers[header] = value

    expect(attempt, InvalidSignatureException, MISMATCH)


def test_the_body_was_changed(attempt: Attempt) -> None:
    attempt.body = b'{"pageToken": "x"}'

    expect(attempt, InvalidSignatureException, MISMATCH)


def test_the_path_was_changed(attempt: Attempt) -> None:
    attempt.target = "/mooring/uri"

    expect(attempt, InvalidSignatureException, MISMATCH)


@pytest.mark.parametrize("stated", ["UNSIGNED-PAYLOAD", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD", "é"])
def test_the_body_is_not_what_its_hash_says(attempt: Attempt, stated: str) -> None:
    attempt.headers["X-Amz-Content-SHA256"] = stated
    attempt.sign()

    digest = hashlib.sha256(b"{}").hexdigest()
    expect(
        attempt,
        InvalidSignatureException,
        f"The header x-amz-content-sha256 must be the SHA-256 of the body, {digest}, "
        f"but is '{stated}'.",
    )


def test_the_body_is_what_its_hash_says(attempt: Attempt) -> None:
    attempt.headers["X-Amz-Content-SHA256"] = hashlib.sha256(b"{}").hexdigest()
    attempt.sign()

    assert attempt.make() == KEY


SPOILERS: list[Callable[[Attempt], object]] = [
    lambda attempt: attempt.headers.pop("Authorization"),
    lambda attempt: attempt.replace("Signature=", "Signed="),
    lambda attempt: attempt.headers.update({"X-Amz-Date": "201"}),
    lambda attempt: setattr(attempt, "now_ms", 0),
    lambda attempt: attempt.replace("content-type;host;", ""),
    lambda attempt: attempt.replace("AWS4-HMAC-SHA256", "AWS4-X"),
    lambda attempt: attempt.replace("aws4_request", "aws4/request"),
    lambda attempt: attempt.replace("/us-east-2/", "/mars/"),
    lambda attempt: attempt.replace(KEY, "AKIAUNKNOWN"),
    lambda attempt: setattr(attempt, "body", b"changed"),
]


@pytest.mark.parametrize("first", range(len(SPOILERS) - 1))
def test_of_two_faults_the_first_is_told(first: int) -> None:
    alone, both = Attempt(), Attempt()
    # What needs the header goes wrong before the header is taken away.
    SPOILERS[first + 1](both)
    SPOILERS[first](alone)
    SPOILERS[first](both)

    assert type(both.fail()) is type(alone.fail())
    assert both.fail().message[:40] == alone.fail().message[:40]
