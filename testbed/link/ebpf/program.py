"""Programs in the kernel: loading, trying, running, attaching."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import struct
from dataclasses import dataclass
from enum import IntEnum
from types import TracebackType
from typing import Self

from testbed.link.ebpf.syscall import BpfError, Command, address, bpf, pinned

__all__ = ["Helper", "Program", "Verdict", "XdpAction", "XdpLink"]

_XDP = 6  # linux/bpf.h: BPF_PROG_TYPE_XDP
_ATTACH_XDP = 37  # BPF_XDP
_LIVE_FRAMES = 1 << 1  # BPF_F_TEST_XDP_LIVE_FRAMES
_HAS_FRAGMENTS = 1 << 5  # BPF_F_XDP_HAS_FRAGS
_OF_DEVICE = 1 << 6  # BPF_F_XDP_DEV_BOUND_ONLY
_LOAD = struct.Struct("=IIQQIIQII16sII")
_RUN = struct.Struct("=IIIIQQIIIIQQIII")
_LOG_SIZE = 1 << 20
_LOG_SHOWN = 4000
FRAME_MOST = 65535


class XdpAction(IntEnum):
    """What an XDP program has done with a frame (linux/bpf.h, enum xdp_action)."""

    ABORTED = 0
    DROP = 1
    PASS = 2
    TX = 3
    REDIRECT = 4


class Helper(IntEnum):
    """Functions of the kernel that programs call (linux/bpf.h, ___BPF_FUNC_MAPPER)."""

    MAP_LOOKUP_ELEM = 1
    KTIME_GET_NS = 5
    GET_PRANDOM_U32 = 7
    GET_SMP_PROCESSOR_ID = 8
    REDIRECT = 23
    XDP_ADJUST_HEAD = 44
    XDP_ADJUST_TAIL = 65
    XDP_GET_BUFF_LEN = 188
    XDP_LOAD_BYTES = 189
    XDP_STORE_BYTES = 190


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a program made of a frame."""

    action: int
    frame: bytes
    nanoseconds: int
    """The mean time of one run."""


class Program:
    """An XDP program, accepted by the verifier; gone when this is closed and nothing runs it.

    ``fragments``: it takes frames that lie in several pieces of memory, as long ones do on an
    interface with a large MTU (Linux 5.18); only the first piece is between the frame's pointers.
    ``device``: the index of the one interface that it is for, whose driver it asks what travels
    beside a frame (Linux 6.3); it cannot be tried then, or run.
    Raises BpfError, with what the verifier said, when it is refused.
    """

    def __init__(
        self, code: bytes, name: str = "testbed", *, fragments: bool = False, device: int = 0
    ) -> None:
        self.name = name
        flags = (_HAS_FRAGMENTS if fragments else 0) | (_OF_DEVICE if device else 0)
        self.fd = _load(code, name, flags, device)

    def try_on(self, frame: bytes, *, repeat: int = 1) -> Verdict:
        """Run it on a frame that goes nowhere."""
        given = pinned(frame)
        made = ctypes.create_string_buffer(FRAME_MOST)
        attributes = pinned(
            _RUN.pack(
                self.fd, 0, len(frame), len(made), address(given), address(made), repeat, 0,
                0, 0, 0, 0, 0, 0, 0,
            ).ljust(80, b"\0")
        )  # fmt: skip
        try:
            bpf(Command.PROG_TEST_RUN, attributes)
        except OSError as error:
            raise BpfError(f"program {self.name} cannot be tried", error.errno or 0) from error
        done = _RUN.unpack_from(attributes.raw)
        return Verdict(action=done[1], frame=made.raw[: done[3]], nanoseconds=done[7])

    def run_live(self, frame: bytes, repeat: int, *, batch: int = 64) -> bool:
        """Run it ``repeat`` times on copies of ``frame`` that go where its verdict says.

        Blocks, without holding up other threads; False when a signal to this thread ended it.
        Frames are kept and used again: one comes back with the bytes that it was left with. Needs
        Linux 5.18. ``repeat`` has 32 bits; a call takes some 30 ms to end, so make few.
        """
        given = pinned(frame)
        context = pinned(struct.pack("=6I", 0, len(frame), 0, 0, 0, 0))  # xdp_md
        attributes = pinned(
            _RUN.pack(
                self.fd, 0, len(frame), 0, address(given), 0, repeat, 0,
                len(context), 0, address(context), 0, _LIVE_FRAMES, 0, batch,
            ).ljust(80, b"\0")
        )  # fmt: skip
        try:
            bpf(Command.PROG_TEST_RUN, attributes)
        except OSError as error:
            if error.errno == errno.EINTR:
                return False
            raise BpfError(f"program {self.name} cannot be run", error.errno or 0) from error
        return True

    def close(self) -> None:
        """Let go of it; closing twice is no error."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self.close()


class XdpLink:
    """A program at work on what arrives at an interface, until close() or the process ends.

    The attachment is a descriptor: however this process ends, the kernel detaches the program.
    Raises BpfError where the interface takes none, or has one.
    """

    def __init__(self, program: Program, index: int) -> None:
        attributes = struct.pack("=4I", program.fd, index, _ATTACH_XDP, 0).ljust(64, b"\0")
        try:
            self.fd = bpf(Command.LINK_CREATE, pinned(attributes))
        except OSError as error:
            what = f"program {program.name} cannot be attached to interface {index}"
            raise BpfError(what, error.errno or 0) from error

    def replace(self, program: Program) -> None:
        """Put another program in the place of the one at work: no frame falls between the two."""
        attributes = pinned(struct.pack("=4I", self.fd, program.fd, 0, 0).ljust(64, b"\0"))
        try:
            bpf(Command.LINK_UPDATE, attributes)
        except OSError as error:
            raise BpfError(f"program {program.name} cannot take over", error.errno or 0) from error

    def close(self) -> None:
        """Detach, at once; closing twice is no error."""
        if self.fd >= 0:
            # A child that has not yet become another program may hold the descriptor as well.
            with contextlib.suppress(OSError):  # the interface is gone
                bpf(Command.LINK_DETACH, pinned(struct.pack("=I", self.fd)))
            os.close(self.fd)
            self.fd = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self.close()


def _load(code: bytes, name: str, flags: int, device: int) -> int:
    try:
        return _try_load(code, name, flags, device, None)
    except OSError as error:
        failure = error
    # Only a refused program is worth the verifier's time for words.
    log = ctypes.create_string_buffer(_LOG_SIZE)
    if failure.errno != errno.EPERM:
        try:
            return _try_load(code, name, flags, device, log)
        except OSError as error:
            failure = error
    said = log.value.decode(errors="replace").strip()
    raise BpfError(
        f"program {name} is refused", failure.errno or 0, said[-_LOG_SHOWN:]
    ) from failure


def _try_load(
    code: bytes, name: str, flags: int, device: int, log: ctypes.Array[ctypes.c_char] | None
) -> int:
    instructions = pinned(code)
    # "GPL" is what helpers such as bpf_ktime_get_ns ask of a program; it names no licence of ours.
    licence = pinned(b"GPL\0")
    attributes = _LOAD.pack(
        _XDP, len(code) // 8, address(instructions), address(licence),
        1 if log else 0, len(log) if log else 0, address(log) if log else 0,
        0, flags, name.encode()[:15], device, _ATTACH_XDP,
    )  # fmt: skip
    return bpf(Command.PROG_LOAD, pinned(attributes.ljust(144, b"\0")))
