"""What a Python stack knows, in the values of capabilities."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address

from testbed.devices.values import ArpEntry, SocketInfo
from testbed.stack.neighbours import NeighbourState
from testbed.stack.stack import Stack
from testbed.stack.tcp.connection import Connection

__all__ = ["arp_entries", "socket_infos"]

_STATES = {"ESTABLISHED": "ESTAB", "SYN-RECEIVED": "SYN-RECV", "CLOSED": "UNCONN"}
"""The states that ss(8) calls otherwise than RFC 9293."""

_ANY = IPv4Address(0)

_UNLIMITED = 1 << 30  # RFC 5681 3.1: ssthresh "SHOULD be set arbitrarily high" at first

_KNOWN = (NeighbourState.REACHABLE, NeighbourState.PERMANENT)


def arp_entries(stack: Stack, ports: Iterable[str]) -> tuple[ArpEntry, ...]:
    """The neighbours that are known."""
    return tuple(
        ArpEntry(entry.address, entry.mac, port, entry.state is NeighbourState.PERMANENT)
        for port in ports
        for entry in stack.interface(port).neighbours
        if entry.state in _KNOWN and entry.mac is not None
    )


def socket_infos(stack: Stack) -> tuple[SocketInfo, ...]:
    """The TCP sockets, as ss(8) would tell them."""
    listening = tuple(
        SocketInfo(f"{each.address or _ANY}:{each.port}", f"{_ANY}:*", "LISTEN")
        for each in stack.tcp.listeners
    )
    return listening + tuple(_connection(each) for each in stack.tcp.connections)


def _connection(connection: Connection) -> SocketInfo:
    told = connection.snapshot()
    local, remote = (f"{address}:{port}" for address, port in (told.local, told.remote))
    state = str(told.state)
    segment = max(1, told.smss)
    return SocketInfo(
        local,
        remote,
        _STATES.get(state, state),
        rto=told.rto,
        rtt=told.srtt,
        cwnd=told.cwnd // segment,
        # What was never set is unlimited, which ss(8) leaves out.
        ssthresh=told.ssthresh // segment if told.ssthresh < _UNLIMITED else None,
        mss=told.smss,
        retransmits=told.retransmission_count,
        unacked=-(-told.flight // segment),
        backoff=connection.rtt.backoffs,
    )
