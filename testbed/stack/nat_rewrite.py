"""Changing addresses and ports inside packets, checksums along (RFC 3022 4, RFC 1624)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from ipaddress import IPv4Address
from typing import Final

from testbed.errors import WireError
from testbed.wire.checksum import internet_checksum, update_checksum
from testbed.wire.ipv4 import IpProtocol, IPv4Packet

__all__ = [
    "ERRORS",
    "QUERIES",
    "REPLIES",
    "Endpoints",
    "Side",
    "endpoints",
    "quoted",
    "readdressed",
    "requoted",
]

QUERIES: Final = frozenset({8, 13, 17})
"""ICMP types that ask, and are answered: echo, timestamp, address mask."""

REPLIES: Final = frozenset({0, 14, 18})

ERRORS: Final = frozenset({3, 4, 11, 12})
"""ICMP types that quote a packet (RFC 5508 3.2 takes redirects for those of the link alone)."""

_CHECKSUM_AT: Final = {IpProtocol.ICMP: 2, IpProtocol.TCP: 16, IpProtocol.UDP: 6}
_LEAST: Final = {IpProtocol.ICMP: 8, IpProtocol.TCP: 20, IpProtocol.UDP: 8}
_IDENT_AT: Final = 4


class Side:
    """Which end of a packet: its source or its destination."""

    SOURCE: Final = 0
    DESTINATION: Final = 2  # where the port stands in the headers of TCP and UDP


@dataclass(frozen=True, slots=True)
class Endpoints:
    """The two ports of a packet; of an ICMP query the identifier, and 0 for the other end."""

    source: int
    destination: int


def endpoints(packet: IPv4Packet, *, partial: bool = False) -> Endpoints | None:
    """The ports of a whole TCP or UDP packet or an ICMP query; None for anything else.

    ``partial`` takes what an error quotes: eight bytes do.
    """
    payload, protocol = packet.payload, packet.protocol
    need = 8 if partial else _LEAST.get(protocol)
    if need is None or protocol not in _LEAST or len(payload) < need:
        return None
    if protocol == IpProtocol.ICMP:
        ident = int.from_bytes(payload[4:6], "big")
        if payload[0] in QUERIES:
            return Endpoints(ident, 0)
        return Endpoints(0, ident) if payload[0] in REPLIES else None
    return Endpoints(int.from_bytes(payload[:2], "big"), int.from_bytes(payload[2:4], "big"))


def readdressed(packet: IPv4Packet, side: int, address: IPv4Address, port: int) -> IPv4Packet:
    """``packet`` with one end's address and port replaced, and its checksum brought along."""
    old = packet.src if side == Side.SOURCE else packet.dst
    payload = _payload(packet.payload, packet.protocol, side, (old, address), port)
    if side == Side.SOURCE:
        return replace(packet, src=address, payload=payload)
    return replace(packet, dst=address, payload=payload)


def quoted(packet: IPv4Packet) -> IPv4Packet | None:
    """The packet that an ICMP error quotes, as far as it does; None if it cannot be read."""
    try:
        return IPv4Packet.parse(packet.payload[8:], verify=False, partial=True)
    except WireError:
        return None


def requoted(packet: IPv4Packet, inner: IPv4Packet) -> bytes:
    """The payload of the error ``packet`` with ``inner`` quoted in place of what it quoted.

    The quoted total length stays what it was: the quotation may be cut short.
    """
    body = packet.payload[8:]
    changed = bytearray(inner.emit())
    changed[2:4] = body[2:4]
    # The quoted header's checksum, of the header as the sender of the quoted packet made it but for
    # TTL and what else changed on the way: from what came, by what is changed here alone.
    checksum = int.from_bytes(body[10:12], "big")
    checksum = update_checksum(checksum, body[12:20], bytes(changed[12:20]))
    changed[10:12] = checksum.to_bytes(2, "big")
    # What follows the quotation, as RFC 4884 has it, stays.
    changed += body[len(changed) :]
    message = packet.payload[:2] + b"\0\0" + packet.payload[4:8] + bytes(changed)
    return message[:2] + internet_checksum(message).to_bytes(2, "big") + message[4:]


def _payload(
    payload: bytes, protocol: int, side: int, addresses: tuple[IPv4Address, IPv4Address], port: int
) -> bytes:
    port_at = _IDENT_AT if protocol == IpProtocol.ICMP else side
    changed = bytearray(payload)
    before, after = bytes(changed[port_at : port_at + 2]), port.to_bytes(2, "big")
    changed[port_at : port_at + 2] = after
    at = _CHECKSUM_AT[protocol]
    if at + 2 > len(payload):
        return bytes(changed)
    if protocol != IpProtocol.ICMP:
        # The pseudo header has the addresses (RFC 9293 3.1); ICMP has none.
        before, after = addresses[0].packed + before, addresses[1].packed + after
    checksum = int.from_bytes(payload[at : at + 2], "big")
    if checksum or protocol != IpProtocol.UDP:
        # RFC 768: a UDP checksum of zero means none, and a computed zero is sent as all ones.
        checksum = update_checksum(checksum, before, after)
        if protocol == IpProtocol.UDP:
            checksum = checksum or 0xFFFF
        changed[at : at + 2] = checksum.to_bytes(2, "big")
    return bytes(changed)
