"""NewReno: RFC 5681 with RFC 6582."""

from __future__ import annotations

from testbed.stack.tcp.congestion.reno import Reno

__all__ = ["NewReno"]


class NewReno(Reno):
    """As Reno, but a partial ACK keeps fast recovery going: several losses cost one halving."""

    __slots__ = ()

    name = "newreno"
    partial_acks = True
