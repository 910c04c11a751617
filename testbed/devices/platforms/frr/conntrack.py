"""What connection tracking knows of translated packets, as Linux tells it in /proc."""

from __future__ import annotations

import re
from ipaddress import IPv4Address

from testbed.devices.base import quote
from testbed.devices.parsing import number, rows
from testbed.devices.values import NatEntry
from testbed.errors import DeviceError

__all__ = ["LIFETIMES", "READ_MAPPINGS", "forget_mappings", "parse_mappings"]

READ_MAPPINGS = "cat /proc/net/nf_conntrack"

LIFETIMES = {
    "tcp": ("net/netfilter/nf_conntrack_tcp_timeout_established",),
    "udp": (
        "net/netfilter/nf_conntrack_udp_timeout",
        "net/netfilter/nf_conntrack_udp_timeout_stream",
    ),
    "icmp": ("net/netfilter/nf_conntrack_icmp_timeout",),
}
"""The kernel settings, in seconds, of how long a connection is remembered that says nothing."""

_CONNECTION = re.compile(r"(ipv4|ipv6) +\d+ (\S+) +\d+ \d+ (.+)")
_FIELD = re.compile(r"(src|dst|sport|dport|id)=(\S+)")
_FLUSH = (
    # nfnetlink(7): a message of NFNL_SUBSYS_CTNETLINK, IPCTNL_MSG_CT_DELETE, that names no
    # connection deletes all; NLM_F_REQUEST | NLM_F_ACK; the answer holds an error number.
    "import socket, struct; s = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 12); "
    's.sendall(struct.pack("=IHHIIBBH", 20, 0x102, 5, 0, 0, 2, 0, 0)); '
    'exit(-struct.unpack_from("=i", s.recv(64), 16)[0])'
)


def forget_mappings() -> str:
    """Deletes all connections from the kernel's table; conntrack(8) need not be installed."""
    return quote("python3", "-c", _FLUSH)


def parse_mappings(text: str) -> tuple[NatEntry, ...]:
    """The mappings of sources in /proc/net/nf_conntrack, one row for each, sorted.

    A line holds a connection's ends as its first packet had them, then as its answers have them:
    where the answers go to another address than that packet came from, it was translated.
    """
    found = {
        entry
        for match in rows(text, _CONNECTION)
        if match[1] == "ipv4" and match[2] in LIFETIMES
        for entry in _mapping(match[2], _FIELD.findall(match[3]))
    }
    return tuple(sorted(found, key=lambda entry: (entry.protocol, entry.inside, entry.inside_port)))


def _mapping(protocol: str, ends: list[tuple[str, str]]) -> tuple[NatEntry, ...]:
    width = 3 if protocol == "icmp" else 4
    there, back = dict(ends[:width]), dict(ends[width:])
    mine, theirs = ("id", "id") if protocol == "icmp" else ("sport", "dport")
    try:
        if there["src"] == back["dst"]:
            return ()
        inside, outside = IPv4Address(there["src"]), IPv4Address(back["dst"])
        return (NatEntry(protocol, inside, number(there[mine]), outside, number(back[theirs])),)
    except (KeyError, ValueError):
        raise DeviceError(f"{ends} are not the two pairs of ends of a connection") from None
