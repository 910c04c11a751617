"""The real loop: how long it waits, and what counts when it gets to look late."""

import os
from collections.abc import Iterator

import pytest

from testbed.hosts.loop import RealLoop
from testbed.timing import Duration, milliseconds

SPAN = milliseconds(1)


@pytest.fixture
def loop() -> Iterator[RealLoop]:
    one = RealLoop()
    yield one
    one.close()


def test_what_came_in_time_counts_though_the_process_was_held_up(loop: RealLoop) -> None:
    reading, writing = os.pipe()
    came: list[bytes] = []
    loop.add_reader(reading, lambda: came.append(os.read(reading, 10)))
    os.write(writing, b"in time")
    over = loop.now() + 2 * SPAN

    def slow_condition() -> bool:
        """As one that is interrupted for longer than the loop was to wait."""
        while loop.now() < over:
            pass
        return bool(came)

    try:
        assert loop.run_until(slow_condition, SPAN)
        assert came == [b"in time"]
    finally:
        loop.remove_reader(reading)
        os.close(reading)
        os.close(writing)


def test_nothing_that_comes_is_waited_for_longer_than_asked(loop: RealLoop) -> None:
    asked = []

    def never() -> bool:
        asked.append(loop.now())
        return False

    begun = loop.now()
    assert not loop.run_until(never, SPAN)
    assert asked[-1] - begun >= SPAN
    assert not loop.run_until(never, Duration(0))
