"""Ports as clients set them: what is taken, what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from mooring.model.errors import InvalidInputException
from mooring.model.resources.firewall import MAX_PORTS, decode, encode, opened, read_ports


def ports(first: int, last: int, protocol: str = "tcp", **more: Any) -> dict[str, Any]:
    return {"fromPort": first, "toPort": last, "protocol": protocol, **more}


def test_entries_come_back_as_they_were() -> None:
    entries = [
        read_ports(ports(22, 22, cidrs=["10.0.0.0/8"], cidrListAliases=["lightsail-connect"])),
        read_ports(ports(8000, 8010, "udp", ipv6Cidrs=["2001:db8::/32"])),
        read_ports(ports(-1, -1, "icmp")),
        read_ports({"protocol": "all"}),
    ]

    assert decode(encode(entries)) == entries
    assert decode(encode([])) == []
    assert [one.text for one in entries] == ["22/tcp", "8000-8010/udp", "-1/icmp", "0-65535/all"]


def test_without_addresses_everybody_may_connect() -> None:
    entry = read_ports(ports(80, 80))

    assert (entry.cidrs, entry.ipv6_cidrs) == (("0.0.0.0/0",), ("::/0",))


def test_icmpv6_comes_from_ipv6_addresses() -> None:
    entry = read_ports(ports(-1, -1, "icmpv6"))

    assert (entry.cidrs, entry.ipv6_cidrs) == ((), ("::/0",))


def test_the_same_ports_are_one_entry() -> None:
    before = [read_ports(ports(22, 22)), read_ports(ports(80, 80))]
    after = opened(before, [read_ports(ports(22, 22, cidrs=["10.1.2.3/32"]))])

    assert [one.text for one in after] == ["22/tcp", "80/tcp"]
    assert after[0].cidrs == ("10.1.2.3/32",)


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"fromPort": 22, "toPort": 22}, "A protocol is required"),
        (ports(-1, 22), "out of range: 0 to 65535"),
        (ports(22, 70000), "out of range"),
        (ports(80, 22), "must not be greater"),
        (ports(22, 22, cidrs=["anywhere"]), "'anywhere' is not a range of IPv4 addresses"),
        (ports(22, 22, cidrs=["::/0"]), "'::/0' is not a range of IPv4"),
        (ports(22, 22, ipv6Cidrs=["10.0.0.0/8"]), "not a range of IPv6"),
        (ports(22, 22, cidrs=["10.0.0.0/8"] * 61), "at most 60 address ranges, not 61"),
        (ports(22, 22, cidrListAliases=["mine"]), "can only contain lightsail-connect"),
    ],
)
def test_entries_that_are_refused(given: dict[str, Any], problem: str) -> None:
    with pytest.raises(InvalidInputException, match=problem):
        read_ports(given)


def test_there_is_a_limit() -> None:
    many = [read_ports(ports(number, number)) for number in range(MAX_PORTS + 1)]

    assert len(opened([], many[1:])) == MAX_PORTS
    with pytest.raises(InvalidInputException, match="at most 60 port entries; this makes 61"):
        opened(many[:1], many[1:])
