"""The shorthand syntax of option values: key=value,key=[a,b],key={k=v}."""

from __future__ import annotations

import re
import string

from mooring.cli.input import paramfile

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from mooring.protocol.service_model import ServiceModel, Shape

# A bare word may hold any character up to U+FFFF but those that have a meaning where it stands.
# What may start it is narrower than what may follow; the first value of a list may hold `=`,
# the later ones must not, for `a=b,c=d` would be ambiguous.
_START = r"(?:\\,|(?![\"',=\[{])[!-\uffff])"
_FIRST = re.compile(_START + r"(?:\\,|(?![\"',\]}])[\s!-\uffff])*")
_LATER = re.compile(_START + r"(?:\\,|(?![\"',=])[\s!-\uffff])*")
_SINGLE = re.compile(r"'(?:\\'|[^'])*'")
_DOUBLE = re.compile(r'"(?:\\"|[^"])*"')
_KEY = re.compile(r"[A-Za-z0-9\-_.#/:]*")
_END = ""


class ShorthandError(Exception):
    """The text does not follow the syntax; the message shows where."""


def parse(text: str) -> dict[str, Any]:
    """The value as written: words stay text, types come with `convert`.

    Raises ShorthandError, TypeError if the text is not text, CommandError for unreadable files.
    """
    if not isinstance(text, str):
        # What `fileb://` gave: the reference implementation fails on it in this very way.
        raise TypeError("'in <string>' requires string as left operand, not int")
    return _Reader(text).pairs()


class _Reader:
    """A recursive descent over the text; `at` is the place reached."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.reads_files = False

    def pairs(self) -> dict[str, Any]:
        key, value = self._pair()
        result = {key: value}
        while self.at < len(self.text):
            place = self.at + 1
            self._expect_spaced(",")
            key, value = self._pair()
            if key in result:
                raise ShorthandError(
                    f'Second instance of key "{key}" encountered for input:\n'
                    f"{self._picture(place)}\nThis is often because there is a "
                    'preceding "," instead of a space.'
                )
            result[key] = value
        return result

    def _pair(self) -> tuple[str, Any]:
        key = self._key()
        if self.at == len(self.text):
            return key, ""
        if self._here() == "[":
            return key, self._list()
        if self._here() == "{":
            return key, self._map()
        return key, self._words()

    def _key(self) -> str:
        """A key and its `=`; `@=` means that the value may name a file."""
        found = _KEY.match(self.text, self.at)
        assert found is not None
        self.at = found.end()
        self.reads_files = False
        self._skip_spaces()
        if self._here() == "@":
            self.at += 1
            self.reads_files = True
        self._expect_spaced("=")
        return found.group()

    def _words(self) -> Any:
        """One word, or several with commas between them."""
        first = self._word(_FIRST)
        self._skip_spaces()
        if self._here() != ",":
            return first
        self._expect_spaced(",")
        words = [first]
        while True:
            try:
                word = self._word(_LATER)
                self._skip_spaces()
                if self.at == len(self.text):
                    words.append(word)
                    break
                self._expect_spaced(",")
                words.append(word)
            except ShorthandError:
                if self.at == len(self.text):
                    raise
                # It was the next key: back to the comma before it.
                self.at = self.text.rindex(",", 0, self.at + 1)
                break
        return first if len(words) == 1 else words

    def _list(self) -> list[Any]:
        self._expect_spaced("[")
        values = []
        while self._here() != "]":
            values.append(self._item())
            self._separate("]")
        self.at += 1
        return values

    def _map(self) -> dict[str, Any]:
        self._expect_spaced("{")
        values = {}
        while self._here() != "}":
            key = self._key()
            value = self._item()
            self._separate("}")
            values[key] = value
        self.at += 1
        return values

    def _item(self) -> Any:
        if self._here() == "[":
            return self._list()
        if self._here() == "{":
            return self._map()
        return self._word(_FIRST)

    def _separate(self, end: str) -> None:
        self._skip_spaces()
        if self._here() != end:
            self._expect(",")
            self._skip_spaces()

    def _word(self, bare: re.Pattern[str]) -> Any:
        if self._here() == "'":
            word = self._quoted(_SINGLE, "'", "singled quoted")
        elif self._here() == '"':
            word = self._quoted(_DOUBLE, '"', "double quoted")
        else:
            found = bare.match(self.text, self.at)
            if found is None:
                if bare is _FIRST:
                    return ""
                raise self._error("<second>", "<none>")
            self.at = found.end()
            word = found.group().replace("\\,", ",").rstrip()
        if self.reads_files:
            loaded = paramfile.load(word, remote=False)
            return word if loaded is None else loaded
        return word

    def _quoted(self, form: re.Pattern[str], mark: str, name: str) -> str:
        found = form.match(self.text, self.at)
        if found is None:
            raise self._error(f"<{name}>", "<none>")
        self.at = found.end()
        return found.group()[1:-1].replace(f"\\{mark}", mark).replace("\\\\", "\\")

    def _here(self) -> str:
        return self.text[self.at] if self.at < len(self.text) else _END

    def _skip_spaces(self) -> None:
        while self.at < len(self.text) and self.text[self.at] in string.whitespace:
            self.at += 1

    def _expect(self, mark: str) -> None:
        if self._here() != mark:
            raise self._error(mark, self._here() or "EOF")
        self.at += 1

    def _expect_spaced(self, mark: str) -> None:
        self._skip_spaces()
        self._expect(mark)
        self._skip_spaces()

    def _error(self, expected: str, found: str) -> ShorthandError:
        return ShorthandError(
            f"Expected: '{expected}', received: '{found}' for input:\n{self._picture(self.at)}"
        )

    def _picture(self, at: int) -> str:
        """The text with a caret under the place, on a line of its own."""
        line_start = self.text.rfind("\n", 0, at) + 1
        line_end = self.text.find("\n", at)
        if line_end < 0:
            line_end = len(self.text)
        spaces = " " * (at - line_start)
        return f"{self.text[:line_end]}\n{spaces}^{self.text[line_end:]}"


def convert(model: ServiceModel, shape: Shape, value: Any) -> None:
    """Give the words inside `value` the types of the shape, in place.

    A single value becomes a list where a list is wanted; words that are no `true` or `false` stay
    words. Raises ValueError for what is no number.
    """
    _convert_inner(model, shape, value)


def _convert_inner(model: ServiceModel, shape: Shape, value: Any) -> None:
    if shape.type == "structure" and isinstance(value, dict):
        for name, member in shape.members.items():
            if value.get(name) is not None:
                value[name] = _converted(model, model.shape(member), value[name])
    elif shape.type == "map" and isinstance(value, dict):
        value_shape = model.shape(shape.value)
        for key, item in value.items():
            value[key] = _converted(model, value_shape, item)
    elif shape.type == "list" and isinstance(value, list):
        member_shape = model.shape(shape.member)
        for index, item in enumerate(value):
            value[index] = _converted(model, member_shape, item)


def _converted(model: ServiceModel, shape: Shape, value: Any) -> Any:
    if shape.type in {"integer", "long"}:
        return int(value)
    if shape.type == "float":
        return float(value)
    if shape.type == "boolean":
        return {"true": True, "false": False}.get(value.lower(), value)
    if shape.type == "list" and not isinstance(value, list):
        return [value]
    _convert_inner(model, shape, value)
    return value
