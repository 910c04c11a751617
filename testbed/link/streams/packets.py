"""Streams sent through a packet socket, many frames a call: what works on every Linux."""

from __future__ import annotations

import ctypes
import errno
import os
import select
import socket
import threading
import time
from typing import Protocol

import numpy as np
import numpy.typing as npt

from testbed.errors import LinkError
from testbed.link.streams.job import Counted, Job, Outlet
from testbed.link.streams.pace import TICKS, Pace
from testbed.link.streams.render import Renderer, Rows
from testbed.timing import Duration

__all__ = ["BATCH", "PacketSender", "SocketSender", "can_send"]

BATCH = 256
"""Frames of one call, at most."""

SLACK = 5_000_000
"""By how many nanoseconds it may lag behind and still catch up; else the schedule begins anew."""

LONGEST_SLEEP = 50_000_000
SEND_BUFFER = 8 << 20
SOL_PACKET, PACKET_QDISC_BYPASS = 263, 20  # linux/if_packet.h
_PR_SET_TIMERSLACK = 29  # linux/prctl.h


class _Message(ctypes.Structure):
    """struct mmsghdr: a msghdr, and how much of it was sent."""

    _fields_ = (
        ("name", ctypes.c_void_p),
        ("name_length", ctypes.c_uint),
        ("vectors", ctypes.c_void_p),
        ("vector_count", ctypes.c_size_t),
        ("control", ctypes.c_void_p),
        ("control_length", ctypes.c_size_t),
        ("flags", ctypes.c_int),
        ("sent", ctypes.c_uint),
        ("unused", ctypes.c_uint),
    )


_libc = ctypes.CDLL(None, use_errno=True)


class Feed(Protocol):
    """Where the frames come from: ``rows`` with one each, of so many bytes as ``lengths`` says."""

    rows: Rows
    lengths: npt.NDArray[np.int64]

    @property
    def still(self) -> bool:
        """Whether every frame is the same, so that filling once is enough."""

    def fill(self, first: int, count: int, now: int) -> None:
        """Make the first ``count`` rows the frames from number ``first`` on, sent ``now``."""


