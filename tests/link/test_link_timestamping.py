"""Clocks of NICs: probed, switched on and put back; no NIC here has one, so drivers are played."""

import socket
import struct
import time
from collections.abc import Iterator

import pytest
from netns import Namespace, sh

from testbed.errors import LinkError
from testbed.link import ethtool, timestamping
from testbed.link.afpacket import AfPacketPort
from testbed.link.claim import claim, restore
from testbed.link.ethtool import (
    ETHTOOL_GET_TS_INFO,
    SIOCGHWTSTAMP,
    SIOCSHWTSTAMP,
    Ethtool,
    Stamping,
    StampSetting,
)
from testbed.link.ring import TP_STATUS_TS_RAW_HARDWARE, ReceiveRing
from testbed.link.timestamping import KERNEL_CLOCK, NicClock, can_stamp, open_clock

FRAME = bytes.fromhex("02000000000b02000000000a88b5") + bytes(46)
NOW = 1_700_000_000 * 10**9

# ethtool_ts_info as drivers fill it: command, kinds of stamps, clock, sent (types), received
# (filters), little-endian, the reserved words between them.
IGB = bytes.fromhex(
    "41000000 5f000000 00000000 03000000 000000000000000000000000 03000000 000000000000000000000000"
)
ONLY_PTP = bytes.fromhex(
    "41000000 5f000000 02000000 03000000 000000000000000000000000 01100000 000000000000000000000000"
)
NO_CLOCK = bytes.fromhex(
    "41000000 5f000000 ffffffff 03000000 000000000000000000000000 03000000 000000000000000000000000"
)
VETH = bytes.fromhex(
    "41000000 1a000000 ffffffff 00000000 000000000000000000000000 00000000 000000000000000000000000"
)


