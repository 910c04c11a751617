"""Packetization-layer path-MTU discovery (RFC 4821, RFC 8899): finding out without ICMP."""

from __future__ import annotations

from enum import Enum
from typing import Final

from testbed.stack.config import PmtuConfig
from testbed.timing import Instant, after

__all__ = ["MtuSearch", "SearchEvent", "SearchState"]


class SearchState(Enum):
    """The states of RFC 8899 5.2."""

    DISABLED = "disabled"
    BASE = "base"
    SEARCHING = "searching"
    SEARCH_COMPLETE = "search complete"
    ERROR = "error"


class SearchEvent(Enum):
    """What moves the search from state to state."""

    STARTED = "the path is to be searched"
    CONFIRMED = "the size in use gets through"
    BLACK_HOLE = "the size in use no longer gets through"
    BASE_FAILED = "not even the base size gets through"
    EXHAUSTED = "no larger size is left to try"
    RAISED = "it is time to try larger sizes again"
    STOPPED = "the path is not to be searched"


_S = SearchState
_E = SearchEvent

_TRANSITIONS: Final[dict[tuple[SearchState, SearchEvent], SearchState]] = {
    (_S.DISABLED, _E.STARTED): _S.BASE,
    (_S.DISABLED, _E.BLACK_HOLE): _S.BASE,
    (_S.DISABLED, _E.BASE_FAILED): _S.ERROR,
    (_S.BASE, _E.CONFIRMED): _S.SEARCHING,
    (_S.BASE, _E.BASE_FAILED): _S.ERROR,
    (_S.SEARCHING, _E.EXHAUSTED): _S.SEARCH_COMPLETE,
    (_S.SEARCHING, _E.BLACK_HOLE): _S.BASE,
    (_S.SEARCHING, _E.BASE_FAILED): _S.ERROR,
    (_S.SEARCH_COMPLETE, _E.RAISED): _S.SEARCHING,
    (_S.SEARCH_COMPLETE, _E.BLACK_HOLE): _S.BASE,
    (_S.SEARCH_COMPLETE, _E.BASE_FAILED): _S.ERROR,
    (_S.ERROR, _E.CONFIRMED): _S.SEARCHING,
    (_S.ERROR, _E.BASE_FAILED): _S.ERROR,
    (_S.BASE, _E.STOPPED): _S.DISABLED,
    (_S.SEARCHING, _E.STOPPED): _S.DISABLED,
    (_S.SEARCH_COMPLETE, _E.STOPPED): _S.DISABLED,
    (_S.ERROR, _E.STOPPED): _S.DISABLED,
}
"""RFC 8899 5.2, figure 5. What is not in it changes nothing."""

_FINE: Final = 8
"""The search ends where less than this is left to win (RFC 4821 7.3 leaves it to judgement)."""

_LOW: Final = 508
"""Between base and least: what links of old carry (RFC 1191 7.1), and 576 with room for tunnels."""

_COMMON: Final = (
    *(296, 508, 576, 1006, 1280, 1400, 1420, 1450, 1472, 1476, 1480, 1492, 1500),
    *(2002, 4352, 8166, 9000),
)
"""Sizes that links have (RFC 1191 7.1), alone or inside PPPoE, GRE, IP-in-IP, VXLAN, WireGuard."""


