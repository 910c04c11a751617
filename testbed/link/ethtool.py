"""A driver's own knowledge of its NIC: the ethtool ioctls, without the ethtool command."""

from __future__ import annotations

import errno
import fcntl
import socket
import struct
from collections.abc import Callable
from ctypes import addressof, c_char
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from testbed.errors import LinkError

__all__ = ["DriverInfo", "Ethtool", "Feature", "LinkMode", "StampSetting", "Stamping"]

# linux/sockios.h, linux/if.h
SIOCGIFFLAGS, SIOCSIFFLAGS, SIOCETHTOOL = 0x8913, 0x8914, 0x8946
SIOCSHWTSTAMP, SIOCGHWTSTAMP = 0x89B0, 0x89B1
IFF_UP = 0x1
IFNAMSIZ = 16
IFREQ_SIZE = 40

# linux/ethtool.h
ETHTOOL_GSET, ETHTOOL_GDRVINFO = 0x01, 0x03
ETHTOOL_GSTRINGS, ETHTOOL_GSSET_INFO = 0x1B, 0x37
ETHTOOL_GFEATURES, ETHTOOL_SFEATURES = 0x3A, 0x3B
ETHTOOL_GET_TS_INFO = 0x41
ETHTOOL_GCHANNELS = 0x3C
ETH_SS_FEATURES = 4
ETH_GSTRING_LEN = 32
DRVINFO_SIZE = 196
CHANNELS = struct.Struct("=9I")  # struct ethtool_channels
SETTINGS = struct.Struct("=3IH6B2IH2B3I")  # ethtool_cmd
SPEED_UNKNOWN = 0xFFFFFFFF
DUPLEX = {0: "half", 1: "full"}
BLOCK = struct.Struct("=4I")  # ethtool_get_features_block: available, requested, active, never
SET_BLOCK = struct.Struct("=2I")  # ethtool_set_features_block: valid, requested
TS_INFO = struct.Struct("=IIiI12xI12x")  # ethtool_ts_info

# linux/net_tstamp.h
HWTSTAMP = struct.Struct("=3i")  # hwtstamp_config
RX_HARDWARE, RX_SOFTWARE, RAW_HARDWARE = 1 << 2, 1 << 3, 1 << 6  # SOF_TIMESTAMPING_...
FILTER_ALL = 1  # HWTSTAMP_FILTER_ALL


@dataclass(frozen=True, slots=True)
class DriverInfo:
    """Which driver serves the NIC, and where the NIC sits."""

    driver: str
    version: str
    firmware: str
    bus: str


@dataclass(frozen=True, slots=True)
class LinkMode:
    """What the two ends agreed on: megabits a second, ``half`` or ``full``; None where unknown."""

    speed: int | None
    duplex: str | None


@dataclass(frozen=True, slots=True)
class Feature:
    """One offload: can it be changed, is it wanted on, is it on."""

    changeable: bool
    wanted: bool
    active: bool


@dataclass(frozen=True, slots=True)
class Stamping:
    """With what the NIC and its driver can stamp frames that arrive."""

    hardware: bool
    """The NIC itself can stamp each one."""
    software: bool
    """The kernel stamps them."""
    clock: int | None
    """The number of the NIC's own clock: ``/dev/ptp0`` and so on; None where it has none."""


@dataclass(frozen=True, slots=True)
class StampSetting:
    """What a NIC stamps: flags, which sent frames, which received ones (hwtstamp_config)."""

    flags: int
    sent: int
    received: int

    @property
    def all_received(self) -> bool:
        """Whether it stamps every frame that arrives."""
        return self.received == FILTER_ALL


