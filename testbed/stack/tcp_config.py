"""TCP's settings, with the default of their RFC."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from testbed.timing import Duration, milliseconds, seconds

__all__ = ["TcpConfig"]


@dataclass(frozen=True, slots=True)
class TcpConfig:
    """Timers, limits and algorithms of TCP. Windows and buffers in bytes, windows of time in ns."""

    # Handshake
    mss: int | None = None
    """MSS to announce; None: the interface's MTU less 40 (RFC 9293 3.7.1, RFC 6691)."""
    default_mss: int = 536
    """What a peer can take that announced nothing (RFC 9293 3.7.1 MUST-15)."""
    min_mss: int = 48
    """Announcements below are taken as this: a tiny MSS is an attack on the sender's CPU. The same
    as Linux's ``tcp_min_snd_mss``; RFC 9293 sets no bound."""
    window_scaling: bool = True
    """Offer and accept RFC 7323 2."""
    window_scale: int | None = None
    """The shift to announce; None: the least with which the receive buffer can be told."""
    timestamps: bool = True
    """Offer and accept RFC 7323 3."""
    sack: bool = True
    """Offer and accept RFC 2018."""
    dsack: bool = True
    """Report duplicates (RFC 2883)."""
    isn: int | None = None
    """Initial sequence number; None: RFC 6528, a keyed hash plus a clock of 4 us ticks."""
    timestamp_offset: int | None = None
    """Where the timestamp clock starts; None: by keyed hash of the connection (RFC 7323 7.1)."""
    timestamp_tick: Duration = milliseconds(1)
    """RFC 7323 5.4: 1 ms to 1 s."""
    syn_retries_span: Duration = seconds(180)
    """RFC 9293 3.8.3 MUST-23: R2 of a SYN is 3 minutes at least."""
    syn_retries: int | None = None
    """Give up after so many resent SYNs instead; None: by ``syn_retries_span``."""
    synack_retries: int | None = None
    """SYN+ACKs resent before a half-open connection is released; None: by ``syn_retries_span``, as
    MUST-23 speaks of any segment with a SYN."""
    syn_linear_timeouts: int = 0
    """The first so many SYN timeouts do not back off (Linux 6.5 and later: 4)."""
    backlog: int = 128
    """Half-open and unaccepted connections of one listener, unless listen() says other."""
    syn_cookies: str = "full"
    """``off``; ``full``: once the backlog of half-open connections is full (RFC 4987 3.6);
    ``always``."""

    # Retransmission (RFC 6298)
    initial_rto: Duration = seconds(1)
    """RFC 6298 2.1: until there is a measurement."""
    min_rto: Duration = seconds(1)
    """RFC 6298 2.4."""
    min_rto_variance: Duration = seconds(0)
    """Least value of K*RTTVAR, besides G: Linux bounds this rather than the RTO."""
    max_rto: Duration = seconds(60)
    """RFC 6298 2.5: if bounded, by 60 s at least."""
    rto_after_syn_loss: Duration = seconds(3)
    """RFC 6298 5.7: the RTO once data starts, where the SYN was resent."""
    clock_granularity: Duration = milliseconds(1)
    """RFC 6298's G."""
    rtt_alpha: float = 1 / 8
    """RFC 6298 2.3: the weight of a measurement in SRTT."""
    rtt_beta: float = 1 / 4
    """RFC 6298 2.3: its weight in RTTVAR."""
    rtt_k: int = 4
    """RFC 6298 2.2: K, so many RTTVAR above SRTT."""
    retries_r1: int = 3
    """RFC 9293 3.8.3: after so many retransmissions, IP is told to look for another way."""
    give_up: Duration = seconds(300)
    """R2 for data, from the first transmission of what is lost (RFC 9293 3.8.3: 100 s at least;
    with no more, a line that loses every fifth packet both ways ends one long transfer in ten)."""
    user_timeout: Duration | None = None
    """RFC 9293 3.8.3's user timeout: data unacknowledged so long closes it; None: by R2 only."""

    # Loss recovery
    duplicate_ack_threshold: int = 3
    """RFC 5681 3.2 DupThresh."""
    limited_transmit: bool = True
    """RFC 3042."""
    rack: bool = True
    """RFC 8985 RACK, where SACK was agreed."""
    tlp: bool = True
    """RFC 8985 7 tail loss probes, where SACK was agreed."""
    tlp_max_ack_delay: Duration = milliseconds(200)
    """RFC 8985 7.2 TLP.max_ack_delay."""
    tlp_unmeasured: Duration = seconds(1)
    """RFC 8985 7.2: until a probe where there is no SRTT yet."""
    min_rtt_window: Duration = seconds(300)
    """RFC 8985 6.2 step 1 wants a windowed minimum RTT and leaves its length open: Linux's."""
    tlp_margin: Duration = seconds(0)
    """Added to twice the SRTT before a probe where more than one segment is out: RFC 8985 7.2 has
    none, Linux two ticks of its clock, for hosts that are later than their link."""
    frto: bool = False
    """RFC 5682: tell spurious timeouts from real ones, by new data in place of resent data."""

    # Congestion control
    congestion_control: str = "cubic"
    """``reno`` (RFC 5681 without RFC 6582), ``newreno`` (RFC 6582), ``cubic`` (RFC 9438)."""
    cubic_c: float = 0.4
    """RFC 9438 5: 'C SHOULD be set to 0.4', segments per second cubed."""
    cubic_beta: float = 0.7
    """RFC 9438 4.6: 'The parameter beta_cubic SHOULD be set to 0.7'."""
    initial_window_segments: int = 10
    """RFC 6928 2: 10 segments, 14600 bytes at most (or two segments)."""
    small_window_after_syns: int = 2
    """After so many resent SYNs or SYN+ACKs the initial window is one segment. RFC 6928 2 wants
    'more than one' of them for that; 1: as RFC 5681 3.1 had it."""
    restart_after_idle: bool = True
    """RFC 5681 4.1: back to the restart window after an idle RTO."""
    abc_limit: int = 1
    """SMSS that one ACK may add in slow start: RFC 5681 3.1's min(N, SMSS), or RFC 3465's L."""

    # Buffers and windows
    send_buffer: int = 256 << 10
    """What users may have written and the peer not acknowledged."""
    receive_buffer: int = 256 << 10
    """The largest window ever offered."""
    out_of_order_limit: int = 4096
    """Separate stretches held out of order; what comes beyond is dropped."""

    # Acknowledging
    delayed_ack: bool = True
    """RFC 9293 3.8.6.3 SHLD-18; off: every segment with data is acknowledged at once."""
    delayed_ack_timeout: Duration = milliseconds(100)
    """RFC 9293 3.8.6.3 MUST-40: below 500 ms."""
    ack_every: int = 2
    """RFC 9293 3.8.6.3: an ACK for at least every second full segment."""
    quick_acks: int = 0
    """The first so many segments are acknowledged at once (Linux: in quickack mode)."""
    nagle: bool = True
    """RFC 9293 3.7.4; TCP_NODELAY switches it off per connection."""
    minshall: bool = False
    """Nagle as Linux has it, after Minshall: a small segment waits for an earlier small one only,
    not for full ones."""
    override_timeout: Duration = milliseconds(200)
    """RFC 9293 3.8.6.2.1: send what silly-window avoidance holds back after 0.1 to 1 s."""

    # Zero window
    persist_min: Duration | None = None
    """First zero-window probe (RFC 9293 3.8.6.1: when it has lasted the RTO); None: the RTO."""
    persist_max: Duration = seconds(60)
    """Zero-window probes are that far apart at most (RFC 9293 3.8.6.1 SHLD-30: exponentially)."""
    persist_data: bool = True
    """Probe with an octet of new data (MUST-36: 'at least one octet of new data (if available)');
    off: with none, numbered SND.UNA-1, as Linux does."""

    # Keepalive (RFC 9293 3.8.4; off unless a connection asks)
    keepalive: bool = False
    """RFC 9293 3.8.4 MUST-25: off by default."""
    keepalive_idle: Duration = seconds(7200)
    """RFC 9293 3.8.4 MUST-28: no less than two hours by default."""
    keepalive_interval: Duration = seconds(75)
    """Between probes without an answer; 4.3BSD's, as no RFC has one."""
    keepalive_probes: int = 10
    """Unanswered probes that end the connection (MUST-29: not any single one)."""

    # Closing
    msl: Duration = seconds(120)
    """RFC 9293 3.4.2: 2 minutes; TIME-WAIT lasts twice that."""
    time_wait: Duration | None = None
    """TIME-WAIT's length in place of 2 MSL."""
    time_wait_limit: int = 65_536
    """Connections in TIME-WAIT; beyond, the oldest ends early."""
    time_wait_reuse: bool = True
    """A SYN with a later timestamp or number may end TIME-WAIT (RFC 6191, RFC 9293 MAY-2)."""
    reset_with_ack: bool = False
    """An abort's RST has an ACK, as Linux's; RFC 9293 3.10.5: <SEQ=SND.NXT><CTL=RST>."""
    time_wait_ignores_rst: bool = True
    """RFC 1337 (F1): a reset does not end TIME-WAIT."""
    fin_wait2_timeout: Duration | None = None
    """Give up in FIN-WAIT-2 once nobody can read any more; None: never (RFC 9293 sets no limit)."""

    # Defence (RFC 5961)
    challenge_acks: bool = True
    """RFC 5961 3 to 5; off: SYN and RST in the window reset, as RFC 793 had it."""
    challenge_ack_limit: int = 10
    """Challenge ACKs in ``challenge_ack_span`` and one stack."""
    challenge_ack_span: Duration = seconds(5)
    """RFC 5961 7: 'in any 5 second window, no more than 10 challenge ACKs should be sent'."""
    invalid_ack_interval: Duration = seconds(0)
    """ACKs for what is not acceptable and has no data, and challenge ACKs, are that far apart at
    least on one connection (Linux's ``tcp_invalid_ratelimit``); 0: RFC 9293's, no limit."""
    paws: bool = True
    """RFC 7323 5."""
    paws_expiry: Duration = seconds(24 * 24 * 3600)
    """RFC 7323 5.5: TS.Recent counts no more on a connection that was idle for 24 days."""
    timestamps_required: bool = True
    """Drop segments without the timestamp that was agreed on (RFC 7323 3.2 SHOULD)."""
    max_connections: int = 1 << 20
    """Connections of one stack, in whatever state."""

    ephemeral: tuple[int, int] = (49152, 65535)
    """RFC 6335 6: the dynamic ports; chosen by RFC 6056's algorithm 3."""

    @classmethod
    def linux(cls) -> Self:
        """Linux's values where they differ (kernel 6.18)."""
        return cls(
            min_rto=milliseconds(200),
            min_rto_variance=milliseconds(200),
            max_rto=seconds(120),
            rto_after_syn_loss=seconds(1),
            tlp_margin=milliseconds(8),
            syn_retries=6,
            syn_linear_timeouts=4,
            synack_retries=5,
            frto=True,
            abc_limit=1 << 16,
            minshall=True,
            timestamps_required=False,
            challenge_ack_limit=(1 << 31) - 1,
            invalid_ack_interval=milliseconds(500),
            give_up=seconds(924.6),
            delayed_ack_timeout=milliseconds(40),
            quick_acks=16,
            persist_max=seconds(120),
            persist_data=False,
            reset_with_ack=True,
            keepalive_probes=9,
            time_wait=seconds(60),
            fin_wait2_timeout=seconds(60),
            time_wait_ignores_rst=False,
            backlog=4096,
            ephemeral=(32768, 60999),
        )
