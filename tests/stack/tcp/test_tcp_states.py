"""The table of states, and the diagram made from it."""

from __future__ import annotations

from pathlib import Path

import pytest

import testbed.stack.tcp.states as module
from testbed.stack.tcp.states import (
    TRANSITIONS,
    Cause,
    ImpossibleTransition,
    State,
    diagram,
    step,
)

FIGURE_5 = [
    # RFC 9293 3.3.2, figure 5, arrow by arrow
    (State.CLOSED, Cause.PASSIVE_OPEN, State.LISTEN),
    (State.CLOSED, Cause.ACTIVE_OPEN, State.SYN_SENT),
    (State.LISTEN, Cause.CLOSE, State.CLOSED),
    (State.LISTEN, Cause.SYN, State.SYN_RECEIVED),
    (State.LISTEN, Cause.SEND, State.SYN_SENT),
    (State.SYN_SENT, Cause.SYN, State.SYN_RECEIVED),
    (State.SYN_SENT, Cause.SYN_ACK, State.ESTABLISHED),
    (State.SYN_SENT, Cause.CLOSE, State.CLOSED),
    (State.SYN_RECEIVED, Cause.SYN_ACKED, State.ESTABLISHED),
    (State.SYN_RECEIVED, Cause.CLOSE, State.FIN_WAIT_1),
    (State.ESTABLISHED, Cause.CLOSE, State.FIN_WAIT_1),
    (State.ESTABLISHED, Cause.FIN, State.CLOSE_WAIT),
    (State.FIN_WAIT_1, Cause.FIN_ACKED, State.FIN_WAIT_2),
    (State.FIN_WAIT_1, Cause.FIN, State.CLOSING),
    (State.FIN_WAIT_2, Cause.FIN, State.TIME_WAIT),
    (State.CLOSE_WAIT, Cause.CLOSE, State.LAST_ACK),
    (State.CLOSING, Cause.FIN_ACKED, State.TIME_WAIT),
    (State.LAST_ACK, Cause.FIN_ACKED, State.CLOSED),
    (State.TIME_WAIT, Cause.EXPIRED, State.CLOSED),
]


@pytest.mark.parametrize(("before", "cause", "after"), FIGURE_5)
def test_every_arrow_of_figure_5_is_in_the_table(before, cause, after):
    assert step(before, cause) is after


def test_what_the_table_does_not_know_is_refused_loudly():
    with pytest.raises(ImpossibleTransition, match="CLOSED: receive FIN"):
        step(State.CLOSED, Cause.FIN)


def test_every_state_can_be_reached_and_left():
    reached = set(TRANSITIONS.values())
    left = {before for before, _ in TRANSITIONS}
    assert reached == left == set(State)


def test_the_diagram_in_the_docs_is_what_the_table_gives():
    page = Path(module.__file__).with_name("STATES.md").read_text()
    assert f"```mermaid\n{diagram()}```\n" in page
