"""Command lines and answers made at random, from a seed."""

from __future__ import annotations

import json
from collections.abc import Callable
from random import Random
from typing import Any

from mooring.cli.input.names import NOT_COMMANDS, command_name, option_name
from tests.cli.cases import MODEL
from tests.cli.differences import NEWER_MEMBERS
from tests.cli.recording_server import answer
from tests.cli.runs import Case

DATA = json.loads(MODEL.read_text(encoding="ascii"))
SHAPES = DATA["shapes"]
WORDS = ["x", "my-disk", "a b", "", "é", "漢字テスト", "😀", "1", "true", "null", "0x1", "a,b",
         "k=v", "'q'", '"q"', "[1]", "{}", "\t", "line\nline", "us-east-2a", "-", "a" * 90, "½",
         "\uff41"]  # fmt: skip
OUTPUTS = ["json", "text", "table"]


def value(chance: Random, shape_name: str, wrong: float = 0.0, depth: int = 0) -> Any:
    """A random value of the shape; with `wrong`, sometimes one of another kind."""
    if chance.random() < wrong:
        return chance.choice([None, 5, "text", [], {}, True, 1.5, [{"a": 1}], {"zzz": 1}])
    shape = SHAPES[shape_name]
    kind = shape["type"]
    if kind == "structure":
        return {
            name: value(chance, member, wrong, depth + 1)
            for name, member in shape["members"].items()
            if name not in NEWER_MEMBERS and chance.random() < (0.8 if depth < 3 else 0.3)
        }
    if kind == "map":
        return {
            chance.choice(WORDS): value(chance, shape["value"], wrong, depth + 1)
            for _ in range(chance.randint(0, 2))
        }
    if kind == "list":
        return [
            value(chance, shape["member"], wrong, depth + 1) for _ in range(chance.randint(0, 3))
        ]
    if kind in {"integer", "long"}:
        return chance.choice([0, 1, 8, -3, 10**18])
    if kind in {"float", "timestamp"}:
        return chance.choice([0.5, 1569625129.739, 1569625129, 1e20, 1.0])
    if kind == "boolean":
        return chance.random() < 0.5
    return chance.choice(shape.get("enum", []) or WORDS)


def operation(chance: Random) -> tuple[str, dict[str, Any]]:
    name = chance.choice([name for name in DATA["operations"] if name not in NOT_COMMANDS])
    return name, DATA["operations"][name]


def inputs(chance: Random) -> Case:
    """An operation with options and values of the right kinds, some wrong or left out."""
    name, data = operation(chance)
    shape = SHAPES[data["input"]]
    line = [command_name(name)]
    for member, member_shape in shape["members"].items():
        if member in NEWER_MEMBERS or chance.random() < 0.15:
            continue
        line += option(chance, member, member_shape)
    if chance.random() < 0.2:
        text = json.dumps(value(chance, data["input"], 0.2), ensure_ascii=False)
        line += ["--cli-input-json", text]
    if chance.random() < 0.15:
        line += chance.choice(
            [["--generate-cli-skeleton", "output"], ["--bogus"], ["--no-paginate"]]
        )
    return Case(line)


def option(chance: Random, member: str, shape_name: str) -> list[str]:
    name = f"--{option_name(member)}"
    kind = SHAPES[shape_name]["type"]
    if kind == "boolean":
        return [chance.choice([name, f"--no-{name[2:]}"])]
    if kind == "list":
        inner = SHAPES[shape_name]["member"]
        if SHAPES[inner]["type"] == "structure":
            made = value(chance, shape_name, 0.1)
            return [name, json.dumps(made, ensure_ascii=False)]
        return [name, *(chance.choice(WORDS) for _ in range(chance.randint(0, 3)))]
    if kind in {"structure", "map"}:
        return [name, json.dumps(value(chance, shape_name, 0.1), ensure_ascii=False)]
    word = str(value(chance, shape_name))
    if chance.random() < 0.2:
        return [f"{name}={word}"]
    return [name[: chance.randint(len(name) - 2, len(name))], word]


def shorthand(chance: Random) -> Case:
    """An option with shorthand, often not quite right."""
    start = chance.choice(
        [
            ["create-disk-snapshot", "--disk-snapshot-name", "x", "--tags"],
            ["tag-resource", "--resource-name", "x", "--tags"],
            ["create-disk", "--disk-name", "x", "--size-in-gb", "8", "--availability-zone", "z",
             "--add-ons"],
            ["create-instances-from-snapshot", "--instance-names", "x", "--bundle-id", "b",
             "--availability-zone", "z", "--attached-disk-mapping"],
        ]
    )  # fmt: skip
    return Case([*start, *(shorthand_word(chance) for _ in range(chance.randint(1, 2)))])


def shorthand_word(chance: Random) -> str:
    keys = ["key", "value", "addOnType", "autoSnapshotAddOnRequest", "a.b", "x-y", ""]
    signs = ["=", "=", "=", "= ", " =", "@="]

    def one(depth: int = 0) -> str:
        form = chance.randint(0, 11 if depth < 2 else 9)
        if form == 10:
            return f"[{','.join(one(depth + 1) for _ in range(chance.randint(0, 3)))}]"
        if form == 11:
            pairs = [f"{chance.choice(keys)}={one(depth + 1)}" for _ in range(chance.randint(0, 2))]
            return f"{{{','.join(pairs)}}}"
        plain = ["v", "a b", "'q u'", '"d q"', "é漢", "", "a\\,b", "true", "5", "'it\\'s'"]
        return plain[form]

    pairs = [
        f"{chance.choice(keys)}{chance.choice(signs)}{one()}" for _ in range(chance.randint(1, 3))
    ]
    word = ",".join(pairs)
    if chance.random() < 0.4:
        place = chance.randint(0, len(word))
        word = word[:place] + chance.choice(list("=,[]{}'\" \n\\@😀")) + word[place:]
    return word


