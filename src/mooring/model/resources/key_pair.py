"""An SSH key pair as a value: its public half and its fingerprint."""

from __future__ import annotations

from dataclasses import dataclass, field

from mooring.model.tags import Tags

DEFAULT_KEY_PAIR = "LightsailDefaultKeyPair"
"""The name of each region's own key pair, and what instances without another one show."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyPair:
    """A key pair. Times are milliseconds.

    `public_key` is a line as in `authorized_keys`. The private half is never here.
    """

    id: str
    region: str
    name: str
    created_ms: int
    fingerprint: str
    public_key: str
    tags: Tags = field(default_factory=dict)

    @property
    def is_default(self) -> bool:
        return self.name == DEFAULT_KEY_PAIR
