"""A controller NIC as plans see it: it injects."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv4Network
from typing import Any

from testbed.errors import PlanError
from testbed.hosts import RealLoop, Tap
from testbed.timing import Duration, Instant
from testbed.wire import EthFrame, MacAddr, dissect, summary, to_bytes

__all__ = ["BenchNic"]


class BenchNic:
    """One controller NIC in one plan."""

    def __init__(
        self,
        role: str,
        tap: Tap,
        loop: RealLoop,
        *,
        management: tuple[IPv4Network, ...],
        max_rate: int | None,
        on_inject: Callable[[], None],
    ) -> None:
        self.role = role
        self.tap = tap
        self._loop = loop
        self._management = management
        self._gap = Duration(1_000_000_000 // max_rate) if max_rate else Duration(0)
        self._next = Instant(0)
        self._on_inject = on_inject

    @property
    def mac(self) -> MacAddr:
        """The NIC's own address."""
        return self.tap.port.mac

    @property
    def mtu(self) -> int:
        """The largest payload of an untagged frame, in bytes."""
        return self.tap.port.mtu

    def inject(self, *frames: Any) -> None:
        """Send frames, in order: wire values, bytes from the destination MAC on, scapy packets.

        An EthFrame is filled up to the least length, as a NIC would; bytes go as they are.
        A frame for an address that the bench file calls management is refused (PlanError), and
        frames leave no faster than its ``limits.max_rate``.
        """
        for frame in frames:
            data = frame.emit(pad=True) if isinstance(frame, EthFrame) else to_bytes(frame)
            self._refuse_management(data)
            if self._gap:
                now = self._loop.now()
                if now < self._next:
                    self._loop.run_until(lambda: False, Duration(self._next - now))
                self._next = Instant(max(now, self._next) + self._gap)
            self.tap.send(data)
            self._on_inject()

    def _refuse_management(self, data: bytes) -> None:
        if not self._management:
            return
        ipv4 = dissect(data).ipv4
        if ipv4 is None:
            return
        for network in self._management:
            if ipv4.dst in network:
                raise PlanError(
                    f"{self.role}: not injected, {ipv4.dst} is in the bench's management network "
                    f"{network} (limits.management): {summary(data)}"
                )
