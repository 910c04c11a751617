"""Faults of cables: with both ends sending, each shows in when frames come or whether they do."""

from __future__ import annotations

import itertools

import pytest

from testbed.sim import link_defects
from testbed.sim.link import LinkSpec
from testbed.sim.network import Network
from testbed.stack.output import Outgoing
from testbed.timing import Instant

RATE = 1_000_000_000
FRAMES = 100
SIZE = 976  # 1000 bytes on the wire: 8 us


class End:
    """Sends a frame whenever it is told to, and notes when others come."""

    def __init__(self, name: str, network: Network) -> None:
        self.name = name
        self.network = network
        self.out: list[Outgoing] = []
        self.came: list[Instant] = []

    def receive(self, frame: bytes, now: Instant, interface: str | None = None) -> None:
        self.came.append(now)

    def handle_timeout(self, now: Instant) -> None:
        pass

    def poll_timeout(self) -> Instant | None:
        return None

    def poll_transmit(self, now: Instant) -> Outgoing | None:
        return self.out.pop(0) if self.out else None

    def set_link(self, port: str, up: bool, now: Instant) -> None:
        pass

    def is_enabled(self, port: str) -> bool:
        return True


def run(*defects: object, both: bool) -> tuple[list[Instant], list[Instant]]:
    """When frames came to the left and to the right end.

    The left one has all to send at once, the right one a frame whenever the wire is free.
    """
    network = Network()
    left, right = End("a", network), End("sw", network)
    network.add(left)
    network.add(right)
    network.join(("a", "p"), ("sw", "p"), LinkSpec(rate=RATE), defects)
    left.out += [Outgoing("p", bytes(SIZE))] * FRAMES
    network.refresh("a")
    for _ in range(FRAMES):
        right.out += [Outgoing("p", bytes(SIZE))] * both
        network.refresh("sw")
        network.run_until(Instant(network.now() + 8000))
    network.run_until(Instant(network.now() + 10_000_000))
    return left.came, right.came


def test_a_good_cable_carries_both_directions_as_it_carries_one():
    (_, alone), (back, there) = run(both=False), run(both=True)
    assert there == back == alone
    assert len(alone) == FRAMES
    assert {after - before for before, after in itertools.pairwise(alone)} == {8000}


@pytest.mark.parametrize("name", link_defects.__all__)
def test_every_defect_shows_when_both_send(name):
    assert run(getattr(link_defects, name), both=True) != run(both=True)


@pytest.mark.parametrize("name", set(link_defects.__all__) - {"ONE_WAY_SLOW"})
def test_but_not_while_one_sends(name):
    assert run(getattr(link_defects, name), both=False) == run(both=False)


def test_half_the_rate_is_half_the_rate():
    back, there = run(link_defects.HALF_RATE, both=True)
    assert max(back[-1], there[-1]) > 1.8 * run(both=False)[1][-1]
