"""The rules of names, tags and sizes, tried with whatever text there is."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mooring.model.errors import InvalidInputException
from mooring.model.names import MAX_NAME_LENGTH, check_name, name_taken, shown
from mooring.model.sizes import MAX_DISK_GB, MIN_DISK_GB, check_disk_size, iops, size_in_bytes
from mooring.model.tags import MAX_TAGS, check_count, read_tags

ENDS = string.ascii_letters + string.digits
INNER = ENDS + "._-"
VALID_NAMES = st.builds(
    lambda first, inner, last: first + inner + last,
    st.sampled_from(ENDS),
    st.text(INNER, max_size=MAX_NAME_LENGTH - 2),
    st.sampled_from(ENDS),
)


def is_name(text: str) -> bool:
    """The rule, said a second time and without a pattern."""
    return (
        2 <= len(text) <= MAX_NAME_LENGTH
        and text[0] in ENDS
        and text[-1] in ENDS
        and all(letter in INNER for letter in text)
    )


def refused(text: str) -> str:
    with pytest.raises(InvalidInputException) as caught:
        check_name(text)
    assert caught.value.code == "InvalidParams"
    return caught.value.message


@given(VALID_NAMES)
def test_names_of_the_rule_are_taken(name: str) -> None:
    assert check_name(name) == name


@given(st.text() | st.text(INNER + "/\n ", max_size=300))
def test_no_other_names_are_taken(text: str) -> None:
    if is_name(text):
        assert check_name(text) == text
    else:
        assert len(refused(text)) < 500


@given(VALID_NAMES, st.integers(0, MAX_NAME_LENGTH), st.characters(exclude_characters=INNER))
def test_one_wrong_letter_is_enough(name: str, place: int, letter: str) -> None:
    refused(name[:place] + letter + name[place + 1 :])


@given(VALID_NAMES)
def test_no_name_leaves_its_directory(name: str) -> None:
    assert "/" not in name
    assert check_name(name) not in {".", ".."}


@pytest.mark.parametrize("text", ["ab\n", "a\x00b", "аb", "a١", "ﬁ", "a\u200bb", "ab."])  # noqa: RUF001
def test_letters_that_look_alike_are_not_taken(text: str) -> None:
    refused(text)


def test_the_words_of_the_real_service() -> None:
    assert refused("custom gitlab") == (
        "custom gitlab is not a valid resource name. Resource names must be at least 2 characters "
        "long and contain only alphanumerics, -, _, and ."
    )
    taken = name_taken(["one", "two"])
    assert (taken.code, taken.message) == (
        "NameExists",
        "Some names are already in use: one, two",
    )


@given(st.text(max_size=1000))
def test_what_is_shown_is_short_and_begins_alike(text: str) -> None:
    assert len(shown(text)) <= MAX_NAME_LENGTH
    assert text.startswith(shown(text).removesuffix("...")[:40])
    assert shown(text) == text or len(text) > MAX_NAME_LENGTH


# --- sizes


@given(st.integers())
def test_sizes(size: int) -> None:
    if MIN_DISK_GB <= size <= MAX_DISK_GB:
        assert check_disk_size(size) == size
        assert size_in_bytes(size) == size * 2**30
        assert iops(size) >= 100
        return
    with pytest.raises(InvalidInputException) as caught:
        check_disk_size(size)
    assert caught.value.message == (
        "The size of a block storage disk must be between 8 and 16384 GB."
    )


@pytest.mark.parametrize(("size", "wanted"), [(8, 100), (33, 100), (34, 102), (80, 240)])
def test_iops_are_those_of_the_services_examples(size: int, wanted: int) -> None:
    assert iops(size) == wanted


# --- tags

KEYS = st.text("abcABC019 +-=._:/@äж中", min_size=1, max_size=128).filter(
    lambda key: not key.lower().startswith("aws:")
)
VALUES = st.none() | st.text("abcABC019 +-=._:/@äж中", max_size=256)


@given(st.dictionaries(KEYS, VALUES, max_size=MAX_TAGS))
def test_tags_of_the_rule_are_taken(tags: dict[str, str | None]) -> None:
    items = [
        {"key": key} if value is None else {"key": key, "value": value}
        for key, value in tags.items()
    ]

    assert read_tags(items) == tags


@given(st.text(max_size=140), st.none() | st.text(max_size=270))
def test_tags_are_taken_whole_or_refused(key: str, value: str | None) -> None:
    try:
        found = read_tags([{"key": key, "value": value}])
    except InvalidInputException:
        return
    assert found == {key: value}
    assert 1 <= len(key) <= 128
    assert len(value or "") <= 256
    assert not set(key + (value or "")) & set(string.whitespace.replace(" ", ""))


@pytest.mark.parametrize("letter", [*"\t\n\r\v\f\0*<>&\"'\\,;!?#$%^(){}[]|~`", "\x1c", "\x85"])
def test_letters_that_no_tag_has(letter: str) -> None:
    for item in ({"key": f"a{letter}b"}, {"key": "k", "value": f"a{letter}b"}):
        with pytest.raises(InvalidInputException, match="may contain only"):
            read_tags([item])


@pytest.mark.parametrize("key", ["aws:", "aws:name", "AWS:name", "Aws:x"])
def test_keys_that_are_reserved(key: str) -> None:
    with pytest.raises(InvalidInputException, match="reserved"):
        read_tags([{"key": key}])


def test_the_last_of_equal_keys_wins_and_keys_mind_their_case() -> None:
    items = [{"key": "k", "value": "1"}, {"key": "K", "value": "2"}, {"key": "k", "value": "3"}]

    assert read_tags(items) == {"k": "3", "K": "2"}


def test_how_many_tags() -> None:
    full: dict[str, str | None] = {f"k{number}": None for number in range(MAX_TAGS)}

    assert check_count(full) == full
    with pytest.raises(InvalidInputException, match="at most 50 tags; this makes 51"):
        check_count({**full, "one more": None})
