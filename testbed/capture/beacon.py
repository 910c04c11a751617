"""The bench's own frames: canaries prove that a capture is alive, barriers that it has settled.

A beacon rides in one of three vehicles. In an Ethernet broadcast it reaches every port of a
switch; in a UDP datagram to the discard port (RFC 863) it passes routers; and where only a device
itself can answer, an ARP probe asks it and the reply is the proof. Beacons are recognised inside
VLAN tags, behind routers and under padding; they hold a checksum, so that one that was damaged on
its way counts as the device's doing and is not hidden.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Collection
from dataclasses import dataclass
from enum import IntEnum
from ipaddress import IPv4Address
from struct import Struct

from testbed.errors import WireError
from testbed.wire.addresses import MacAddr
from testbed.wire.arp import ArpOp, ArpPacket
from testbed.wire.ethernet import TPIDS, EtherType, EthFrame, VlanTag
from testbed.wire.icmpv4 import IcmpType
from testbed.wire.ipv4 import IpProtocol, IPv4Packet
from testbed.wire.udp import UdpDatagram

__all__ = ["DISCARD_PORT", "ArpProbe", "Beacon", "BeaconKind", "parse_beacon", "recogniser"]

DISCARD_PORT = 9
"""RFC 863: whatever is sent to this port is thrown away."""

_MAGIC = b"\x93TBEACON"
_HEADER = Struct("!8sBB8sIB")  # magic, version, kind, nonce, sequence, length of the source's name
_CRC = Struct("!I")
_VERSION = 1
_SHORTEST = _HEADER.size + _CRC.size

_QUOTING = frozenset(
    {
        IcmpType.DESTINATION_UNREACHABLE,
        IcmpType.SOURCE_QUENCH,
        IcmpType.REDIRECT,
        IcmpType.TIME_EXCEEDED,
        IcmpType.PARAMETER_PROBLEM,
    }
)
"""ICMP messages that quote the packet they are about (RFC 1122 3.2.2)."""


class BeaconKind(IntEnum):
    """What a beacon is for."""

    CANARY = 1
    BARRIER = 2


@dataclass(frozen=True, slots=True)
class Beacon:
    """One of the bench's own frames.

    ``nonce`` is of this run, so that another bench's beacons are not taken for ours; ``sequence``
    counts them; ``source`` is the name of the NIC that sends it.
    """

    kind: BeaconKind
    nonce: bytes
    sequence: int
    source: str

    def __post_init__(self) -> None:
        if len(self.nonce) != 8:
            raise WireError(f"a beacon's nonce has 8 bytes, got {len(self.nonce)}")
        if not 0 <= self.sequence < 1 << 32:
            raise WireError(f"a beacon's sequence is 0 to 2**32-1, got {self.sequence}")
        try:
            encoded = self.source.encode()
        except UnicodeEncodeError:
            raise WireError(f"a beacon's source is no Unicode text: {self.source!r}") from None
        if len(encoded) > 255:
            raise WireError(f"a beacon's source has at most 255 bytes, got {len(encoded)}")

    def __str__(self) -> str:
        return f"{self.kind.name.lower()} {self.sequence} from {self.source}"

    def emit(self) -> bytes:
        """The beacon's bytes, as they stand in any vehicle."""
        source = self.source.encode()
        head = _HEADER.pack(_MAGIC, _VERSION, self.kind, self.nonce, self.sequence, len(source))
        return head + source + _CRC.pack(zlib.crc32(head + source))

    @classmethod
    def parse(cls, data: bytes) -> Beacon:
        """The beacon that ``data`` begins with; WireError if there is none. Padding is ignored."""
        if len(data) < _SHORTEST:
            raise WireError(f"a beacon has at least {_SHORTEST} bytes, got {len(data)}", len(data))
        magic, version, kind, nonce, sequence, length = _HEADER.unpack_from(data)
        if magic != _MAGIC or version != _VERSION:
            raise WireError("no beacon, or one of another version", 0)
        end = _HEADER.size + length
        if len(data) < end + _CRC.size:
            raise WireError("the beacon is cut short", len(data))
        if _CRC.unpack_from(data, end)[0] != zlib.crc32(data[:end]):
            raise WireError("the beacon's checksum is wrong", end)
        try:
            return cls(BeaconKind(kind), nonce, sequence, data[_HEADER.size : end].decode())
        except ValueError as error:
            raise WireError(f"no legal beacon: {error}", 9) from error

    def emit_broadcast(self, src: MacAddr, tags: tuple[VlanTag, ...] = ()) -> bytes:
        """A frame that every port of the VLAN gets."""
        frame = EthFrame(MacAddr.BROADCAST, src, EtherType.EXPERIMENTAL, self.emit(), tags)
        return frame.emit(pad=True)

    def emit_udp(
        self,
        src: MacAddr,
        dst: MacAddr,
        src_ip: IPv4Address,
        dst_ip: IPv4Address,
        tags: tuple[VlanTag, ...] = (),
    ) -> bytes:
        """A frame that routers forward to ``dst_ip``; ``dst`` is the next hop's MAC address."""
        datagram = UdpDatagram(DISCARD_PORT, DISCARD_PORT, self.emit()).emit(src_ip, dst_ip)
        packet = IPv4Packet(src_ip, dst_ip, IpProtocol.UDP, datagram)
        return EthFrame(dst, src, EtherType.IPV4, packet.emit(), tags).emit(pad=True)


