"""What is said of an operation in the answer to a request."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from tests.clients.site import REGION

UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def entries(result: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    """Of each operation what the reference says about it, and what can be said of all."""
    for one in result["operations"]:
        assert UUID.fullmatch(one["id"])
        assert one["createdAt"] <= one["statusChangedAt"]
        assert one["location"]["regionName"] == REGION
        assert one["isTerminal"] == (one["status"] == "Succeeded")
        assert not one.keys() & {"errorCode", "errorDetails"}
    return [
        (
            one["resourceType"],
            one["resourceName"],
            one["location"]["availabilityZone"],
            one.get("operationDetails"),
            one["operationType"],
            one["status"],
        )
        for one in result["operations"]
    ]
