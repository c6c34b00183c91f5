"""IP addresses of instances and static IPs: by slots, or set by a tag.

Mooring has no network. So that scripts which ask for addresses go on, everything that has one gets
a slot, and each slot stands for addresses that nobody else has: public ones from the ranges for
documentation (RFC 5737, RFC 3849), and when these are used up, from that for benchmarks
(RFC 2544), none of which is ever routed; private ones from the range that Lightsail uses.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

from mooring.model.errors import InvalidInputException
from mooring.model.names import shown
from mooring.model.tags import Tags

ADDRESS_TAG = "mooring:address"
"""On an instance: where the machine really is, an IPv4 address, an IPv6 address, or both."""

SLOTS = 65_000
"""How many instances and static IPs can have addresses at the same time."""

_PUBLIC = tuple(
    ipaddress.IPv4Network(network)
    for network in ("203.0.113.0/24", "198.51.100.0/24", "192.0.2.0/24", "198.18.0.0/15")
)
_PRIVATE = ipaddress.IPv4Address("172.26.0.0")
_PRIVATE_FROM = 10
_IPV6 = ipaddress.IPv6Address("2001:db8::")


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where an instance is; None for what it does not have."""

    public: str | None
    private: str | None
    ipv6: str | None


def public_address(slot: int) -> str:
    """The public IPv4 address of a slot, 0 or more."""
    left = slot
    for network in _PUBLIC:
        hosts = network.num_addresses - 2
        if left < hosts:
            return str(network.network_address + 1 + left)
        left -= hosts
    raise ValueError(f"there is no slot {slot}")


def private_address(slot: int) -> str:
    """The private IPv4 address of a slot."""
    return str(_PRIVATE + _PRIVATE_FROM + slot)


def ipv6_address(slot: int) -> str:
    """The IPv6 address of a slot."""
    return str(_IPV6 + 1 + slot)


def addresses_of(slot: int, kind: str, tags: Tags, static_slot: int | None) -> Addresses:
    """The addresses of an instance of the type `ipv4`, `ipv6` or `dualstack`.

    Those of the tag stand in for those of the slot; a static IP is always the public address.
    """
    told = _read(tags.get(ADDRESS_TAG) or "")
    public = told.public or public_address(slot)
    if static_slot is not None:
        public = public_address(static_slot)
    return Addresses(
        public=None if kind == "ipv6" else public,
        private=told.private or private_address(slot),
        ipv6=None if kind == "ipv4" else told.ipv6 or ipv6_address(slot),
    )


def check_address_tag(value: str) -> None:
    """Raise InvalidInputException unless the tag's value can be understood."""
    try:
        _read(value, strictly=True)
    except ValueError:
        raise InvalidInputException(
            f"The tag {ADDRESS_TAG} must be an IPv4 address, an IPv6 address, or one of each with "
            f"a space between, not {shown(value)!r}."
        ) from None


def _read(value: str, *, strictly: bool = False) -> Addresses:
    """What the tag says. Raises ValueError, strictly, if that is not clear."""
    found: dict[int, str] = {}
    for text in value.split():
        try:
            address = ipaddress.ip_address(text)
            if address.version in found:
                raise ValueError(text)
        except ValueError:
            if strictly:
                raise
            continue
        found[address.version] = str(address)
    if strictly and not found:
        raise ValueError(value)
    return Addresses(public=found.get(4), private=found.get(4), ipv6=found.get(6))
