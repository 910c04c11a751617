"""Which frames are frames at all: the check that each must pass before anything looks at it."""

from __future__ import annotations

from testbed.sim.frames import LEAST, BadFcs
from testbed.sim.switch.ports import Port

__all__ = ["Admission"]


class Admission:
    """Keeps runts, giants and damaged frames out, and counts (RFC 2889 5.9, IEEE 802.1Q 8.5)."""

    __slots__ = ()

    def admits(self, frame: bytes, port: Port) -> bool:
        """Whether ``frame`` is let in; it is counted."""
        length = len(frame)
        if frame.__class__ is not bytes and not self.is_whole(frame):
            port.counters.damaged()
        elif length < LEAST:
            return self.runt(frame, port)
        elif length > port.longest and not port.takes(frame):
            return self.giant(frame, port)
        elif not port.live:
            port.counters.received(length)
            port.counters.rx_dropped += 1
        else:
            port.counters.received(length)
            return True
        return False

    def is_whole(self, frame: bytes) -> bool:
        """Whether the check sequence matches."""
        return not isinstance(frame, BadFcs)

    def runt(self, frame: bytes, port: Port) -> bool:  # noqa: ARG002 - a seam
        """Whether a frame that is too short is let in."""
        port.counters.runt()
        return False

    def giant(self, frame: bytes, port: Port) -> bool:  # noqa: ARG002 - a seam
        """Whether a frame that is too long is let in."""
        port.counters.giant()
        return False