class Driver:
    """Answers for a NIC's driver what concerns stamps; all else goes to the real one."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, info: bytes, received: int = 0) -> None:
        self.info = info
        self.setting = struct.pack("=3i", 0, 1, received)
        self.refuses = False
        real = Ethtool._ioctl

        def ioctl(asking: Ethtool, data: bytearray, number: int = ethtool.SIOCETHTOOL) -> None:
            if number == SIOCGHWTSTAMP:
                data[:] = self.setting
            elif number == SIOCSHWTSTAMP:
                if self.refuses:
                    raise OSError(34, "Numerical result out of range")
                self.setting = bytes(data)
            elif data[0] == ETHTOOL_GET_TS_INFO:
                data[:] = self.info
            else:
                real(asking, data, number)

        monkeypatch.setattr(Ethtool, "_ioctl", ioctl)

    @property
    def stamps(self) -> tuple[int, ...]:
        return struct.unpack("=3i", self.setting)


class Quartz:
    """A NIC's clock that is read as the kernel reads it, and runs fast or slow."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, ppm: int) -> None:
        self.wall = NOW
        self.ppm = ppm
        self.broken = False
        monkeypatch.setattr(timestamping.time, "monotonic_ns", lambda: self.wall - NOW)

    def nic(self, wall: int) -> int:
        return 5_000_000_000 + (wall - NOW) * (1_000_000 + self.ppm) // 1_000_000

    def look(self, answer: bytearray) -> None:
        if self.broken:
            raise OSError(19, "No such device")
        (samples,) = struct.unpack_from("=I", answer)
        assert len(answer) == 1216  # sizeof(struct ptp_sys_offset_extended)
        for number in range(samples):
            # The third look is the quickest; the others were interrupted while they lasted.
            width = 1_000 if number == 2 else 90_000
            times = (self.wall - width // 2, self.nic(self.wall), self.wall + width // 2)
            if number != 2:
                times = (times[0], times[1] + 30_000, times[2])
            for place, at in enumerate(times):
                struct.pack_into("=qI", answer, 16 + 48 * number + 16 * place, *divmod(at, 10**9))


@pytest.mark.parametrize(
    ("info", "expected"),
    [
        (IGB, Stamping(hardware=True, software=True, clock=0)),
        (ONLY_PTP, Stamping(hardware=False, software=True, clock=2)),
        (NO_CLOCK, Stamping(hardware=True, software=True, clock=None)),
        (VETH, Stamping(hardware=False, software=True, clock=None)),
    ],
)
def test_what_a_driver_says_of_its_stamps_is_read(
    monkeypatch: pytest.MonkeyPatch, info: bytes, expected: Stamping
) -> None:
    Driver(monkeypatch, info)
    with Ethtool("lo") as asked:
        assert asked.stamping() == expected
    assert (can_stamp("lo").name == "PTP clock 0") == (info == IGB)
    if info != IGB:
        assert can_stamp("lo").why.startswith("not hardware: ")


def test_a_veth_is_stamped_by_the_kernel_as_ethtool_says(
    netns: Namespace, veth: tuple[str, str]
) -> None:
    said = sh("ethtool", "-T", veth[0])
    assert "hardware-receive" not in said
    assert "software-receive" in said
    with Ethtool(veth[0]) as asked:
        assert asked.stamping() == Stamping(hardware=False, software=True, clock=None)
        assert asked.stamp_setting() is None
        with pytest.raises(LinkError, match="cannot switch its time stamps"):
            asked.set_stamp_setting(StampSetting(0, 0, 1))
    clock, nic = open_clock(veth[0])
    assert nic is None
    assert (clock.name, clock.about) == (KERNEL_CLOCK.name, KERNEL_CLOCK.about)
    assert clock.why == "not hardware: va has no hardware stamps of every frame that arrives"
    port = AfPacketPort("a", veth[0])
    assert port.clock == f"{KERNEL_CLOCK}"
    port.close()
    claimed = claim(veth[0])
    assert "stamps" not in claimed.before
    claimed.restore()


def test_a_claimed_nic_stamps_all_that_arrives_until_it_is_given_back(
    netns: Namespace, veth: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    driver = Driver(monkeypatch, IGB, received=12)  # HWTSTAMP_FILTER_PTP_V2_EVENT
    noted = []
    claimed = claim(veth[0], noted.append)
    assert driver.stamps == (0, 1, 1)
    assert noted[0]["stamps"] == {"flags": 0, "sent": 1, "received": 12}
    assert claimed.stuck == ()
    restore(noted[0])  # as another process would, after this one was killed
    assert driver.stamps == (0, 1, 12)


def test_stamps_that_are_on_already_or_refused_are_left_alone(
    netns: Namespace, veth: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    driver = Driver(monkeypatch, IGB, received=1)
    claimed = claim(veth[0])
    assert "stamps" not in claimed.before
    claimed.restore()
    assert driver.stamps == (0, 1, 1)
    driver = Driver(monkeypatch, IGB)
    driver.refuses = True
    claimed = claim(veth[0])
    assert "cannot switch its time stamps" in claimed.stuck[-1]
    driver.refuses = False
    claimed.restore()


def test_the_nics_own_clock_is_taken_only_where_it_is_on_and_can_be_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    driver = Driver(monkeypatch, IGB)
    clock, nic = open_clock("lo")
    assert (clock.name, nic) == (KERNEL_CLOCK.name, None)
    assert clock.why == "not hardware: the stamps of lo are not switched on"
    driver.setting = struct.pack("=3i", 0, 1, 1)
    monkeypatch.setattr(timestamping, "NicClock", lambda number: f"clock {number}")
    clock, nic = open_clock("lo")
    assert (clock.name, nic) == ("PTP clock 0", "clock 0")
    assert str(clock).startswith(
        "PTP clock 0: the hardware of lo as a frame arrives, told as CLOCK"
    )
    monkeypatch.undo()
    Driver(monkeypatch, IGB.replace(b"\x5f\0\0\0\0\0\0\0", b"\x5f\0\0\0\x63\0\0\0"), received=1)
    clock, nic = open_clock("lo")
    assert (clock.name, nic) == (KERNEL_CLOCK.name, None)
    assert clock.why == "not hardware: /dev/ptp99 cannot be opened: No such file or directory"


@pytest.mark.parametrize("ppm", [0, 80, -80])
def test_stamps_of_a_nics_clock_become_wall_time(monkeypatch: pytest.MonkeyPatch, ppm: int) -> None:
    quartz = Quartz(monkeypatch, ppm)
    with NicClock(0, quartz.look) as clock:
        for step in range(40):
            quartz.wall = NOW + step * 60_000_000
            wrong = abs(clock.to_wall(quartz.nic(quartz.wall)) - quartz.wall)
            # Until it was looked at twice, nobody knows how much too fast it runs.
            assert wrong <= (25_000 if step < 5 else 20)
        quartz.broken = True
        quartz.wall += 10**9
        assert abs(clock.to_wall(quartz.nic(quartz.wall)) - quartz.wall) < 1000
    quartz.broken = True
    with pytest.raises(LinkError, match="/dev/ptp0 cannot be read: No such device"):
        NicClock(0, quartz.look)


@pytest.fixture
def ring(netns: Namespace, veth: tuple[str, str]) -> Iterator[tuple[ReceiveRing, socket.socket]]:
    with (
        socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as heard,
        socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as sender,
    ):
        made = ReceiveRing(heard, 1500, 1 << 20, lambda stamp: stamp + NOW)
        heard.bind((veth[1], 3))
        sender.bind((veth[0], 0))
        yield made, sender
        made.close()


def test_a_frame_that_the_nic_stamped_has_its_time_and_others_the_kernels(
    ring: tuple[ReceiveRing, socket.socket],
) -> None:
    made, sender = ring
    before = time.time_ns()
    for _ in range(3):
        sender.send(FRAME)
    # tpacket2_hdr of the second, as the kernel leaves it for a NIC with stamps.
    head = struct.Struct("=IIIHHII")
    at = made._offsets[1]
    status, *rest, _, _ = head.unpack_from(made._memory, at)
    assert not status & TP_STATUS_TS_RAW_HARDWARE
    head.pack_into(made._memory, at, status | TP_STATUS_TS_RAW_HARDWARE, *rest, 7, 5)
    times = sorted(frame.at for frame in made.take())
    assert times[0] == NOW + 7_000_000_005
    assert before <= times[1] <= times[2] <= time.time_ns()
