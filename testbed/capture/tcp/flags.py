"""What is told of a segment: flags with the meanings and names of Wireshark's tcp.analysis.

Held to tshark 4.0 by tests/capture/test_capture_tcp_tshark.py, packet by packet and flag by flag:
they say the same, of ordinary segments and of nonsense. This is all that is known to differ:

- TCP headers that are quoted in ICMP errors are in no connection here; tshark counts the packet to
  the connection that is quoted, and tells nothing of it.
- A segment whose header is cut off, or whose data offset cannot be, is none here. tshark lets a SYN
  of such open a connection, and a data offset under 5 words count as data, and tells nothing of it.
- Of a segment whose options are cut off by the capture's snap length tshark tells nothing at all,
  since it stops there; here it is told like any other.
- A FIN or SYN after 10,000 segments of its direction that nobody acknowledged has no number of its
  own in tshark, which has lost count then: what follows it is a ``lost_segment`` there.
- MPTCP (RFC 8684) is not looked at: tshark forgives duplicate ACKs of its connections.
- Over Frame Relay tshark looks for the connection by the circuit when it reads options: what SYNs
  said of window scales and Fast Open is forgotten, which ``window_full`` and ``tfo_ignored`` need.
- What is in frames that tshark unwraps and testbed.capture.columns does not is missing here.

Among what is the same, though one may not expect it:

- Every ``fast_retransmission`` and ``spurious_retransmission`` is a ``retransmission`` as well.
- A SYN with another number than the one before begins a connection and is one of ``reused_ports``;
  a SYN+ACK with another number is one too, but stays in the connection that it is in.
- An ACK of what was not seen is an ``ack_lost_segment``; where nothing is known to be missing only
  the first one is, until the other end has acknowledged something new. For as long, what goes again
  at the number acknowledged last is a ``fast_retransmission``, however few duplicates there were.
- A number that happens to be 0 modulo 2**32 stands for "none seen", as a time of 0 does for a SYN.
- Where the clock goes back, nothing is fast or early.
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
    """Carries nothing new, and was not overtaken: what went again, for whatever reason."""
    FAST_RETRANSMISSION = 1 << 1
    """Which of these two or more duplicate ACKs asked for within the 20 ms before."""
    SPURIOUS_RETRANSMISSION = 1 << 2
    """Which of these had been acknowledged already."""
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

    TFO_SYN = 1 << 15
    """A SYN that has a cookie of TCP Fast Open (RFC 7413)."""
    TFO_ACK = 1 << 16
    """A SYN+ACK that acknowledges more than the SYN: data in it was taken."""
    TFO_IGNORED = 1 << 17
    """A SYN+ACK that does not acknowledge the data of a SYN that had a cookie."""

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the findings, as in ``tcp.analysis.NAME``."""
        return tuple(flag.name.lower() for flag in Flag if flag & self and flag.name)
