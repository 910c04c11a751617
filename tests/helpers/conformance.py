"""Connections in every state, for scripts that hold TCP to its RFCs' letter.

The peer's next number is ``peer`` and the stack's own is ``ours`` in what these give: numbers count
from each side's initial one, as in ``script``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from script import Script

from testbed.stack.config import StackConfig
from testbed.stack.tcp.connection import Connection
from testbed.stack.tcp.states import State

__all__ = ["STATES", "SYNCHRONIZED", "At", "accepted", "at", "opened", "rfc"]

SYNCHRONIZED = (
    State.ESTABLISHED,
    State.FIN_WAIT_1,
    State.FIN_WAIT_2,
    State.CLOSE_WAIT,
    State.CLOSING,
    State.LAST_ACK,
    State.TIME_WAIT,
)
STATES = (State.SYN_SENT, State.SYN_RECEIVED, *SYNCHRONIZED)


def rfc(**tcp: Any) -> StackConfig:
    """The RFCs' values without options, so that scripts are short; ``tcp`` changes them."""
    plain = {"timestamps": False, "window_scaling": False, "sack": False}
    return StackConfig.of(
        tcp=plain | {"congestion_control": "newreno"} | tcp, pmtu={"probing": "off"}
    )


def opened(
    config: StackConfig | None = None,
    options: str = "mss 1000",
    *,
    win: int = 65535,
    rtt: float = 0.1,
) -> Script:
    """Opened actively over a path of ``rtt`` seconds."""
    s = Script(config or rfc())
    s.connect()
    s.out("S 0:0(0)")
    s.into(f"S. 0:0(0) ack 1 win {win} <{options}>", after=rtt)
    s.out(". 1:1(0) ack 1")
    return s


def accepted(
    config: StackConfig | None = None, options: str = "mss 1000", *, win: int = 65535
) -> Script:
    """Opened by the peer, and accepted, over a path of 100 ms."""
    s = Script(config or rfc())
    s.listen()
    s.into(f"S 0:0(0) win {win} <{options}>")
    s.out("S. 0:0(0) ack 1")
    s.into(f". 1:1(0) ack 1 win {win}", after=0.1)
    s.accept()
    return s


@dataclass
class At:
    """A script whose connection is in ``state``."""

    s: Script
    state: State
    ours: int = 1
    peer: int = 1

    @property
    def now(self) -> State:
        """The state that the connection is in now."""
        held = self.s.stack.tcp.connections
        return held[0].state if held else State.CLOSED

    @property
    def connection(self) -> Connection:
        """The stack's connection."""
        return self.s.stack.tcp.connections[0]

    def ack(self) -> None:
        """The stack says what it expects, and nothing else."""
        self.s.out(f". {self.ours}:{self.ours}(0) ack {self.peer}")
        self.s.quiet()


def at(state: State, config: StackConfig | None = None) -> At:
    """A connection in ``state``, with nothing unsaid."""
    if state is State.SYN_SENT:
        s = Script(config or rfc())
        s.connect()
        s.out("S 0:0(0)")
        return At(s, state)
    if state is State.SYN_RECEIVED:
        s = Script(config or rfc())
        s.listen()
        s.into("S 0:0(0) win 65535 <mss 1000>")
        s.out("S. 0:0(0) ack 1")
        return At(s, state)
    s = opened(config)
    here = At(s, state)
    if state in {State.CLOSE_WAIT, State.LAST_ACK}:
        s.into("F. 1:1(0) ack 1")
        s.out(". 1:1(0) ack 2")
        here.peer = 2
    if state not in {State.ESTABLISHED, State.CLOSE_WAIT}:
        s.socket.close()
        s.out(f"F. 1:1(0) ack {here.peer}")
        here.ours = 2
    if state in {State.FIN_WAIT_2, State.TIME_WAIT}:
        s.into(". 1:1(0) ack 2")
    if state in {State.CLOSING, State.TIME_WAIT}:
        acked = 2 if state is State.TIME_WAIT else 1
        s.into(f"F. 1:1(0) ack {acked}")
        s.out(". 2:2(0) ack 2")
        here.peer = 2
    assert here.now is state
    s.quiet()
    return here
