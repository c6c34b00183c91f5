"""Page tokens: what was given out comes back, and nothing else is taken."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mooring.model.errors import InvalidInputException
from mooring.service.answers import pages


@given(st.integers(0, 10**18 - 1))
def test_numbers_come_back(position: int) -> None:
    assert pages.read_number(pages.token(position)) == position


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1))
def test_texts_come_back(position: str) -> None:
    assert pages.read_text(pages.token(position)) == position


def test_the_first_page_and_the_last_have_none() -> None:
    assert pages.token(None) is None
    assert pages.read_number(None) is None
    assert pages.read_text(None) is None
    assert pages.read_number("") is None, "loops that begin with an empty token"
    assert pages.read_text("") is None


@given(st.text(min_size=1, max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    for read in (pages.read_text, pages.read_number):
        try:
            found = read(text)
        except InvalidInputException:
            continue
        assert found is not None
        assert pages.read_text(pages.token(found)) == str(found)


@pytest.mark.parametrize(
    "position", ["-1", "1.5", "1e3", " 1", "\u0661", "9" * 19, "0x1", "1\n", "\0"]
)
def test_numbers_that_were_not_given_out(position: str) -> None:
    with pytest.raises(InvalidInputException):
        pages.read_number(pages.token(position))


def test_a_text_that_no_database_takes() -> None:
    with pytest.raises(InvalidInputException):
        pages.read_text(pages.token("a\0b"))
