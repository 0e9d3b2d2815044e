"""Which address counts: the peer's own, or what proxies that are trusted say of whoever came to them."""

import re
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import NamedTuple

from scanner.errors import ConfigurationError

UNIX = "unix"
"""Stands for the peer of a Unix socket, which has no address."""

# Proxies add to the right; what is left of these was sent by the client, or says no more.
_FORWARDED_CHARS_MAX = 1024
_ENTRIES_MAX = 32
_ENTRY_CHARS_MAX = 64
_ENTRIES_REMEMBERED_MAX = 4096
# As proxies write them: IPv4 and IPv6 in brackets, with a port or without; IPv6 alone. A zone is dropped.
_ENTRY = re.compile(
    r"([0-9.]+)(?::[0-9]{1,5})?"
    r"|\[([0-9A-Fa-f.]*:[0-9A-Fa-f:.]*)(?:%[^\]]+)?\](?::[0-9]{1,5})?"
    r"|([0-9A-Fa-f.]*:[0-9A-Fa-f:.]*)(?:%.+)?"
)
_MAPPED = IPv6Network("::ffff:0:0/96")
# One household or phone has a /64 to itself (RFC 6177), and takes any address of it.
_HOST_BITS = 64


class _Entry(NamedTuple):
    """An address as it counts, and whether a proxy of ours has it."""

    counts: str
    is_trusted: bool


class Addresses:
    """Tells where a request comes from. An address that is not known is empty."""

    def __init__(self, trusted: str) -> None:
        """`trusted` are the proxies: addresses, networks such as ``10.0.0.0/8``, or ``unix``, with commas.

        Raises:
            ConfigurationError: one of them is none of these; the message names it.
        """
        names = [name.strip() for name in trusted.split(",")] if trusted.strip() else []
        self._networks = [_network(name) for name in names if name != UNIX]
        self._trusts_unix = UNIX in names
        self._entry = lru_cache(_ENTRIES_REMEMBERED_MAX)(self._read)

    @property
    def trusts_nobody(self) -> bool:
        """Only peers count: ``X-Forwarded-For`` need not be looked at."""
        return not self._networks and not self._trusts_unix

    def trusts(self, peer: str) -> bool:
        """Whether this peer is a proxy of ours: its address, or ``unix``."""
        if peer == UNIX:
            return self._trusts_unix
        entry = self._entry(peer[: _ENTRY_CHARS_MAX + 1])
        return entry is not None and entry.is_trusted

    def of(self, peer: str, forwarded_for: str) -> str:
        """The address that counts: an IPv4, or the lowest of an IPv6's /64; empty where there is none.

        `peer` is the address of the connection, or ``unix``; `forwarded_for` are all lines of
        ``X-Forwarded-For``, in their order, joined by commas. Of these the rightmost that is no proxy of ours
        counts; what stands left of it, or of something that is no address, may be anybody's invention.
        """
        own = self._entry(peer[: _ENTRY_CHARS_MAX + 1])
        counts = own.counts if own else ""
        if not self.trusts(peer):
            return counts
        for text in _from_right(forwarded_for):
            entry = self._entry(text)
            if entry is None:
                break
            counts = entry.counts
            if not entry.is_trusted:
                break
        return counts

    def _read(self, text: str) -> _Entry | None:
        address = _address(text)
        if address is None:
            return None
        is_trusted = any(address in network for network in self._networks)
        if isinstance(address, IPv6Address):
            address = IPv6Address(int(address) >> _HOST_BITS << _HOST_BITS)
        return _Entry(str(address), is_trusted)


def _network(name: str) -> IPv4Network | IPv6Network:
    try:
        network = ip_network(name)
    except ValueError:
        raise ConfigurationError(
            f"SCANNER_TRUSTED_PROXIES: {name[:100]!r} is no address, no network such as 10.0.0.0/8 "
            "(without bits right of its length), and not unix"
        ) from None
    if isinstance(network, IPv6Network) and network.subnet_of(_MAPPED):
        # An address of it is read as IPv4, and so must be its network.
        return IPv4Network((int(network.network_address) & 0xFFFFFFFF, network.prefixlen - 96))
    return network


def _from_right(forwarded_for: str) -> list[str]:
    """The last entries, the last one first. One that is too long is cut, and still too long."""
    text = forwarded_for[-_FORWARDED_CHARS_MAX:]
    entries = text.rsplit(",", _ENTRIES_MAX)
    if len(entries) > _ENTRIES_MAX or len(text) < len(forwarded_for):
        del entries[0]  # a part of an entry, or several
    return [entry.strip(" \t")[: _ENTRY_CHARS_MAX + 1] for entry in reversed(entries)]


def _address(text: str) -> IPv4Address | IPv6Address | None:
    """The address in an entry; None where it holds none, or anything else beside it."""
    match = _ENTRY.fullmatch(text) if len(text) <= _ENTRY_CHARS_MAX else None
    if match is None:
        return None
    try:
        address = ip_address(match[match.lastindex or 0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address
