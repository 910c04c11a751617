"""Faults of the one hop that a packet makes (IP-04)."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from testbed.sim.router.port import RouterPort
from testbed.stack.forwarding import Forward, Forwarder, Verdict
from testbed.stack.ip import IpLayer
from testbed.stack.neighbours import Neighbour, Neighbours
from testbed.stack.router import Router
from testbed.stack.variants import Defect
from testbed.timing import Instant
from testbed.wire.addresses import MacAddr
from testbed.wire.ipv4 import IPv4Packet

__all__ = [
    "ALTERS_PAYLOAD",
    "CHANGES_IDENTIFICATION",
    "CLEARS_DSCP",
    "CLEARS_ECN",
    "FILLS_IN_IDENTIFICATION",
    "FOREIGN_SOURCE_MAC",
    "FORWARDS_PADDING",
    "KEEPS_TTL",
    "LEAKS_COPIES",
    "LOSES_CARRY",
    "SENDS_TWICE",
    "STALE_CHECKSUM",
    "STRIPS_OPTIONS",
    "TAKES_FOREIGN_FRAMES",
    "TTL_LESS_TWO",
]


class _KeepsTtl(Forwarder):
    __slots__ = ()

    def _next_ttl(self, packet: IPv4Packet) -> int:
        return packet.ttl


class _LessTwo(Forwarder):
    __slots__ = ()

    def _next_ttl(self, packet: IPv4Packet) -> int:
        return packet.ttl - 2


class _Stale(Router):
    __slots__ = ()

    def encode(self, packet: IPv4Packet) -> bytes:
        before = replace(packet, ttl=min(packet.ttl + 1, 255)).emit()
        return packet.emit(checksum=int.from_bytes(before[10:12], "big"))


class _Encoder(Router):
    __slots__ = ()

    def altered(self, packet: IPv4Packet) -> IPv4Packet:
        return packet

    def encode(self, packet: IPv4Packet) -> bytes:
        return super().encode(self.altered(packet))


class _Strips(_Encoder):
    __slots__ = ()

    def altered(self, packet: IPv4Packet) -> IPv4Packet:
        return replace(packet, options=b"")


class _NoDscp(_Encoder):
    __slots__ = ()

    def altered(self, packet: IPv4Packet) -> IPv4Packet:
        return replace(packet, tos=packet.ecn)


class _NoEcn(_Encoder):
    __slots__ = ()

    def altered(self, packet: IPv4Packet) -> IPv4Packet:
        return replace(packet, tos=packet.tos & 0xFC)


class _Alters(_Encoder):
    __slots__ = ()

    def altered(self, packet: IPv4Packet) -> IPv4Packet:
        last = bytes((packet.payload[-1] ^ 1,)) if packet.payload else b""
        return replace(packet, payload=packet.payload[:-1] + last)


class _NewIdentification(_Encoder):
    __slots__ = ()

    def altered(self, packet: IPv4Packet) -> IPv4Packet:
        return replace(packet, ident=packet.ident ^ 0x8000)


class _Twice(Router):
    __slots__ = ()

    def emit(self, verdict: Forward, now: Instant) -> None:
        super().emit(verdict, now)
        super().emit(verdict, now)


class _Leaks(Router):
    __slots__ = ()

    def emit(self, verdict: Forward, now: Instant) -> None:
        super().emit(verdict, now)
        came = self._ip.arrival.interface
        for link in self._egress.interfaces.values():
            if link.mac is not None and link is not came and link.name != verdict.interface:
                for packet in verdict.packets:
                    link.neighbours.transmit(link.broadcast, packet.emit(), now)


class _ForeignSource(Neighbours):
    __slots__ = ()

    def _learn(self, entry: Neighbour, mac: MacAddr, now: Instant) -> None:
        super()._learn(entry, mac, now)
        head = entry.header or b""
        entry.header = head[:11] + bytes((head[11] ^ 0x80,)) + head[12:] if head else None


class _KeepsPadding(IpLayer):
    __slots__ = ()

    def parse(self, data: bytes) -> IPv4Packet:
        packet = super().parse(data)
        padding = data[packet.total_length :]
        if not padding or self.is_local(packet.dst) or packet.dst.is_multicast:
            return packet
        return replace(packet, payload=packet.payload + padding)


class _Promiscuous(RouterPort):
    __slots__ = ()

    def taken(self, frame: bytes) -> bytes | None:
        whole = super().taken(frame)
        if whole is None or whole[0] & 1:
            return whole
        return self.jack.mac.packed + whole[6:]


KEEPS_TTL: Final = Defect(
    "TTL not decremented",
    "IP-04",
    "A fast path forgot the TTL: the first routing loop fills both its links, for ever.",
    {Forwarder: _KeepsTtl},
)
STALE_CHECKSUM: Final = Defect(
    "stale checksum",
    "IP-04",
    "The TTL is lowered and the header's checksum is not brought along: the next router drops "
    "everything.",
    {Router: _Stale},
)
TTL_LESS_TWO: Final = Defect(
    "TTL less two",
    "IP-04",
    "Ingress and egress card each lower the TTL: paths look twice as long, and far hosts are out "
    "of reach.",
    {Forwarder: _LessTwo},
)
STRIPS_OPTIONS: Final = Defect(
    "strips options",
    "IP-04",
    "A filter 'cleans' packets of all options, and what counts on them fails without a word.",
    {Router: _Strips},
)
CLEARS_DSCP: Final = Defect(
    "clears the DSCP",
    "IP-04",
    "A port that trusts nobody marks all as best effort: voice stutters behind it.",
    {Router: _NoDscp},
)
CLEARS_ECN: Final = Defect(
    "clears ECN",
    "IP-04",
    "A router that still knows the field as type of service zeroes its lower bits, and the marks "
    "of congestion with them.",
    {Router: _NoEcn},
)
ALTERS_PAYLOAD: Final = Defect(
    "alters the payload",
    "IP-04",
    "A bad cell in a packet buffer turns one bit of what passes it.",
    {Router: _Alters},
)
CHANGES_IDENTIFICATION: Final = Defect(
    "changes the identification",
    "IP-04",
    "A scrubber makes identifications anew, and fragments of one packet become those of two.",
    {Router: _NewIdentification},
)
SENDS_TWICE: Final = Defect(
    "sends it twice",
    "IP-04",
    "Two forwarding engines both feel responsible for a flow.",
    {Router: _Twice},
)
LEAKS_COPIES: Final = Defect(
    "leaks a copy to another port",
    "IP-04",
    "A mirror that was set up for a fault two years ago still copies everything to another port.",
    {Router: _Leaks},
)
FOREIGN_SOURCE_MAC: Final = Defect(
    "source MAC address not its own",
    "IP-04",
    "All cards of a chassis send with the address of one: switches see it move from port to port.",
    {Neighbours: _ForeignSource},
)
FORWARDS_PADDING: Final = Defect(
    "forwards the padding",
    "IP-04",
    "The length of a short frame is taken for that of its packet, which arrives longer than it "
    "was sent.",
    {IpLayer: _KeepsPadding},
)
TAKES_FOREIGN_FRAMES: Final = Defect(
    "forwards frames for others",
    "IP-04",
    "A card left in promiscuous mode: what a switch floods is forwarded once more by the router.",
    {RouterPort: _Promiscuous},
)


class _NoCarry(Router):
    __slots__ = ()

    def encode(self, packet: IPv4Packet) -> bytes:
        before = replace(packet, ttl=min(packet.ttl + 1, 255)).emit()
        checksum = int.from_bytes(before[10:12], "big") + 0x0100
        return packet.emit(checksum=checksum & 0xFFFF)


class _FillsIn(Forwarder):
    __slots__ = ()

    def _fit(self, packet: IPv4Packet, mtu: int) -> tuple[IPv4Packet, ...] | Verdict:
        return super()._fit(packet if packet.ident else replace(packet, ident=0x0815), mtu)


LOSES_CARRY: Final = Defect(
    "checksum loses its carry",
    "IP-04",
    "The checksum is brought along by adding 256, and what is carried out of it is lost: one "
    "packet of 256 dies at the next hop.",
    {Router: _NoCarry},
)
FILLS_IN_IDENTIFICATION: Final = Defect(
    "fills in an identification",
    "IP-04",
    "An identification of 0 is taken for a missing one.",
    {Forwarder: _FillsIn},
)
