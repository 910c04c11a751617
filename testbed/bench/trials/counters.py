"""The kernel's own counters, held against what streams and tallies have counted."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from testbed.bench.nic import BenchNic
from testbed.errors import BenchError
from testbed.hosts import Subscription
from testbed.link.port import KernelPort
from testbed.wire.frame import Direction, Frame

__all__ = ["Books"]

LOOKS = 25
"""How often the kernel's counters are read again before they are believed to differ."""


@dataclass(slots=True)
class _Account:
    """One NIC's: what the kernel had counted, and what was heard besides the test frames."""

    received: int
    sent: int
    missed: int
    heard: int = 0


class Books:
    """Accounts of NICs from its making to ``settle``: every frame of every counter is explained.

    A NIC that is no interface of this machine has no counters: nothing is held against it.
    """

    def __init__(self, nics: Iterable[BenchNic], pause: Callable[[], None] | None = None) -> None:
        """``pause`` waits a moment: some cards hand their counts on now and then only."""
        self._pause = pause
        self._nics = [nic for nic in nics if isinstance(nic.tap.port, KernelPort)]
        self._accounts: dict[str, _Account] = {}
        self._subscriptions: list[Subscription] = []
        for nic in self._nics:
            nic.tap.pump()
            received, sent, missed = _read(nic)
            self._accounts[nic.role] = account = _Account(received, sent, missed)
            self._subscriptions.append(nic.tap.subscribe(_counting(account)))

    def settle(self, sent: dict[str, int], tallied: dict[str, int]) -> tuple[str, ...]:
        """Close the accounts; BenchError where a count and the kernel's do not agree.

        ``sent``: frames that streams have sent, by NIC; ``tallied``: signed frames that its tally
        has taken out of what the NIC's capture hears. Returns what is worth telling.
        """
        try:
            told = []
            for nic in self._nics:
                role = nic.role
                problem, missed = self._compare(nic, sent.get(role, 0), tallied.get(role, 0))
                for _ in range(LOOKS if self._pause else 0):
                    if not problem or self._pause is None:
                        break
                    self._pause()
                    problem, missed = self._compare(nic, sent.get(role, 0), tallied.get(role, 0))
                if problem:
                    raise BenchError(problem)
                if missed:
                    told.append(f"{role}: the NIC itself missed {missed} frames")
            return tuple(told)
        finally:
            self.close()

    def _compare(self, nic: BenchNic, sent: int, tallied: int) -> tuple[str, int]:
        """Where the counts of a NIC part, in words, and how many frames it missed itself."""
        account = self._accounts[nic.role]
        nic.tap.pump()
        received, left, missed = _read(nic)
        out, came = left - account.sent, received - account.received
        problem = ""
        if out < sent:
            problem = (
                f"{nic.role}: {sent} frames were counted as sent, the kernel counted {out} at "
                f"{_name(nic)}"
            )
        elif tallied + account.heard != came:
            problem = (
                f"{nic.role}: {tallied} test frames and {account.heard} others were counted, the "
                f"kernel received {came} at {_name(nic)}"
            )
        return problem, missed - account.missed

    def close(self) -> None:
        """Listen no more; twice is no error."""
        for subscription in self._subscriptions:
            subscription.close()


def _counting(account: _Account) -> Callable[[Frame], None]:
    def count(frame: Frame) -> None:
        if frame.direction is Direction.IN:
            account.heard += 1

    return count


def _name(nic: BenchNic) -> str:
    return nic.tap.port.interface if isinstance(nic.tap.port, KernelPort) else nic.role


def _read(nic: BenchNic) -> tuple[int, int, int]:
    """Frames received and sent, and those that the NIC dropped on their way in."""
    from testbed.link.netlink import RouteNetlink  # noqa: PLC0415 - of Linux

    with RouteNetlink() as route:
        traffic = route.traffic(route.link(_name(nic)).index)
    return traffic.received, traffic.sent, traffic.receive_dropped
