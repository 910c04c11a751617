"""The option negotiation automaton of RFC 1661 4: its ten states and sixteen events, as a table."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum, IntEnum
from typing import Final, Protocol

from testbed.errors import PlanError
from testbed.stack.alarms import Alarms
from testbed.timing import Duration, Instant, after, seconds

__all__ = ["TRANSITIONS", "Action", "Automaton", "AutomatonConfig", "Event", "Layer", "State"]


class State(IntEnum):
    """RFC 1661 4.2, with its numbers."""

    INITIAL = 0
    STARTING = 1
    CLOSED = 2
    STOPPED = 3
    CLOSING = 4
    STOPPING = 5
    REQ_SENT = 6
    ACK_RCVD = 7
    ACK_SENT = 8
    OPENED = 9


class Event(Enum):
    """RFC 1661 4.3, with the names that its table uses."""

    UP = "Up"
    DOWN = "Down"
    OPEN = "Open"
    CLOSE = "Close"
    TIMEOUT = "TO+"
    TIMEOUT_LAST = "TO-"
    REQUEST_GOOD = "RCR+"
    REQUEST_BAD = "RCR-"
    ACK = "RCA"
    NAK = "RCN"
    TERMINATE = "RTR"
    TERMINATE_ACK = "RTA"
    UNKNOWN_CODE = "RUC"
    REJECT_HARMLESS = "RXJ+"
    REJECT_FATAL = "RXJ-"
    ECHO = "RXR"


class Action(Enum):
    """RFC 1661 4.4, with the names that its table uses."""

    LAYER_UP = "tlu"
    LAYER_DOWN = "tld"
    LAYER_STARTED = "tls"
    LAYER_FINISHED = "tlf"
    INIT_RESTART_COUNT = "irc"
    ZERO_RESTART_COUNT = "zrc"
    SEND_REQUEST = "scr"
    SEND_ACK = "sca"
    SEND_NAK = "scn"
    SEND_TERMINATE = "str"
    SEND_TERMINATE_ACK = "sta"
    SEND_CODE_REJECT = "scj"
    SEND_ECHO_REPLY = "ser"


# RFC 1661 4.1, each cell as it stands there: actions, a slash, the next state; a dash is what
# cannot happen. Its footnotes r (restart), p (passive) and x (crossed connection) name options
# and explanations that change no state here.
_TABLE: Final = """
        0       1           2           3               4       5
Up      2       irc,scr/6   -           -               -       -
Down    -       -           0           tls/1           0       1
Open    tls/1   1           irc,scr/6   3               5       5
Close   0       tlf/0       2           2               4       4
TO+     -       -           -           -               str/4   str/5
TO-     -       -           -           -               tlf/2   tlf/3
RCR+    -       -           sta/2       irc,scr,sca/8   4       5
RCR-    -       -           sta/2       irc,scr,scn/6   4       5
RCA     -       -           sta/2       sta/3           4       5
RCN     -       -           sta/2       sta/3           4       5
RTR     -       -           sta/2       sta/3           sta/4   sta/5
RTA     -       -           2           3               tlf/2   tlf/3
RUC     -       -           scj/2       scj/3           scj/4   scj/5
RXJ+    -       -           2           3               4       5
RXJ-    -       -           tlf/2       tlf/3           tlf/2   tlf/3
RXR     -       -           2           3               4       5

        6           7           8           9
Up      -           -           -           -
Down    1           1           1           tld/1
Open    6           7           8           9
Close   irc,str/4   irc,str/4   irc,str/4   tld,irc,str/4
TO+     scr/6       scr/6       scr/8       -
TO-     tlf/3       tlf/3       tlf/3       -
RCR+    sca/8       sca,tlu/9   sca/8       tld,scr,sca/8
RCR-    scn/6       scn/7       scn/6       tld,scr,scn/6
RCA     irc/7       scr/6       irc,tlu/9   tld,scr/6
RCN     irc,scr/6   scr/6       irc,scr/8   tld,scr/6
RTR     sta/6       sta/6       sta/6       tld,zrc,sta/5
RTA     6           6           8           tld,scr/6
RUC     scj/6       scj/7       scj/8       scj/9
RXJ+    6           6           8           9
RXJ-    tlf/3       tlf/3       tlf/3       tld,irc,str/5
RXR     6           7           8           ser/9
"""


def _read_table(text: str) -> dict[tuple[State, Event], tuple[tuple[Action, ...], State]]:
    found: dict[tuple[State, Event], tuple[tuple[Action, ...], State]] = {}
    for part in text.strip("\n").split("\n\n"):
        head, *rows = part.splitlines()
        states = [State(int(number)) for number in head.split()]
        for row in rows:
            name, *cells = row.split()
            for state, cell in zip(states, cells, strict=True):
                if cell != "-":
                    actions, _, number = cell.rpartition("/")
                    done = tuple(Action(action) for action in actions.split(",") if action)
                    found[state, Event(name)] = (done, State(int(number)))
    return found


TRANSITIONS: Final[Mapping[tuple[State, Event], tuple[tuple[Action, ...], State]]] = _read_table(
    _TABLE
)
"""What is done, and what state comes then. What is missing here cannot happen."""

_TIMED: Final = frozenset(state for state, event in TRANSITIONS if event is Event.TIMEOUT)
"""'The states in which the Restart timer is running are identifiable by the presence of TO
events' (RFC 1661 4.1)."""

