"""What a connection does about the path's MTU (RFC 1191, RFC 4821)."""

from __future__ import annotations

from typing import Final

from testbed.stack.lower import Lower
from testbed.stack.search import MtuSearch, SearchState
from testbed.stack.tcp.factory import Factory
from testbed.stack.tcp.output import Output
from testbed.stack.tcp.probing import Probing
from testbed.stack.tcp.states import SYNCHRONIZED, State
from testbed.stack.tcp.tcb import Tcb, Timer
from testbed.timing import Instant

__all__ = ["PathMtu"]

_HEADERS: Final = 40
_SENDING: Final = SYNCHRONIZED - {State.TIME_WAIT}
_UNCONFIRMED: Final = frozenset({SearchState.BASE, SearchState.ERROR})


class PathMtu:
    """Keeps a connection's segments within what its path carries."""

    __slots__ = ("_factory", "_lower", "_output")

    def __init__(self, lower: Lower, factory: Factory, output: Output) -> None:
        self._lower = lower
        self._factory = factory
        self._output = output

    def start(self, c: Tcb, now: Instant) -> None:
        """The connection is open: search from the start where the settings say so."""
        if self._lower.config.pmtu.enabled and self._lower.config.pmtu.probing == "always":
            self._search(c, now)
            self._adopt(c, now)

    def changed(self, c: Tcb, now: Instant) -> None:
        """The path-MTU cache has another value: resend at once what was too large."""
        if c.state not in _SENDING:
            return
        if c.mtu_search is not None:
            c.mtu_search.search.set_ceiling(self._ceiling(c, now), now)
        self._adopt(c, now)
        self._output.flush(c, now)

    def _adopt(self, c: Tcb, now: Instant) -> None:
        """Cut segments from now on by what cache and search say."""
        if c.mtu_search is not None:
            c.link_limit = c.mtu_search.search.plpmtu
            self._arm(c)
        if self._factory.set_mss(c, now):
            c.recovery.on_path_mtu(self._factory.smss(c), now)

    def _ceiling(self, c: Tcb, now: Instant) -> int:
        return min(c.path.mtu(now), c.peer_mss + _HEADERS)

    def _search(self, c: Tcb, now: Instant) -> Probing:
        if c.mtu_search is None:
            make = self._lower.variants.of(MtuSearch)
            c.mtu_search = Probing(make(self._lower.config.pmtu, self._ceiling(c, now), now))
        return c.mtu_search

    def _arm(self, c: Tcb) -> None:
        deadline = c.mtu_search.search.next_deadline() if c.mtu_search is not None else None
        if deadline is None:
            c.due.pop(Timer.SEARCH, None)
        else:
            c.due[Timer.SEARCH] = deadline

    def search_due(self, c: Tcb, now: Instant) -> None:
        """A deadline of the search has come."""
        if c.mtu_search is not None and c.state in _SENDING:
            c.mtu_search.search.handle_timeout(now)
            self._adopt(c, now)

    # Black holes

    def timed_out(self, c: Tcb, now: Instant) -> None:
        """A retransmission timeout: with full segments, again and again, maybe a black hole.

        RFC 4821 7.7: 'a full stop timeout [...] indicates that the path MTU has been reduced, or
        something else'.
        """
        if c.mtu_search is not None and c.mtu_search.size:
            c.mtu_search.search.probe_inconclusive(c.mtu_search.size)
            c.mtu_search.size = 0
        if self._lower.config.pmtu.probing != "off" and self.suspicious(c):
            self._search(c, now).search.black_hole(now)
            self._adopt(c, now)

    def suspicious(self, c: Tcb) -> bool:
        """Whether so many timeouts of a segment that could be smaller point at the path's MTU.

        Packets no larger than the base are suspected late: they rather tell of an outage. Once a
        search has fallen back, the next smaller size is tried at each timeout.
        """
        limit = self._lower.config.pmtu.black_hole_timeouts
        size = min(c.sending.end - c.snd_una, c.mss) + _HEADERS
        if not self._lower.config.pmtu.enabled or size <= self._lower.config.pmtu.least:
            return False
        if c.mtu_search is not None and c.mtu_search.search.state in _UNCONFIRMED:
            return True
        if size > self._lower.config.pmtu.base:
            return c.timeouts >= limit
        return c.timeouts >= 2 * limit

    # Probes

    def probe(self, c: Tcb, now: Instant) -> None:
        """Send new data as a probe, where one is wanted and the windows take it."""
        held = c.mtu_search
        if held is None or held.size or c.state not in _SENDING or c.recovery.in_recovery:
            return
        size = held.search.probe_size(now)
        if size is None or size <= c.mss + _HEADERS:
            return
        data = size - _HEADERS - (c.mss - self._output.room(c))
        usable = min(c.sending.end, c.snd_una + c.snd_wnd) - c.snd_nxt
        if c.probing or usable < data:
            return
        # With nothing in flight one packet is what even the least window lets go.
        if c.recovery.flight and not self._output.congestion_allows(c, data):
            return
        held.start, held.end, held.size = c.snd_nxt, c.snd_nxt + data, size
        self._output.send_new(c, data, now)
        held.search.probe_sent(size, now)
        self._arm(c)

    def heard(self, c: Tcb, ack: int, now: Instant) -> None:
        """An ACK, before loss recovery gets it: what it tells of a probe."""
        held = c.mtu_search
        if held is None:
            return
        if held.size and ack >= held.end:
            held.search.probe_acked(held.size, now)
            held.size = 0
            self._adopt(c, now)
        elif held.size and ack == held.start == c.snd_una and c.snd_nxt > held.end:
            # What was sent after it arrives and it does not: no sign of congestion (RFC 4821 7.7).
            held.search.probe_lost(held.size, now)
            held.size = 0
            c.recovery.on_probe_lost(held.start, held.end)
            self._adopt(c, now)
        elif held.search.state in _UNCONFIRMED and ack - c.snd_una >= self._factory.smss(c):
            held.search.probe_acked(held.search.plpmtu, now)
            self._arm(c)
