"""A receiver whose ACKs a plan gives by hand, so that a sender's window shows in what it sends."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import Final

from testbed.bench.bench import Bench
from testbed.bench.capturing import Capture
from testbed.capture import tcpflow
from testbed.capture.tcpflow import FlowSegment
from testbed.devices.values import Flow
from testbed.errors import ExpectationFailed
from testbed.hosts.stack_host import StackHost
from testbed.stack.config import StackConfig
from testbed.stack.tcp.options import SocketOptions
from testbed.timing import Duration, milliseconds, seconds

__all__ = ["Receiver"]


class Receiver:
    """A connection of a Python stack to a service of the host ``dut``, which sends full segments.

    It takes in all that comes, and says so only where the plan has it ``ack``. Numbers are relative
    as in ``tcpflow``: the stream's first byte is 1. What was sent is read on the wire, at the link
    between the two, which ``seen`` must have. ``peer = bench.host("peer", Receiver.CONFIG)``.
    """

    CONFIG: Final = StackConfig.of(
        tcp={
            "ack_every": 1 << 20,
            "delayed_ack_timeout": seconds(60),
            "receive_buffer": 1 << 20,
        }
    )
    """Of a stack that acknowledges nothing by itself before the plan has taken that over."""
    smss: Final = 1000
    """Bytes in each of the sender's segments: the MSS announced, without timestamps."""

    def __init__(
        self,
        bench: Bench,
        peer: StackHost,
        seen: Capture,
        port: int,
        *,
        segments: int,
        sack: bool = False,
        window: int = 60,
        flow: Flow | None = None,
        dut: str = "dut",
    ) -> None:
        """``segments``: how many the service has to send; ``window``: how many are offered."""
        self._bench = bench
        self._view = seen.at(bench.topology.link(f"{peer.name}--{dut}").name).both
        self._taken = 0
        self._flow: tcpflow.Connection | None = None
        self._heard = 0
        """Frames that ``_flow`` was made of: it is asked for more often than it grows."""
        self.dut = bench.host(dut)
        self.port = port
        self.size = segments * self.smss
        self.acked = 1
        """The highest number acknowledged so far."""
        self.dut.tcp_serve(port, send=self.size, seed=port, flow=flow)
        self.connection = peer.connect(
            dut,
            port,
            options=SocketOptions(
                mss=self.smss,
                timestamps=False,
                sack=sack,
                window_scale=3,
                receive_buffer=window * self.smss,
            ),
        )
        self.connection.options.receive_buffer = 1 << 20
        self.connection.steer.withhold_acks(None)
        self.window = window

    @property
    def window(self) -> int:
        """Segments that the next ACKs offer to take, from what they acknowledge on."""
        return self._window

    @window.setter
    def window(self, segments: int) -> None:
        self._window = segments
        self.connection.steer.window(segments * self.smss, tell=False)

    @property
    def flow(self) -> tcpflow.Connection:
        """The connection as it was on the wire so far."""
        frames = self._view.frames
        if self._flow is None or len(frames) != self._heard:
            own = self.connection.local[1]
            self._flow = tcpflow.connection(frames, server_port=self.port, client_port=own)
            self._heard = len(frames)
        return self._flow

    @property
    def sent(self) -> tuple[FlowSegment, ...]:
        """The data segments that were on the wire so far, again or for the first time."""
        return tuple(each for each in self.flow.down if each.payload)

    @property
    def highest(self) -> int:
        """The number after the highest that was sent."""
        return max((each.end for each in self.sent), default=1)

    @property
    def in_flight(self) -> int:
        """Segments that were sent and not acknowledged."""
        return -(-(self.highest - self.acked) // self.smss)

    def take(
        self, due: int, *, within: Duration | None = None, quiet: Duration | None = None
    ) -> tuple[FlowSegment, ...]:
        """What the sender sends now, where ``due`` segments are due.

        It has ``within`` (tolerance ``patience``, 0.15 s: less than any timeout) to send these, and
        all that comes less than ``quiet`` (tolerance ``quiet``, 0.03 s) after them belongs to it.
        """
        tolerance = self._bench.tolerance
        within = seconds(tolerance("patience", 0.15)) if within is None else within
        quiet = seconds(tolerance("quiet", 0.03)) if quiet is None else quiet
        begun = self._taken
        loop = self._bench.loop
        loop.run_until(lambda: len(self.sent) >= begun + due, within)
        while True:
            count = len(self.sent)
            if not loop.run_until(lambda: len(self.sent) > count, quiet):  # noqa: B023 - used at once
                break
        self._taken = len(self.sent)
        return self.sent[begun:]

    def ack(
        self,
        upto: int | None = None,
        *,
        sack: Iterable[tuple[int, int]] = (),
        times: int = 1,
        every: Duration = milliseconds(2),
    ) -> None:
        """Acknowledge all below ``upto``; None: all that was sent. ``sack``: blocks to report.

        ``times``: so many ACKs alike, one in ``every``.
        """
        number = self.highest if upto is None else upto
        self.acked = max(self.acked, number)
        blocks = [(self.absolute(start), self.absolute(end)) for start, end in sack]
        for turn in range(times):
            if turn:
                self._bench.watch_for(every)
            self.connection.steer.forge_ack(self.absolute(number), sack=blocks)

    def ack_each(
        self,
        segments: Sequence[FlowSegment],
        *,
        every: Duration = milliseconds(2),
        of: int = 1,
    ) -> None:
        """Acknowledge these one after the other, an ACK for each ``of`` of them, one in ``every``.

        A sender may put off what it sends where ACKs come at once.
        """
        ends = [each.end for each in segments]
        for end in (*ends[of - 1 : -1 : of], *ends[-1:]):
            self.ack(end)
            self._bench.watch_for(every)

    def absolute(self, number: int) -> int:
        """A relative number as it is on the wire."""
        return (self.connection.snapshot().irs + number) % (1 << 32)

    def finish(self, within: Duration = seconds(5)) -> None:
        """Let the rest come as it comes; ExpectationFailed unless all bytes are right."""
        self.connection.steer.give_back()
        self.connection.options.quickack = True
        self.connection.steer.ack_now()
        data = self.connection.receive(self.size, within=within)
        if data != hashlib.shake_128(self.port.to_bytes(8, "big")).digest(self.size):
            raise ExpectationFailed(
                f"{self.dut.name}: {self.size} bytes came, but not those that it was to send"
            )
        self.connection.close()

    def abandon(self) -> None:
        """Reset the connection: nothing more is to be learned from it."""
        self.connection.abort()
