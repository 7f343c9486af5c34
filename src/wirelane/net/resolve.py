"""Names to socket addresses: `getaddrinfo` off the loop, errors that name the host, RFC 8305 order.

An IP address written as such asks nobody and costs no thread.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

from wirelane.core.target import Address, HostPort, UnixPath
from wirelane.errors import ResolveError
from wirelane.net.lookup import lookup

__all__ = ["Endpoint", "SocketAddress", "interleave", "resolve"]

SocketAddress = tuple[str, int, *tuple[int, ...]] | str
"""What `socket.connect` takes: (host, port), IPv6 with flow and scope, or the path of a Unix socket."""

_CHECK_NAME = "check the spelling of the name, and that this machine can ask its DNS"
_CHECK_LIMITS = "check how many open files and threads this process may have"
# getaddrinfo's code -> (what it means, what to try).
_PROBLEMS: dict[int, tuple[str, str]] = {
    socket.EAI_NONAME: ("there is no such name", _CHECK_NAME),
    socket.EAI_NODATA: (
        "the name has no address",
        "check that the name is meant to have an A or AAAA record",
    ),
    socket.EAI_AGAIN: (
        "the DNS gave no answer",
        "check the network and the DNS servers of this machine, or try again",
    ),
    socket.EAI_FAIL: ("the DNS answered with a failure", "check the DNS servers of this machine"),
}


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One socket address of a target, and how to call it in a message."""

    family: int
    address: SocketAddress

    @property
    def target(self) -> Address:
        """The same as an address to dial or to listen at."""
        if isinstance(self.address, str):
            return UnixPath(self.address)
        return HostPort(self.address[0], self.address[1])

    def __str__(self) -> str:
        return str(self.target)


async def resolve(host: str, port: int, *, passive: bool = False) -> list[Endpoint]:
    """Return the addresses of `host`, best first as the system sorts them (RFC 6724), without repeats.

    Args:
        host: A name or an IP address. Empty with `passive`: every interface.
        port: What the addresses get as their port.
        passive: The addresses are for listening.

    Raises:
        ResolveError: There is none. The thread that asks is not stopped by a cancellation; its answer is dropped.
    """
    literal = _literal(host, port)
    if literal is not None:
        return [literal]
    flags = socket.AI_PASSIVE if passive else 0
    try:
        found = await lookup(host or None, port, flags)
    except socket.gaierror as exc:
        what, hint = _PROBLEMS.get(exc.errno or 0, (str(exc.strerror or exc), _CHECK_NAME))
        raise ResolveError(f"cannot resolve {host!r}: {what}", host=host, step="resolve", hint=hint) from exc
    except OSError as exc:
        text = f"cannot resolve {host!r}: {exc.strerror or exc}"  # of this machine, not of the name
        raise ResolveError(text, host=host, step="resolve", hint=_CHECK_LIMITS) from exc
    except (UnicodeError, ValueError) as exc:
        text = f"cannot resolve {host!r}: it is no host name ({exc})"
        raise ResolveError(text, host=host, step="resolve", hint="check the spelling of the name") from exc
    endpoints = [
        Endpoint(family, (str(address[0]), int(address[1]), *address[2:]))
        for family, _, _, _, address in found
    ]
    if not endpoints:
        raise ResolveError(
            f"cannot resolve {host!r}: the name has no IP address",
            host=host,
            step="resolve",
            hint=_CHECK_NAME,
        )
    return list(dict.fromkeys(endpoints))


def interleave(endpoints: Sequence[Endpoint]) -> list[Endpoint]:
    """Return the addresses with the families in turn, beginning with the first one's (RFC 8305 section 4)."""
    first = [endpoint for endpoint in endpoints if endpoint.family == endpoints[0].family]
    other = [endpoint for endpoint in endpoints if endpoint.family != endpoints[0].family]
    both = min(len(first), len(other))
    return [*chain.from_iterable(zip(first, other, strict=False)), *first[both:], *other[both:]]


def _literal(host: str, port: int) -> Endpoint | None:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv4Address):
        return Endpoint(socket.AF_INET, (host, port))
    # A zone ("fe80::1%eth0") is a name of this machine: the system turns it into a number.
    return None if address.scope_id else Endpoint(socket.AF_INET6, (host, port, 0, 0))
