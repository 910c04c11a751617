"""Two NICs of a bench on one simulated cable, in virtual time."""

from ipaddress import IPv4Network
from itertools import pairwise

from testbed import milliseconds
from testbed.bench.nic import BenchNic
from testbed.console.transcript import ConsoleLog
from testbed.inventory import Bench
from testbed.labs.sim import SimLab
from testbed.wire.frame import Direction

BENCH = {
    "bench": "pair",
    "lab": "sim",
    "controller": {"nics": {"a": {}, "b": {}}},
    "cables": [{"ends": ["controller:a", "controller:b"], "speed": "100M"}],
}


class NoChanges:
    def before(self, change):
        """Keep nothing."""


class Pair:
    """Two NICs on one simulated cable of 100 Mbit/s."""

    def __init__(self, *, management: tuple[str, ...] = (), max_rate: int | None = None) -> None:
        lab = SimLab(Bench.model_validate(BENCH), "1")
        self.loop = lab.loop
        gear = lab.gear(NoChanges(), ConsoleLog(lab.loop.wall_now), lambda _: lambda: None)
        self.changes = 0
        self.heard = []
        self.a = BenchNic(
            "a",
            gear.tap("a"),
            self.loop,
            management=tuple(map(IPv4Network, management)),
            max_rate=max_rate,
            on_inject=self._count,
        )
        gear.tap("b").subscribe(self.heard.append)
        self.b = BenchNic(
            "b", gear.tap("b"), self.loop, management=(), max_rate=None, on_inject=self._count
        )

    def _count(self) -> None:
        self.changes += 1

    def settle(self) -> None:
        self.loop.run_until(lambda: False, milliseconds(1))

    @property
    def frames(self) -> list[bytes]:
        return [frame.data for frame in self.heard if frame.direction is Direction.IN]

    @property
    def gaps(self) -> set[int]:
        times = [frame.at for frame in self.heard if frame.direction is Direction.IN]
        return {after - before for before, after in pairwise(times)}
