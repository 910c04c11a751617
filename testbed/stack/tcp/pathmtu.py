"""What a connection does about the path's MTU (RFC 1191, RFC 4821)."""

from __future__ import annotations

from testbed.stack.lower import Lower
from testbed.stack.tcp.factory import Factory
from testbed.stack.tcp.output import Output
from testbed.stack.tcp.states import State
from testbed.stack.tcp.tcb import Tcb
from testbed.timing import Instant

__all__ = ["PathMtu"]

_SENDING = frozenset(
    {
        State.ESTABLISHED,
        State.CLOSE_WAIT,
        State.FIN_WAIT_1,
        State.FIN_WAIT_2,
        State.CLOSING,
        State.LAST_ACK,
    }
)


class PathMtu:
    """Keeps a connection's segments within what its path carries."""

    __slots__ = ("_config", "_factory", "_lower", "_output")

    def __init__(self, lower: Lower, factory: Factory, output: Output) -> None:
        self._lower = lower
        self._config = lower.config.pmtu
        self._factory = factory
        self._output = output

    def changed(self, c: Tcb, now: Instant) -> None:
        """The path-MTU cache has another value: resend at once what was too large."""
        if c.state not in _SENDING or not self._factory.set_mss(c, now):
            return
        c.recovery.on_path_mtu(self._factory.smss(c), now)
        self._output.flush(c, now)

    def timed_out(self, c: Tcb, now: Instant) -> None:
        """A retransmission timeout: with full segments, maybe a black hole."""

    def search_due(self, c: Tcb, now: Instant) -> None:
        """A deadline of the search has come."""
