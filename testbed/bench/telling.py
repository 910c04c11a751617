"""What Python stacks did, in the words of a report."""

from __future__ import annotations

from dataclasses import fields
from enum import Enum

from testbed.report import NoteRecord
from testbed.stack.events import Event, Note
from testbed.stack.tcp.notices import (
    ConnectionFailed,
    ProbeSent,
    SegmentDropped,
    SegmentResent,
    StateChanged,
)
from testbed.stack.tcp.recovery.events import RetransmissionTimeout
from testbed.stack.tcp.snapshot import TcpSnapshot
from testbed.timing import Duration, Instant, format_duration

__all__ = ["told_at_the_end", "told_of"]

_BOUNDLESS = 1 << 32
"""A slow-start threshold that is no window's size: none has been found yet."""


def told_of(role: str, event: Event, at: Instant) -> NoteRecord:
    """One event of the stack of ``role``; retransmissions stand out."""
    again = isinstance(event, SegmentResent | ProbeSent | RetransmissionTimeout)
    connection = _short(getattr(event, "connection", ""))
    text = " ".join(filter(None, (f"{role}:", connection, _words(event))))
    return NoteRecord(at=at, text=text, kind="resent" if again else "stack")


def told_at_the_end(role: str, told: TcpSnapshot, at: Instant) -> NoteRecord:
    """A connection in one line."""
    (here, port), (there, remote) = told.local, told.remote
    resent = " ".join(each.reason.name for each in told.retransmissions[-10:])
    bound = str(told.ssthresh) if told.ssthresh < _BOUNDLESS else "none"
    srtt = format_duration(told.srtt) if told.srtt is not None else "none"
    text = (
        f"{role}: in the end {here}:{port}-{there}:{remote} {told.state}, SND.UNA {told.snd_una} "
        f"NXT {told.snd_nxt} WND {told.snd_wnd}, RCV.NXT {told.rcv_nxt} WND {told.rcv_wnd}, "
        f"cwnd {told.cwnd} ssthresh {bound}, RTO {format_duration(told.rto)} SRTT {srtt}, "
        f"flight {told.flight} pipe {told.pipe}, {told.retransmission_count} resent"
    )
    return NoteRecord(at=at, text=f"{text} ({resent})" if resent else text, kind="stack")


def _words(event: Event) -> str:
    """An event in one line, and by its fields where nobody has put it better."""
    match event:
        case Note():
            told = event.text
        case StateChanged():
            told = f"{event.before} → {event.after}: {event.cause}"
        case SegmentResent():
            why = f"{event.reason.name}, {event.reason.value}"
            told = f"resent {event.length} from {event.seq}: {why}"
        case ProbeSent():
            told = f"{event.reason.value} number {event.count}"
        case RetransmissionTimeout():
            then = f"cwnd {event.cwnd} ssthresh {event.ssthresh}"
            told = f"RTO over for {event.seq}, the next is {format_duration(event.rto)}: {then}"
        case SegmentDropped():
            told = f"dropped {event.length} from {event.seq}: {event.reason}"
        case ConnectionFailed():
            told = f"ended with {event.error}"
        case _:
            told = _by_its_fields(event)
    return told


def _by_its_fields(event: Event) -> str:
    told = (
        f"{field.name.replace('_', ' ')} {_value(field.type, getattr(event, field.name))}"
        for field in fields(event)
        if field.name not in ("at", "connection")
    )
    return " ".join(filter(None, (_spaced(type(event).__name__), ", ".join(told))))


def _value(kind: object, value: object) -> str:
    if kind == "Duration" and isinstance(value, int):
        return format_duration(Duration(value))
    return value.name if isinstance(value, Enum) else str(value)


def _spaced(name: str) -> str:
    """``RecoveryEntered`` as ``recovery entered``."""
    return "".join(f" {each.lower()}" if each.isupper() else each for each in name).strip()


def _short(connection: object) -> str:
    """Local port and remote end: the role says whose address the other one is."""
    here, _, there = str(connection).partition("-")
    return f":{here.rpartition(':')[2]}-{there}" if there else str(connection)
