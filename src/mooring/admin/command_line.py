"""How mooringd's command line is read, and what is said of mistakes in it."""

from __future__ import annotations

import argparse
from typing import Any, TypeAlias

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


class Parser(argparse.ArgumentParser):
    """Takes no empty values, and tells the nearest command instead of all, which the help lists."""

    def _get_value(self, action: argparse.Action, arg_string: str) -> Any:
        # As when a script gives "$DATA" and has not set it: the default is not what was meant.
        # In a command line to complete, an empty word is where the cursor is.
        named = action.nargs != argparse.REMAINDER
        if not arg_string and named and not isinstance(action, argparse._SubParsersAction):
            raise argparse.ArgumentError(action, "the value is empty: it names nothing")
        return super()._get_value(action, arg_string)

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if isinstance(action, argparse._SubParsersAction) and value not in action.choices:
            from difflib import get_close_matches

            # Those for people: what the server starts by itself has no help.
            known = [one.dest for one in action._choices_actions]
            near = [f"`mooringd {one}`" for one in get_close_matches(value, known, 1)]
            meant = f"; did you mean {near[0]}?" if near else ""
            raise argparse.ArgumentError(
                None, f"there is no command {value}{meant} (mooringd --help lists all)"
            )
        super()._check_value(action, value)
