"""The connection states of TCP and the one table of what leads from state to state.

RFC 9293 3.3.2, figure 5, and the prose of 3.10 where the figure leaves an arrow out. The diagram
in ``STATES.md`` beside this file is made from the table by ``diagram()``.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Final

__all__ = [
    "SYNCHRONIZED",
    "TRANSITIONS",
    "Cause",
    "ImpossibleTransition",
    "State",
    "diagram",
    "step",
]


class State(Enum):
    """RFC 9293 3.3.2: the eleven states of a connection."""

    CLOSED = "CLOSED"
    LISTEN = "LISTEN"
    SYN_SENT = "SYN-SENT"
    SYN_RECEIVED = "SYN-RECEIVED"
    ESTABLISHED = "ESTABLISHED"
    FIN_WAIT_1 = "FIN-WAIT-1"
    FIN_WAIT_2 = "FIN-WAIT-2"
    CLOSE_WAIT = "CLOSE-WAIT"
    CLOSING = "CLOSING"
    LAST_ACK = "LAST-ACK"
    TIME_WAIT = "TIME-WAIT"

    def __str__(self) -> str:
        return self.value


class Cause(Enum):
    """What may move a connection: user calls, segments, time-outs."""

    PASSIVE_OPEN = "passive open"
    ACTIVE_OPEN = "active open, send SYN"
    SEND = "send, send SYN"
    CLOSE = "close"
    ABORT = "abort"
    SYN = "receive SYN, send SYN+ACK"
    SYN_ACK = "receive SYN+ACK, send ACK"
    SYN_ACKED = "receive ACK of SYN"
    FIN = "receive FIN, send ACK"
    FIN_ACKED = "receive ACK of FIN"
    RESET = "receive RST"
    RETURN = "receive RST or SYN, passive open"
    GIVE_UP = "user time-out, R2 or unreachable"
    EXPIRED = "2 MSL are over"
    REOPENED = "receive a new SYN (RFC 6191)"

    def __str__(self) -> str:
        return self.value


class ImpossibleTransition(Exception):  # noqa: N818 - says what it is
    """An event that the table does not know in this state: an error in the stack itself."""


SYNCHRONIZED: Final = frozenset(
    {
        State.ESTABLISHED,
        State.FIN_WAIT_1,
        State.FIN_WAIT_2,
        State.CLOSE_WAIT,
        State.CLOSING,
        State.LAST_ACK,
        State.TIME_WAIT,
    }
)
"""RFC 9293 3.5.2: the states in which both sides know each other's numbers."""

_OPENING: Final = {
    (State.CLOSED, Cause.PASSIVE_OPEN): State.LISTEN,
    (State.CLOSED, Cause.ACTIVE_OPEN): State.SYN_SENT,
    (State.LISTEN, Cause.SEND): State.SYN_SENT,
    (State.LISTEN, Cause.SYN): State.SYN_RECEIVED,
    (State.LISTEN, Cause.CLOSE): State.CLOSED,
    (State.SYN_SENT, Cause.SYN): State.SYN_RECEIVED,
    (State.SYN_SENT, Cause.SYN_ACK): State.ESTABLISHED,
    (State.SYN_SENT, Cause.CLOSE): State.CLOSED,
    (State.SYN_RECEIVED, Cause.SYN_ACKED): State.ESTABLISHED,
    # 3.10.7.4: 'If this connection was initiated with a passive OPEN [...] then return this
    # connection to LISTEN state'.
    (State.SYN_RECEIVED, Cause.RETURN): State.LISTEN,
    (State.SYN_RECEIVED, Cause.CLOSE): State.FIN_WAIT_1,
}

_CLOSING: Final = {
    (State.ESTABLISHED, Cause.CLOSE): State.FIN_WAIT_1,
    (State.ESTABLISHED, Cause.FIN): State.CLOSE_WAIT,
    (State.FIN_WAIT_1, Cause.FIN_ACKED): State.FIN_WAIT_2,
    (State.FIN_WAIT_1, Cause.FIN): State.CLOSING,
    (State.FIN_WAIT_2, Cause.FIN): State.TIME_WAIT,
    (State.CLOSE_WAIT, Cause.CLOSE): State.LAST_ACK,
    (State.CLOSING, Cause.FIN_ACKED): State.TIME_WAIT,
    (State.LAST_ACK, Cause.FIN_ACKED): State.CLOSED,
    # 3.10.7.4: 'the only thing that can arrive in this state is a retransmission of the remote
    # FIN. Acknowledge it, and restart the 2 MSL timeout.'
    (State.TIME_WAIT, Cause.FIN): State.TIME_WAIT,
    (State.TIME_WAIT, Cause.EXPIRED): State.CLOSED,
    (State.TIME_WAIT, Cause.REOPENED): State.CLOSED,
}

_LIVE: Final = (State.SYN_SENT, State.SYN_RECEIVED, *(s for s in State if s in SYNCHRONIZED))

_ENDING: Final = {
    (state, cause): State.CLOSED
    for state in _LIVE
    for cause in (Cause.ABORT, Cause.RESET, Cause.GIVE_UP)
}

TRANSITIONS: Final[Mapping[tuple[State, Cause], State]] = {**_OPENING, **_CLOSING, **_ENDING}
"""The state that follows, for every state and cause that can meet."""


def step(state: State, cause: Cause) -> State:
    """The state that follows ``state`` on ``cause``; raises ImpossibleTransition."""
    try:
        return TRANSITIONS[state, cause]
    except KeyError:
        raise ImpossibleTransition(f"{state}: {cause}") from None


def diagram() -> str:
    """The table as a Mermaid state diagram."""
    lines = ["stateDiagram-v2", "    [*] --> CLOSED"]
    lines += [
        f"    {_name(before)} --> {_name(after)}: {cause}"
        for (before, cause), after in {**_OPENING, **_CLOSING}.items()
    ]
    causes = ", ".join(str(cause) for cause in (Cause.ABORT, Cause.RESET, Cause.GIVE_UP))
    lines.append(f"    note right of CLOSED: from every state but LISTEN also by {causes}")
    lines += [f'    state "{state}" as {_name(state)}' for state in State if "-" in state.value]
    return "\n".join(lines) + "\n"


def _name(state: State) -> str:
    return state.name
