"""DNS records as text, as a zone's master file has them (RFC 1035 5.1)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from ipaddress import IPv4Address, IPv6Address
from typing import Final

from testbed.wire.dns import AAAA, CNAME, MX, NS, PTR, SOA, TXT, A, DnsData, DnsName, DnsRecord

__all__ = ["read_record"]


def _soa(words: list[str]) -> SOA:
    primary, mailbox, *numbers = words
    serial, refresh, retry, expire, minimum = map(int, numbers)
    return SOA(DnsName(primary), DnsName(mailbox), serial, refresh, retry, expire, minimum)


def _mx(words: list[str]) -> MX:
    preference, exchange = words
    return MX(int(preference), DnsName(exchange))


def _text(words: list[str]) -> TXT:
    return TXT(tuple(word.strip('"').encode() for word in words))


def _one(make: Callable[[str], DnsData]) -> Callable[[list[str]], DnsData]:
    def read(words: list[str]) -> DnsData:
        (word,) = words
        return make(word)

    return read


_READERS: Final[Mapping[str, Callable[[list[str]], DnsData]]] = {
    "A": _one(lambda word: A(IPv4Address(word))),
    "AAAA": _one(lambda word: AAAA(IPv6Address(word))),
    "NS": _one(lambda word: NS(DnsName(word))),
    "CNAME": _one(lambda word: CNAME(DnsName(word))),
    "PTR": _one(lambda word: PTR(DnsName(word))),
    "MX": _mx,
    "SOA": _soa,
    "TXT": _text,
}


def read_record(name: str, ttl: str, kind: str, data: str) -> DnsRecord:
    """The record; ValueError, or what the wire's values raise, where it is none."""
    reader = _READERS.get(kind.upper())
    if reader is None:
        raise ValueError(f"{kind} is no type of record that is known: {', '.join(_READERS)}")
    return DnsRecord(DnsName(name), reader(data.split()), int(ttl))
