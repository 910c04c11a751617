"""Faults that real stacks have had, each a ``Defect`` to switch on: one module per family.

Nobody of the good stack imports this. A plan's drill has one put in the place of a kernel host by
``faults.python_stack(defects.tcp.SCALES_UNAGREED)``.
"""

from testbed.stack.defects import (
    blackholes,
    closing,
    datagrams,
    dhcp,
    fragments,
    groups,
    handshake,
    ip,
    keepalive,
    pmtu,
    receiver,
    recovery,
    resending,
    segments,
    sender,
    services,
    silly,
    sliding,
    streams,
    syns,
    tcp,
    timeouts,
    udp,
    windows,
)

__all__ = [
    "blackholes",
    "closing",
    "datagrams",
    "dhcp",
    "fragments",
    "groups",
    "handshake",
    "ip",
    "keepalive",
    "pmtu",
    "receiver",
    "recovery",
    "resending",
    "segments",
    "sender",
    "services",
    "silly",
    "sliding",
    "streams",
    "syns",
    "tcp",
    "timeouts",
    "udp",
    "windows",
]
