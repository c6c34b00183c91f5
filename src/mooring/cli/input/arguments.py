"""The options of one operation, and the parameters that their values make."""

from __future__ import annotations

import collections
import json
import sys

from mooring.cli.input import paramfile
from mooring.cli.input.names import option_name
from mooring.cli.input.parser import Parser
from mooring.model.errors import CommandError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from mooring.protocol.service_model import Operation, ServiceModel, Shape

    Parameters = dict[str, Any]
    Parsed = dict[str, Any]

_COMPLEX = {"structure", "list", "map"}
_ARGPARSE_TYPES = {"float": float, "long": int}


class UnknownOptions(CommandError):
    """Options or words that the command does not have."""


class Command:
    """A command line understood: all options' values, the parameters, whether to follow pages."""

    __slots__ = ("paginate", "parameters", "parsed")

    def __init__(self, parsed: Parsed, parameters: Parameters, paginate: bool) -> None:
        self.parsed = parsed
        self.parameters = parameters
        self.paginate = paginate


def parse(
    model: ServiceModel,
    operation: Operation,
    arguments: list[str],
    paginate: bool,
    follows_urls: bool,
) -> Command:
    """Understand the arguments of one operation.

    Raises CommandError; ValueError and TypeError where a value is not of its type.
    """
    shape = model.shape(operation.input)
    if arguments == ["help"]:
        return Command({"help": "help"}, {}, paginate)
    namespace, rest = _parser(model, operation, shape, arguments).parse_known_args(arguments)
    parsed: Parsed = vars(namespace)
    if parsed["help"] == "help":
        return Command(parsed, {}, paginate)
    if parsed["help"]:
        rest.append(parsed["help"])
    if rest:
        raise UnknownOptions(f"Unknown options: {', '.join(rest)}", "usage")
    if operation.pagination is not None:
        paginate = paginate and parsed["page_token"] is None
        if not paginate:
            _refuse_page_options(parsed)
    parameters = _parameters(model, shape, parsed, follows_urls)
    return Command(parsed, parameters, paginate)


def options(model: ServiceModel, operation: Operation) -> list[str]:
    """All option names of the operation, for completion and help."""
    names = []
    for member, member_shape in model.shape(operation.input).members.items():
        names.append(f"--{option_name(member)}")
        if model.shape(member_shape).type == "boolean":
            names.append(f"--no-{option_name(member)}")
    names += ["--cli-input-json", "--cli-input-yaml"]
    if operation.pagination is not None:
        names += ["--starting-token", "--max-items"]
    names.append("--generate-cli-skeleton")
    if starts_work(model, operation):
        names.append("--wait")
    return names


def starts_work(model: ServiceModel, operation: Operation) -> bool:
    """Whether the operation answers with the operations that it started."""
    members = model.shape(operation.output).members
    return not operation.name.startswith("Get") and bool({"operations", "operation"} & set(members))


def _parser(
    model: ServiceModel, operation: Operation, shape: Shape, arguments: list[str]
) -> Parser:
    parser = Parser()
    relaxed = _required_is_relaxed(arguments)
    for member, member_shape_name in shape.members.items():
        option = f"--{option_name(member)}"
        kind = model.shape(member_shape_name).type
        required = member in shape.required and not relaxed
        if kind == "boolean":
            name = option[2:].replace("-", "_")
            parser.add_argument(option, action="store_true", default=None, dest=name)
            parser.add_argument(f"--no-{option[2:]}", action="store_false", dest=name, default=None)
        elif kind == "list":
            parser.add_argument(option, nargs="*", required=required)
        else:
            parser.add_argument(option, type=_ARGPARSE_TYPES.get(kind, str), required=required)
    parser.add_argument("--cli-input-json")
    if operation.pagination is not None:
        parser.add_argument("--starting-token")
        parser.add_argument("--max-items", type=int)
    parser.add_argument(
        "--generate-cli-skeleton",
        nargs="?",
        const="input",
        choices=["input", "output", "yaml-input"],
    )
    parser.add_argument("--cli-input-yaml")
    if starts_work(model, operation):
        parser.add_argument("--wait", action="store_true")
    parser.exact_only = {"--cli-input-yaml", "--wait"}
    parser.add_argument("help", nargs="?")
    return parser


def _required_is_relaxed(arguments: list[str]) -> bool:
    """Whether the input comes from elsewhere. Only options written out in full count, as in aws."""
    if "--cli-input-json" in arguments or "--cli-input-yaml" in arguments:
        return True
    if "--generate-cli-skeleton" not in arguments:
        return False
    following = arguments[arguments.index("--generate-cli-skeleton") + 1 :]
    return following[:1] != ["output"]


