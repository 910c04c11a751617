"""Which clock stamps the frames of a NIC: the NIC's own where it has one, else the kernel's.

A NIC that can stamp each frame that arrives has a clock of its own (``/dev/ptp0``), which knows no
date and runs as it likes. ``NicClock`` holds it against the kernel's wall clock, so that stamps of
several NICs, and of frames that a NIC does not stamp, can be compared.
Documentation/networking/timestamping.rst; linux/ptp_clock.h.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from testbed.errors import LinkError
from testbed.link.before import StampsBefore
from testbed.link.ethtool import FILTER_ALL, Ethtool, StampSetting
from testbed.link.netlink import RouteNetlink

__all__ = [
    "KERNEL_CLOCK",
    "NicClock",
    "StampClock",
    "before_stamps",
    "can_stamp",
    "clocks",
    "open_clock",
    "put_back",
    "switch_on",
]

# linux/ptp_clock.h
PTP_SYS_OFFSET_EXTENDED = 0xC4C0_3D09
SAMPLES, SAMPLES_MOST = 5, 25
REQUEST = struct.Struct("=I12x")
INSTANT = struct.Struct("=qI4x")  # ptp_clock_time
OFFSET_SIZE = REQUEST.size + 3 * SAMPLES_MOST * INSTANT.size

DEVICE = "/sys/class/net/{}/device"
"""There is one where an interface is a NIC."""

LOOK_EVERY = 250_000_000
"""Nanoseconds after which the NIC's clock is looked at again: two quartzes, 100 ppm apart, differ
by 25 us more then, and nearly all of it is reckoned out."""


@dataclass(frozen=True, slots=True)
class StampClock:
    """What frames are stamped with: a name, what it means, and why it is this one."""

    name: str
    about: str
    why: str = ""

    def __str__(self) -> str:
        return f"{self.name}: {self.about}"


KERNEL_CLOCK = StampClock(
    "CLOCK_REALTIME", "the kernel's software stamp as its network stack gets the frame"
)


class NicClock:
    """A NIC's own clock beside the kernel's wall clock; LinkError where it cannot be read.

    ``look`` fills a ptp_sys_offset_extended; by default the kernel does.
    """

    def __init__(self, number: int, look: Callable[[bytearray], None] | None = None) -> None:
        self.path = f"/dev/ptp{number}"
        self._device = -1
        if look is None:
            try:
                self._device = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
            except OSError as error:
                raise LinkError(f"{self.path} cannot be opened: {error.strerror}") from error
        self._look = look or self._ask
        try:
            self._before = self._last = self._sample()
        except BaseException:
            self.close()
            raise
        self._due = time.monotonic_ns() + LOOK_EVERY

    def to_wall(self, stamp: int) -> int:
        """A stamp of the NIC's as nanoseconds of CLOCK_REALTIME."""
        if time.monotonic_ns() >= self._due:
            with contextlib.suppress(LinkError):  # it went with its NIC, which others tell
                self._before, self._last = self._last, self._sample()
            self._due = time.monotonic_ns() + LOOK_EVERY
        (nic, wall), (nic_before, wall_before) = self._last, self._before
        since, span = stamp - nic, nic - nic_before
        drift = (wall - wall_before - span) * since // span if span > 0 else 0
        return wall + since + drift

    def close(self) -> None:
        """Let go of it; closing twice is no error."""
        if self._device >= 0:
            os.close(self._device)
            self._device = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self.close()

    def _sample(self) -> tuple[int, int]:
        """What the NIC's clock shows, and what the wall clock does: the closest look of a few."""
        answer = bytearray(REQUEST.pack(SAMPLES).ljust(OFFSET_SIZE, b"\0"))
        try:
            self._look(answer)
        except OSError as error:
            raise LinkError(f"{self.path} cannot be read: {error.strerror}") from error
        times = [
            seconds * 1_000_000_000 + nanoseconds
            for seconds, nanoseconds in INSTANT.iter_unpack(
                answer[REQUEST.size : REQUEST.size + 3 * SAMPLES * INSTANT.size]
            )
        ]
        looks = zip(times[::3], times[1::3], times[2::3], strict=True)
        start, nic, end = min(looks, key=lambda look: look[2] - look[0])
        return nic, (start + end) // 2

    def _ask(self, answer: bytearray) -> None:
        fcntl.ioctl(self._device, PTP_SYS_OFFSET_EXTENDED, answer)


