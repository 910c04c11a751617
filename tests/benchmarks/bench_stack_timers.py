"""How late a Python stack's timers are while a device's command line is busy.

A worker thread talks with a shell over a pipe as a console does, reading and parsing without a
pause, while a timer of the loop is due every 5 ms. The figure is the 99th percentile of a round's
lateness. The peer is the same with nobody at the command line.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Iterator

from harness import Benchmark, Goal, Measure

from testbed.hosts import RealLoop
from testbed.timing import Instant, milliseconds, seconds

TICKS = 200
EVERY = milliseconds(5)
ROUTES = "for n in 1 2 3 4 5 6 7 8 9; do echo route 10.$n.0.0/16 via 10.0.0.$n metric $n; done"
ASK = f"{ROUTES}; sleep 0.001; echo done\n"
AGAIN = 200  # a full routing table is no nine rows
ANSWER = re.compile(r"route (\S+) via (\S+) metric (\d+)")


def lateness(loop: RealLoop) -> float:
    """The 99th percentile, in milliseconds, of how late a timer fires."""
    late: list[int] = []
    due = [Instant(loop.now() + EVERY)]

    def fire() -> None:
        late.append(loop.now() - due[0])
        due[0] = Instant(due[0] + EVERY)
        loop.call_at(due[0], fire, name="tick")

    loop.call_at(due[0], fire, name="tick")
    loop.run_until(lambda: len(late) >= TICKS, seconds(60))
    loop.cancel("tick")
    return sorted(late)[int(len(late) * 0.99) - 1] / 1e6


class Rig:
    """A loop, and whoever is busy beside it."""

    def __init__(self) -> None:
        self.loop = RealLoop()
        self._talks = True
        self._busy = False

    def idle(self) -> Measure:
        """Nobody at the command line."""
        return lambda: lateness(self.loop)

    def busy(self) -> Measure:
        """A command after the other, each answer parsed."""

        def measure() -> float:
            self._talks = True
            talking = self.loop.submit(self._talk)
            try:
                return lateness(self.loop)
            finally:
                self._talks = False
                self.loop.run_until(talking.done, seconds(10))

        return measure

    def close(self) -> None:
        """Stop the loop."""
        self.loop.close()

    def _talk(self) -> int:
        shell = subprocess.Popen(
            ["sh"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )
        rows = 0
        with shell:
            assert shell.stdin is not None
            assert shell.stdout is not None
            while self._talks:
                shell.stdin.write(ASK)
                shell.stdin.flush()
                table = list(iter(shell.stdout.readline, "done\n")) * AGAIN
                rows += sum(ANSWER.match(line) is not None for line in table)
            shell.stdin.close()
        return rows


def benchmarks() -> Iterator[Benchmark]:
    """Timers beside a busy command line."""
    rig: list[Rig] = []

    def made() -> Rig:
        if not rig:
            rig.append(Rig())
        return rig[0]

    def close() -> None:
        for each in rig:
            each.close()

    peers: dict[str, Callable[[], Measure]] = {"idle": lambda: made().idle()}
    yield Benchmark(
        "lateness of timers, p99, command line busy",
        "ms",
        lambda: made().busy(),
        peers,
        goals=(Goal(2.0),),
        rounds=5,
        close=close,
    )
