"""VLAN tags: which VLAN a frame is of as it enters, and how it looks as it leaves."""

from __future__ import annotations

from testbed.sim.frames import LEAST
from testbed.sim.switch.ports import LARGEST_VLAN, TAG, Port

__all__ = ["Classifier", "Tagger"]

_VID = 0xFFF


class Classifier:
    """Tells the VLAN of a frame by its tag and its port (IEEE 802.1Q 6.9.1, 8.6.2)."""

    __slots__ = ()

    def vlan(self, frame: bytes, port: Port) -> int | None:
        """The VLAN of ``frame``, 0 for none; None where its port does not take it."""
        if frame[12:14] != TAG:
            return self.of_untagged(frame, port)
        vlan = (frame[14] << 8 | frame[15]) & _VID
        return self.of_tagged(frame, vlan, port) if vlan else self.of_untagged(frame, port)

    def of_untagged(self, frame: bytes, port: Port) -> int | None:  # noqa: ARG002 - a seam
        """The VLAN of a frame without a tag, or with one that tells a priority only."""
        return port.untagged

    def of_tagged(self, frame: bytes, vlan: int, port: Port) -> int | None:  # noqa: ARG002 - a seam
        """The VLAN of a frame that is tagged for ``vlan``: access ports take no tags."""
        if port.mode.access is None and vlan <= LARGEST_VLAN and port.carries(vlan):
            return vlan
        return None


class Tagger:
    """Gives frames the tag that they leave with (IEEE 802.1Q 6.9.2, 8.6.8), and pads them."""

    __slots__ = ()

    def form(self, frame: bytes, vlan: int, port: Port) -> bytes:
        """``frame`` of ``vlan`` as it leaves ``port``; no shorter than 64 bytes with its FCS."""
        if vlan:
            frame = (
                self.untagged(frame) if vlan == port.untagged else self.tagged(frame, vlan, port)
            )
        return frame if len(frame) >= LEAST else self.padded(frame)

    def untagged(self, frame: bytes) -> bytes:
        """``frame`` without its tag, if it has one."""
        return frame[:12] + frame[16:] if frame[12:14] == TAG else frame

    def tagged(self, frame: bytes, vlan: int, port: Port) -> bytes:  # noqa: ARG002 - a seam
        """``frame`` with a tag for ``vlan``; it keeps the priority that it came with."""
        if frame[12:14] != TAG:
            return frame[:12] + TAG + vlan.to_bytes(2, "big") + frame[12:]
        had = frame[14] << 8 | frame[15]
        if had & _VID == vlan:
            return frame
        return frame[:14] + (had & ~_VID | vlan).to_bytes(2, "big") + frame[16:]

    def padded(self, frame: bytes) -> bytes:
        """``frame`` with zeros up to the least length."""
        return frame.ljust(LEAST, b"\0")
