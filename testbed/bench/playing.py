"""Captures replayed, and arrays sent, by a NIC of the bench."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from ipaddress import IPv4Network
from pathlib import Path
from typing import TYPE_CHECKING, Any

from testbed.bench.sending import PATIENCE, Sending
from testbed.bench.streams import SLOWEST, line_rate
from testbed.errors import PlanError
from testbed.hosts import Loop, Tap
from testbed.link.port import KernelPort
from testbed.link.streams import Pace, Sender
from testbed.timing import Duration, seconds

if TYPE_CHECKING:
    from testbed.link.recorder import FilterLike
    from testbed.link.replay import Reel

__all__ = ["PlayingNic", "Replay"]

Rate = dict[str, float | None]


class Replay(Sending):
    """Frames that a NIC plays by itself, while the plan goes on; made by ``nic.replay(...)``.

    As a context manager it runs within the ``with`` block::

        with nic.replay("field-fault.pcapng", speed=2) as replay:
            replay.wait()
        assert replay.lateness < 1_000_000

    Every frame leaves once, in its order.
    """

    kind = "replay"

    def __init__(
        self,
        nic: PlayingNic,
        reel: Reel,
        pace_of: Callable[[Rate], Pace] | None,
        rate: Rate,
        *,
        captured: bool,
    ) -> None:
        super().__init__(nic.role, loop=nic.loop, on_change=nic.on_inject)
        self.reel = reel
        self._pace_of = pace_of
        self.pace = pace_of(rate) if pace_of else None
        """How fast frames leave; None where each has its own time."""
        self._tap = nic.tap
        self._forbidden = nic.management
        self._captured = captured

    @property
    def total(self) -> int | None:
        """Frames in all; None where nobody knows."""
        return self.reel.count

    @property
    def sent_bytes(self) -> int:
        """Bytes of the frames sent so far."""
        return int(getattr(self._sender, "sent_bytes", 0))

    @property
    def lateness(self) -> int:
        """By how many nanoseconds the latest frame left after its time; 0 at a rate."""
        return int(getattr(self._sender, "lateness", 0))

    def set_rate(
        self,
        *,
        pps: float | None = None,
        bits_per_second: float | None = None,
        line_share: float | None = None,
    ) -> None:
        """Go on at another rate; PlanError where frames leave at times of their own."""
        if self._pace_of is None:
            raise PlanError(f"{self.role}: frames that have their own times have no other rate")
        rate: Rate = {"pps": pps, "bits_per_second": bits_per_second, "line_share": line_share}
        self.pace = self._pace_of(rate)
        if self._sender is not None and self._running:
            self._sender.set_pace(self.pace)

    def _open(self) -> tuple[Sender, str]:
        # numpy, and what only Linux has, are loaded where they are needed.
        port = self._tap.port
        if not isinstance(port, KernelPort):
            from testbed.hosts.loop_player import LoopPlayer  # noqa: PLC0415
            from testbed.link.replay import Limits  # noqa: PLC0415

            limits = Limits(port.name, port.mtu, self._forbidden)
            rate = line_rate(self._tap)
            player = LoopPlayer(self.reel, self.pace, self._tap, self._loop, limits, line_rate=rate)
            return player, "it keeps the lab's own time"
        from testbed.link.replay.choosing import choose_player  # noqa: PLC0415

        choice = choose_player(
            self.reel,
            self.pace,
            port.interface,
            captured=self._captured,
            forbidden=self._forbidden,
        )
        return choice.sender, choice.why

    def _should_take(self) -> Duration:
        if self.pace is None:
            return Duration((self.reel.span or 0) + PATIENCE)
        if self.reel.count is None:
            raise PlanError(f"{self.role}: nobody knows how many frames come: say within=...")
        rate = SLOWEST if self.pace.pps is None else min(self.pace.pps, SLOWEST)
        return Duration(seconds(self.reel.count / rate) + PATIENCE)


class PlayingNic:
    """The part of a NIC that plays what was recorded, or what somebody makes in numpy."""

    role: str
    tap: Tap
    _loop: Loop
    _management: tuple[IPv4Network, ...]
    _max_rate: int | None
    _on_inject: Callable[[], None]
    _streams: list[Sending]

    @property
    def loop(self) -> Loop:
        """The bench's loop."""
        return self._loop

    @property
    def management(self) -> tuple[IPv4Network, ...]:
        """Networks to which nothing is sent."""
        return self._management

    @property
    def on_inject(self) -> Callable[[], None]:
        """Called when something is sent."""
        return self._on_inject

    def replay(
        self,
        capture: Path | str,
        *,
        speed: float | None = None,
        top_speed: bool = False,
        pps: float | None = None,
        bits_per_second: float | None = None,
        line_share: float | None = None,
        burst: int = 1,
        loops: int = 1,
        frames: range | None = None,
        only: Callable[[bytes], bool] | FilterLike | None = None,
        rewrite: Mapping[Any, Any] | None = None,
        fix_checksums: bool = False,
        fill_cut: bool = False,
        longest_gap: Duration | None = None,
        captured: bool = False,
    ) -> Replay:
        """A pcap or pcapng file that the NIC plays by itself; not started yet.

        Frames leave in the spacing that they were captured in; at ``speed`` 2 in half of it, with
        no gap beyond ``longest_gap``. Or they leave at ``top_speed``, or at a rate, given as for
        stream(). All is played ``loops`` times, one mean gap between the last frame and the first.

        ``frames`` are numbers as Wireshark shows them, ``range(1, 11)`` being the first ten;
        ``only`` says which of them are played: a matcher, such as ``match.tcp(dst_port=80)``, or,
        much faster, an expression as tcpdump takes it, or values by fields, as for record().
        ``rewrite`` gives frames other addresses, each by itself, with their checksums mended::

            nic.replay(file, rewrite={"10.1.0.0/16": "198.18.0.0/16", 80: 8080, "eth.dst": router})

        maps IPv4 networks to others of the same size, MAC addresses and ports to others, and gives
        every frame one source or destination. ``fix_checksums`` makes all of them right, as a
        capture on the sender's own machine needs, whose NIC was to make them. ``fill_cut`` fills
        frames that a snap length has cut up with zeros.

        PlanError, with the place in the file, for what is no capture or cannot be sent.
        ``captured``, management addresses and ``limits.max_rate`` are as for stream().
        """
        # numpy is loaded where it is needed.
        from testbed.bench.reels import Cut, read_recording  # noqa: PLC0415

        rate: Rate = {"pps": pps, "bits_per_second": bits_per_second, "line_share": line_share}
        timed = not top_speed and all(each is None for each in rate.values())
        if not timed and (speed is not None or longest_gap is not None):
            raise PlanError(f"{self.role}: a replay has a rate or a speed, not both")
        if top_speed and any(each is not None for each in rate.values()):
            raise PlanError(f"{self.role}: a replay has a rate or top speed, not both")
        cut = Cut(frames, only, rewrite or {}, fix_checksums, fill_cut)
        reel = read_recording(Path(capture), cut).reel(
            speed=(1.0 if speed is None else speed) if timed else None,
            loops=loops,
            longest_gap=longest_gap,
            max_rate=self._max_rate,
        )
        return self._play(reel, None if timed else rate, burst, captured=captured)

    def stream_arrays(
        self,
        what: Any,
        *,
        pps: float | None = None,
        bits_per_second: float | None = None,
        line_share: float | None = None,
        burst: int = 1,
        captured: bool = False,
    ) -> Replay:
        """Frames out of numpy, every one different if need be; not started yet.

        ``what`` is an array of bytes (uint8), a frame in each row; or such a one with the frames'
        lengths, ``(rows, lengths)``; or an iterable of these, of which the next is taken while the
        last leave, so that it can be without end. Each frame leaves once, in order, at a rate as
        for stream(). Checksums are the author's own business.
        """
        from testbed.link.replay import ArrayReel  # noqa: PLC0415 - numpy

        rate: Rate = {"pps": pps, "bits_per_second": bits_per_second, "line_share": line_share}
        return self._play(ArrayReel(what), rate, burst, captured=captured)

    def _play(self, reel: Reel, rate: Rate | None, burst: int, *, captured: bool) -> Replay:
        def pace_of(rate: Rate) -> Pace:
            known = line_rate(self.tap)
            pace = Pace.of(reel.mean_length, **rate, line_rate=known, burst=burst)
            if self._max_rate and (pace.pps is None or pace.pps > self._max_rate):
                return Pace(self._max_rate, burst)
            return pace

        timed = rate is None
        replay = Replay(self, reel, None if timed else pace_of, rate or {}, captured=captured)
        self._streams.append(replay)
        return replay