def can_stamp(interface: str) -> StampClock:
    """The best clock that frames which arrive at an interface can have, and why not a better."""
    with Ethtool(interface) as ethtool:
        stamping = ethtool.stamping()
    if stamping.hardware and stamping.clock is not None:
        return _nic_clock(interface, stamping.clock)
    reason = f"{interface} has no hardware stamps of every frame that arrives"
    if stamping.hardware:
        reason = f"the hardware stamps of {interface} come from no clock that can be read"
    # A driver that says nothing leaves it to the kernel all the same.
    return StampClock(KERNEL_CLOCK.name, KERNEL_CLOCK.about, f"not hardware: {reason}")


def clocks() -> list[tuple[str, StampClock]]:
    """The best clock of each NIC of this machine, and of its virtual interfaces."""
    with RouteNetlink() as route:
        names = [link.name for link in route.links()]
    found = [(name, can_stamp(name)) for name in names if Path(DEVICE.format(name)).exists()]
    why = "not hardware: there is none"
    kernel = StampClock(KERNEL_CLOCK.name, KERNEL_CLOCK.about, why)
    return [*found, ("virtual interfaces", kernel)]


def open_clock(interface: str) -> tuple[StampClock, NicClock | None]:
    """The clock of a capture that begins at an interface; the NIC's own where that is switched on.

    Whoever claims the NIC switches it on.
    """
    best = can_stamp(interface)
    with Ethtool(interface) as ethtool:
        number = ethtool.stamping().clock
        setting = ethtool.stamp_setting()
    if best.name == KERNEL_CLOCK.name or number is None:
        return best, None
    if setting is None or not setting.all_received:
        why = f"not hardware: the stamps of {interface} are not switched on"
        return StampClock(KERNEL_CLOCK.name, KERNEL_CLOCK.about, why), None
    try:
        return best, NicClock(number)
    except LinkError as error:
        return StampClock(KERNEL_CLOCK.name, KERNEL_CLOCK.about, f"not hardware: {error}"), None


def before_stamps(interface: str) -> StampsBefore | None:
    """What must be put back once the NIC's stamps were switched on; None to leave them alone."""
    with Ethtool(interface) as ethtool:
        stamping = ethtool.stamping()
        setting = ethtool.stamp_setting()
    if not stamping.hardware or stamping.clock is None or setting is None or setting.all_received:
        return None
    return StampsBefore(flags=setting.flags, sent=setting.sent, received=setting.received)


def switch_on(interface: str, before: StampsBefore) -> None:
    """Let the NIC stamp all that arrives, and what it sends as it did; LinkError if refused."""
    with Ethtool(interface) as ethtool:
        ethtool.set_stamp_setting(StampSetting(before["flags"], before["sent"], FILTER_ALL))


def put_back(interface: str, before: StampsBefore) -> None:
    """Let the NIC stamp what it did before; LinkError if refused."""
    with Ethtool(interface) as ethtool:
        ethtool.set_stamp_setting(StampSetting(before["flags"], before["sent"], before["received"]))


def _nic_clock(interface: str, number: int) -> StampClock:
    return StampClock(
        f"PTP clock {number}",
        f"the hardware of {interface} as a frame arrives, told as CLOCK_REALTIME; of frames that "
        f"leave, {KERNEL_CLOCK.about.replace('gets', 'sends')}",
        "the NIC stamps every frame that arrives",
    )
