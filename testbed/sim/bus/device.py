"""A bus: a coaxial cable with a transceiver and a CSMA/CD station's MAC at each tap."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Final

from testbed.sim.bus.log import AttemptLog, Signal
from testbed.sim.bus.mac import Mac
from testbed.sim.bus.medium import Medium
from testbed.sim.bus.ports import SharedDevice
from testbed.sim.device import Jack
from testbed.stack.variants import Defect
from testbed.timing import Duration, Instant

__all__ = ["APART", "SimBus"]

APART: Final = Duration(1000)
"""What a signal takes from one tap to the next: some 230 m of 10BASE5 (0.77 c at least)."""


class SimBus(SharedDevice):
    """Taps in the order of the jacks; ``stated["apart"]`` is the time between two in ns."""

    kind = "bus"
    model = "sim-bus"
    rates = MappingProxyType({10: "10 Mb/s half duplex"})

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
        apart = self.stated.get("apart", APART)
        self._places = {port: index * apart for index, port in enumerate(self.jacks)}
        self.medium = Medium(self.bit, self._reach, self.alarms)
        station = self.variants.of(Mac)
        self.stations = {
            port: station(
                port,
                self.medium,
                self.alarms,
                self._heard_at,
                variants=self.variants,
                seed=self.seed,
            )
            for port in self.jacks
        }

    @property
    def log(self) -> AttemptLog:
        """Every attempt to send."""
        return self.medium.log

    def delay(self, source: str, ear: str) -> Duration:
        """How long a signal of ``source`` takes to ``ear``."""
        return Duration(abs(self._places[source] - self._places[ear]))

    def submit(self, port: str, frame: bytes, now: Instant) -> None:
        """Give a station's frame to its MAC."""
        self.stations[port].submit(frame, now)

    def silence(self, port: str, now: Instant) -> None:
        """A station is no longer there."""
        self.stations[port].reset(now)

    def count(self, port: str) -> str:
        """The counters of one port."""
        return str(self.stations[port].counters)

    def _heard_at(self, port: str, frame: bytes, _: Signal) -> None:
        self.deliver(port, frame)

    def _reach(self, port: str) -> Iterator[tuple[str, Duration]]:
        return ((ear, self.delay(port, ear)) for ear in self.jacks if ear != port)
