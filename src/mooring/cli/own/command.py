"""A command of Mooring's own: how it is called, its page, what runs it."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

_NUMBERS = {"<integer>": int, "<seconds>": float}


class Option:
    """An option, `--name`, or a word that has no name on the command line.

    `value` is what stands for its value: `<integer>` and `<seconds>` are numbers, `<list>` is
    several words; an option without one is a switch. `help` is empty where the help page has
    no paragraph for it. `count` is as argparse's `nargs`, `stored` the attribute that has the
    value. `spelled` is another name of the option, for where the name means something else.
    """

    __slots__ = ("count", "default", "help", "name", "required", "spelled", "stored", "value")

    def __init__(
        self,
        name: str,
        value: str = "",
        help: str = "",  # noqa: A002 - what argparse calls it
        *,
        required: bool = False,
        default: float | None = None,
        count: str | None = None,
        stored: str = "",
        spelled: str = "",
    ) -> None:
        self.name = name
        self.value = value
        self.help = help
        self.required = required
        self.default = default
        self.count = "*" if value == "<list>" else count
        self.stored = stored or name.lstrip("-").replace("-", "_")
        self.spelled = spelled

    @property
    def is_named(self) -> bool:
        return self.name.startswith("-")

    @property
    def reads(self) -> type[int | float | str]:
        """What makes a value of a word."""
        return _NUMBERS.get(self.value, str)

    @property
    def term(self) -> str:
        """The option and its value, or only the value of a word, as help shows them."""
        return f"{self.name} {self.value}".rstrip() if self.is_named else self.value


class Command:
    """A line of the table.

    `summary` is one sentence, `text` the paragraphs of its page; without any it has no page.
    `function` is a module in this room, and the function in it that is called with an Invocation
    and the parsed words. `choices` are words of which one comes first, each with options of its
    own. `forms` is how the command can be called, where that does not follow from the options.
    `helps_alone` is whether it shows its page if nothing follows.
    """

    __slots__ = ("choices", "forms", "function", "helps_alone", "options", "summary", "text")

    def __init__(
        self,
        function: tuple[str, str],
        summary: str,
        *text: str,
        options: tuple[Option, ...] = (),
        choices: dict[str, tuple[Option, ...]] | None = None,
        forms: tuple[str, ...] = (),
        helps_alone: bool = False,
    ) -> None:
        self.function = function
        self.summary = summary
        self.text = text
        self.options = options
        self.choices = choices or {}
        self.forms = forms
        self.helps_alone = helps_alone

    def synopsis(self, name: str) -> list[str]:
        """The ways to call it, one a line."""
        return [f"mooring {name} {form}".rstrip() for form in self.forms or self._forms()]

    def completions(self) -> list[str]:
        """The words that may follow it."""
        options = [option for own in self.choices.values() for option in own]
        named = [one.name for one in (*options, *self.options) if one.is_named]
        return list(dict.fromkeys([*self.choices, *named]))

    def respelled(self, words: list[str]) -> list[str]:
        """The words, with options that mean something else to all other commands spelled apart."""
        other = {one.name: one.spelled for one in self.options if one.spelled}
        parts = [word.partition("=") for word in words]
        return [f"{other.get(name, name)}{equals}{value}" for name, equals, value in parts]

    def _forms(self) -> Iterator[str]:
        for choice, own in self.choices.items() or [("", ())]:
            words = [choice] if choice else []
            for option in (*own, *self.options):
                words.append(option.term if option.required else f"[{option.term}]")
            yield " ".join(words)
