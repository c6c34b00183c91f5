"""Where `mooring` intentionally differs from `aws lightsail`, each with its reason.

The differential test takes exactly these away before it compares; `docs/cli-differences.md` is
this table, printed by `python -m tests.cli.differences`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mooring.cli.input.names import command_name
from mooring.cli.own.table import OWN_COMMANDS
from mooring.service.answers.nothing_kept import LISTS
from tests.cli.runs import CHECKOUT, Case, Outcome

Pair = tuple[Outcome, Outcome]
Mend = Callable[[Case, Outcome, Outcome], Pair]

DOCUMENT = CHECKOUT / "docs" / "cli-differences.md"
MODEL = CHECKOUT / "src" / "mooring" / "protocol" / "service_model.json"


@dataclass(frozen=True)
class Difference:
    """`mend` makes the two outcomes equal as far as this difference goes; None: nothing to see."""

    name: str
    what: str
    reason: str
    mend: Mend | None = None


def in_stderr(pattern: str, by: str) -> Mend:
    """A mend that replaces what the pattern finds in both programs' standard error."""
    compiled = re.compile(pattern, re.DOTALL)

    def mend(_: Case, aws: Outcome, mooring: Outcome) -> Pair:
        return (
            replace(aws, stderr=compiled.sub(by, aws.stderr)),
            replace(mooring, stderr=compiled.sub(by, mooring.stderr)),
        )

    return mend


def whole_if(applies: Callable[[Case, Outcome, Outcome], bool]) -> Mend:
    """A mend that excuses the whole outcome of the cases named."""
    return lambda case, aws, mooring: (aws, aws if applies(case, aws, mooring) else mooring)


def mend_enumerations(case: Case, aws: Outcome, mooring: Outcome) -> Pair:
    if not any(argument.startswith("--generate-cli") for argument in case.arguments):
        return aws, mooring
    shapes = json.loads(MODEL.read_text(encoding="ascii"))["shapes"].values()
    values = {value for shape in shapes for value in shape.get("enum", [])}

    def hidden(text: str) -> str:
        return re.sub(r'"([^"\n]+)"(?=,?\n)', lambda m: '"ENUM"' if m[1] in values else m[0], text)

    return replace(aws, stdout=hidden(aws.stdout)), replace(mooring, stdout=hidden(mooring.stdout))


def shows_entries_of_empty_lists(case: Case, _aws: Outcome, _mooring: Outcome) -> bool:
    words = case.arguments
    return words[0] in EMPTY and "--generate-cli-skeleton" in words and "output" in words


NESTED = re.compile("on the line of its name|has no nested settings")
UNUSABLE = ("contains the control character", "in the response is not text", "has no time zone")

EMPTY = {command_name(operation) for operation in LISTS}

NEWER_MEMBERS = ("attributeUpdates", "includeHealthStatus", "instanceStatus", "systemStatus")


def mend_newer_members(_: Case, aws: Outcome, mooring: Outcome) -> Pair:
    stderr = mooring.stderr
    for member in NEWER_MEMBERS:
        stderr = stderr.replace(f", {member}", "")
    try:
        value = without_newer(json.loads(mooring.stdout))
        stdout = json.dumps(value, indent=4, ensure_ascii=False) + "\n"
    except ValueError:
        stdout = mooring.stdout
    return aws, replace(mooring, stdout=stdout, stderr=stderr)


def without_newer(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            key: without_newer(inner) for key, inner in value.items() if key not in NEWER_MEMBERS
        }
    return [without_newer(item) for item in value] if isinstance(value, list) else value


def mend_resets(_: Case, aws: Outcome, mooring: Outcome) -> Pair:
    reset = "\x1b[0m"
    return (
        replace(aws, stdout=aws.stdout.replace(reset, "")),
        replace(mooring, stdout=mooring.stdout.replace(reset, "")),
    )


def is_help(case: Case, aws: Outcome, mooring: Outcome) -> bool:
    return "help" in case.arguments and aws.status == mooring.status == 0 and bool(mooring.stdout)


