"""ARP for IPv4 over Ethernet (RFC 826), with the forms of RFC 5227."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address
from struct import Struct
from typing import Final

from testbed.errors import WireError
from testbed.wire.addresses import MacAddr, ipv4_from_int, mac_from_bytes
from testbed.wire.ranges import out_of_range

__all__ = ["ArpOp", "ArpPacket"]

_LAYOUT = Struct("!HHBBH6sI6sI")
_UNSPECIFIED = IPv4Address(0)


class ArpOp:
    """What an ARP packet asks or says (IANA, ARP Parameters)."""

    REQUEST: Final = 1
    REPLY: Final = 2


@dataclass(frozen=True, slots=True)
class ArpPacket:
    """An ARP packet: hardware type Ethernet, protocol type IPv4."""

    op: int
    sender_mac: MacAddr
    sender_ip: IPv4Address
    target_mac: MacAddr
    target_ip: IPv4Address

    def __post_init__(self) -> None:
        if self.op >> 16:
            raise out_of_range("ARP packet", op=(self.op, 16))
        if type(self.sender_mac) is not MacAddr or type(self.target_mac) is not MacAddr:
            raise WireError("ARP packet: sender_mac and target_mac must be MacAddr values")
        if type(self.sender_ip) is not IPv4Address or type(self.target_ip) is not IPv4Address:
            raise WireError("ARP packet: sender_ip and target_ip must be IPv4Address values")

    @classmethod
    def request(
        cls, sender_mac: MacAddr, sender_ip: IPv4Address, target_ip: IPv4Address
    ) -> ArpPacket:
        """Who has ``target_ip``? The target MAC is what is asked for: zero."""
        return cls(ArpOp.REQUEST, sender_mac, sender_ip, MacAddr.ZERO, target_ip)

    @classmethod
    def reply(
        cls,
        sender_mac: MacAddr,
        sender_ip: IPv4Address,
        target_mac: MacAddr,
        target_ip: IPv4Address,
    ) -> ArpPacket:
        """``sender_ip`` is at ``sender_mac``, said to the one who asked."""
        return cls(ArpOp.REPLY, sender_mac, sender_ip, target_mac, target_ip)

    @classmethod
    def probe(cls, sender_mac: MacAddr, target_ip: IPv4Address) -> ArpPacket:
        """Is ``target_ip`` taken? The sender IP is zero, to pollute no cache (RFC 5227 2.1.1)."""
        return cls(ArpOp.REQUEST, sender_mac, _UNSPECIFIED, MacAddr.ZERO, target_ip)

    @classmethod
    def announcement(cls, mac: MacAddr, ip: IPv4Address) -> ArpPacket:
        """``ip`` is ours now: a request for one's own address (RFC 5227 2.3)."""
        return cls(ArpOp.REQUEST, mac, ip, MacAddr.ZERO, ip)

    @property
    def is_probe(self) -> bool:
        """Whether it asks without naming its sender's IP."""
        return self.op == ArpOp.REQUEST and self.sender_ip == _UNSPECIFIED

    @property
    def is_announcement(self) -> bool:
        """Whether it tells the sender's own binding, unasked (also called gratuitous ARP)."""
        return self.sender_ip == self.target_ip

    def emit(self) -> bytes:
        """The packet's 28 bytes."""
        return _LAYOUT.pack(
            1,
            0x0800,
            6,
            4,
            self.op,
            self.sender_mac.packed,
            int(self.sender_ip),
            self.target_mac.packed,
            int(self.target_ip),
        )

    @staticmethod
    def parse(data: bytes) -> ArpPacket:
        """The packet at the start of ``data``; what follows it is padding.

        Raises WireError where it is cut short or speaks of other than IPv4 over Ethernet.
        """
        if len(data) < 28:
            raise WireError(f"an ARP packet has 28 bytes, {len(data)} came", len(data))
        hardware, protocol, hlen, plen, op, smac, sip, tmac, tip = _LAYOUT.unpack_from(data)
        if hardware != 1:
            raise WireError(f"ARP hardware type {hardware}, expected 1 (Ethernet)", 0)
        if protocol != 0x0800:
            raise WireError(f"ARP protocol type {protocol:#06x}, expected 0x0800 (IPv4)", 2)
        if hlen != 6 or plen != 4:
            raise WireError(f"ARP address lengths {hlen} and {plen}, expected 6 and 4", 4)
        return ArpPacket(
            op,
            mac_from_bytes(smac),
            ipv4_from_int(sip),
            mac_from_bytes(tmac),
            ipv4_from_int(tip),
        )
