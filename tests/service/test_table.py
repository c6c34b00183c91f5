"""The table of operations says of each what it touches; held against the service model."""

from __future__ import annotations

import botocore.session
import pytest

from mooring.model.access import Need
from mooring.protocol import service_model
from mooring.protocol.service_model import Shape
from mooring.service.own.table import OWN_REQUESTS
from mooring.service.table import OPERATIONS

MODEL = service_model.load()
NAMES = {"ResourceName", "ResourceNameList"}
"""Shapes of members that name resources."""

NO_RESOURCES = {
    "alarmName",
    "customImageName",
    "distributionName",
    "monitoredResourceName",
}
"""Members of those shapes that name something else here."""

ONLY_KEPT = {("CreateInstances", "keyPairName"), ("CreateInstancesFromSnapshot", "keyPairName")}
"""Members that may name a resource, or what is none here."""


def input_of(operation: str) -> Shape:
    return MODEL.shape(MODEL.operations[operation].input)


def test_what_the_model_has_is_served_and_nothing_else() -> None:
    assert OPERATIONS.keys() == MODEL.operations.keys()


def test_whatever_tells_without_being_asked_about_something_is_served() -> None:
    """Backend that make inventories call each of these, and stop at the first error."""
    known = botocore.session.Session().get_service_model("lightsail")
    tells = [name for name in known.operation_names if name.startswith(("Get", "Is"))]

    asked = [known.operation_model(name).input_shape.required_members for name in tells]
    free = {name for name, required in zip(tells, asked, strict=True) if not required}

    assert free <= OPERATIONS.keys()


@pytest.mark.parametrize("operation", sorted(OPERATIONS))
def test_each_member_that_names_a_resource_is_declared(operation: str) -> None:
    entry, shape = OPERATIONS[operation], input_of(operation)
    named = {name for name, member in shape.members.items() if member in NAMES} - NO_RESOURCES
    named -= {member for name, member in ONLY_KEPT if name == operation}

    declared = [*entry.on, *filter(None, [entry.makes])]

    assert named <= set(declared)
    assert set(declared) | set(filter(None, [entry.region])) <= shape.members.keys()
    assert len(set(declared)) == len(declared)


@pytest.mark.parametrize("operation", sorted(OPERATIONS))
def test_what_only_tells_is_called_so(operation: str) -> None:
    tells = operation.startswith(("Get", "Is"))

    assert (OPERATIONS[operation].need is Need.READ) == tells


@pytest.mark.parametrize("operation", sorted(OPERATIONS))
def test_what_takes_tags_makes_a_resource(operation: str) -> None:
    entry = OPERATIONS[operation]

    if "tags" in input_of(operation).members and not operation.startswith("Tag"):
        assert entry.makes


def test_own_requests_that_open_a_way_to_data_need_more_than_reading() -> None:
    needs = {name: request.entry.need for name, request in OWN_REQUESTS.items()}

    assert needs["uri"] is needs["grant"] is Need.CHANGE


@pytest.mark.parametrize("name", sorted(OWN_REQUESTS))
def test_each_member_of_an_own_request_is_declared(name: str) -> None:
    request = OWN_REQUESTS[name]
    named = [*request.entry.on, *filter(None, [request.entry.makes]), *request.entry.notes]

    assert set(named) <= request.members.keys()
    assert {MODEL.shape(shape).type for shape in request.members.values()} <= (
        {"string", "integer", "boolean", "list"} if request.acts else {"string"}
    )


@pytest.mark.parametrize("name", sorted(OWN_REQUESTS))
def test_what_only_reads_is_no_action(name: str) -> None:
    request = OWN_REQUESTS[name]

    assert not (request.acts and request.entry.need is Need.READ)
