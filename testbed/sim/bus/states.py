"""The two state machines of a CSMA/CD station, each as one table: nowhere else are states entered.

IEEE 802.3 4.2.8 has them as the processes Deference and Transmitter with TransmitLinkMgmt.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from types import MappingProxyType

__all__ = ["DEFERENCE", "SENDER", "Event", "Phase", "Sense", "State"]


class Phase(Enum):
    """What the station knows of the medium."""

    CLEAR = "clear"  # has been quiet for an inter-frame gap: a frame may be sent
    BUSY = "busy"
    GAP_1 = "gap 1"  # quiet; another's signal begins the gap anew
    GAP_2 = "gap 2"  # quiet; what begins now is not looked at (4.2.3.2.1)


class Sense(Enum):
    """What changes a Phase."""

    SIGNAL = "signal"
    SILENCE = "silence"
    PART_1_OVER = "part 1 over"
    PART_2_OVER = "part 2 over"


DEFERENCE: Mapping[tuple[Phase, Sense], Phase] = MappingProxyType(
    {
        (Phase.CLEAR, Sense.SIGNAL): Phase.BUSY,
        (Phase.BUSY, Sense.SILENCE): Phase.GAP_1,
        (Phase.GAP_1, Sense.SIGNAL): Phase.BUSY,
        (Phase.GAP_1, Sense.PART_1_OVER): Phase.GAP_2,
        (Phase.GAP_2, Sense.PART_2_OVER): Phase.CLEAR,
    }
)
"""Whether to defer."""


class State(Enum):
    """What the station does about its first frame."""

    IDLE = "idle"  # there is none
    WAITING = "waiting"  # for the medium
    SENDING = "sending"
    JAMMING = "jamming"
    BACKING_OFF = "backing off"


class Event(Enum):
    """What changes a State."""

    FRAME = "frame"  # there is one to send
    MEDIUM_CLEAR = "medium clear"
    SENT = "sent"
    COLLISION = "collision"
    RETRY = "retry"  # the jam is over, and it may be tried again
    GIVE_UP = "give up"  # the jam is over, and that was the last attempt
    SLOTS_OVER = "slots over"
    OFF = "off"  # the port was switched off, or lost its cable


SENDER: Mapping[tuple[State, Event], State] = MappingProxyType(
    {
        (State.IDLE, Event.FRAME): State.WAITING,
        (State.WAITING, Event.MEDIUM_CLEAR): State.SENDING,
        (State.SENDING, Event.SENT): State.IDLE,
        (State.SENDING, Event.COLLISION): State.JAMMING,
        (State.JAMMING, Event.RETRY): State.BACKING_OFF,
        (State.JAMMING, Event.GIVE_UP): State.IDLE,
        (State.BACKING_OFF, Event.SLOTS_OVER): State.WAITING,
        **{(state, Event.OFF): State.IDLE for state in State},
    }
)
"""What becomes of a frame."""
