"""Ports that an instance's firewall lets through, as clients set and read them.

Mooring runs no machines, so nothing is opened or closed by it.
"""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mooring.model.errors import InvalidInputException

ANYWHERE, ANYWHERE_IPV6 = "0.0.0.0/0", "::/0"
MAX_PORTS = 60
"""Entries of one instance."""

MAX_CIDRS = 60
"""Address ranges of one entry, of each kind."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """One entry: a range of ports of a protocol, and who may reach it."""

    first: int
    last: int
    protocol: str
    cidrs: Sequence[str] = ()
    ipv6_cidrs: Sequence[str] = ()
    aliases: Sequence[str] = ()

    @property
    def text(self) -> str:
        """As operations show it: `22/tcp`."""
        numbers = str(self.first) if self.first == self.last else f"{self.first}-{self.last}"
        return f"{numbers}/{self.protocol}"

    @property
    def key(self) -> tuple[int, int, str]:
        return (self.first, self.last, self.protocol)


def read_ports(given: Mapping[str, Any]) -> Ports:
    """Turn a PortInfo into an entry. Raises InvalidInputException."""
    protocol = given.get("protocol")
    if protocol is None:
        raise InvalidInputException("A protocol is required for each port: tcp, udp, icmp or all.")
    everything = protocol == "all"
    first, last = given.get("fromPort", 0), given.get("toPort", 65535 if everything else None)
    last = first if last is None else last
    lowest = -1 if protocol.startswith("icmp") else 0
    if not (lowest <= first <= 65535 and lowest <= last <= 65535):
        raise InvalidInputException(
            f"The ports {first} to {last} of {protocol} are out of range: {lowest} to 65535."
        )
    if protocol in ("tcp", "udp") and first > last:
        raise InvalidInputException(f"fromPort {first} must not be greater than toPort {last}.")
    cidrs = _addresses(given.get("cidrs"), 4)
    ipv6_cidrs = _addresses(given.get("ipv6Cidrs"), 6)
    aliases = tuple(given.get("cidrListAliases") or ())
    if any(alias != "lightsail-connect" for alias in aliases):
        raise InvalidInputException("cidrListAliases can only contain lightsail-connect.")
    if not (cidrs or ipv6_cidrs or aliases):
        cidrs = () if protocol == "icmpv6" else (ANYWHERE,)
        ipv6_cidrs = (ANYWHERE_IPV6,)
    return Ports(
        first=first,
        last=last,
        protocol=protocol,
        cidrs=cidrs,
        ipv6_cidrs=ipv6_cidrs,
        aliases=aliases,
    )


def opened(ports: Iterable[Ports], more: Iterable[Ports]) -> list[Ports]:
    """The entries with others besides; of the same ports the later ones count."""
    found = {one.key: one for one in [*ports, *more]}
    if len(found) > MAX_PORTS:
        raise InvalidInputException(
            f"An instance can have at most {MAX_PORTS} port entries; this makes {len(found)}."
        )
    return list(found.values())


def encode(ports: Sequence[Ports]) -> str | None:
    """The entries as a column has them."""
    if not ports:
        return None
    return json.dumps(
        [
            [one.first, one.last, one.protocol, one.cidrs, one.ipv6_cidrs, one.aliases]
            for one in ports
        ]
    )


def decode(column: str | None) -> list[Ports]:
    """Read what `encode` made."""
    return [
        Ports(
            first=first,
            last=last,
            protocol=protocol,
            cidrs=tuple(cidrs),
            ipv6_cidrs=tuple(ipv6_cidrs),
            aliases=tuple(aliases),
        )
        for first, last, protocol, cidrs, ipv6_cidrs, aliases in json.loads(column or "[]")
    ]


def _addresses(given: Sequence[str] | None, version: int) -> tuple[str, ...]:
    found = tuple(given or ())
    if len(found) > MAX_CIDRS:
        raise InvalidInputException(
            f"One port entry has at most {MAX_CIDRS} address ranges, not {len(found)}."
        )
    for text in found:
        try:
            right = ipaddress.ip_network(text, strict=False).version == version
        except ValueError:
            right = False
        if not right:
            raise InvalidInputException(
                f"{text[:50]!r} is not a range of IPv{version} addresses, such as "
                f"{ANYWHERE if version == 4 else ANYWHERE_IPV6}."
            )
    return found
