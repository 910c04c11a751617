"""What each port counts."""

from __future__ import annotations

__all__ = ["Counters"]


class Counters:
    """Frames and bytes of one port; bytes are those of frames without their check sequence.

    Only good frames count as received; the bad ones have counters by their kind (RFC 2819:
    etherStatsUndersizePkts, etherStatsOversizePkts, etherStatsCRCAlignErrors).
    """

    __slots__ = (
        "bad_fcs", "giants", "runts", "rx_bytes", "rx_dropped", "rx_frames", "storm_dropped",
        "tx_bytes", "tx_dropped", "tx_frames",
    )  # fmt: skip

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Begin again at nothing."""
        self.rx_frames = self.rx_bytes = self.tx_frames = self.tx_bytes = 0
        self.runts = self.giants = self.bad_fcs = 0
        self.rx_dropped = 0
        """Good frames that the port's settings keep out."""
        self.storm_dropped = 0
        """Broadcasts above the ceiling."""
        self.tx_dropped = 0
        """Frames that are too long for this port, or meet it without a link."""

    @property
    def rx_errors(self) -> int:
        """All bad frames."""
        return self.runts + self.giants + self.bad_fcs

    def received(self, length: int) -> None:
        """A good frame came in."""
        self.rx_frames += 1
        self.rx_bytes += length

    def sent(self, length: int) -> None:
        """A frame goes out."""
        self.tx_frames += 1
        self.tx_bytes += length

    def runt(self) -> None:
        """A frame below 64 bytes came."""
        self.runts += 1

    def giant(self) -> None:
        """A frame above the port's MTU came."""
        self.giants += 1

    def damaged(self) -> None:
        """A frame came whose check sequence does not match."""
        self.bad_fcs += 1
