"""Make docs/operations.md: the operations of Lightsail, and Mooring's own requests.

Run `python tools/list_operations.py` after a change of src/mooring/service/differences.py, of the
operations served or of src/mooring/service/own/; `--check` exits 1 when the page is out of date.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

from mooring.protocol import service_model
from mooring.service.differences import DIFFERENCES, NOT_SERVED
from mooring.service.own.table import OWN_REQUESTS
from mooring.service.table import OPERATIONS

TARGET = Path(__file__).parent.parent / "docs/operations.md"

HEAD = """\
# The operations of Lightsail

Which of them Mooring serves, where it differs from the real service, and why. This page is made by
`tools/list_operations.py` from `src/mooring/service/differences.py` and the service model; a test
compares. What is served and has no remark is as on the real service, as far as its documentation,
its examples and its clients tell.
"""

OWN_HEAD = """\
## Requests of Mooring's own

What Lightsail's API has no words for, `mooring` and `mooringd` ask a server below `/mooring/`,
signed as any other request. What only asks is a GET with its members in the query; what changes
something is a POST with its members as a JSON object and the content type `application/json`,
which no form of another site can send. Answers are JSON objects; errors are those of the API.
These requests belong to the version of the server: use the `mooring` that was installed with it.
"""


def page() -> str:
    """The text of the page."""
    return "\n".join([HEAD, *_served(), "", *_own(), "", *_unserved()]) + "\n"


def problems() -> list[str]:
    """What is wrong with the lists that the page is made from."""
    unserved = service_model.load().unserved
    listed = [name for names in NOT_SERVED.values() for name in names.split()]
    found = [f"{name} is served, or no operation" for name in sorted(set(listed) - unserved)]
    found += [f"{name} is not served, and has no reason" for name in sorted(unserved - set(listed))]
    found += [f"{name} is listed twice" for name in sorted(set(listed)) if listed.count(name) > 1]
    found += [f"{name} is not served" for name in sorted(DIFFERENCES.keys() - OPERATIONS.keys())]
    return found


def _served() -> Iterator[str]:
    yield f"## Served: {len(OPERATIONS)}"
    yield ""
    yield "| operation | differences |"
    yield "| --- | --- |"
    for name in sorted(OPERATIONS):
        yield f"| {name} | {DIFFERENCES.get(name, '')} |"


def _own() -> Iterator[str]:
    yield OWN_HEAD
    yield "| request | members | needs | |"
    yield "| --- | --- | --- | --- |"
    for name, one in sorted(OWN_REQUESTS.items()):
        members = ", ".join(f"`{member}`" for member in one.members)
        summary = " ".join((one.entry.function.__doc__ or "").split("\n\n")[0].split())
        yield f"| {one.method} {name} | {members} | {one.entry.need} | {summary} |"


def _unserved() -> Iterator[str]:
    yield f"## Not served: {sum(len(names.split()) for names in NOT_SERVED.values())}"
    yield ""
    yield "Each is answered with `InvalidInputException` and the code `UnsupportedOperation`."
    for reason, names in NOT_SERVED.items():
        yield ""
        yield f"**{reason}.** {', '.join(sorted(names.split()))}."


def main() -> int:
    """Write the page, or with --check compare it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    arguments = parser.parse_args()
    if wrong := problems():
        print("\n".join(["src/mooring/service/differences.py:", *wrong]), file=sys.stderr)
        return 1
    if not arguments.check:
        TARGET.write_text(page(), encoding="utf-8")
        return 0
    if TARGET.read_text(encoding="utf-8") == page():
        return 0
    print(f"{TARGET} is out of date: run python tools/list_operations.py", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
