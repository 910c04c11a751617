"""A simulated shared medium by itself, in virtual time."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from testbed.console.cli import DEFAULT_WITHIN, Reply
from testbed.devices.media import Attempt
from testbed.devices.sharing import parse_attempts
from testbed.sim.bus.ports import SharedDevice
from testbed.sim.device import Jack
from testbed.stack.variants import Defect
from testbed.timing import Duration, Instant, ManualClock, milliseconds
from testbed.wire.addresses import MacAddr

__all__ = ["PORTS", "MediumCli", "MediumRig", "frame"]

PORTS = ("p1", "p2", "p3", "p4")
FOREVER = Instant(1 << 60)


def frame(source: int, number: int, length: int = 60) -> bytes:
    """A frame of the station at that port, told apart by its number."""
    head = b"\x02\0\0\0\0\x99" + bytes([2, 0, 0, 0, 0, source]) + b"\x88\xb5"
    return (head + number.to_bytes(4, "big")).ljust(length, b"\0")


class MediumRig:
    """A device with four stations; ``came`` has what each port's station got, and when."""

    def __init__(
        self, kind: type[SharedDevice], defects: Iterable[Defect] = (), **more: object
    ) -> None:
        jacks = [Jack(port, MacAddr(bytes([2, 1, 0, 0, 0, n]))) for n, port in enumerate(PORTS)]
        self.device = kind("m", jacks, defects=defects, **more)
        self.now = Instant(0)
        self.came: dict[str, list[tuple[Instant, bytes]]] = defaultdict(list)
        for port in PORTS:
            self.device.set_link(port, True, self.now)

    def send(self, port: str, *frames: bytes) -> None:
        """Hand frames to a station's MAC now."""
        for each in frames:
            self.device.receive(each, self.now, port)

    def run(self, until: Instant = FOREVER) -> None:
        """Let all happen that is due up to ``until``."""
        while (due := self.device.poll_timeout()) is not None and due <= until:
            self.now = due
            self.device.handle_timeout(due)
            while (out := self.device.poll_transmit(due)) is not None:
                self.came[out.interface].append((due, out.frame))
        self.now = max(self.now, until) if until < FOREVER else self.now

    def frames(self, port: str) -> list[bytes]:
        """What came to the station at ``port``."""
        return [each for _, each in self.came[port]]

    def log(self) -> tuple[Attempt, ...]:
        """The medium's log."""
        return parse_attempts(self.show("show medium attempts after 0"))

    def show(self, line: str) -> str:
        """What a command line prints; an AssertionError where it is refused."""
        answer = self.device.login().run(line, self.now)
        assert not answer.status, answer.output
        return answer.output


class MediumCli:
    """A login on the device of a rig: each line takes a millisecond."""

    device = "m"
    transport = "memory"

    def __init__(self, rig: MediumRig) -> None:
        self.rig = rig
        self.clock = ManualClock()

    def run(self, command: str, *, within: Duration = DEFAULT_WITHIN) -> Reply:
        self.rig.run(self.clock.advance(milliseconds(1)))
        answer = self.rig.device.login().run(command, self.rig.now)
        return Reply(answer.output, answer.status)

    def close(self) -> None:
        """Nothing is held."""