def answers(chance: Random) -> Case:
    """A random answer in a random format, perhaps through a query."""
    name, data = operation(chance)
    line = [command_name(name), "--output", chance.choice(OUTPUTS)]
    line += ["--cli-input-json", json.dumps(required(chance, data["input"]))]
    if chance.random() < 0.6:
        line += ["--query", query(chance, data["output"])]
    # A body of `null` makes aws stumble over itself: nothing to compare with.
    made = value(chance, data["output"], chance.choice([0.0, 0.0, 0.03])) or {}
    if isinstance(made, dict) and "pagination" in data:
        made.pop("nextPageToken", None)
    return Case(line, script=[answer(made)])


def required(chance: Random, shape_name: str) -> dict[str, Any]:
    shape = SHAPES[shape_name]
    fitting: dict[str, Any] = {}
    for member in shape.get("required", []):
        kind = SHAPES[shape["members"][member]]["type"]
        fitting[member] = {"string": "x", "integer": 8, "list": []}.get(kind)
    return fitting


def query(chance: Random, shape_name: str) -> str:
    """A random expression that walks through the shape, sometimes with errors."""
    shape = SHAPES[shape_name]
    if shape["type"] == "structure":
        members = [name for name in shape["members"] if name not in NEWER_MEMBERS] or ["none"]
        form = chance.randint(0, 9)
        if form == 0:
            return f"[{', '.join(chance.choice(members) for _ in range(chance.randint(1, 3)))}]"
        if form == 1:
            return f"{{a: {chance.choice(members)}, b: {chance.choice(members)}}}"
        if form == 2:
            return chance.choice(
                ["@", "keys(@)", "*", "length(@)", "to_string(@)", "nope", "a[", "@["]
            )
        name = chance.choice(members)
        if name not in shape["members"] or chance.random() < 0.2:
            return str(name)
        inner = query(chance, shape["members"][name])
        return (
            str(name)
            if inner == "@"
            else f"{name}{inner if inner.startswith('[') else '.' + inner}"
        )
    if shape["type"] == "list":
        lead = chance.choice(["[]", "[0]", "[-1]", "[*]", "[:2]", "[5]", "[].tags[]", "[?name]"])
        inner = query(chance, shape["member"])
        if SHAPES[shape["member"]]["type"] != "structure" or chance.random() < 0.3:
            return lead
        return f"{lead}.{inner}" if inner != "@" else lead
    return "@"


def tables(chance: Random) -> Case:
    """A table of any values at all, wide and narrow, through a literal query."""
    made = tree(chance, 0)
    expression = f"`{json.dumps(made, ensure_ascii=True).replace('`', '')}`"
    form = chance.choice(["table", "table", "text"])
    return Case(["get-disks", "--output", form, "--query", expression])


def tree(chance: Random, depth: int) -> Any:
    form = chance.randint(0, 5 if depth < 3 else 3)
    if form == 4:
        return [tree(chance, depth + 1) for _ in range(chance.randint(0, 3))]
    if form == 5 or depth == 0:
        keys = ["name", "漢", "é", "a", "B", "value", "k" * 30]
        return {key: tree(chance, depth + 1) for key in chance.sample(keys, chance.randint(0, 5))}
    return chance.choice([*WORDS, None, True, 5, 1.5])


def lines(chance: Random) -> Case:
    """Options of all kinds at all places: abbreviated, repeated, with `=`, or without a value."""
    own = ["--disk-name", "--disk-snapshot-name", "--instance-name", "--tags", "--cli-input-json",
           "--generate-cli-skeleton", "--max-items", "--starting-token"]  # fmt: skip
    common = ["--region", "--output", "--query", "--color", "--bogus", "--no-paginate",
              "--no-verify-ssl", "--no-sign-request", "--cli-read-timeout", "--ca-bundle",
              "--profile", "--cli-connect-timeout", "--endpoint-url"]  # fmt: skip
    words = ["x", "us-east-2", "text", "on", "5", "disks", "", "-x", "-1", "a b", "--", "key=a"]
    line: list[str] = []
    for _ in range(chance.randint(0, 6)):
        option = chance.choice(own if chance.random() < 0.5 else common)
        if chance.random() < 0.3:
            option = option[: chance.randint(3, len(option))]
        # What begins like an option that only Mooring has could mean another one here.
        if "--cli-input-y".startswith(option) and not "--cli-input".startswith(option):
            continue
        if chance.random() < 0.2:
            line.append(f"{option}={chance.choice(words)}")
        else:
            line.append(option)
            line += chance.choices(words, k=chance.choice([0, 1, 1, 1, 1, 2]))
    command = chance.choice(["get-disks", "create-disk-snapshot", "get-disk", "delete-disk"])
    line.insert(0 if chance.random() < 0.7 else chance.randint(0, len(line)), command)
    return Case(line, script=[answer({"disks": [{"name": "d"}]})])


KINDS: dict[str, Callable[[Random], Case]] = {
    "inputs": inputs,
    "shorthand": shorthand,
    "answers": answers,
    "tables": tables,
    "lines": lines,
}
