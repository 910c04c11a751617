"""A token ring: a concentrator with a station's MAC at each port, and the ring inside."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Final

from testbed.sim.bus.log import AttemptLog
from testbed.sim.bus.ports import SharedDevice
from testbed.sim.device import Jack
from testbed.sim.ring.monitor import Monitor
from testbed.sim.ring.station import HOLDING_TIME, Station
from testbed.sim.ring.wire import TOKEN, Wire
from testbed.stack.variants import Defect
from testbed.timing import Duration, Instant

__all__ = ["LOBE", "STATION_BITS", "SimRing"]

LOBE: Final = Duration(1000)
"""What a signal takes from one station to the next: the cables of two lobes, 100 m each."""

STATION_BITS: Final = 8
"""Bit times that a station delays what it repeats."""


class SimRing(SharedDevice):
    """Stations in the order of the jacks; ``stated["holding_time"]`` is in microseconds."""

    kind = "ring"
    model = "sim-ring"
    rates = MappingProxyType({4: "4 Mb/s token ring"})

    def __init__(
        self,
        name: str,
        jacks: Iterable[Jack],
        *,
        seed: int | str = 0,
        defects: Iterable[Defect] = (),
        stated: Mapping[str, float] = MappingProxyType({}),
    ) -> None:
        super().__init__(name, jacks, seed=seed, defects=defects, stated=stated)
        self.holding_time = Duration(1000 * self.stated.get("holding_time", HOLDING_TIME // 1000))
        hops = {port: Duration(LOBE + STATION_BITS * self.bit) for port in self.jacks}
        # The monitor holds a token's length back, so that a whole token fits into a small ring.
        hops[list(hops)[-1]] = Duration(LOBE + (STATION_BITS + TOKEN) * self.bit)
        self.wire = Wire(self.bit, hops, self.alarms, self._idle, self.enabled.__getitem__)
        station = self.variants.of(Station)
        self.stations = {
            port: station(port, self.wire, self.alarms, self.deliver, self.holding_time)
            for port in self.jacks
        }
        self.monitor = self.variants.of(Monitor)(self.wire, self.alarms)
        self.monitor.begin(Instant(0))

    @property
    def log(self) -> AttemptLog:
        """Every attempt to send, and the tokens between them."""
        return self.wire.log

    def delay(self, source: str, ear: str) -> Duration:
        """How long a signal of ``source`` takes to ``ear``, the way that the ring goes."""
        return self.wire.latency(source, ear)

    def submit(self, port: str, frame: bytes, now: Instant) -> None:
        """Give a station's frame to its MAC."""
        self.stations[port].submit(frame, now)
        if self.wire.asleep:
            self.wire.wake(now)
            self.monitor.watch(now)

    def silence(self, port: str, now: Instant) -> None:
        """A station is no longer there."""
        self.stations[port].reset(now)

    def count(self, port: str) -> str:
        """The counters of one port."""
        return str(self.stations[port].counters)

    def facts(self) -> Iterator[str]:
        """The ring's order and times, and how often its token was lost."""
        yield f"order {' '.join(self.wire.order)}"
        yield f"rotation {self.wire.rotation} ns"
        yield f"holding time {self.holding_time} ns"
        yield f"tokens regenerated {self.monitor.regenerated}"

    def _idle(self) -> bool:
        return not any(station.queue for station in self.stations.values())