class MtuSearch:
    """The search for what one path carries. Sizes are those of whole IP packets.

    The packetization layer keeps its ordinary packets to ``plpmtu``. When it has data for a probe
    it asks ``probe_size``, sends one packet of that size, and tells what became of it.

    ``ceiling`` is the link's MTU or the peer's limit: nothing beyond is tried. By
    ``config.probing`` the search starts at once (``always``), with the first ``black_hole``, or
    never (``off``). Until it starts, ``plpmtu`` is ``base``, or ``ceiling`` if that is None.
    """

    __slots__ = (
        "_config",
        "_deadline",
        "_lost",
        "_optimistic",
        "_outstanding",
        "_probed",
        "_too_large",
        "ceiling",
        "plpmtu",
        "state",
    )

    def __init__(
        self, config: PmtuConfig, ceiling: int, now: Instant, *, base: int | None = None
    ) -> None:
        self._config = config
        self.ceiling = ceiling
        self.state = SearchState.DISABLED
        self.plpmtu = min(base or ceiling, ceiling)
        """What is believed to get through: the size of ordinary packets."""
        self._too_large = ceiling + 1
        """The least size that is known not to get through."""
        self._outstanding: int | None = None
        self._probed = 0
        self._lost = 0
        self._deadline: Instant | None = None
        self._optimistic = True
        if config.probing == "always":
            self._start(base, now)

    def probe_size(self, now: Instant) -> int | None:
        """The size to probe now, or None: one is on its way, or there is nothing to find out.

        In BASE and ERROR it is ``plpmtu`` itself, which an ordinary packet of that size confirms
        as well: report it by ``probe_acked``.
        """
        self.handle_timeout(now)
        if self._outstanding is not None:
            return None
        if self.state in {SearchState.BASE, SearchState.ERROR}:
            return self.plpmtu
        return self._next_size() if self.state is SearchState.SEARCHING else None

    def probe_sent(self, size: int, now: Instant) -> None:
        """A probe of ``size`` left; it is lost if nothing is told of it within the probe timer."""
        if size != self._probed:
            self._probed, self._lost = size, 0
        self._outstanding = size
        self._deadline = after(now, self._config.probe_timer)

    def probe_acked(self, size: int, now: Instant) -> None:
        """A packet of ``size`` arrived, a probe or another: the path carries it."""
        if size == self._outstanding:
            self._outstanding = self._deadline = None
        if size < self.plpmtu or self.state is SearchState.DISABLED:
            return
        if size > self.plpmtu:
            self.plpmtu = min(size, self.ceiling)
            self._lost = 0
            self._too_large = max(self._too_large, self.plpmtu + 1)
        if self.state in {SearchState.BASE, SearchState.ERROR}:
            self._lost = 0
            self._go(SearchEvent.CONFIRMED)
        self._settle(now)

    def probe_lost(self, size: int, now: Instant) -> None:
        """The probe of ``size`` is lost, and the packets around it are not (RFC 4821 7.6.2)."""
        if size != self._outstanding:
            return
        self._outstanding = self._deadline = None
        if self.state is SearchState.SEARCHING and size <= self.plpmtu:
            return
        self._lost += 1
        if self._lost < self._config.max_probes:
            return
        self._lost = 0
        if self.state is SearchState.SEARCHING:
            self._too_large = min(self._too_large, size)
            self._optimistic = False
            self._settle(now)
        else:
            self._fall_back()

    def probe_inconclusive(self, size: int) -> None:
        """The probe of ``size`` is lost with others around it: it says nothing (RFC 4821 7.6.4)."""
        if size == self._outstanding:
            self._outstanding = self._deadline = None

    def black_hole(self, now: Instant) -> None:
        """Packets of ``plpmtu`` bytes no longer get through: fall back and search again.

        To be told again if the smaller ones do not get through either.
        """
        del now
        if self._config.probing == "off":
            return
        self._outstanding = self._deadline = None
        self._lost = 0
        self._fall_back()

    def packet_too_big(self, size: int, now: Instant) -> None:
        """A frag needed that names ``size`` and that was found good (RFC 8899 4.6.2)."""
        asked = self._outstanding or self.plpmtu
        if not self._config.least <= size < max(asked, self.plpmtu):
            return
        self._outstanding = self._deadline = None
        self._lost = 0
        # What it names is worth the next probe (RFC 8899 4.6.2).
        self._optimistic = True
        self._too_large = size + 1
        if size < self.plpmtu:
            self.plpmtu = size
            if size < self._config.base:
                self._go(SearchEvent.BASE_FAILED)
        self._settle(now)
        if self.state is SearchState.SEARCH_COMPLETE:
            self._deadline = after(now, self._config.raise_timer)

    def set_ceiling(self, ceiling: int, now: Instant) -> None:
        """The link's MTU, or the peer's limit, has changed."""
        larger = ceiling > self.ceiling
        self.ceiling = ceiling
        self.plpmtu = min(self.plpmtu, ceiling)
        self._too_large = ceiling + 1 if larger else min(self._too_large, ceiling + 1)
        if larger and self.state is SearchState.SEARCH_COMPLETE:
            self._raise()
        self._settle(now)

    def stop(self) -> None:
        """Search no more; ``plpmtu`` stays."""
        self._outstanding = self._deadline = None
        self._go(SearchEvent.STOPPED)

    def next_deadline(self) -> Instant | None:
        """When ``handle_timeout`` is to be called: a probe's answer, or the next larger try."""
        return self._deadline

    def handle_timeout(self, now: Instant) -> None:
        """The deadline has come; called early it does nothing."""
        if self._deadline is None or now < self._deadline:
            return
        self._deadline = None
        if self._outstanding is not None:
            self.probe_lost(self._outstanding, now)
        elif self.state is SearchState.SEARCH_COMPLETE:
            self._raise()
            self._settle(now)

    def _start(self, base: int | None, now: Instant) -> None:
        self.plpmtu = min(base or self._config.base, self.ceiling)
        self._go(SearchEvent.STARTED)
        self._settle(now)

    def _go(self, event: SearchEvent) -> None:
        self.state = _TRANSITIONS.get((self.state, event), self.state)

    def _fall_back(self) -> None:
        """To the next smaller of base, 508 and least; what failed may yet have been an outage."""
        steps = (self._config.base, _LOW, self._config.least)
        failed = self.plpmtu
        self.plpmtu = min(
            max((step for step in steps if step < failed), default=self._config.least), failed
        )
        self._too_large = self.ceiling + 1
        # From below, where an outage looked like a black hole every probe gets through.
        self._optimistic = False
        small = self.plpmtu < self._config.base
        self._go(SearchEvent.BASE_FAILED if small else SearchEvent.BLACK_HOLE)

    def _raise(self) -> None:
        """RFC 8899 5.1.1: once the raise timer has run out, larger sizes are probed again."""
        self._too_large = self.ceiling + 1
        self._optimistic = True
        self._lost = 0
        self._go(SearchEvent.RAISED)

    def _settle(self, now: Instant) -> None:
        """End the search if nothing is left to try."""
        if self.state is not SearchState.SEARCHING or self._next_size() is not None:
            return
        self._go(SearchEvent.EXHAUSTED)
        at_the_top = self.plpmtu >= self.ceiling
        self._deadline = None if at_the_top else after(now, self._config.raise_timer)

    def _next_size(self) -> int | None:
        """What to try between the largest that got through and the least that did not."""
        low, high = self.plpmtu, self._too_large
        if high - low <= 1:
            return None
        if self._optimistic:
            return high - 1
        span = high - low
        common = [size for size in _COMMON if low < size < high]
        if span <= _FINE:
            # A size that links have is worth the last step.
            return common[-1] if common else None
        middle = low + span // 2
        near = [size for size in common if abs(size - middle) <= span // 4]
        return min(near, key=lambda size: abs(size - middle)) if near else middle
