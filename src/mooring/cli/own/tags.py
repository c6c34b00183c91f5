"""The option --tags of commands of Mooring's own."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from mooring.protocol.service_model import ServiceModel


def read_tags(model: ServiceModel, words: list[str] | None) -> dict[str, Any]:
    """The member `tags` of the request, as other commands take them; nothing without any."""
    if words is None:
        return {}
    from mooring.cli.input import arguments

    creation = model.shape(model.operations["CreateDiskSnapshot"].input)
    shape = model.shape(creation.members["tags"])
    return {"tags": arguments.unpack(model, shape, "--tags", words)}
