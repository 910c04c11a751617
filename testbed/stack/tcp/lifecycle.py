"""Changes of state, and how connections end."""

from __future__ import annotations

from testbed.stack.events import Event
from testbed.stack.lower import Lower
from testbed.stack.refusals import Refused
from testbed.stack.tcp.notices import ConnectionFailed, StateChanged
from testbed.stack.tcp.owner import Owner
from testbed.stack.tcp.states import Cause, State, step
from testbed.stack.tcp.table import Table
from testbed.stack.tcp.tcb import Tcb, Timer
from testbed.stack.tcp.transmit import Transmitter
from testbed.stack.tcp.tuned import Tuned
from testbed.timing import Duration, Instant

__all__ = ["Lifecycle"]


class Lifecycle(Tuned):
    """Moves connections through the table of states, and clears them away."""

    __slots__ = ("_alarms", "_events", "_table", "_transmit")

    def __init__(self, lower: Lower, table: Table[Owner], transmit: Transmitter) -> None:
        super().__init__(lower.config.tcp)
        self._events = lower.events
        self._alarms = lower.alarms
        self._table = table
        self._transmit = transmit

    def move(self, c: Tcb, cause: Cause, now: Instant) -> None:
        """Take the step that ``cause`` leads to, and do what every entry to the state asks."""
        before = c.state
        c.state = after = step(before, cause)
        self._events.add(StateChanged(now, c.name, before, after, cause))
        if after is State.TIME_WAIT:
            self._wait(c, now)
        elif after is State.FIN_WAIT_2:
            self.limit_fin_wait(c, now)
        elif after is State.CLOSED or after is State.LISTEN:
            self._clear(c)

    def note(self, event: Event) -> None:
        """Put ``event`` into the log."""
        self._events.add(event)

    def _wait(self, c: Tcb, now: Instant) -> None:
        """RFC 9293 3.10.7.4: 'Start the time-wait timer, turn off the other timers'."""
        c.due.clear()
        c.due[Timer.TIME_WAIT] = Instant(now + self.time_wait())
        oldest = self._table.waits(c, self._config.time_wait_limit)
        if oldest is not None:
            self.move(oldest, Cause.EXPIRED, now)

    def time_wait(self) -> Duration:
        """How long TIME-WAIT lasts: 2 MSL (RFC 9293 3.6.1, MUST-13)."""
        if self._config.time_wait is not None:
            return self._config.time_wait
        return Duration(2 * self._config.msl)

    def limit_fin_wait(self, c: Tcb, now: Instant) -> None:
        """Bound FIN-WAIT-2 where nobody reads any more and the settings say so."""
        limit = self._config.fin_wait2_timeout
        if c.orphaned and c.state is State.FIN_WAIT_2 and limit is not None:
            c.due[Timer.FIN_WAIT_2] = Instant(now + limit)

    def fail(self, c: Tcb, cause: Cause, errno_name: str, text: str, now: Instant) -> None:
        """End the connection with an error for its user."""
        if c.state is State.CLOSED:
            return
        c.error = Refused(errno_name, text)
        self._events.add(ConnectionFailed(now, c.name, errno_name))
        self.move(c, cause, now)

    def abort(self, c: Tcb, now: Instant) -> None:
        """RFC 9293 3.10.5: reset the peer where it may know of the connection, and forget all."""
        if c.state is State.CLOSED or c.state is State.LISTEN:
            return
        if self._tells_peer(c):
            self._transmit.reset(c, now)
        self.move(c, Cause.ABORT, now)

    def _tells_peer(self, c: Tcb) -> bool:
        # 3.10.5: in SYN-SENT, CLOSING, LAST-ACK and TIME-WAIT no reset is sent.
        return c.state in {
            State.SYN_RECEIVED,
            State.ESTABLISHED,
            State.FIN_WAIT_1,
            State.FIN_WAIT_2,
            State.CLOSE_WAIT,
        }

    def _clear(self, c: Tcb) -> None:
        c.due.clear()
        if c.armed is not None:
            self._alarms.cancel(c)
            c.armed = None
        self._table.remove(c)
        owner = c.owner
        if isinstance(owner, Owner):
            owner.lost(c)
