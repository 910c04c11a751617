"""What a plan makes a connection do against its own judgement."""

from __future__ import annotations

from collections.abc import Callable

from testbed.timing import Duration
from testbed.wire.tcp import TcpSegment

__all__ = ["Override"]


class Override:
    """Wishes of a plan that the sending and receiving parts look at."""

    __slots__ = ("ack_delay", "ignore", "mute", "sack", "window", "withhold")

    def __init__(self) -> None:
        self.window: int | None = None
        """Advertise this window, in bytes."""
        self.sack: tuple[tuple[int, int], ...] | None = None
        """Report these blocks (unwrapped numbers), whatever came."""
        self.withhold: int | None = 0
        """Pure ACKs still to be kept back; None: all of them."""
        self.ack_delay: Duration | None = None
        """Send pure ACKs so much later."""
        self.ignore: Callable[[TcpSegment], bool] | None = None
        """Segments that never came."""
        self.mute = False
        """Send nothing at all."""
