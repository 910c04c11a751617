"""What the ports of a shared medium have in common: switches, counters, and the command line.

The numbers that a driver reads are in nanoseconds of the device's clock.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from testbed.sim.bus.log import AttemptLog
from testbed.sim.cli.commands import Call, Command, CommandRefused, Mode
from testbed.sim.device import Jack, SimDevice
from testbed.stack.variants import Defect
from testbed.timing import Duration, Instant

__all__ = ["SharedDevice", "Traffic"]

_LOOK = (Mode.EXEC, Mode.ENABLE)


@dataclass(slots=True)
class Traffic:
    """Frames and bytes between a port and its station."""

    rx_frames: int = 0
    rx_bytes: int = 0
    tx_frames: int = 0
    tx_bytes: int = 0


class SharedDevice(SimDevice, ABC):
    """A device whose ports all share one medium, on which one may send at a time."""

    rates: Mapping[int, str] = MappingProxyType({})
    """The rates that there are, in Mb/s, and the medium's name at each; the first is the usual."""

    def __init__(
        self,
        name: str,
        jacks: Iterable[Jack],
        *,
        seed: int | str = 0,
        defects: Iterable[Defect] = (),
        stated: Mapping[str, float] = MappingProxyType({}),
    ) -> None:
        figures = {key: int(value) for key, value in stated.items()}
        super().__init__(name, jacks, seed=seed, defects=defects, stated=figures)
        self.rate = figures.get("rate", next(iter(self.rates)))
        self.bit = Duration(1000 // self.rate)
        """The time of one bit: ``stated["rate"]`` is in Mb/s."""
        self.seed = f"{seed}/{name}"
        self.traffic = {port: Traffic() for port in self.jacks}

    # What a medium is to tell

    @property
    @abstractmethod
    def log(self) -> AttemptLog:
        """Every attempt to send."""

    @abstractmethod
    def delay(self, source: str, ear: str) -> Duration:
        """How long a signal of ``source`` takes to ``ear``."""

    @abstractmethod
    def submit(self, port: str, frame: bytes, now: Instant) -> None:
        """Give a station's frame to its MAC."""

    @abstractmethod
    def silence(self, port: str, now: Instant) -> None:
        """A station is no longer there."""

    @abstractmethod
    def count(self, port: str) -> str:
        """The counters of one port: ``frames 5 collisions 2 ...``."""

    def facts(self) -> Iterator[str]:
        """Lines of ``show medium`` that only this kind of medium has."""
        return iter(())

    # The sans-IO four

    def receive(self, frame: bytes, now: Instant, interface: str | None = None) -> None:
        """Take a frame that a station has to send."""
        self.handle_timeout(now)
        if interface is None or interface not in self.jacks or not self.enabled[interface]:
            return
        traffic = self.traffic[interface]
        traffic.rx_frames += 1
        traffic.rx_bytes += len(frame)
        self.submit(interface, frame, now)

    def handle_timeout(self, now: Instant) -> None:
        """Do all that is due, each thing at its own time, though the call may come late."""
        while (due := self.alarms.next_deadline()) is not None and due <= now:
            self.alarms.fire_due(due)

    def deliver(self, port: str, frame: bytes) -> None:
        """Hand a frame to the station at ``port``."""
        if self.enabled[port]:
            traffic = self.traffic[port]
            traffic.tx_frames += 1
            traffic.tx_bytes += len(frame)
            self.send(port, frame)

    # Ports

    def set_link(self, port: str, up: bool, now: Instant) -> None:
        """A station that loses its cable falls silent."""
        super().set_link(port, up, now)
        self.handle_timeout(now)
        if not up:
            self.silence(port, now)

    def set_enabled(self, port: str, on: bool, now: Instant) -> None:
        """So does one whose port is switched off."""
        super().set_enabled(port, on, now)
        self.handle_timeout(now)
        if not on:
            self.silence(port, now)

    # Management

    def commands(self) -> tuple[Command, ...]:
        """Its command line: what there is to type."""
        show = (
            ("version", self._version, "what it is"),
            ("interfaces", self._interfaces, "ports, their links and their traffic"),
            ("counters", self._counters, "what the stations met"),
            ("medium", self._medium, "the rate, and how long signals take"),
            ("medium attempts after <number>", self._attempts, "who sent when, and how it ended"),
            ("running-config", self._running_config, "the settings"),
        )
        ports = (
            Command((Mode.INTERFACE,), "shutdown", self._switch(on=False), "switch the port off"),
            Command((Mode.INTERFACE,), "no shutdown", self._switch(on=True), "switch it on"),
        )
        return (*(Command(_LOOK, f"show {words}", run, told) for words, run, told in show), *ports)

    def _version(self, _: Call) -> str:
        return f"{self.model}, {self.rates[self.rate]}, {len(self.jacks)} ports"

    def _interfaces(self, _: Call) -> str:
        return "".join(
            f"{port} {'enabled' if self.enabled[port] else 'disabled'} "
            f"{'up' if self.up[port] and self.enabled[port] else 'down'} "
            f"rx {traffic.rx_frames} frames {traffic.rx_bytes} bytes "
            f"tx {traffic.tx_frames} frames {traffic.tx_bytes} bytes\n"
            for port, traffic in self.traffic.items()
        )

    def _counters(self, call: Call) -> str:
        self.handle_timeout(call.now)
        return "".join(f"{port} {self.count(port)}\n" for port in self.jacks)

    def _medium(self, call: Call) -> str:
        self.handle_timeout(call.now)
        pairs = ((source, ear) for source in self.jacks for ear in self.jacks if source != ear)
        lines = [
            f"bit time {self.bit} ns",
            f"attempts {self.log.last}",
            *self.facts(),
            *(f"delay {source} {ear} {self.delay(source, ear)} ns" for source, ear in pairs),
        ]
        return "".join(f"{line}\n" for line in lines)

    def _attempts(self, call: Call) -> str:
        self.handle_timeout(call.now)
        number = call["number"]
        if not number.isdigit():
            raise CommandRefused(f"Not the number of an attempt: {number}")
        if not self.log.reaches_back_to(int(number)):
            raise CommandRefused(f"Attempts after {number} are forgotten in part")
        return "".join(f"{each}\n" for each in self.log.after(int(number)))

    def _running_config(self, _: Call) -> str:
        return "".join(
            f"interface {port}\n {'no shutdown' if on else 'shutdown'}\n"
            for port, on in self.enabled.items()
        )

    def _switch(self, *, on: bool) -> _Switch:
        return _Switch(self, on)


class _Switch:
    """Switches the port on or off whose settings a session is at."""

    def __init__(self, device: SharedDevice, on: bool) -> None:
        self._device = device
        self._on = on

    def __call__(self, call: Call) -> None:
        self._device.set_enabled(call.port, self._on, call.now)
