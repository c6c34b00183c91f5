"""botocore as the opposite end: its model, and values of its shapes."""

from __future__ import annotations

from datetime import datetime
from functools import cache
from typing import Any

import botocore.session
from botocore.model import OperationModel, ServiceModel, Shape
from hypothesis import strategies as st

from mooring.protocol import service_model

OURS = service_model.load()
OPERATIONS = sorted(OURS.operations)
LATEST_MS = 4_102_444_800_000  # the year 2100


def read_model() -> ServiceModel:
    loader = botocore.session.get_session().get_component("data_loader")
    return ServiceModel(loader.load_service_model("lightsail", "service-2"), "lightsail")


THEIRS = read_model()


def operation_model(name: str) -> OperationModel:
    return THEIRS.operation_model(name)


def values(shape: Shape) -> st.SearchStrategy[Any]:
    """Values of a shape as our own code has them: times are milliseconds."""
    return _values(shape.name)


@cache
def _values(name: str) -> st.SearchStrategy[Any]:
    shape = THEIRS.shape_for(name)
    kind = shape.type_name
    if kind == "structure" and name in OURS.shape_names() and not OURS.shape(name).members:
        # Of lists that are always empty we do not know what the entries would be.
        return st.just({})
    if kind == "structure":
        return st.fixed_dictionaries(
            {name: values(shape.members[name]) for name in shape.required_members},
            optional={
                name: values(member)
                for name, member in shape.members.items()
                if name not in shape.required_members
            },
        )
    if kind == "list":
        return st.lists(values(shape.member), max_size=2)
    if kind == "map":
        return st.dictionaries(values(shape.key), values(shape.value), max_size=2)
    least, most = shape.metadata.get("min"), shape.metadata.get("max")
    scalars: dict[str, st.SearchStrategy[Any]] = {
        "string": st.text(
            st.characters(exclude_categories=["Cs"]),
            min_size=least or 0,
            max_size=max(12, least or 0),
        ),
        "integer": st.integers(
            -(2**31) if least is None else least, 2**31 - 1 if most is None else most
        ),
        "float": st.floats(allow_nan=False, allow_infinity=False),
        "boolean": st.booleans(),
        "timestamp": st.integers(0, LATEST_MS),
    }
    return scalars[kind]


def as_ours(shape: Shape, value: Any) -> Any:
    """What botocore has read, with times as milliseconds."""
    if shape.type_name == "structure":
        return {name: as_ours(shape.members[name], inner) for name, inner in value.items()}
    if shape.type_name == "list":
        return [as_ours(shape.member, inner) for inner in value]
    if shape.type_name == "map":
        return {key: as_ours(shape.value, inner) for key, inner in value.items()}
    if isinstance(value, datetime):
        return round(value.timestamp() * 1000)
    return value
