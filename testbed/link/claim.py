"""Taking a NIC for the testbed and giving it back exactly as it was.

A claimed NIC shows what is on the cable and says nothing of its own: offloads are off, it is up,
and the controller's kernel neither speaks IPv6 on it, nor answers ARP, nor forwards. Where it can
stamp frames itself, it does.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from functools import partial
from pathlib import Path

from testbed.errors import LinkError
from testbed.link import offload, timestamping
from testbed.link.before import NicBefore
from testbed.link.ethtool import Ethtool
from testbed.link.netlink import RouteNetlink

__all__ = ["NicClaim", "claim", "restore"]

# /proc/sys/net is the reader's own network namespace, whichever proc is mounted. In this order:
# IPv6 is silenced before the link comes up and could send a solicitation.
_QUIET = {
    "ipv6/conf/{}/disable_ipv6": "1",
    "ipv4/conf/{}/arp_ignore": "8",  # the kernel's ARP answers for any address of the machine
    "ipv4/conf/{}/forwarding": "0",  # frames to the NIC's own MAC would leave by another NIC
}


class NicClaim:
    """A NIC taken for the testbed, until restore()."""

    def __init__(self, before: NicBefore, stuck: tuple[str, ...]) -> None:
        self.before = before
        self.stuck = stuck
        """Settings that could not be made: offloads the driver keeps on, files that are
        read-only, time stamps. Lengths or checksums on this NIC may not be those on the cable."""

    @property
    def interface(self) -> str:
        """The NIC's name."""
        return self.before["interface"]

    def restore(self) -> None:
        """Put everything back; doing it twice is no error."""
        restore(self.before)


def claim(interface: str, journal: Callable[[NicBefore], None] | None = None) -> NicClaim:
    """Take ``interface`` (of this thread's network namespace) for the testbed.

    ``journal`` gets what must be put back before anything is changed, so that it can outlive this
    process. Raises LinkError when there is no such interface, when a setting is refused, or when
    the NIC holds IPv6 addresses set by hand, which could not be put back.
    """
    before = _read(interface)
    if journal is not None:
        journal(before)
    try:
        stuck = _silence(interface)
        stuck += offload.switch_off(interface)
        stuck += _stamp(before)
        if not before["up"]:
            _set_admin(interface, up=True)
    except BaseException:
        restore(before)
        raise
    return NicClaim(before, stuck)


def restore(before: NicBefore) -> None:
    """Put a NIC back as it was, also from another process than the one that claimed it.

    An interface that is gone, or another one under its name, is left alone: there is nothing to
    put back. Raises LinkError when a setting is refused, after trying all of them.
    """
    interface = before["interface"]
    with RouteNetlink() as route:
        present = any(
            link.name == interface and link.index == before["index"] for link in route.links()
        )
    if not present:
        return
    refused: list[str] = []
    if not before["up"]:
        _attempt(refused, partial(_set_admin, interface, up=False))
    _attempt(refused, partial(offload.apply, interface, before["features"]))
    if "stamps" in before:
        _attempt(refused, partial(timestamping.put_back, interface, before["stamps"]))
    for path, value in before["sysctls"].items():
        _attempt(refused, partial(_write, path.format(interface), value))
    if refused:
        raise LinkError(f"{interface} is not as it was before: {'; '.join(refused)}")


def _read(interface: str) -> NicBefore:
    with RouteNetlink() as route:
        link = route.link(interface)
        addresses = route.addresses(link.index)
    static = [
        str(entry.address)
        for entry in addresses
        if entry.permanent and entry.address.version == 6 and not entry.address.is_link_local
    ]
    if static:
        raise LinkError(
            f"{interface} holds {', '.join(static)}: a tester NIC has IPv6 switched off, which "
            "would lose it. Use another NIC, or remove the address: "
            f"ip -6 addr del {static[0]} dev {interface}"
        )
    sysctls = {}
    for path in _QUIET:
        file = _sysctl(path.format(interface))
        if file.exists():  # a kernel without IPv6 has none to switch off
            sysctls[path] = file.read_text().strip()
    before = NicBefore(
        interface=interface,
        index=link.index,
        up=link.admin_up,
        sysctls=sysctls,
        features=offload.liars(interface),
    )
    stamps = timestamping.before_stamps(interface)
    if stamps is not None:
        before["stamps"] = stamps
    return before


def _stamp(before: NicBefore) -> tuple[str, ...]:
    """Switch the NIC's own time stamps on where it has them; what was refused."""
    try:
        if "stamps" in before:
            timestamping.switch_on(before["interface"], before["stamps"])
    except LinkError as error:
        return (str(error),)
    return ()


def _silence(interface: str) -> tuple[str, ...]:
    stuck = []
    for path, value in _QUIET.items():
        name = path.format(interface)
        file = _sysctl(name)
        if not file.exists() or file.read_text().strip() == value:
            continue
        try:
            _write(name, value)
        except LinkError as error:
            stuck.append(str(error))
    return tuple(stuck)


def _sysctl(name: str) -> Path:
    return Path("/proc/sys/net", name)


def _write(name: str, value: str) -> None:
    file = _sysctl(name)
    if file.read_text().strip() == value:
        return
    try:
        file.write_text(value)
    except OSError as error:
        hint = " (mounted read-only, as in a container)" if error.errno == errno.EROFS else ""
        raise LinkError(f"cannot write {value} to {file}: {error.strerror}{hint}") from error


def _set_admin(interface: str, *, up: bool) -> None:
    with Ethtool(interface) as ethtool:
        ethtool.set_admin(up=up)


def _attempt(refused: list[str], undo: Callable[[], None]) -> None:
    try:
        undo()
    except (LinkError, OSError) as error:
        refused.append(str(error))
