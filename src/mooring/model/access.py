"""What a caller may do: a role, and tags that bind it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from mooring.model.tags import Tags


class Need(StrEnum):
    """What a key must be allowed to do. Each includes those before it."""

    READ = "read"
    CHANGE = "change"
    ADMINISTER = "administer"


class Role(StrEnum):
    """What a key may do at most."""

    READ_ONLY = "read-only"
    OPERATOR = "operator"
    ADMINISTRATOR = "administrator"

    def allows(self, need: Need) -> bool:
        return list(Role).index(self) >= list(Need).index(need)


@dataclass(frozen=True, slots=True)
class Access:
    """Who somebody is, and what they may do.

    Whoever is bound to tags acts only on resources that have all of them, and makes only such.
    """

    user: str = "root"
    role: Role = Role.ADMINISTRATOR
    tags: Mapping[str, str] = field(default_factory=dict)

    def reaches(self, tags: Tags) -> bool:
        """Whether a resource with these tags is one that this access is for."""
        return all(key in tags and (tags[key] or "") == self.tags[key] for key in self.tags)

    def unbinds(self, tags: Tags) -> bool:
        """Whether setting these tags would give one of those that bind another value."""
        return any((tags[key] or "") != self.tags[key] for key in self.tags if key in tags)


UNBOUND = Access()
"""May do everything."""