DIFFERENCES = [
    Difference(
        "Names of its own",
        "The program calls itself `mooring`; the usage block before an error, the version and the "
        "User-Agent are its own.",
        "It is another program.",
    ),
    Difference(
        "Choices",
        "Where an error lists all valid choices, the list is Mooring's: the operations that it "
        "serves, its own commands, `yaml` and `yaml-stream`, `yaml-input`. For a word "
        "that resembles none of them, commands that may be meant follow.",
        "The list says what can be typed here.",
        in_stderr(
            r"valid choices are:\n\n.*?\n(?:\n'[^\n]* is not a command; .*)?(?=\n|$)",
            "valid choices are: CHOICES\n",
        ),
    ),
    Difference(
        "Operations that are not served",
        "Operations of Lightsail that Mooring does not serve are refused by name.",
        "`maybe you meant` would mislead for a word that is right elsewhere.",
        whole_if(lambda _, __, mooring: "that Mooring does not serve" in mooring.stderr),
    ),
    Difference(
        "Advice",
        "If region or keys are missing, the advice names variables and options instead of "
        "`aws configure`.",
        "Mooring has no `configure`; the files are those of `aws`.",
        in_stderr(
            r"(You must specify a region\.|Unable to locate credentials\.) You can [^\n]*",
            r"\1 ADVICE",
        ),
    ),
    Difference(
        "No endpoint configured",
        "`aws` would go to Amazon. Mooring uses the server on this host, with its region and keys; "
        "if there is none, it says how to start or name one.",
        "A command for your own disks must never reach Amazon's by accident.",
        whole_if(lambda _, __, mooring: "No Mooring server is configured" in mooring.stderr),
    ),
    Difference(
        "AWS_REGION",
        "The region is taken from `AWS_REGION` if nothing else names one.",
        "All other clients, and `aws` v2, read it; `aws` v1 fails at this point.",
        whole_if(
            lambda case, aws, _: (
                "AWS_REGION" in case.environment and "You must specify a region" in aws.stderr
            )
        ),
    ),
    Difference(
        "Broken configuration files",
        "A file that cannot be parsed gives `Unable to parse config file: ...`, the line with the "
        "reason, and exit code 255.",
        "`aws` shows a traceback.",
        whole_if(
            lambda _, aws, mooring: (
                aws.stderr.startswith("Traceback")
                and "ConfigParseError" in aws.stderr
                and mooring.stderr.startswith("\nUnable to parse config file: ")
                and mooring.status == 255
            )
        ),
    ),
    Difference(
        "Settings that are not text",
        "Nested settings where a value is expected, and `lightsail` in a `services` section "
        "without nested settings, are reported with the right way to write them.",
        "`aws` ends with a Python error, or continues with what it cannot use.",
        whole_if(lambda _, __, mooring: NESTED.search(mooring.stderr) is not None),
    ),
    Difference(
        "Keys that cannot be used",
        "A key or token that contains a control character or is not text is refused before "
        "anything is sent, without showing it; so is an expiry time without a time zone.",
        "`aws` shows the whole header or a Python error, or signs with the word None.",
        whole_if(
            lambda _, __, mooring: (
                mooring.status == 255
                and not mooring.requests
                and any(words in mooring.stderr for words in UNUSABLE)
            )
        ),
    ),
    Difference(
        "An unknown `output` in the configuration",
        "It is reported before anything is sent.",
        "`aws` sends the request, and then cannot show the answer.",
        whole_if(
            lambda _, aws, mooring: (
                aws.stderr.startswith("\nUnknown output type: ")
                and (aws.status, aws.stderr) == (mooring.status, mooring.stderr)
                and not mooring.requests
            )
        ),
    ),
    Difference(
        "yaml in the configuration",
        "`output = yaml` and `yaml-stream` work.",
        "They come from `aws` v2; `aws` v1 fails.",
        whole_if(lambda _, aws, __: aws.stderr.startswith("\nUnknown output type: yaml")),
    ),
    Difference(
        "Samples of empty lists",
        "`--generate-cli-skeleton output` shows no members of alarms, buckets, domains and the "
        "like.",
        "Their lists are always empty, so Mooring does not know what would be in them.",
        whole_if(shows_entries_of_empty_lists),
    ),
    Difference(
        "Enumerations in skeletons",
        "`--generate-cli-skeleton` shows the first value of an enumeration.",
        "`aws` picks one at random; files under version control should not change by themselves.",
        mend_enumerations,
    ),
    Difference(
        "Newer members",
        "`--attribute-updates`, `--include-health-status`, `instanceStatus` and `systemStatus` "
        "are known.",
        "They are in the API, but not yet in the `aws` that the test pins.",
        mend_newer_members,
    ),
    Difference(
        "--public-key-base64",
        "If it is missing the error says so; the other spelling `--public-key-base-64` is not "
        "known.",
        "`aws` accepts that as an undocumented alias, and does not say that it is missing.",
        in_stderr(r", --public-key-base64(?=\n)", ""),
    ),
    Difference(
        "Help",
        "Pages in Mooring's own words, with examples that work when pasted; `--help` and `-h` "
        "show them, too; `mooring` alone shows how to start, with exit code 0.",
        "The texts of `aws` are Amazon's, and `--help` is what most people type first.",
        whole_if(is_help),
    ),
    Difference(
        "--v2-debug",
        "The option is accepted; the warnings about moving to `aws` v2 are not printed.",
        "Nobody moves from Mooring to `aws` v2.",
        in_stderr(r"\nAWS CLI v2 UPGRADE WARNING: [^\n]*\n", ""),
    ),
    Difference(
        "Colours",
        "Tables have the same colours with fewer reset codes between them.",
        "`aws` resets after every piece of text, which is not visible.",
        mend_resets,
    ),
    Difference(
        "Roles and single sign-on",
        "Profiles with `role_arn`, `web_identity_token_file`, `sso_...` or `login_session`, and "
        "`AWS_WEB_IDENTITY_TOKEN_FILE`, are refused with advice where `aws` would use them; "
        "EC2 and ECS are not asked for keys.",
        "They are Amazon's own services; the keys would be useless here.",
        whole_if(lambda _, __, mooring: "belong to Amazon's own services" in mooring.stderr),
    ),
    Difference(
        "Additions",
        "`--wait`, `--cli-input-yaml`, `cli_style = v2`, and "
        f"{', '.join(f'`mooring {name}`' for name in OWN_COMMANDS if name != 'help')}. "
        "For `mooring export`, `--output` names a file. None of them makes an abbreviation "
        "ambiguous that `aws` accepts.",
        "`aws` v1 has none of these.",
    ),
    Difference(
        "Connections",
        "Proxies from the environment are not used; certificates are checked against the system's "
        "store unless a bundle is named, and an empty `AWS_CA_BUNDLE` does not disable the check; "
        "one connection serves one request. What cannot succeed is not retried: a wrong "
        "certificate, a bundle that cannot be read, a name that does not exist. `--no-verify-ssl` "
        "warns in one line.",
        "A Mooring server is nearby. Loading what this needs would double the start-up time.",
    ),
    Difference(
        "Standard output that cannot be written",
        "One line on standard error and exit code 255; if the reader has gone away, as with "
        "`| head`, no message and exit code 0, even with `pipefail`.",
        "`aws` leaves it to the interpreter, or ends with a Python error.",
        whole_if(
            lambda _, __, mooring: (
                "Standard output cannot be written" in mooring.stderr and mooring.status == 255
            )
        ),
    ),
    Difference(
        "Characters that the terminal's encoding lacks",
        "The output is encoded in larger pieces: less of it may precede the error.",
        "Writing it piece by piece takes longer.",
        whole_if(
            lambda _, aws, mooring: (
                "codec can't encode character" in aws.stderr
                and "codec can't encode character" in mooring.stderr
                and aws.status == mooring.status
                and aws.requests == mooring.requests
            )
        ),
    ),
    Difference(
        "Debugging",
        "`--debug` prints each request and each reply, without keys and signatures.",
        "The log of `aws` is about its own internals.",
    ),
]


def mended(case: Case, aws: Outcome, mooring: Outcome) -> tuple[Outcome, Outcome, list[str]]:
    """The two outcomes without the intended differences, and the names of those that were met."""
    met = []
    for difference in DIFFERENCES:
        if difference.mend is None or aws == mooring:
            continue
        pair = difference.mend(case, aws, mooring)
        if pair != (aws, mooring):
            met.append(difference.name)
            aws, mooring = pair
    return aws, mooring, met


def document() -> str:
    lines = [
        "# Where `mooring` differs from `aws lightsail`",
        "",
        "Everything else is the same to the letter: standard output, standard error, exit code,",
        "and the request sent, as of `aws` 1.46.3. This page is generated from the table used by",
        "the test that compares the two programs (`tests/cli/differences.py`); any difference not",
        "listed here is a bug.",
        "",
        "| | What Mooring does | Why |",
        "| --- | --- | --- |",
    ]
    lines += [f"| {entry.name} | {entry.what} | {entry.reason} |" for entry in DIFFERENCES]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    Path(DOCUMENT).write_text(document(), encoding="utf-8")
