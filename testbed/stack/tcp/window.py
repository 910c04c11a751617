"""The window that a receiver offers (RFC 9293 3.8.6, RFC 7323 2)."""

from __future__ import annotations

from typing import Final

from testbed.stack.tcp.tcb import Tcb
from testbed.stack.tcp.tuned import Tuned

__all__ = ["Window"]

_LARGEST: Final = 0xFFFF


class Window(Tuned):
    """What window a connection's next segment offers."""

    __slots__ = ()

    def scale_for(self, buffer: int) -> int:
        """The least shift by which ``buffer`` can be told; RFC 7323 2.3: 14 at most."""
        shift = 0
        while shift < 14 and buffer >> shift > _LARGEST:
            shift += 1
        return shift

    def field(self, c: Tcb) -> int:
        """The header's window, scaled; notes its right edge as offered."""
        if c.override is not None and c.override.window is not None:
            return self._told(c, c.override.window, up=False)
        nxt = c.rcv_nxt
        offered = c.rcv_adv - nxt
        free = self.free(c)
        if self.grows(c, offered, free):
            return self._told(c, free, up=False)
        # What was offered stays offered: the right edge does not move left (RFC 9293 3.8.6). A
        # window that the shift cannot tell exactly is rounded up for that reason.
        return self._told(c, offered, up=True)

    def free(self, c: Tcb) -> int:
        """Bytes that the receive buffer could take from RCV.NXT on, as far as can be told."""
        room = c.receiving.limit - c.receiving.unread
        largest = _LARGEST << c.rcv_scale if c.rcv_scale > 0 else _LARGEST
        return max(0, min(room, largest))

    def grows(self, c: Tcb, offered: int, free: int) -> bool:
        """Whether the right edge may move on, by silly-window avoidance (RFC 9293 3.8.6.2.2).

        'RCV.BUFF - RCV.USER - RCV.WND >= min(Fr * RCV.BUFF, Eff.snd.MSS)', with Fr = 1/2. The
        buffer may be larger than any window that can be told: then the edge follows every byte.
        """
        receiving = c.receiving
        unused = receiving.limit - receiving.unread - offered
        return free > offered and unused >= min(c.mss, receiving.limit >> 1)

    def worth_telling(self, c: Tcb) -> bool:
        """Whether a window update should be sent, now that the user has read.

        Where the peer has less than a segment's room, or less than half of the largest window it
        was ever offered and would get twice what it has: RFC 9293 3.8.6.2.2 alone would send one
        for each segment that is read.
        """
        offered = c.rcv_adv - c.rcv_nxt
        free = self.free(c)
        if not self.grows(c, offered, free):
            return False
        return offered < c.mss or (offered << 1 <= c.rcv_largest and free >= offered << 1)

    def unscaled(self, c: Tcb) -> int:
        """The window of a SYN: never scaled (RFC 7323 2.2)."""
        window = self.free(c)
        if c.override is not None and c.override.window is not None:
            window = c.override.window
        window = min(window, _LARGEST)
        c.rcv_adv = c.rcv_nxt + window
        c.rcv_largest = window
        return window

    def _told(self, c: Tcb, window: int, *, up: bool) -> int:
        shift = c.rcv_scale
        if shift <= 0:
            field = window
        elif up:
            field = (window + (1 << shift) - 1) >> shift
        else:
            field = window >> shift
        field = min(field, _LARGEST)
        offered = field << shift if shift > 0 else field
        c.rcv_adv = c.rcv_nxt + offered
        c.rcv_largest = max(c.rcv_largest, offered)
        return field
