"""NBD URIs, both ways."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mooring.model.errors import NbdError
from mooring.nbd.uri import NbdUri, parse_uri


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("nbd://host:123/data", NbdUri("data", host="host", port=123)),
        ("nbd://host", NbdUri("", host="host")),
        ("nbd://[::1]:5/d", NbdUri("d", host="::1", port=5)),
        ("nbds://host/d", NbdUri("d", host="host", tls=True)),
        ("nbd+unix:///d?socket=/run/x", NbdUri("d", socket="/run/x")),
        ("nbd+unix://?socket=/run/x", NbdUri("", socket="/run/x")),
        ("nbds+unix:///a%2Fb%20c?socket=/r%20un", NbdUri("a/b c", socket="/r un", tls=True)),
    ],
)
def test_parses_what_the_standard_shows(text: str, place: NbdUri) -> None:
    assert parse_uri(text) == place
    assert parse_uri(str(place)) == place


@pytest.mark.parametrize(
    "text",
    [
        "http://host/", "nbd+unix:///d", "nbd+unix:///d?socket=", "nbd://host:port/", "",
        "nbd+unix:///d?socket=/a&socket=/b", "nbd+unix:///d?socket=/" + 107 * "a",
    ],
)  # fmt: skip
def test_refuses_what_is_none(text: str) -> None:
    with pytest.raises(NbdError, match=r"NBD URI|socket"):
        parse_uri(text)


names = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20)


@given(names, names.map(lambda path: "/" + path))
def test_any_export_and_socket_survive(export: str, path: str) -> None:
    place = NbdUri(export, socket=path)

    assert parse_uri(str(place)) == place


@given(st.text())
def test_nothing_but_nbd_errors_comes_out(text: str) -> None:
    with suppress(NbdError):
        parse_uri(text)
