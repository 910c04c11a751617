"""A hub: repeater, and at each jack the half-duplex MAC of the station that hangs on it.

A station on a hub must do CSMA/CD. The testers' ports of a simulated bench send whenever they are
told to, so their MACs are kept here, good ones always: what can be wrong is the repeater.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Final

from testbed.sim.bus.log import AttemptLog, Signal
from testbed.sim.bus.mac import Mac
from testbed.sim.bus.medium import Medium
from testbed.sim.bus.ports import SharedDevice
from testbed.sim.device import Jack
from testbed.sim.hub.repeater import Repeater
from testbed.stack.variants import Defect, Variants
from testbed.timing import Duration, Instant

__all__ = ["DELAY", "SimHub"]

DELAY: Final = 46
"""Bit times through a Class II repeater (IEEE 802.3 27.3.1.3: SOP delay), cables left out."""


class SimHub(SharedDevice):
    """``stated["rate"]`` is 10 or 100 Mb/s."""

    kind = "hub"
    model = "sim-hub"
    rates = MappingProxyType({10: "10BASE-T repeater", 100: "100BASE-TX Class II repeater"})

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
        self.repeater = self.variants.of(Repeater)(self.jacks)
        self._repeated = 0
        self.medium = Medium(self.bit, self._reach, self.alarms)
        self.stations = {
            port: Mac(
                port,
                self.medium,
                self.alarms,
                self._heard_at,
                variants=Variants(),
                seed=self.seed,
            )
            for port in self.jacks
        }

    @property
    def log(self) -> AttemptLog:
        """Every attempt to send."""
        return self.medium.log

    def delay(self, source: str, ear: str) -> Duration:
        """How long a signal takes through the repeater: the same between any two ports."""
        return Duration(0 if source == ear else DELAY * self.bit)

    def submit(self, port: str, frame: bytes, now: Instant) -> None:
        """Give a station's frame to its MAC."""
        self.stations[port].submit(frame, now)

    def silence(self, port: str, now: Instant) -> None:
        """A station is no longer there."""
        self.stations[port].reset(now)

    def count(self, port: str) -> str:
        """The counters of one port's station."""
        return str(self.stations[port].counters)

    def _heard_at(self, _: str, frame: bytes, signal: Signal) -> None:
        """Repeat a frame once that the stations of its domain hear, all at the same time."""
        if signal.number != self._repeated:
            self._repeated = signal.number
            for port in self.repeater.outlets(signal.port, frame):
                self.deliver(port, self.repeater.restore(frame))

    def _reach(self, port: str) -> Iterator[tuple[str, Duration]]:
        return ((ear, self.delay(port, ear)) for ear in self.repeater.domain(port))