@dataclass(frozen=True, slots=True)
class ArpProbe:
    """Asks whoever has ``target`` to answer, and leaves no trace in its ARP table.

    The sender address is 0.0.0.0 (RFC 5227 1.1: a probe must not pollute caches). ``mac`` should be
    used for nothing else: question and answer are recognised by it.
    """

    mac: MacAddr
    target: IPv4Address

    def emit(self) -> bytes:
        """The question."""
        packet = ArpPacket.probe(self.mac, self.target)
        frame = EthFrame(MacAddr.BROADCAST, self.mac, EtherType.ARP, packet.emit())
        return frame.emit(pad=True)

    def is_question(self, data: bytes) -> bool:
        """Whether ``data`` is this probe."""
        packet = _arp(data)
        return (
            packet is not None
            and packet.is_probe
            and packet.sender_mac == self.mac
            and packet.target_ip == self.target
        )

    def is_answer(self, data: bytes) -> bool:
        """Whether ``data`` is the reply of the owner of ``target`` to this probe."""
        packet = _arp(data)
        return (
            packet is not None
            and packet.op == ArpOp.REPLY
            and packet.target_mac == self.mac
            and packet.sender_ip == self.target
        )


def _arp(data: bytes) -> ArpPacket | None:
    ethertype, start = _ether_payload(data)
    if ethertype != EtherType.ARP:
        return None
    try:
        return ArpPacket.parse(data[start:])
    except WireError:
        return None


def parse_beacon(data: bytes) -> Beacon | None:
    """The beacon that the frame ``data`` carries, or None."""
    if _MAGIC not in data:
        return None
    ethertype, start = _ether_payload(data)
    if ethertype == EtherType.EXPERIMENTAL:
        return _beacon_at(data, start)
    if ethertype == EtherType.IPV4:
        protocol, start = _ip_payload(data, start)
        if protocol == IpProtocol.UDP:
            return _beacon_in_udp(data, start)
    return None


def recogniser(nonce: bytes, probes: Collection[ArpProbe] = ()) -> Callable[[bytes], str | None]:
    """What names the frames of the run with this nonce, for ``Trace(recognise=...)``.

    ``probes`` is looked at anew for each frame. ICMP errors about a beacon are named too: they
    answer the bench and not the test.
    """

    def recognise(data: bytes) -> str | None:
        for probe in probes:
            if probe.is_question(data):
                return f"ARP probe for {probe.target}"
            if probe.is_answer(data):
                return f"answer to the ARP probe for {probe.target}"
        beacon = parse_beacon(data)
        if beacon is not None:
            return str(beacon) if beacon.nonce == nonce else None
        quoted = _quoted_beacon(data)
        if quoted is not None and quoted.nonce == nonce:
            return f"ICMP error about {quoted}"
        return None

    return recognise


def _quoted_beacon(data: bytes) -> Beacon | None:
    """The beacon that an ICMP error quotes far enough to tell, or None."""
    if _MAGIC not in data:
        return None
    ethertype, start = _ether_payload(data)
    if ethertype != EtherType.IPV4:
        return None
    protocol, start = _ip_payload(data, start)
    if protocol != IpProtocol.ICMP or start >= len(data) or data[start] not in _QUOTING:
        return None
    protocol, start = _ip_payload(data, start + 8)
    return _beacon_in_udp(data, start) if protocol == IpProtocol.UDP else None


def _ether_payload(data: bytes) -> tuple[int, int]:
    """The ethertype behind any VLAN tags, and where its payload starts; type 0 if cut short."""
    at = 12
    while len(data) >= at + 2:
        ethertype = int.from_bytes(data[at : at + 2], "big")
        if ethertype not in TPIDS:
            return ethertype, at + 2
        at += 4
    return 0, len(data)


def _ip_payload(data: bytes, start: int) -> tuple[int, int]:
    """The protocol of an unfragmented IPv4 packet and where its payload starts, or -1.

    Only what a router may not change is looked at, so that a packet with a broken checksum, say,
    is still told for what it is.
    """
    if len(data) < start + 20 or data[start] >> 4 != 4:
        return -1, len(data)
    if int.from_bytes(data[start + 6 : start + 8], "big") & 0x3FFF:  # MF, or a fragment offset
        return -1, len(data)
    return data[start + 9], start + (data[start] & 15) * 4


def _beacon_in_udp(data: bytes, start: int) -> Beacon | None:
    if data[start + 2 : start + 4] != DISCARD_PORT.to_bytes(2, "big"):
        return None
    return _beacon_at(data, start + 8)


def _beacon_at(data: bytes, start: int) -> Beacon | None:
    try:
        return Beacon.parse(data[start:])
    except WireError:
        return None
