"""A connection as it is at one moment, for plans to ask about and for reports to show."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from ipaddress import IPv4Address

from testbed.stack.tcp.reasons import Reason, Retransmission
from testbed.stack.tcp.states import State
from testbed.stack.tcp.tcb import MODULUS, Tcb, Timer
from testbed.timing import Duration

__all__ = ["TcpSnapshot", "picture"]


@dataclass(frozen=True, slots=True)
class TcpSnapshot:
    """State of one connection; sequence numbers modulo 2**32, windows and sizes in bytes."""

    local: tuple[IPv4Address, int]
    remote: tuple[IPv4Address, int]
    state: State
    iss: int
    irs: int
    snd_una: int
    snd_nxt: int
    snd_wnd: int
    rcv_nxt: int
    rcv_wnd: int
    """What the peer may send by the window last offered."""
    rcv_free: int
    """What the receive buffer could take."""
    cwnd: int
    ssthresh: int
    rto: Duration
    srtt: Duration | None
    rttvar: Duration
    flight: int
    pipe: int
    in_recovery: bool
    mss: int
    """Data and options in a full segment; ``smss`` of it is data."""
    smss: int
    peer_mss: int
    sack: bool
    timestamps: bool
    send_scale: int | None
    """Shift of the peer's windows; None: scaling was not agreed."""
    receive_scale: int | None
    unsent: int
    unread: int
    out_of_order: int
    keepalives: int
    persists: int
    retransmissions: tuple[Retransmission, ...]
    """The latest ones, and the SYNs; ``retransmission_count`` is of all."""
    retransmission_count: int
    segments_in: int
    segments_out: int
    bytes_in: int
    bytes_out: int
    error: str | None


def picture(c: Tcb, free: int) -> TcpSnapshot:
    """The snapshot of ``c``; ``free`` is what its receive buffer could take."""
    recovery = c.recovery if c.mss else None  # made when the handshake is done
    scaled = c.rcv_scale >= 0
    return TcpSnapshot(
        local=c.local,
        remote=c.remote,
        state=c.state,
        iss=c.iss % MODULUS,
        irs=c.irs % MODULUS,
        snd_una=c.snd_una % MODULUS,
        snd_nxt=c.snd_nxt % MODULUS,
        snd_wnd=c.snd_wnd,
        rcv_nxt=c.rcv_nxt % MODULUS,
        rcv_wnd=max(0, c.rcv_adv - c.rcv_nxt),
        rcv_free=free,
        cwnd=recovery.congestion.cwnd if recovery else 0,
        ssthresh=recovery.congestion.ssthresh if recovery else 0,
        rto=_rto(c),
        srtt=c.rtt.srtt,
        rttvar=c.rtt.rttvar,
        flight=recovery.flight if recovery else c.snd_nxt - c.snd_una,
        pipe=recovery.pipe if recovery else 0,
        in_recovery=recovery.in_recovery if recovery else False,
        mss=c.mss,
        smss=c.mss - (12 if c.ts_on else 0) if c.mss else 0,
        peer_mss=c.peer_mss,
        sack=c.sack_on,
        timestamps=c.ts_on,
        send_scale=c.snd_scale if scaled else None,
        receive_scale=c.rcv_scale if scaled else None,
        unsent=c.unsent,
        unread=c.receiving.unread,
        out_of_order=c.receiving.out_of_order_bytes,
        keepalives=c.keepalives,
        persists=c.persists,
        retransmissions=tuple(_resent(c)),
        retransmission_count=len(c.syns_resent) + (recovery.retransmissions if recovery else 0),
        segments_in=c.segments_in,
        segments_out=c.segments_out,
        bytes_in=c.bytes_in,
        bytes_out=c.bytes_out,
        error=c.error.errno_name if c.error else None,
    )


def _resent(c: Tcb) -> Iterator[Retransmission]:
    syn = c.iss % MODULUS
    for at in c.syns_resent:
        yield Retransmission(at, syn, (syn + 1) % MODULUS, Reason.SYN)
    for each in c.recovery.history if c.mss else ():
        yield replace(each, seq=each.seq % MODULUS, end=each.end % MODULUS)


def _rto(c: Tcb) -> Duration:
    """The timer as it now runs: that of a SYN has its own back-off."""
    if Timer.SYN not in c.due:
        return c.rtt.rto
    sent = c.syns_resent[-1] if c.syns_resent else c.syn_sent_at
    return Duration(c.due[Timer.SYN] - sent)
