"""A blueprint of one's own: a snapshot from which instances get their system disks."""

from __future__ import annotations

from enum import StrEnum

from mooring.model import blueprints
from mooring.model.errors import InvalidInputException
from mooring.model.names import check_name, shown


class Platform(StrEnum):
    """What runs on the machines; roots and requests name it so."""

    LINUX = "linux"
    WINDOWS = "windows"

    @property
    def told(self) -> str:
        """The API's word."""
        return "WINDOWS" if self is Platform.WINDOWS else "LINUX_UNIX"


def read_platform(text: str) -> Platform:
    """Raises InvalidInputException."""
    if text not in list(Platform):
        raise InvalidInputException(
            f"The platform of a blueprint is {' or '.join(Platform)}, not {shown(text)}."
        )
    return Platform(text)


def check_blueprint_id(blueprint_id: str) -> str:
    """Return the id, which is the name of a snapshot. Raises InvalidInputException.

    It may not be an id of the real service: what scripts make of those has no system disk here.
    """
    check_name(blueprint_id)
    if blueprints.is_known_blueprint(blueprint_id):
        raise InvalidInputException(
            f"{blueprint_id} is a blueprint of Lightsail's, or could be one. Choose another id, "
            "for example one with a hyphen: debian-13."
        )
    return blueprint_id
