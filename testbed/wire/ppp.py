"""PPP frames (RFC 1661 2, RFC 1662 3.1): a protocol field and information."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from testbed.errors import WireError
from testbed.wire.ranges import not_bytes, out_of_range

__all__ = ["PppFrame", "PppProtocol"]

_ALL_STATIONS: Final = b"\xff\x03"


class PppProtocol:
    """What a PPP frame carries (IANA, PPP DLL Protocol Numbers)."""

    IPV4: Final = 0x0021
    IPV6: Final = 0x0057
    IPCP: Final = 0x8021
    IPV6CP: Final = 0x8057
    LCP: Final = 0xC021
    PAP: Final = 0xC023
    CHAP: Final = 0xC223


@dataclass(frozen=True, slots=True)
class PppFrame:
    """A PPP frame: the number of a protocol and that protocol's packet, maybe with padding.

    Protocol numbers are odd, their upper byte even: RFC 1661 2 assigns no others, and that is how
    a compressed protocol field is told from a full one.
    """

    protocol: int
    information: bytes = b""

    def __post_init__(self) -> None:
        if self.protocol >> 16:
            raise out_of_range("PPP frame", protocol=(self.protocol, 16))
        if not self.protocol & 1 or self.protocol & 0x100:
            raise WireError(
                f"PPP frame: protocol {self.protocol:#06x}, "
                "expected an odd number with an even upper byte"
            )
        if type(self.information) is not bytes:
            raise not_bytes("PPP frame", "information", self.information)

    def emit(self, *, pfc: bool = False) -> bytes:
        """The frame without address and control, as PPPoE carries it.

        ``pfc`` compresses the protocol field where it can be (RFC 1661 6.5). LCP packets are
        always sent with the whole field, whatever was agreed; so are all others from 0x00ff up.
        """
        if pfc and self.protocol < 0xFF:
            return bytes((self.protocol,)) + self.information
        return self.protocol.to_bytes(2, "big") + self.information

    def emit_hdlc(self, *, acfc: bool = False, pfc: bool = False) -> bytes:
        """The frame with address and control, as HDLC-like framing carries it (RFC 1662 3.1).

        ``acfc`` leaves both out, but never before LCP: "Address-and-Control-Field-Compression
        MUST NOT be used when sending any LCP packet" (RFC 1661 6.6).
        """
        if acfc and self.protocol != PppProtocol.LCP:
            return self.emit(pfc=pfc)
        return _ALL_STATIONS + self.emit(pfc=pfc)

    @staticmethod
    def parse(data: bytes) -> PppFrame:
        """The frame that ``data`` is, its protocol field compressed or not.

        Raises WireError where the field is cut short or no protocol's number.
        """
        if not data:
            raise WireError("a PPP frame has a protocol field, nothing came", 0)
        if data[0] & 1:
            return PppFrame(data[0], data[1:])
        if len(data) < 2:
            raise WireError("a PPP protocol field of 2 bytes, 1 came", 1)
        protocol = int.from_bytes(data[:2], "big")
        if not protocol & 1:
            raise WireError(f"PPP protocol {protocol:#06x}, expected an odd number", 1)
        return PppFrame(protocol, data[2:])

    @staticmethod
    def parse_hdlc(data: bytes) -> PppFrame:
        """The frame in ``data``, with address and control or without.

        They cannot be mistaken: 0x00ff is never assigned as a protocol (RFC 1661 6.6). Raises
        WireError, also for an address other than all stations and a control other than UI.
        """
        if data[:1] != b"\xff":
            return PppFrame.parse(data)
        if data[:2] != _ALL_STATIONS:
            raise WireError("PPP control field is not 0x03, unnumbered information", 1)
        try:
            return PppFrame.parse(data[2:])
        except WireError as error:
            raise WireError(error.reason, 2 + (error.offset or 0)) from None