class Ethtool:
    """The ioctls of one interface, in the network namespace of the thread that opens it."""

    def __init__(self, interface: str) -> None:
        name = interface.encode()
        if not 0 < len(name) < IFNAMSIZ:
            raise LinkError(f"{interface!r} is no interface name: expected 1 to 15 bytes")
        self.interface = interface
        self._name = name
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)

    def close(self) -> None:
        """Release the socket; closing twice is no error."""
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self.close()

    def set_admin(self, *, up: bool) -> None:
        """Set the interface administratively up or down."""
        request = bytearray(struct.pack(f"{IFNAMSIZ}s", self._name).ljust(IFREQ_SIZE, b"\0"))
        try:
            fcntl.ioctl(self._socket, SIOCGIFFLAGS, request)
            (flags,) = struct.unpack_from("=H", request, IFNAMSIZ)
            flags = flags | IFF_UP if up else flags & ~IFF_UP
            struct.pack_into("=H", request, IFNAMSIZ, flags)
            fcntl.ioctl(self._socket, SIOCSIFFLAGS, request)
        except OSError as error:
            state = "up" if up else "down"
            raise LinkError(f"{self.interface}: cannot set it {state}: {_why(error)}") from error

    def driver(self) -> DriverInfo | None:
        """The driver's name and the like; None when it tells nothing."""
        answer = bytearray(struct.pack("=I", ETHTOOL_GDRVINFO).ljust(DRVINFO_SIZE, b"\0"))
        if not self._asked(answer):
            return None
        fields = struct.unpack_from("=4x32s32s32s32s", answer)
        return DriverInfo(*(field.partition(b"\0")[0].decode(errors="replace") for field in fields))

    def mode(self) -> LinkMode:
        """Speed and duplex; None each where the driver does not know or the link is down."""
        answer = bytearray(struct.pack("=I", ETHTOOL_GSET).ljust(SETTINGS.size, b"\0"))
        if not self._asked(answer):
            return LinkMode(None, None)
        fields = SETTINGS.unpack(answer)
        speed = fields[3] | fields[12] << 16
        known = 0 < speed < 0xFFFF or 0xFFFF < speed < SPEED_UNKNOWN
        return LinkMode(speed if known else None, DUPLEX.get(fields[4]))

    def receive_queues(self) -> int:
        """By how many queues frames come in at a time; 1 where the driver does not tell."""
        answer = bytearray(struct.pack("=I", ETHTOOL_GCHANNELS).ljust(CHANNELS.size, b"\0"))
        if not self._asked(answer):
            return 1
        _, _, _, _, _, receiving, _, _, combined = CHANNELS.unpack(answer)
        return int(max(1, receiving + combined))

    def features(self) -> dict[str, Feature]:
        """Every offload that this kernel knows, by the kernel's own name for it."""
        names = self._feature_names()
        blocks = (len(names) + 31) // 32
        size = 8 + blocks * BLOCK.size
        answer = bytearray(struct.pack("=2I", ETHTOOL_GFEATURES, blocks).ljust(size, b"\0"))
        if not self._asked(answer):
            return {}
        words = [BLOCK.unpack_from(answer, 8 + n * BLOCK.size) for n in range(blocks)]
        found = {}
        for bit, name in enumerate(names):
            available, requested, active, never = (w >> bit % 32 & 1 for w in words[bit // 32])
            changeable = bool(available and not never)
            found[name] = Feature(changeable, bool(requested), bool(active))
        found.pop("", None)
        return found

    def set_features(self, wanted: dict[str, bool]) -> None:
        """Want these offloads on or off, all in one call; LinkError when the driver refuses."""
        names = self._feature_names()
        valid = [0] * ((len(names) + 31) // 32)
        on = list(valid)
        for bit, name in enumerate(names):
            if name in wanted:
                valid[bit // 32] |= 1 << bit % 32
                on[bit // 32] |= wanted[name] << bit % 32
        request = bytearray(struct.pack("=2I", ETHTOOL_SFEATURES, len(valid)))
        for pair in zip(valid, on, strict=True):
            request += SET_BLOCK.pack(*pair)
        try:
            self._ioctl(request)
        except OSError as error:
            text = f"{self.interface}: cannot switch offloads {', '.join(sorted(wanted))}"
            raise LinkError(f"{text}: {_why(error)}") from error

    def stamping(self) -> Stamping:
        """With what frames that arrive can be stamped."""
        answer = bytearray(struct.pack("=I", ETHTOOL_GET_TS_INFO).ljust(TS_INFO.size, b"\0"))
        if not self._asked(answer):
            return Stamping(hardware=False, software=False, clock=None)
        _, kinds, clock, _, filters = TS_INFO.unpack(answer)
        hardware = RX_HARDWARE | RAW_HARDWARE
        return Stamping(
            hardware=kinds & hardware == hardware and bool(filters & 1 << FILTER_ALL),
            software=bool(kinds & RX_SOFTWARE),
            clock=clock if clock >= 0 else None,
        )

    def stamp_setting(self) -> StampSetting | None:
        """What the NIC stamps now; None where it stamps nothing, or does not tell."""
        answer = bytearray(HWTSTAMP.size)
        try:
            self._ioctl(answer, SIOCGHWTSTAMP)
        except OSError:
            return None
        return StampSetting(*HWTSTAMP.unpack(answer))

    def set_stamp_setting(self, setting: StampSetting) -> StampSetting:
        """Let the NIC stamp these frames, and what it then says it does; LinkError if refused."""
        data = bytearray(HWTSTAMP.pack(setting.flags, setting.sent, setting.received))
        try:
            self._ioctl(data, SIOCSHWTSTAMP)
        except OSError as error:
            what = f"{self.interface}: cannot switch its time stamps"
            raise LinkError(f"{what}: {_why(error)}") from error
        return StampSetting(*HWTSTAMP.unpack(data))

    def _feature_names(self) -> list[str]:
        count = bytearray(struct.pack("=2IQI", ETHTOOL_GSSET_INFO, 0, 1 << ETH_SS_FEATURES, 0))
        if not self._asked(count):
            return []
        (length,) = struct.unpack_from("=I", count, 16)
        head = struct.pack("=3I", ETHTOOL_GSTRINGS, ETH_SS_FEATURES, length)
        answer = bytearray(head.ljust(12 + length * ETH_GSTRING_LEN, b"\0"))
        self._ioctl(answer)
        starts = range(12, len(answer), ETH_GSTRING_LEN)
        return [answer[s : s + ETH_GSTRING_LEN].partition(b"\0")[0].decode() for s in starts]

    def _asked(self, answer: bytearray) -> bool:
        """Fill ``answer``; False when this driver does not do what was asked."""
        try:
            self._ioctl(answer)
        except OSError as error:
            if error.errno in (errno.EOPNOTSUPP, errno.EPERM):
                return False
            raise LinkError(f"{self.interface}: the driver does not answer: {error}") from error
        return True

    def _ioctl(self, data: bytearray, number: int = SIOCETHTOOL) -> None:
        pinned = (c_char * len(data)).from_buffer(data)  # the kernel writes through its address
        request = struct.pack(f"{IFNAMSIZ}sP", self._name, addressof(pinned))
        fcntl.ioctl(self._socket, number, request.ljust(IFREQ_SIZE, b"\0"))


def _why(error: OSError) -> str:
    reasons: dict[int | None, Callable[[], str]] = {
        errno.EPERM: lambda: (
            "not allowed; run as root, or within a user namespace that owns the NIC"
        ),
        errno.ENODEV: lambda: "it is gone",
    }
    return reasons.get(error.errno, lambda: f"{error.strerror}")()
