"""Runs one operation: arguments in, answer printed."""

from __future__ import annotations

import json
import sys

from mooring.cli import style
from mooring.cli.connection import answers
from mooring.cli.input import arguments
from mooring.cli.output.render import Renderer, to_json
from mooring.model.errors import CommandError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from mooring.cli.connection.client import Client
    from mooring.cli.connection.session import Session
    from mooring.cli.options import Options
    from mooring.protocol.service_model import Operation, ServiceModel

_HELP = ("--help", "-h")


def run(
    model: ServiceModel, operation: Operation, rest: list[str], options: Options, session: Session
) -> int:
    """Run the operation with the arguments in `rest`; the exit code is returned."""
    if rest and rest[-1] in _HELP:
        return _show_help(model, operation)
    v2 = style.is_v2(session.environ, session)
    read_time = time_reader(session, v2)
    command = arguments.parse(model, operation, rest, options.paginate, _follows_urls(session, v2))
    if command.parsed["help"] == "help":
        return _show_help(model, operation)
    session.profile()  # if there is no such profile, aws says so here
    parameters = command.parameters
    _add_file_input(command.parsed, parameters)
    skeleton = command.parsed["generate_cli_skeleton"]
    if skeleton is not None and skeleton != "output":
        return _show_sample_input(model, operation, skeleton)
    client = open_client(model, options, session, read_time, v2)
    renderer = Renderer(
        output_format(options, session, v2),
        options.query,
        options.color,
    )
    if skeleton == "output":
        from mooring.cli.output.skeleton import sample_output

        client.check(operation, parameters)
        renderer.show(operation.name, sample_output(model, operation))
    elif operation.pagination is not None and command.paginate:
        from mooring.cli.pages import Pages

        pages = Pages(lambda page: client.call(operation, page), operation.pagination, parameters)
        renderer.show_pages(operation.name, pages)
    else:
        answer = client.call(operation, parameters)
        if command.parsed.get("wait"):
            from mooring.cli import waiting
            from mooring.model.clock import SystemClock

            answer = waiting.wait_for_answer(client, answer, SystemClock())
        renderer.show(operation.name, answer)
    return 0


def open_client(
    model: ServiceModel,
    options: Options,
    session: Session,
    read_time: Callable[[Any], Any],
    v2: bool,
) -> Client:
    """A client for what the options ask for. Raises CommandError."""
    from mooring.cli.connect import connect
    from mooring.cli.connection.client import Client
    from mooring.model.clock import SystemClock

    return Client(model, connect(options, session, v2), read_time, SystemClock())


def time_reader(session: Session, v2: bool) -> Callable[[Any], Any]:
    """How `cli_timestamp_format` wants timestamps. Raises ValueError for unknown formats."""
    try:
        value = session.text("cli_timestamp_format")
    except CommandError:
        value = None  # an unknown profile is reported later, where it matters
    if value is None:
        value = "iso8601" if v2 else "wire"
    if value in {"wire", "none"}:
        return answers.wire_time
    if value == "iso8601":
        return answers.iso_time
    raise ValueError(
        f'Unknown cli_timestamp_format value: {value}, valid values are "none", "wire" or "iso8601"'
    )


def output_format(options: Options, session: Session, v2: bool) -> str:
    """What answers are printed as. Raises ValueError for a type that is not known."""
    if options.output is not None:
        return options.output
    setting = session.text("output", "AWS_DEFAULT_OUTPUT")
    if setting == "off" and not v2:
        raise ValueError(f"Unknown output type: {setting}")
    return "json" if setting is None else setting


def _follows_urls(session: Session, v2: bool) -> bool:
    try:
        return not v2 and session.text("cli_follow_urlparam") in {None, "true"}
    except CommandError:
        return True


def _add_file_input(parsed: dict[str, Any], parameters: dict[str, Any]) -> None:
    """Add the members of --cli-input-json or --cli-input-yaml that the command line leaves open."""
    text, yaml_text = parsed["cli_input_json"], parsed["cli_input_yaml"]
    if text is not None and yaml_text is not None:
        raise CommandError("Only one --cli-input- parameter may be specified.", "parameter")
    if text is not None:
        given = _read_json(text)
    elif yaml_text is not None:
        given = _read_yaml(yaml_text)
    else:
        return
    for name in given.keys():  # noqa: SIM118 - a list must fail here, with aws's words
        if name not in parameters:
            parameters[name] = given[name]


def _read_json(text: str) -> Any:
    from mooring.cli.input import paramfile

    loaded = paramfile.load(text, remote=False)
    source = text if loaded is None else loaded
    try:
        return json.loads(source)
    except ValueError as error:
        raise arguments.parameter_error(
            "cli-input-json", f"Invalid JSON: {error}\nJSON received: {source!s}"
        ) from None


def _read_yaml(text: str) -> Any:
    from mooring.cli.input import paramfile, yaml_input

    loaded = paramfile.load(text, remote=False)
    source = text if loaded is None else loaded
    try:
        given = yaml_input.parse(source if isinstance(source, str) else source.decode())
    except ValueError as error:
        raise arguments.parameter_error("--cli-input-yaml", f"Invalid YAML: {error}") from None
    if not isinstance(given, dict):
        raise arguments.parameter_error(
            "--cli-input-yaml", f"Invalid type: expecting map, received {type(given)}"
        )
    return given


def _show_help(model: ServiceModel, operation: Operation) -> int:
    from mooring.cli.help import pages as help_pages

    return help_pages.show_operation(model, operation)


def _show_sample_input(model: ServiceModel, operation: Operation, form: str) -> int:
    from mooring.cli.output import skeleton

    if form == "yaml-input":
        sys.stdout.write(skeleton.yaml_input(model, operation) + "\n")
    else:
        sys.stdout.write(to_json(skeleton.sample_input(model, operation)) + "\n")
    return 0
