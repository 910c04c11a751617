"""One way of a box in the kernel: who decides about its frames, and how that changes hands.

A program is at work at the source from open() to close(), and no frame falls into a gap when
another takes its place. What it does follows from one word, ARMED (see ``lane``): frames pass up to
the sockets, and with them to Python; they wait in slots; or the program decides.

Python hands over so: frames wait from now on; Python deals with those that came before; what the
stages remember goes into memory; and the word says after how many waiting frames that is true. If
one more has come meanwhile, the program does not take over, and Python deals with that one too. So
each frame is decided about once, in order, by stages that have seen all those before it.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from typing import Final

from testbed.errors import LinkError, Unsupported
from testbed.link.ebpf import BpfError, Program, XdpLink, can_run_live
from testbed.link.impair.stage import Stage, StageEvent
from testbed.link.inline.lane import (
    ARMED,
    OVERRUN,
    PARK,
    PASS,
    PASSED,
    READY_HEAD,
    READY_TAIL,
    RECEIVED,
    REFUSED,
    RUN,
    Lane,
)
from testbed.link.inline.ports import (
    BoxPort,
    Egress,
    require_one_queue,
    require_prospect,
    require_sending,
    require_taking,
)
from testbed.link.inline.quiet import wait_for_programs
from testbed.link.inline.script import Script, entrance
from testbed.link.inline.selecting import Translate
from testbed.link.inline.worker import Worker
from testbed.link.offload import apply, liars, switch_off
from testbed.link.size import HEADER
from testbed.timing import Instant

__all__ = ["Engine"]

_TAG: Final = 4
_HAND_OVER_WITHIN: Final = 200_000_000
"""Nanoseconds that Python may take to catch up with frames that wait, before it gives up."""
_SETTLE_WITHIN: Final = 50_000_000
"""Nanoseconds that a frame may be under way between two counters."""

Push = Callable[[bytes, Instant], None]


class Engine:
    """The way from ``source`` to ``sink``; both of this thread's network namespace.

    ``push`` has Python decide about a frame that came at an instant, ``pump`` about all that the
    sockets have. ``hear`` is told what was done to frames by no stage, ``count`` how often an
    action was done that was not written down. ``translate``: see ``selecting``. Raises
    Unsupported, with the reason, where there can be no program, and BpfError where the kernel
    refuses one.
    """

    def __init__(
        self,
        source: BoxPort,
        sink: BoxPort,
        *,
        push: Push,
        pump: Callable[[], None],
        hear: Callable[[StageEvent], None],
        count: Callable[[str, int], None],
        translate: Translate | None = None,
    ) -> None:
        require_taking(source)
        require_one_queue(source)
        require_prospect(sink)
        self.source, self.sink = source, sink
        self._translate = translate
        self._push, self._pump, self._hear, self._count = push, pump, hear, count
        self.script: Script | None = None
        """What decides in the kernel now; None while Python does."""
        self._worker: Worker | None = None
        self._programs: list[Program] = []
        self._lane = Lane(max(source.mtu, sink.mtu) + HEADER + _TAG)
        try:
            self._egress = Egress(sink)
            try:
                self._door = entrance(self._lane)
                self._programs.append(self._door)
                self._offloads = liars(source.interface)
                self._link = XdpLink(self._door, source.index)
            except BaseException:
                self._egress.close()
                raise
        except BaseException:
            self._release()
            raise
        # A veth switches on the merging of frames when it takes a program.
        switch_off(source.interface)

    @property
    def received(self) -> int:
        """Frames that came and did not pass up to the sockets."""
        return self._lane[RECEIVED]

    @property
    def passed(self) -> int:
        """Frames that programs gave to the sink."""
        return self._lane[PASSED]

    @property
    def refused(self) -> int:
        """Frames lost for want of memory."""
        return self._lane[OVERRUN] + self._lane[REFUSED]

    def lost_by_sink(self, by_python: int) -> int:
        """Frames that the sink did not send, of those that it was given since the beginning.

        ``by_python`` were sent there by Python. Waits a moment for those that are under way.
        """
        handed = self.passed + by_python
        until = time.monotonic_ns() + _SETTLE_WITHIN
        while (lost := self._egress.lost(handed)) and time.monotonic_ns() < until:
            pass
        return lost

    def require_sending(self) -> None:
        """Unsupported, with the reason, where the sink does not send what programs give it."""
        require_sending(self.sink)

    def take_over(self, stages: Sequence[Stage]) -> None:
        """Have the kernel decide from now on, by these stages; Python's own until now.

        Raises Unsupported, with the reason, where they cannot be compiled; Python goes on.
        """
        script = self._compile(stages)
        try:
            if self._lane[ARMED] == PASS:
                self._lane[ARMED] = PARK
                wait_for_programs()
                self._pump()
            self._hand_over(script)
        except BaseException:
            self._let_go(script)
            self.stand_back()
            raise

    def suspend(self) -> None:
        """Have Python decide, about all that came before as well; frames wait from here on."""
        script = self.script
        if script is None:
            return
        self._lane[ARMED] = PARK
        self._lane[RUN] = 0
        wait_for_programs()
        if script.is_eager and self._worker is not None and self._worker.error is None:
            self._finish(script)
        self._take_back(script)
        self._let_go(script)
        self._catch_up()

    def stand_back(self) -> None:
        """Have frames pass up to the sockets, after those that wait have been dealt with."""
        self.suspend()
        if self._lane[ARMED] != PASS:
            self._link.replace(self._door)
            self._lane[ARMED] = PASS
            wait_for_programs()
            self._catch_up()

    def poll(self) -> None:
        """Bring logs, stages and memory up to date, and deal with what the kernel cannot decide.

        To be called now and then.
        """
        script = self.script
        if script is None:
            return
        if self._worker is not None and self._worker.error is not None:
            raise self._worker.error
        self._tell(script)
        script.settle()
        script.recall()
        if self._lane[ARMED] == PARK if script.direct else not self._lane[RUN]:
            # The program has stopped by itself, before a frame that only Python can judge.
            self._take_back(script)
            try:
                self._hand_over(script)
            except BaseException:
                self._let_go(script)
                raise

    def close(self) -> None:
        """Let frames pass up, detach, and forget; counters stay. Twice is no error."""
        if self._link.fd < 0:
            return
        try:
            self.stand_back()
        finally:
            self._link.close()
            with contextlib.suppress(LinkError):  # the interface is gone, and its offloads with it
                apply(self.source.interface, self._offloads)
            self._egress.close()
            self._release()

    def _compile(self, stages: Sequence[Stage]) -> Script:
        sink = (self.sink.interface, self.sink.index, self.sink.mtu)
        try:
            script = Script(stages, self._lane, sink, translate=self._translate)
        except BpfError as error:
            raise Unsupported(f"the kernel does not take these stages: {error}") from error
        script.fit.stage.log.listener = self._hear
        if not script.direct:
            probe = can_run_live()
            if not probe.works:
                script.close()
                raise Unsupported(probe.why)
        return script

    def _hand_over(self, script: Script) -> None:
        """Frames wait now; the script decides as soon as Python has caught up."""
        lane = self._lane
        program = script.entrance if script.direct else self._door
        if program is None:
            raise Unsupported("the script has no program")
        self._link.replace(program)
        until = time.monotonic_ns() + _HAND_OVER_WITHIN
        while True:
            self._catch_up()
            if not script.load():
                raise Unsupported("more frames are kept back than the kernel's memory has room for")
            if not script.direct:
                lane[ARMED] = PARK
                lane[RUN] = 1
                if self._worker is None and script.worker is not None:
                    self._worker = Worker(script.worker)
                break
            count = lane[READY_TAIL]
            lane[ARMED] = count
            if lane[READY_HEAD] == count:
                break
            lane[ARMED] = PARK
            script.store()
            if time.monotonic_ns() > until:
                raise Unsupported("frames come faster than Python can hand over to the kernel")
        self.script = script
        for part in script.parts:
            part.stage.log.refresh = self._refresh

    def _refresh(self) -> None:
        if self.script is not None:
            self._tell(self.script)

    def _tell(self, script: Script) -> None:
        for action, times in script.tell().items():
            self._count(action, times)

    def _finish(self, script: Script) -> None:
        """Wait until copies and overtaken frames that are under way have gone on."""
        until = time.monotonic_ns() + _HAND_OVER_WITHIN
        while script.is_eager:
            if time.monotonic_ns() > until:
                raise LinkError("the kernel does not go on with frames of a box")
        wait_for_programs()

    def _take_back(self, script: Script) -> None:
        """The script decides no more: its stages go on from where it stopped."""
        for part in script.parts:
            part.stage.log.refresh = None
        self.script = None
        self._tell(script)
        script.store()

    def _let_go(self, script: Script) -> None:
        if self._worker is not None:
            self._worker.close()
            self._worker = None
        script.close()

    def _catch_up(self) -> None:
        """Python decides about all frames that wait."""
        while (waiting := self._lane.take()) is not None:
            at, frame = waiting
            self._push(frame, at)

    def _release(self) -> None:
        for program in self._programs:
            program.close()
        self._lane.close()
