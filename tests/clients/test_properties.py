"""Whatever is asked, the answer is one that the client's model has."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mooring.protocol import service_model
from mooring.service.answers.nothing_kept import LISTS, NOTHING
from tests.clients.boto import SECONDS
from tests.clients.shapes import check_answer, errors_of, model
from tests.clients.site import Site

pytestmark = pytest.mark.full

REGION = "sa-east-1"
"""Only these tests use it."""

STOCK: list[tuple[str, dict[str, Any]]] = [
    ("CreateDisk", {"diskName": "disk-a", "availabilityZone": "sa-east-1a", "sizeInGb": 8}),
    (
        "CreateInstances",
        {
            "instanceNames": ["web-a"],
            "availabilityZone": "sa-east-1a",
            "blueprintId": "external",
            "bundleId": "external",
        },
    ),
]
"""Asked for anew each time: it may be there still, or have been deleted."""

LONGEST_MESSAGE = 2000
"""Characters. Names and inputs are repeated in errors, but not at any length."""

DISKS, SNAPSHOTS, INSTANCES = ["disk-a", "disk.b"], ["snap-a", "snap_b"], ["web-a", "disk-a"]
NAMES = st.sampled_from(DISKS + SNAPSHOTS + INSTANCES)
STRANGE = st.one_of(
    st.text(max_size=20),
    st.sampled_from(["", "\0", "\ud800", "a" * 300, "b" * 20000, "../..", "ünï", "%s{0}", "1"]),
)
USUAL = {
    "diskName": st.sampled_from(DISKS),
    "diskSnapshotName": st.sampled_from(SNAPSHOTS),
    "instanceSnapshotName": st.sampled_from(SNAPSHOTS),
    "instanceName": st.sampled_from(INSTANCES),
    "instanceNames": st.sampled_from(INSTANCES),
    "availabilityZone": st.just("sa-east-1a"),
    "blueprintId": st.sampled_from(["external", "ubuntu_22_04"]),
    "bundleId": st.sampled_from(["external", "nano_3_0"]),
    "diskPath": st.sampled_from(["/dev/xvdf", "/dev/xvdg"]),
    "sizeInGb": st.integers(8, 16),
    "key": st.sampled_from(["env", "role", "a b", "aws:mine"]),
    "value": st.sampled_from(["", "test"]),
}
NUMBERS = st.one_of(
    st.integers(),
    st.sampled_from([7, 8, 16384, 16385, 2**31, -(2**31) - 1, 2**63, 10**40, 8.0]),
)
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | STRANGE,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(STRANGE, inner, max_size=3),
    max_leaves=5,
)


# Not `integers`, which would draw its ends more often than the rest.
DICE = st.sampled_from(range(40))


def values(shape: Any, name: str) -> st.SearchStrategy[Any]:
    """Inputs of the shape: mostly such that something happens, now and then wrong."""
    return DICE.flatmap(
        lambda dice: ANYTHING if dice == 38 else _fitting(shape, name, strange=dice == 39)
    )


def _fitting(shape: Any, name: str, *, strange: bool) -> st.SearchStrategy[Any]:
    if shape.type_name == "structure":
        return structures(shape)
    if shape.type_name == "list":
        return st.lists(values(shape.member, name), min_size=0 if strange else 1, max_size=3)
    if shape.type_name == "boolean":
        return st.booleans()
    if shape.type_name in {"integer", "long"}:
        return NUMBERS if strange else USUAL.get(name, st.integers(0, 100))
    if strange:
        return STRANGE
    if getattr(shape, "enum", None):
        return st.sampled_from(shape.enum)
    return USUAL.get(name, NAMES)


@st.composite
def structures(draw: st.DrawFn, shape: Any) -> dict[str, Any]:
    """All that is required, and some of the rest."""
    found = {}
    for name, member in shape.members.items():
        often = name in shape.required_members or name == "diskName"
        if draw(DICE) < (39 if often else 4):
            found[name] = draw(values(member, name))
    return found


OFTEN = {"CreateDisk", "CreateInstance", "AttachDisk", "CreateDiskSnapshot"}
"""Types of operations that are begun by any good number of calls."""


def calls() -> st.SearchStrategy[tuple[str, dict[str, Any]]]:
    def call(operation: str) -> st.SearchStrategy[tuple[str, dict[str, Any]]]:
        shape = model().operation_model(operation).input_shape
        return st.tuples(st.just(operation), structures(shape))

    # Often what the others need, and seldom each of those that always say the same.
    known = sorted(service_model.load().operations.keys() - {*LISTS, *NOTHING})
    often = ["CreateInstances", *sorted(OFTEN - {"CreateInstance"})]
    return st.sampled_from([*known, *often * 8, *LISTS, *NOTHING]).flatmap(call)


def ask(site: Site, asked: list[tuple[str, dict[str, Any]]]) -> None:
    """Ask for all of it at once, and hold each answer against the model."""
    client = {"region": REGION, "validate": False, "attempts": 1}
    for operation, params in STOCK:
        site.boto.reply(operation, params, client=client)
    begun = [
        site.boto.begin(operation, {}, client=client, twist={"body": json.dumps(params)})
        for operation, params in asked
    ]

    for (operation, params), call in zip(asked, begun, strict=True):
        reply = call.result(SECONDS)
        if reply.error is None:
            assert check_answer(operation, reply.bodies[0]) == []
            continue
        error = reply.error
        told = f"{operation} {params}: {error.text}"
        # A wrong type is answered as AWS does, before the operation's own errors.
        known = (errors_of(operation) - {"ServiceException"}) | {"SerializationException"}
        assert error.code in known, told
        assert error.status == 400, told
        assert 0 < len(error.message) <= LONGEST_MESSAGE, told


def test_any_input_gets_an_answer_of_the_model(site: Site) -> None:
    @settings(
        max_examples=80, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow]
    )
    @given(st.lists(calls(), min_size=4, max_size=12))
    def ask_anything(asked: list[tuple[str, dict[str, Any]]]) -> None:
        ask(site, asked)

    ask_anything()

    # The inputs reached what they are for: most of what is served was done at least once.
    found = site.boto.reply("GetOperations", {}, client={"region": REGION}, paginate={}).get()
    done = {one["operationType"] for page in found for one in page["operations"]}
    assert done >= OFTEN
    assert "request failed" not in site.log()