def _refuse_page_options(parsed: Parsed) -> None:
    used = [name for name in ("starting_token", "max_items") if parsed.get(name)]
    if used:
        named = ", ".join(f"--{name.replace('_', '-')}" for name in used)
        raise CommandError(
            "Error during pagination: Cannot specify --no-paginate along with pagination "
            f"arguments: {named}",
            "parameter",
        )


def _parameters(
    model: ServiceModel, shape: Shape, parsed: Parsed, follows_urls: bool
) -> Parameters:
    """The parameters that the options' values make, in the order of the model."""
    parameters: Parameters = {}
    for member, member_shape_name in shape.members.items():
        option = f"--{option_name(member)}"
        value = _load(option, parsed[option[2:].replace("-", "_")], follows_urls)
        if value is not None:
            parameters[member] = unpack(model, model.shape(member_shape_name), option, value)
    for name in ("cli_input_json", "starting_token", "max_items", "cli_input_yaml"):
        if parsed.get(name) is not None:
            value = _load(f"--{name.replace('_', '-')}", parsed[name], follows_urls)
            if name == "starting_token":
                parameters.setdefault("PaginationConfig", {})["StartingToken"] = value
            elif name == "max_items":
                _warn_of_odd_limit(value)
                parameters.setdefault("PaginationConfig", {})["MaxItems"] = value
    return parameters


def _warn_of_odd_limit(limit: int) -> None:
    if limit <= 0:
        sys.stderr.write(
            "warning: Non-positive values for --max-items may result in undefined behavior.\n"
        )


def _load(option: str, value: Any, follows_urls: bool) -> Any:
    """The value, or what the file or page that it names holds."""
    named = value[0] if isinstance(value, list) and len(value) == 1 else value
    try:
        loaded = paramfile.load(named, follows_urls)
    except CommandError as error:
        raise parameter_error(option, error.message) from None
    return value if loaded is None else loaded


def parameter_error(option: str, message: str) -> CommandError:
    """aws's error for a value that cannot be understood."""
    return CommandError(f"Error parsing parameter '{option}': {message}", "parameter")


def unpack(model: ServiceModel, shape: Shape, option: str, value: Any) -> Any:
    """Make a value of the shape from what was typed: JSON, shorthand, or plain text.

    Raises CommandError that names the option.
    """
    if shape.type == "boolean":
        return value
    if _takes_shorthand(model, shape) and not _looks_like_json(value):
        return _unpack_shorthand(model, shape, option, value)
    return _unpack_plain(model, shape, option, value)


def _takes_shorthand(model: ServiceModel, shape: Shape) -> bool:
    if shape.type == "list":
        return model.shape(shape.member).type in _COMPLEX
    return shape.type in {"structure", "map"}


def _looks_like_json(value: Any) -> bool:
    first = value[0] if isinstance(value, list) and value else value
    return isinstance(first, str) and first.strip().startswith(("[", "{"))


def _unpack_shorthand(model: ServiceModel, shape: Shape, option: str, value: Any) -> Any:
    from mooring.cli.input import shorthand

    try:
        if isinstance(value, list):
            result: Any = [shorthand.parse(item) for item in value]
        else:
            result = shorthand.parse(value)
    except shorthand.ShorthandError as error:
        raise parameter_error(option, str(error)) from None
    shorthand.convert(model, shape, result)
    return result


def _unpack_plain(model: ServiceModel, shape: Shape, option: str, value: Any) -> Any:
    if shape.type in {"integer", "long"}:
        return int(value)
    if shape.type == "float":
        return float(value)
    if shape.type == "boolean":
        return bool(value) and not (isinstance(value, str) and value.lower() == "false")
    if shape.type in {"structure", "map"}:
        if value.lstrip()[0] == "{":
            return _unpack_json(option, value)
        raise parameter_error(option, f"Invalid JSON:\n{value}")
    if shape.type == "list":
        return _unpack_list(model, shape, option, value)
    return value


def _unpack_list(model: ServiceModel, shape: Shape, option: str, value: Any) -> Any:
    if isinstance(value, str):
        if value.lstrip()[0] == "[":
            return _unpack_json(option, value)
    elif len(value) == 1 and value[0].strip().startswith("["):
        return _unpack_json(option, value[0])
    member = model.shape(shape.member)
    try:
        return [_unpack_plain(model, member, option, item) for item in value]
    except (ValueError, TypeError):
        raise parameter_error(option, value[0]) from None


def _unpack_json(option: str, text: str) -> Any:
    try:
        return json.loads(text, object_pairs_hook=collections.OrderedDict)
    except ValueError as error:
        raise parameter_error(option, f"Invalid JSON: {error}\nJSON received: {text}") from None
