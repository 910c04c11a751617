"""Packetization-layer path-MTU discovery (RFC 4821, RFC 8899): finding out without ICMP."""

from __future__ import annotations

from enum import Enum

from testbed.stack.config import PmtuConfig
from testbed.timing import Instant

__all__ = ["MtuSearch", "SearchState"]


class SearchState(Enum):
    """The states of RFC 8899 5.2."""

    DISABLED = "disabled"
    BASE = "base"
    SEARCHING = "searching"
    SEARCH_COMPLETE = "search complete"
    ERROR = "error"


class MtuSearch:
    """The search for what one path carries. Sizes are those of whole IP packets.

    The packetization layer asks ``probe_size`` when it has data for a probe, tells what became of
    it, and keeps its ordinary packets to ``plpmtu``. ``base`` is what is believed to pass at the
    start (None: ``config.base``), ``ceiling`` the link's MTU, beyond which nothing is tried.
    """

    __slots__ = ("_config", "ceiling", "plpmtu", "state")

    def __init__(
        self, config: PmtuConfig, ceiling: int, now: Instant, *, base: int | None = None
    ) -> None:
        self._config = config
        self.ceiling = ceiling
        self.plpmtu = min(base or config.base, ceiling)
        self.state = SearchState.SEARCHING

    def probe_size(self, now: Instant) -> int | None:
        """The size to probe now, or None: one is on its way, or there is nothing to find out."""
        raise NotImplementedError

    def probe_sent(self, size: int, now: Instant) -> None:
        """A probe of ``size`` left."""
        raise NotImplementedError

    def probe_acked(self, size: int, now: Instant) -> None:
        """A probe of ``size`` arrived: the path carries it."""
        raise NotImplementedError

    def probe_lost(self, size: int, now: Instant) -> None:
        """The probe of ``size`` is lost, and the packets around it are not."""
        raise NotImplementedError

    def black_hole(self, now: Instant) -> None:
        """Packets of ``plpmtu`` bytes no longer get through: fall back and search again."""
        raise NotImplementedError

    def packet_too_big(self, size: int, now: Instant) -> None:
        """A frag needed that names ``size`` and that was found good (RFC 8899 4.6.2)."""
        raise NotImplementedError

    def set_ceiling(self, ceiling: int, now: Instant) -> None:
        """The link's MTU, or the peer's limit, has changed."""
        raise NotImplementedError

    def next_deadline(self) -> Instant | None:
        """When ``handle_timeout`` is to be called: a probe's answer, or the next larger try."""
        raise NotImplementedError

    def handle_timeout(self, now: Instant) -> None:
        """The deadline has come; called early it does nothing."""
        raise NotImplementedError
