"""Ethernet frames (IEEE 802.3) and their VLAN tags (IEEE 802.1Q 9.6).

A frame starts at the destination address and carries no FCS: the NIC adds and checks that.
"""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct
from typing import Final

from testbed.errors import WireError
from testbed.wire.addresses import MacAddr, mac_from_bytes
from testbed.wire.ranges import not_bytes, out_of_range
from testbed.wire.trusted import trusted

__all__ = ["MIN_FRAME", "TPIDS", "EthFrame", "EtherType", "VlanTag"]

MIN_FRAME: Final = 60
"""Bytes of the shortest frame without its FCS (IEEE 802.3 4.2.3.3: 64 with it)."""

_HEADER = Struct("!6s6sH")
_WORDS = Struct("!HH")


class EtherType:
    """Numbers that say what a frame carries (IANA, IEEE 802 Numbers)."""

    IPV4: Final = 0x0800
    ARP: Final = 0x0806
    VLAN: Final = 0x8100
    IPV6: Final = 0x86DD
    FLOW_CONTROL: Final = 0x8808
    PPPOE_DISCOVERY: Final = 0x8863
    PPPOE_SESSION: Final = 0x8864
    QINQ: Final = 0x88A8
    EXPERIMENTAL: Final = 0x88B5
    """IEEE Std 802 local experimental 1: every bridge forwards it, no stack answers it."""
    EXPERIMENTAL_2: Final = 0x88B6
    LLDP: Final = 0x88CC
    QINQ_LEGACY: Final = 0x9100


TPIDS: Final = frozenset({EtherType.VLAN, EtherType.QINQ, EtherType.QINQ_LEGACY})
"""Ethertypes that announce a tag: 802.1Q, 802.1ad, and 0x9100, used before 802.1ad."""


@dataclass(frozen=True, slots=True)
class VlanTag:
    """One VLAN tag: VLAN id (0 carries a priority only), priority 0 to 7, drop eligibility."""

    vid: int
    pcp: int = 0
    dei: bool = False
    tpid: int = EtherType.VLAN

    def __post_init__(self) -> None:
        if self.vid >> 12 or self.pcp >> 3:
            raise out_of_range("VLAN tag", vid=(self.vid, 12), pcp=(self.pcp, 3))
        if self.tpid not in TPIDS:
            raise WireError(
                f"VLAN tag: tpid is {self.tpid:#06x}, expected 0x8100, 0x88a8 or 0x9100"
            )

    def emit(self) -> bytes:
        """The tag's four bytes."""
        return _WORDS.pack(self.tpid, self.pcp << 13 | self.dei << 12 | self.vid)


@dataclass(frozen=True, slots=True)
class EthFrame:
    """An Ethernet frame; ``tags`` are outermost first.

    ``ethertype`` is that of the payload. Below 0x0600 it is the length of an 802.3 payload instead
    (IEEE 802.3 3.2.6), which is kept as it is and not checked.
    """

    dst: MacAddr
    src: MacAddr
    ethertype: int = EtherType.EXPERIMENTAL
    payload: bytes = b""
    tags: tuple[VlanTag, ...] = ()

    def __post_init__(self) -> None:
        if type(self.dst) is not MacAddr or type(self.src) is not MacAddr:
            raise WireError("Ethernet frame: dst and src must be MacAddr values")
        if self.ethertype >> 16:
            raise out_of_range("Ethernet frame", ethertype=(self.ethertype, 16))
        if self.ethertype in TPIDS:
            raise WireError(f"Ethernet frame: {self.ethertype:#06x} belongs in tags, as a VlanTag")
        if type(self.payload) is not bytes:
            raise not_bytes("Ethernet frame", "payload", self.payload)

    @property
    def vlan(self) -> VlanTag | None:
        """The outermost tag, or None."""
        return self.tags[0] if self.tags else None

    def emit(self, *, pad: bool = False) -> bytes:
        """The frame's bytes; with ``pad``, zeros fill it up to 60, as a sending NIC does."""
        if self.tags:
            inner = b"".join([tag.emit() for tag in self.tags])
            head = self.dst.packed + self.src.packed + inner + self.ethertype.to_bytes(2, "big")
        else:
            head = _HEADER.pack(self.dst.packed, self.src.packed, self.ethertype)
        data = head + self.payload
        return data.ljust(MIN_FRAME, b"\0") if pad else data

    @staticmethod
    def parse(data: bytes) -> EthFrame:
        """The frame in ``data``; padding stays in the payload, for only the payload knows its end.

        Raises WireError where the header or a tag is cut short.
        """
        if len(data) < 14:
            raise WireError(f"an Ethernet header has 14 bytes, {len(data)} came", len(data))
        dst, src, ethertype = _HEADER.unpack_from(data)
        at = 14
        tags: tuple[VlanTag, ...] = ()
        while ethertype in TPIDS:
            if len(data) < at + 4:
                raise WireError("the frame ends within a VLAN tag", len(data))
            control, inner = _WORDS.unpack_from(data, at)
            tag = VlanTag(control & 0xFFF, control >> 13, bool(control & 0x1000), ethertype)
            tags = (*tags, tag)
            ethertype = inner
            at += 4
        return _trusted(mac_from_bytes(dst), mac_from_bytes(src), ethertype, data[at:], tags)


_trusted = trusted(EthFrame)
