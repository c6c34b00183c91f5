"""Inputs against shapes: by the server, and as botocore does it."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from botocore.validate import ParamValidator
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mooring.model.errors import InvalidInputException
from mooring.protocol import client_validation
from mooring.protocol.service_model import Operation, ServiceModel
from mooring.protocol.validate import validate_input
from tests.protocol.botocore_peer import OPERATIONS, OURS, operation_model, values


def refusal(operation: str, parameters: dict[str, Any]) -> str:
    with pytest.raises(InvalidInputException) as caught:
        validate_input(OURS, operation, parameters)
    assert caught.value.code == "InvalidParams"
    return caught.value.message


def test_required_members_are_required() -> None:
    parameters = {"diskName": "d", "availabilityZone": "us-east-2a"}

    assert refusal("CreateDisk", parameters) == (
        "1 validation error detected: Value null at 'sizeInGb' failed to satisfy constraint: "
        "Member must not be null"
    )


def test_all_problems_are_told_at_once() -> None:
    parameters = {"diskName": "d", "addOns": [{"addOnType": "Sing"}, {}]}

    assert refusal("CreateDisk", parameters) == (
        "4 validation errors detected: "
        "Value null at 'availabilityZone' failed to satisfy constraint: Member must not be null; "
        "Value null at 'sizeInGb' failed to satisfy constraint: Member must not be null; "
        "Value 'Sing' at 'addOns.1.member.addOnType' failed to satisfy constraint: "
        "Member must satisfy enum value set: [AutoSnapshot, StopInstanceOnIdle]; "
        "Value null at 'addOns.2.member.addOnType' failed to satisfy constraint: "
        "Member must not be null"
    )


def test_a_long_value_is_cut() -> None:
    message = refusal("GetBundles", {"appCategory": "x" * 5000})

    assert len(message) < 300


def test_patterns_are_not_the_services_rules() -> None:
    validate_input(OURS, "GetDisk", {"diskName": "my.disk"})


@pytest.mark.parametrize(
    ("operation", "parameters", "empty"),
    [
        ("CreateDiskSnapshot", {"diskSnapshotName": "s", "diskName": "d"}, "instanceName"),
        ("CreateDiskSnapshot", {"diskSnapshotName": "s", "instanceName": "i"}, "diskName"),
        (
            "CopySnapshot",
            {"targetSnapshotName": "s", "sourceRegion": "us-east-2"},
            "sourceSnapshotName",
        ),
        ("TagResource", {"resourceName": "r", "tags": []}, "resourceArn"),
        ("GetDisk", {"diskName": "d"}, "diskName"),
        ("DeleteInstance", {"instanceName": "i"}, "instanceName"),
        (
            "CreateDisk",
            {"diskName": "d", "availabilityZone": "us-east-2a", "sizeInGb": 8},
            "diskName",
        ),
    ],
)
def test_no_name_is_given_empty(operation: str, parameters: dict[str, Any], empty: str) -> None:
    """As by a script whose variable is not set, or in a skeleton that was filled in by half."""
    validate_input(OURS, operation, parameters)
    message = refusal(operation, {**parameters, empty: ""})

    assert message.startswith(
        f"1 validation error detected: Value '' at '{empty}' failed to satisfy constraint: "
        "Member must satisfy regular expression pattern: "
    )


LIMITED = ServiceModel(
    {
        "apiVersion": "1",
        "targetPrefix": "T",
        "jsonVersion": "1.1",
        "signingName": "t",
        "unserved": [],
        "operations": {"Try": {"input": "In", "output": "In", "errors": []}},
        "shapes": {
            "In": {
                "type": "structure",
                "members": {"count": "Count", "name": "Name", "names": "Names", "map": "Map"},
            },
            "Count": {"type": "integer", "min": 1, "max": 9},
            "Name": {"type": "string", "min": 2, "max": 3},
            "Names": {"type": "list", "member": "Name", "min": 1, "max": 2},
            "Map": {"type": "map", "key": "Name", "value": "Count"},
        },
    }
)


@pytest.mark.parametrize(
    ("parameters", "problem"),
    [
        ({"count": 0}, "Value '0' at 'count' .* value greater than or equal to 1"),
        ({"count": 10}, "Value '10' at 'count' .* value less than or equal to 9"),
        ({"name": "a"}, "Value 'a' at 'name' .* length greater than or equal to 2"),
        ({"name": "abcd"}, "Value 'abcd' at 'name' .* length less than or equal to 3"),
        ({"names": []}, r"Value '\[\]' at 'names' .* length greater than or equal to 1"),
        ({"names": ["a"]}, "Value 'a' at 'names.1.member' .* length greater than"),
        ({"map": {"kk": 0}}, "Value '0' at 'map.kk.member' .* value greater than"),
    ],
)
def test_bounds_are_kept(parameters: dict[str, Any], problem: str) -> None:
    with pytest.raises(InvalidInputException, match=f"^1 validation error detected: {problem}"):
        validate_input(LIMITED, "Try", parameters)


def test_what_is_within_bounds_passes() -> None:
    parameters = {"count": 1, "name": "abc", "names": ["ab", "abc"], "map": {"kk": 9}}

    validate_input(LIMITED, "Try", parameters)


def theirs(operation: str, parameters: Any) -> str:
    shape = operation_model(operation).input_shape
    return str(ParamValidator().validate(parameters, shape).generate_report())


def ours(operation: str, parameters: Any) -> str:
    return client_validation.report(OURS, OURS.operations[operation], parameters)


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=4), inner, max_size=2)
    ),
    max_leaves=4,
)


@pytest.mark.parametrize("operation", OPERATIONS)
@settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_the_client_says_what_botocore_says(operation: str, data: st.DataObject) -> None:
    shape = operation_model(operation).input_shape
    right = data.draw(values(shape))
    names = st.sampled_from([*shape.members, "colour"])
    wrong = data.draw(st.dictionaries(names, ANYTHING, max_size=3))
    left_out = data.draw(st.sets(st.sampled_from(sorted(right)))) if right else set()
    mixed = {name: value for name, value in {**right, **wrong}.items() if name not in left_out}

    assert ours(operation, right) == "" == theirs(operation, right)
    assert ours(operation, mixed) == theirs(operation, mixed)


@pytest.mark.parametrize(
    ("operation", "parameters"),
    [
        ("CreateDisk", {}),
        ("CreateDisk", "text"),
        ("CreateDisk", None),
        ("CreateDisk", {"diskName": 1, "availabilityZone": "z", "sizeInGb": "8"}),
        ("CreateDisk", {"diskName": "d", "availabilityZone": "z", "sizeInGb": Decimal(8)}),
        ("CreateDiskSnapshot", {"diskSnapshotName": "s", "tags": ({"key": 1}, "k", {"x": "y"})}),
        ("TagResource", {"resourceName": "r", "tags": {}}),
        ("GetDisks", {"colour": "red"}),
    ],
)
def test_well_known_mistakes_are_told_as_botocore_tells_them(
    operation: str, parameters: Any
) -> None:
    assert ours(operation, parameters) == theirs(operation, parameters) != ""


def test_true_passes_for_a_number_as_it_does_with_botocore() -> None:
    parameters = {"diskName": "d", "availabilityZone": "z", "sizeInGb": True}

    assert ours("CreateDisk", parameters) == theirs("CreateDisk", parameters) == ""


LIMITED_LIKE_PEER = ServiceModel(
    {
        "apiVersion": "1",
        "targetPrefix": "T",
        "jsonVersion": "1.1",
        "signingName": "t",
        "unserved": [],
        "operations": {},
        "shapes": {
            "In": {
                "type": "structure",
                "members": {"count": "Count", "name": "Name", "names": "Names"},
            },
            "Count": {"type": "integer", "min": 1},
            "Name": {"type": "string", "min": 2},
            "Names": {"type": "list", "member": "Name", "min": 2},
        },
    }
)


def test_minima_are_told_as_botocore_tells_them() -> None:
    # No input of the operations served has one: so against botocore's own shapes, made alike.
    from botocore.model import ServiceModel as BotocoreModel

    shapes = {
        "In": {
            "type": "structure",
            "members": {name: {"shape": name.title()} for name in ("count", "name", "names")},
        },
        "Count": {"type": "integer", "min": 1},
        "Name": {"type": "string", "min": 2},
        "Names": {"type": "list", "member": {"shape": "Name"}, "min": 2},
    }
    peer = BotocoreModel({"metadata": {}, "operations": {}, "shapes": shapes}, "test")
    operation = Operation("Try", {"input": "In", "output": "In", "errors": []})
    for parameters in (
        {"count": 0},
        {"name": "a"},
        {"names": ["a"]},
        {"names": [1, "ab"]},
        {"count": 1, "name": "ab", "names": ["ab", "cd"]},
    ):
        report = ParamValidator().validate(parameters, peer.shape_for("In")).generate_report()
        assert client_validation.report(LIMITED_LIKE_PEER, operation, parameters) == report
