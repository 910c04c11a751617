"""A TCP connection between two hosts of a plan that carries known bytes both ways."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Self

from testbed.capture import PointView, tcpflow
from testbed.devices.capabilities import Host
from testbed.devices.values import Flow
from testbed.errors import ExpectationFailed
from testbed.timing import Duration
from testbed.wire import TcpFlags

__all__ = ["Transfer"]

CLIENT_SEEDS = 1 << 16
"""Added to the port for the client's seed, so that both sides send something else."""


@dataclass(frozen=True, slots=True)
class Transfer:
    """One connection: ``up`` are the bytes that its client sends, ``down`` those of its server."""

    client: Host
    server: Host
    port: int
    up: bytes
    down: bytes

    @classmethod
    def of(cls, client: Host, server: Host, port: int, *, up: int, down: int) -> Self:
        """A transfer of so many bytes up and down, which the port's number determines."""
        return cls(client, server, port, _seeded(up, port + CLIENT_SEEDS), _seeded(down, port))

    def start(self, to: str, client_flow: Flow | None, server_flow: Flow | None) -> None:
        """Let the server listen, then the client connect to the address ``to``."""
        port = self.port
        self.server.tcp_serve(port, send=len(self.down), seed=port, flow=server_flow)
        seed = port + CLIENT_SEEDS
        self.client.tcp_connect(to, port, send=len(self.up), seed=seed, flow=client_flow)

    def flow(self, view: PointView) -> tcpflow.Connection:
        """The connection where ``view`` looks, both directions; ExpectationFailed if none began.

        Remains of an earlier connection between the same ports are left out: they have no SYN.
        """
        every = tcpflow.connections(view.both)
        mine = [
            each
            for each in every
            if each.server.port == self.port and each.up[0].tcp.flags & TcpFlags.SYN
        ]
        if not mine:
            raise ExpectationFailed(
                f"{view.point}: {self.client.name} opened no connection to port {self.port}"
            )
        return mine[-1]

    def expect_intact(self, within: Duration) -> None:
        """Wait until both hosts have finished; ExpectationFailed unless each has every byte."""
        sides = (("client", self.client, self.down), ("server", self.server, self.up))
        for role, host, expected in sides:
            where = f"{host.name}, {role} of port {self.port}"
            sent, received = host.tcp_result(role, self.port, within=within)
            for way, result in (("sending", sent), ("receiving", received)):
                if result.error is not None:
                    raise ExpectationFailed(
                        f"{where}: {way} ended with {result.error} after {result.octets} octets"
                    )
            if received.octets != len(expected):
                raise ExpectationFailed(
                    f"{where}: received {received.octets} octets, the peer sent {len(expected)}"
                )
            if received.sha256 != hashlib.sha256(expected).hexdigest():
                raise ExpectationFailed(
                    f"{where}: received {received.octets} octets, but not those that the peer sent"
                )


def _seeded(size: int, seed: int) -> bytes:
    """What a host's service sends for ``seed``: SHAKE128 (FIPS 202) of the seed as 8 bytes."""
    return hashlib.shake_128(seed.to_bytes(8, "big")).digest(size)
