"""The state of a controller's NIC: read before it is used, watched while it is."""

from __future__ import annotations

import select
import time
from dataclasses import dataclass
from ipaddress import IPv4Interface, IPv6Interface

from testbed.errors import LinkError
from testbed.link.ethtool import Ethtool, Feature
from testbed.link.netlink import LinkRecord, RouteNetlink
from testbed.timing import Duration, format_duration
from testbed.wire.addresses import MacAddr

__all__ = ["LinkWatch", "NicState", "read_nic", "wait_for_link"]

RTMGRP_LINK = 0x1  # linux/rtnetlink.h: news of interfaces


@dataclass(frozen=True, slots=True)
class NicState:
    """What is known of one NIC at one moment.

    ``speed`` is in Mbit/s, None where the driver does not know. ``addresses`` are the IP addresses
    that the controller's own kernel holds on it: a NIC that has any is most likely not a tester
    NIC, for the kernel would answer in the plan's place.
    """

    interface: str
    index: int
    mac: MacAddr
    mtu: int
    admin_up: bool
    carrier: bool
    speed: int | None
    duplex: str | None
    driver: str
    bus: str
    features: dict[str, Feature]
    addresses: tuple[IPv4Interface | IPv6Interface, ...]

    def require_link(self) -> None:
        """Raise LinkError, with what to look at, unless frames can pass."""
        if not self.admin_up:
            raise LinkError(
                f"{self.interface} is administratively down; set it up: "
                f"ip link set {self.interface} up"
            )
        if not self.carrier:
            raise LinkError(
                f"{self.interface} ({self.driver}) has no link; see that the cable is plugged in "
                "at both ends and that the far port is up"
            )


def read_nic(interface: str) -> NicState:
    """The state of ``interface`` in this thread's network namespace.

    Raises LinkError when there is no such interface (naming those that exist) or when it is no
    Ethernet.
    """
    with RouteNetlink() as route:
        record = route.link(interface)
        addresses = tuple(entry.address for entry in route.addresses(record.index))
    if record.mac is None:
        raise LinkError(f"{interface} is no Ethernet interface: it has no MAC address")
    with Ethtool(interface) as ethtool:
        driver = ethtool.driver()
        mode = ethtool.mode()
        features = ethtool.features()
    return NicState(
        interface=interface,
        index=record.index,
        mac=record.mac,
        mtu=record.mtu,
        admin_up=record.admin_up,
        carrier=record.carrier,
        speed=mode.speed,
        duplex=mode.duplex,
        driver=driver.driver if driver else "unknown driver",
        bus=driver.bus if driver else "",
        features=features,
        addresses=addresses,
    )


def wait_for_link(interface: str, within: Duration) -> NicState:
    """Wait until ``interface`` has a link, as after setting it up; its state then.

    Blocks on the kernel's news. Raises LinkError when the time is up.
    """
    deadline = time.monotonic_ns() + within
    with RouteNetlink(RTMGRP_LINK) as news:
        while True:
            state = read_nic(interface)
            if state.admin_up and state.carrier:
                return state
            left = deadline - time.monotonic_ns()
            if left <= 0:
                break
            select.select([news], [], [], left / 1e9)
            news.drain()
    try:
        state.require_link()
    except LinkError as error:
        raise LinkError(f"{error} (waited {format_duration(within)})") from None
    return state


class LinkWatch:
    """Tells whether an interface stayed what it was since the watch began.

    The kernel counts each loss of carrier, so one that came and went between two looks is seen
    as well.
    """

    def __init__(self, interface: str) -> None:
        self.interface = interface
        self._route = RouteNetlink()
        try:
            self._first = self._route.link(interface)
        except BaseException:
            self._route.close()
            raise

    @property
    def index(self) -> int:
        """The interface's index; another interface of the same name has another."""
        return self._first.index

    def downs(self) -> int:
        """How often the link went down since the watch began, or since forgive()."""
        return self._now().carrier_downs - self._first.carrier_downs

    def missed(self) -> int:
        """Frames that the NIC itself lost since the watch began, before the kernel saw them."""
        return self._now().missed - self._first.missed

    def forgive(self) -> None:
        """Take the link's losses so far as meant (a plan pulled the cable): count from here."""
        now = self._now()
        self._first = LinkRecord(
            index=self._first.index,
            name=self._first.name,
            admin_up=now.admin_up,
            carrier=now.carrier,
            mac=self._first.mac,
            mtu=self._first.mtu,
            carrier_ups=now.carrier_ups,
            carrier_downs=now.carrier_downs,
            missed=self._first.missed,
        )

    def check(self) -> None:
        """Raise LinkError when the link is or was down, or the interface is not what it was."""
        name, first, now = self.interface, self._first, self._now()
        if not now.admin_up:
            raise LinkError(f"{name} was set administratively down while it was in use")
        downs = now.carrier_downs - first.carrier_downs
        if not now.carrier:
            raise LinkError(f"{name} lost its link while it was in use; see its cable and far port")
        if downs:
            times = "once" if downs == 1 else f"{downs} times"
            raise LinkError(f"{name} lost its link {times} while it was in use; it is back now")
        for what, then, since in (
            ("MAC address", first.mac, now.mac),
            ("MTU", first.mtu, now.mtu),
            ("name", first.name, now.name),
        ):
            if then != since:
                raise LinkError(f"{name}: its {what} changed from {then} to {since} while in use")

    def close(self) -> None:
        """Stop watching; closing twice is no error."""
        self._route.close()

    def _now(self) -> LinkRecord:
        try:
            return self._route.link(self._first.index)
        except LinkError:
            raise LinkError(
                f"{self.interface} is gone: the interface was removed while it was in use"
            ) from None