_LAST: Final = frozenset({Action.LAYER_UP, Action.LAYER_STARTED, Action.LAYER_FINISHED})


@dataclass(frozen=True, slots=True)
class AutomatonConfig:
    """Timer and counters (RFC 1661 4.6), with its defaults."""

    restart: Duration = seconds(3)
    """Between resent Configure- and Terminate-Requests."""
    max_terminate: int = 2
    """Terminate-Requests sent without an answer."""
    max_configure: int = 10
    """Configure-Requests sent without an answer."""
    max_failure: int = 5
    """Configure-Naks sent without success before what they are about is rejected instead."""


class Layer(Protocol):
    """The control protocol that an automaton belongs to: it does what the table says."""

    def act(self, action: Action, now: Instant) -> None:
        """Do one action; counting restarts is the automaton's own business.

        A Configure-Request sent because the last one timed out is told by the automaton's
        ``resending``.
        """


class Automaton:
    """One control protocol's state. All changes go through ``on``."""

    __slots__ = ("_alarms", "_key", "_layer", "config", "count", "on_change", "resending", "state")

    def __init__(self, layer: Layer, alarms: Alarms, config: AutomatonConfig, key: object) -> None:
        self.state = State.INITIAL
        self.config = config
        self.count = 0
        """The restart counter: sends that are left."""
        self.resending = False
        self.on_change: Callable[[State, Event, State, Instant], None] | None = None
        """Told of every event: the state before, the event, the state after."""
        self._layer = layer
        self._alarms = alarms
        self._key = ("ppp restart", key)

    def on(self, event: Event, now: Instant) -> None:
        """Take an event. PlanError where it cannot happen in this state."""
        before = self.state
        if (before, event) not in TRANSITIONS:
            raise PlanError(f"PPP: {event.value} cannot happen in state {before.name}")
        actions, then = TRANSITIONS[before, event]
        # The state changes first: an action may go on to other events, such as Down by a
        # higher layer's refusal, and they must find the new one.
        self.state = then
        self.resending = event is Event.TIMEOUT
        if then not in _TIMED:
            self._alarms.cancel(self._key)
        if self.on_change is not None:
            self.on_change(before, event, then, now)
        # Packets first, news to other layers last, so that whatever these send follows on the wire.
        # "Multiple actions may be implemented in any convenient order" (RFC 1661 4.1).
        for action in sorted(actions, key=lambda each: each in _LAST):
            self._act(action, then, now)

    def _act(self, action: Action, then: State, now: Instant) -> None:
        if action is Action.INIT_RESTART_COUNT:
            closing = then in (State.CLOSING, State.STOPPING)
            self.count = self.config.max_terminate if closing else self.config.max_configure
        elif action is Action.ZERO_RESTART_COUNT:
            # "Enables the FSA to pause before proceeding to the desired final state": one
            # restart period in which the peer may still be heard (RFC 1661 4.4).
            self.count = 0
            self._arm(now)
        else:
            if action in (Action.SEND_REQUEST, Action.SEND_TERMINATE):
                self.count -= 1
                self._arm(now)
            self._layer.act(action, now)

    def _arm(self, now: Instant) -> None:
        self._alarms.set(self._key, after(now, self.config.restart), self._timed_out)

    def _timed_out(self, now: Instant) -> None:
        if self.state in _TIMED:
            self.on(Event.TIMEOUT if self.count > 0 else Event.TIMEOUT_LAST, now)
