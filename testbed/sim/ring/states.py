"""The state machine of a token ring station, as one table: nowhere else are states entered.

IEEE 802.5 4.3 has it as the operational finite state machine, in more states and with priorities.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from types import MappingProxyType

__all__ = ["STATION", "Event", "State"]


class State(Enum):
    """What a station does with what comes by."""

    REPEATING = "repeating"
    HOLDING = "holding"  # it has the token, and sends
    AWAITING = "awaiting"  # it has sent all it may; its last frame is still on its way round


class Event(Enum):
    """What changes a State."""

    CAPTURED = "captured"  # the token came, and a frame was waiting
    MORE = "more"  # a frame is out, and the next one still fits into the holding time
    LAST = "last"  # a frame is out, and it was the last
    RETURNED = "returned"  # the last frame has come back
    OFF = "off"  # the port was switched off, or lost its cable


STATION: Mapping[tuple[State, Event], State] = MappingProxyType(
    {
        (State.REPEATING, Event.CAPTURED): State.HOLDING,
        (State.HOLDING, Event.MORE): State.HOLDING,
        (State.HOLDING, Event.LAST): State.AWAITING,
        (State.AWAITING, Event.RETURNED): State.REPEATING,
        **{(state, Event.OFF): State.REPEATING for state in State},
    }
)
"""How a station gets from one state to another."""