class SocketSender(Counted):
    """Sends what a feed holds by sendmmsg(2), in a thread.

    ``captured`` sends the way of every other frame, through the queue in front of the NIC, where a
    capture on this machine sees them; else they go to the driver directly, which is faster.
    """

    name = "sendmmsg"

    def __init__(
        self,
        outlet: Outlet,
        feed: Feed,
        pace: Pace,
        *,
        limit: int,
        duration: Duration | None = None,
        captured: bool = False,
    ) -> None:
        super().__init__(outlet, duration)
        self._pace = pace
        self._paced_from = (0, 0)  # frames sent, and when, as the pace began
        self._limit = limit
        self._handed = 0
        self.behind = 0
        """How often the schedule was given up because the machine was 5 ms late."""
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._feed = feed
        # struct iovec, one per frame: where it is and how long.
        self._vectors = np.zeros((BATCH, 2), np.uint64)
        self._messages = self._lay_out()
        self._full = False
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        try:
            if not captured:
                self._socket.setsockopt(SOL_PACKET, PACKET_QDISC_BYPASS, 1)
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
            self._socket.bind((outlet.interface, 0))
        except OSError as error:
            self._socket.close()
            raise LinkError(f"{outlet.interface}: cannot send: {error.strerror}") from error

    @property
    def sent(self) -> int:
        """Frames sent so far."""
        return self._handed - self.lost

    @property
    def done(self) -> bool:
        """Whether all is sent, the time is over, or it was stopped."""
        thread = self._thread
        return self._stop.is_set() or (thread is not None and not thread.is_alive())

    def start(self) -> None:
        """Begin."""
        self._open()
        self._paced_from = (0, time.monotonic_ns())
        self._thread = threading.Thread(target=self._run, name="stream", daemon=True)
        self._thread.start()

    def wait(self, within: float) -> bool:
        """Wait until it is done, for so many seconds at most; whether it is."""
        if self._thread is not None:
            self._thread.join(within)
        return self.done

    def set_pace(self, pace: Pace) -> None:
        """Go on at another pace, from now on."""
        self._paced_from = (self._handed, time.monotonic_ns())
        self._pace = pace

    def stop(self) -> None:
        """Send no more; returns when nothing is under way."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        self._socket.close()
        self._settle(self._handed)

    def _lay_out(self) -> ctypes.Array[_Message]:
        rows = self._feed.rows
        messages = (_Message * BATCH)()
        for at, message in enumerate(messages):
            self._vectors[at, 0] = rows.ctypes.data + at * rows.shape[1]
            message.vectors = self._vectors.ctypes.data + at * self._vectors.itemsize * 2
            message.vector_count = 1
        return messages

    def _run(self) -> None:
        # Timers of this thread are to be exact: by default the kernel lets them be 50 us late.
        _libc.prctl(_PR_SET_TIMERSLACK, ctypes.c_ulong(1), 0, 0, 0)
        try:
            while not self._stop.is_set():
                now = time.monotonic_ns()
                if now >= self._end or self._handed >= self._limit:
                    return
                due = self._due(now)
                if due:
                    self._send(min(due, BATCH, self._limit - self._handed), now)
        except OSError as error:
            self.error = LinkError(f"{self.outlet.interface}: cannot send: {error.strerror}")

    def _due(self, now: int) -> int:
        """How many frames are due; having waited for the next, 0 where none is."""
        pace, (first, began) = self._pace, self._paced_from
        if pace.pps is None:
            return BATCH
        bursts = (now - began) * TICKS // pace.interval + 1
        due = bursts * pace.burst - (self._handed - first)
        if due > 0:
            late = (due - pace.burst) * pace.interval // pace.burst // TICKS
            if late > SLACK:
                self.behind += 1
                self._paced_from = (self._handed, now)
                return pace.burst
            return due
        next_at = began + bursts * pace.interval // TICKS
        time.sleep(max(0, min(next_at - now, LONGEST_SLEEP, self._end - now)) / 1e9)
        return 0

    def _send(self, count: int, now: int) -> None:
        feed = self._feed
        if not (feed.still and self._full):
            self._full = feed.still
            feed.fill(self._handed, BATCH if feed.still else count, now)
            self._vectors[:, 1] = feed.lengths
        self._hand_over(0, count)

    def _hand_over(self, first: int, count: int) -> None:
        """Send ``count`` rows from ``first`` on."""
        done, end = first, first + count
        while done < end and not self._stop.is_set():
            start = ctypes.byref(self._messages, done * ctypes.sizeof(_Message))
            sent = _libc.sendmmsg(self._socket.fileno(), start, end - done, socket.MSG_DONTWAIT)
            if sent > 0:
                done += sent
                self._handed += sent
                continue
            self._wait_for_room(ctypes.get_errno())

    def _wait_for_room(self, number: int) -> None:
        if number == errno.EAGAIN:
            select.select([], [self._socket], [], 0.01)
        elif number == errno.ENOBUFS:
            time.sleep(0.0001)  # the queue was full and dropped the frame: it goes again
        else:
            raise OSError(number, os.strerror(number))


class PacketSender(SocketSender):
    """``Sender`` of a job through a packet socket."""

    def __init__(self, job: Job, outlet: Outlet, *, captured: bool = False) -> None:
        self.job = job
        super().__init__(
            outlet,
            Renderer(job.blend, BATCH),
            job.pace,
            limit=job.limit,
            duration=job.duration,
            captured=captured,
        )


def can_send() -> tuple[bool, str]:
    """Whether this process may open packet sockets, and how or why not."""
    try:
        socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0).close()
    except OSError as error:
        return False, f"packet sockets are refused: {os.strerror(error.errno or errno.EPERM)}"
    return True, "for every frame on every interface"
