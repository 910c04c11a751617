"""The sim lab's switch: frames a second through 48 ports, and ageing that costs nothing.

Every frame goes over two simulated cables and through the whole switch: it arrives as an event of
the network, is learned from, looked up, stored, forwarded, and arrives at the far end.
"""

from __future__ import annotations

from collections.abc import Iterator
from time import perf_counter

from harness import Benchmark, Goal, Measure

from testbed.sim.device import Jack
from testbed.sim.network import Network
from testbed.sim.switch import SimSwitch
from testbed.stack.output import Outgoing
from testbed.timing import Duration, Instant, seconds
from testbed.wire.addresses import MacAddr

PORTS = 48
STATIONS = 8000
BATCH = 480
FRAMES = 48_000
AGEING = seconds(300)


class Station:
    """The far end of a cable: it counts what comes."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.heard = 0

    def receive(self, frame: bytes, now: Instant, interface: str | None = None) -> None:
        """Count a frame."""
        del frame, now, interface
        self.heard += 1

    def handle_timeout(self, now: Instant) -> None:
        """Nothing is ever due."""

    def poll_timeout(self) -> Instant | None:
        """Nothing is ever due."""
        return None

    def poll_transmit(self, now: Instant) -> Outgoing | None:
        """It sends nothing by itself."""
        del now
        return None

    def set_link(self, port: str, up: bool, now: Instant) -> None:
        """It does not mind."""

    def is_enabled(self, port: str) -> bool:
        """It is always on."""
        del port
        return True


class Rig:
    """A switch with a station at each port, and a few addresses behind each."""

    def __init__(self, capacity: int = 16_384) -> None:
        self.network = Network(seed=1, kept=1000)
        names = [f"p{number}" for number in range(PORTS)]
        jacks = [Jack(name, MacAddr(bytes([2, 1, 0, 0, 0, at]))) for at, name in enumerate(names)]
        self.switch = SimSwitch("sw", jacks, stated={"fdb_capacity": capacity})
        self.network.add(self.switch)
        self.stations = [Station(f"h{number}") for number in range(PORTS)]
        for station, name in zip(self.stations, names, strict=True):
            self.network.add(station)
            self.network.join((station.name, ""), ("sw", name))

    def send(self, at: int, frame: bytes) -> None:
        """Have the station at a port send a frame."""
        self.network.nodes[f"h{at}"].lanes[""].send(frame)

    def settle(self) -> None:
        """Let everything arrive that is under way."""
        while (at := self.network.next_event()) is not None and at < self.network.instant + 10**7:
            self.network.run_next()


def station_mac(number: int) -> bytes:
    """The address of a station."""
    return b"\x02\x02" + number.to_bytes(4, "big")


def announce(rig: Rig, count: int) -> None:
    """Let the switch learn ``count`` addresses, spread over its ports."""
    for number in range(count):
        frame = b"\xff" * 6 + station_mac(number) + b"\x88\xb5" + bytes(46)
        rig.send(number % PORTS, frame)
        if number % BATCH == BATCH - 1:
            rig.settle()
    rig.settle()


def unicasts() -> Measure:
    """Frames a second between stations that are known, each to another port."""
    rig = Rig()
    announce(rig, PORTS)
    frames = [
        (at, station_mac((at + 7) % PORTS) + station_mac(at) + b"\x08\x00" + bytes(46))
        for at in range(PORTS)
    ]

    def measure() -> float:
        before = sum(station.heard for station in rig.stations)
        began = perf_counter()
        for _ in range(FRAMES // BATCH):
            for _ in range(BATCH // PORTS):
                for at, frame in frames:
                    rig.send(at, frame)
            rig.settle()
        took = perf_counter() - began
        assert sum(station.heard for station in rig.stations) - before == FRAMES
        return FRAMES / took

    return measure


def ageing() -> Measure:
    """Seconds for a switch to learn 8,000 stations, age 300 s, and forget them all."""

    def measure() -> float:
        began = perf_counter()
        rig = Rig()
        announce(rig, STATIONS)
        assert sum(1 for _ in rig.switch.fdb.rows(rig.network.instant)) == STATIONS
        rig.network.run_until(Instant(rig.network.instant + AGEING + Duration(1)))
        assert sum(1 for _ in rig.switch.fdb.rows(rig.network.instant)) == 0
        return perf_counter() - began

    return measure


def benchmarks() -> Iterator[Benchmark]:
    """Forwarding, and ageing."""
    yield Benchmark(
        "frames through a simulated switch of 48 ports",
        "frames/s",
        unicasts,
        goals=(Goal(100_000),),
        better="more",
        rounds=7,
    )
    yield Benchmark(
        "8,000 stations learned, 300 s of ageing, all forgotten",
        "s",
        ageing,
        goals=(Goal(2),),
        rounds=5,
    )
