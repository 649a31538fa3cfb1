"""Where a webhook may go: to public addresses, by the address that was checked (no SSRF, no DNS rebinding)."""

from __future__ import annotations

import ipaddress
import socket
from typing import NamedTuple

import httpx

_PORTS = {"http": 80, "https": 443}


class ForbiddenTargetError(Exception):
    """The address is not one that a webhook may be sent to."""


class Target(NamedTuple):
    """A URL whose host is the checked IP address, and what the receiver must see as the host."""

    url: httpx.URL
    host_header: str
    server_name: str


def resolve(url: str, *, allow_private: bool) -> Target:
    """Look the host up once and pin the connection to what was found. Raises ``ForbiddenTargetError``.

    All of a name's addresses must be public: a name with one inside is a trick.
    """
    parsed = httpx.URL(url)
    if parsed.scheme not in _PORTS or not parsed.host:
        raise ForbiddenTargetError("only http and https addresses are called")
    port = parsed.port or _PORTS[parsed.scheme]
    try:
        found = socket.getaddrinfo(parsed.host, port, type=socket.SOCK_STREAM)
    except (socket.gaierror, UnicodeError) as error:
        raise ForbiddenTargetError(f"{parsed.host} has no address") from error
    addresses = [ipaddress.ip_address(str(entry[4][0]).partition("%")[0]) for entry in found]
    for address in addresses:
        if not allow_private and not is_public(address):
            raise ForbiddenTargetError(f"{parsed.host} is {address}, which is not a public address")
    host_header = parsed.netloc.decode("ascii")
    return Target(parsed.copy_with(host=str(addresses[0])), host_header, parsed.host)


def is_public(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    """Whether the address, or the one that it carries within, is outside of every private network."""
    mapped = getattr(address, "ipv4_mapped", None) or getattr(address, "sixtofour", None)
    if mapped is not None:
        return is_public(mapped)
    return address.is_global and not address.is_multicast
