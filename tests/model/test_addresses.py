"""Addresses by slots, and by the tag that tells a machine's real one."""

from __future__ import annotations

import ipaddress

import pytest

from mooring.model.addresses import (
    ADDRESS_TAG,
    SLOTS,
    addresses_of,
    check_address_tag,
    ipv6_address,
    private_address,
    public_address,
)
from mooring.model.errors import InvalidInputException

DOCUMENTATION = [
    ipaddress.ip_network(one) for one in ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24")
]


def test_no_two_slots_share_an_address_and_none_is_routed() -> None:
    for make in (public_address, private_address, ipv6_address):
        made = [make(slot) for slot in range(SLOTS)]
        assert len(set(made)) == SLOTS
        assert not any(ipaddress.ip_address(one).is_global for one in made[:: SLOTS // 100])


def test_public_addresses_are_those_for_documentation_as_long_as_they_last() -> None:
    first = [ipaddress.ip_address(public_address(slot)) for slot in range(3 * 254)]
    assert all(any(one in network for network in DOCUMENTATION) for one in first)
    assert all(0 < int(one) % 256 < 255 for one in first)
    assert ipaddress.ip_address(ipv6_address(SLOTS - 1)) in ipaddress.ip_network("2001:db8::/32")
    assert ipaddress.ip_address(private_address(SLOTS - 1)) in ipaddress.ip_network("172.26.0.0/16")


@pytest.mark.parametrize(
    ("kind", "tag", "public", "private", "ipv6"),
    [
        ("dualstack", "", "203.0.113.1", "172.26.0.10", "2001:db8::1"),
        ("ipv4", "", "203.0.113.1", "172.26.0.10", None),
        ("ipv6", "", None, "172.26.0.10", "2001:db8::1"),
        ("dualstack", "10.0.0.5", "10.0.0.5", "10.0.0.5", "2001:db8::1"),
        ("dualstack", "fd00::5", "203.0.113.1", "172.26.0.10", "fd00::5"),
        ("dualstack", "fd00:0::5 10.0.0.5", "10.0.0.5", "10.0.0.5", "fd00::5"),
        ("ipv4", "10.0.0.5 fd00::5", "10.0.0.5", "10.0.0.5", None),
    ],
)
def test_what_an_instance_shows(
    kind: str, tag: str, public: str | None, private: str, ipv6: str | None
) -> None:
    found = addresses_of(0, kind, {ADDRESS_TAG: tag} if tag else {}, None)
    assert (found.public, found.private, found.ipv6) == (public, private, ipv6)


def test_a_static_ip_is_the_public_address_whatever_the_tag_says() -> None:
    found = addresses_of(0, "dualstack", {ADDRESS_TAG: "10.0.0.5"}, 7)
    assert (found.public, found.private) == (public_address(7), "10.0.0.5")


@pytest.mark.parametrize("value", ["10.0.0.5", "fd00::5", "10.0.0.5 fd00::5"])
def test_addresses_that_are_some(value: str) -> None:
    check_address_tag(value)


@pytest.mark.parametrize("value", ["", " ", "host.example", "10.0.0.256", "10.0.0.5 10.0.0.6", "1"])
def test_addresses_that_are_none(value: str) -> None:
    with pytest.raises(InvalidInputException, match=ADDRESS_TAG):
        check_address_tag(value)
