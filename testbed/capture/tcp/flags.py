"""What is told of a segment: flags with the meanings and names of Wireshark's tcp.analysis.

Held to tshark 4.0 by tests/capture/test_capture_tcp_tshark.py, packet by packet and flag by flag.
Where the two are known to differ, and nowhere else on purpose:

- Of a fast or spurious retransmission tshark also says ``retransmission``; here a segment is one of
  the three.
- TCP headers that are quoted in ICMP errors are in no connection here; tshark counts the packet to
  the connection that is quoted, and tells nothing of it.
- ``ack_lost_segment`` where an ACK goes beyond everything seen and nothing is known to be missing:
  the first of a direction tells of it here; in tshark now and then another one does too, or none.
- A client that sends data at the number of its own SYN and then the SYN again, as senders of
  hand-made packets do: tshark takes what follows as new once more.
- TCP Fast Open (``tfo_syn``, ``tfo_ack``) and MPTCP are not looked at: tshark forgives duplicate
  ACKs of MPTCP connections.
- A number that happens to be 0 modulo 2**32 stands for "none seen" in tshark, and here.
"""

from __future__ import annotations

from enum import IntFlag

__all__ = ["ACK", "FIN", "RST", "SYN", "Flag"]

FIN, SYN, RST, ACK = 0x01, 0x02, 0x04, 0x10


class Flag(IntFlag):
    """Findings about one segment. Terms are those of Wireshark's User's Guide, 7.5 TCP Analysis.

    "Next expected" is the highest sequence number seen of a direction so far.
    """

    RETRANSMISSION = 1 << 0
    """Carries nothing new, and is no other kind of these."""
    FAST_RETRANSMISSION = 1 << 1
    """What two or more duplicate ACKs asked for within the 20 ms before."""
    SPURIOUS_RETRANSMISSION = 1 << 2
    """What had been acknowledged already."""
    OUT_OF_ORDER = 1 << 3
    """Below the next expected number, so soon (3 ms, or the first RTT) that it was overtaken."""
    LOST_SEGMENT = 1 << 4
    """Begins beyond the next expected number: what was before it was not captured."""
    ACK_LOST_SEGMENT = 1 << 5
    """Acknowledges what was not captured."""
    DUPLICATE_ACK = 1 << 6
    """Acknowledges again, with the same window and without data."""
    WINDOW_UPDATE = 1 << 7
    """Says nothing new but a window."""
    WINDOW_FULL = 1 << 8
    """Fills the window that the receiver has announced to its end."""
    ZERO_WINDOW = 1 << 9
    """Announces a window of 0."""
    ZERO_WINDOW_PROBE = 1 << 10
    """One byte beyond a window of 0."""
    ZERO_WINDOW_PROBE_ACK = 1 << 11
    """Answers a probe: the window is still 0."""
    KEEP_ALIVE = 1 << 12
    """At most one byte, the one before the next expected: asks whether the other is there."""
    KEEP_ALIVE_ACK = 1 << 13
    """Answers a keep-alive."""
    REUSED_PORTS = 1 << 14
    """Opens a connection between ports that had another one before."""

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the findings, as in ``tcp.analysis.NAME``."""
        return tuple(flag.name.lower() for flag in Flag if flag & self and flag.name)
