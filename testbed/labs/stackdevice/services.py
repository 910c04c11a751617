"""TCP and UDP services of a Python stack in a host's place."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from ipaddress import IPv4Address

from testbed.devices.values import Datagram, Flow, TransferResult, UdpAnswer
from testbed.errors import DeviceError, ExpectationFailed, PlanError
from testbed.hosts.stack_host import StackHost
from testbed.hosts.turning import Loop
from testbed.labs.stackdevice.transfers import Client, Server, seeded, socket_options
from testbed.stack.lower import NoRoute
from testbed.stack.refusals import Refused
from testbed.stack.services.http import HttpServer
from testbed.stack.udp_socket import UdpSocket
from testbed.timing import Duration, Instant

__all__ = ["StackServices"]

_KEPT = 1 << 22
"""Bytes that may wait for a UDP service: what the agent of a kernel host asks for."""


class _Echo:
    """A UDP service: every datagram is remembered and sent back."""

    def __init__(self, socket: UdpSocket) -> None:
        self.seen: list[Datagram] = []
        self.socket = socket
        socket.broadcast = True
        socket.discover = True  # as a kernel host's socket is, unless told otherwise
        socket.receive_buffer = _KEPT
        socket.on_datagram = self._take

    def _take(self, socket: UdpSocket, now: Instant) -> None:
        while (came := socket.receive()) is not None:
            self.seen.append(Datagram(f"{came.source}:{came.source_port}", came.payload))
            try:
                socket.send(came.payload, now, to=(came.source, came.source_port))
            except Refused:
                continue  # that there is no way back to the peer is for the peer to find out


class StackServices(ABC):
    """The part of ``Host`` that starts services and asks how they ended."""

    def __init__(self, name: str, loop: Loop) -> None:
        self.name = name
        self.loop = loop
        self._services: dict[tuple[str, int], Client | Server] = {}
        self._echoes: dict[int, _Echo] = {}
        self._webs: list[HttpServer] = []

    @property
    @abstractmethod
    def host(self) -> StackHost:
        """The stack at work."""

    def tcp_serve(
        self,
        port: int,
        *,
        send: int = 0,
        seed: int = 0,
        flow: Flow | None = None,
        connections: int = 1,
        backlog: int | None = None,
    ) -> None:
        """Start a TCP service: it takes connections, sends ``send`` seeded bytes, reads all."""
        flow = flow or Flow()
        self._refuse_running("server", port)
        host = self.host
        with_backlog = connections if backlog is None else backlog
        try:
            listener = host.stack.tcp.listen(
                port, host.now(), backlog=with_backlog, options=socket_options(flow)
            )
        except Refused as error:
            raise DeviceError(f"{self.name}: tcp_serve of port {port}: {error}") from error
        self._services["server", port] = Server(
            host, listener, seeded(send, seed), flow, connections
        )
        host.flush()

    def tcp_connect(
        self,
        to: str,
        port: int,
        *,
        send: int,
        seed: int = 0,
        source: str | None = None,
        source_port: int = 0,
        flow: Flow | None = None,
    ) -> None:
        """Start a client: it connects, sends ``send`` seeded bytes, shuts down, reads all."""
        flow = flow or Flow()
        self._refuse_running("client", port)
        host = self.host
        local = (None if source is None else IPv4Address(source), source_port)
        try:
            connection = host.stack.tcp.connect(
                (IPv4Address(to), port), host.now(), local=local, options=socket_options(flow)
            )
        except Refused as error:
            raise DeviceError(f"{self.name}: tcp_connect of port {port}: {error}") from error
        self._services["client", port] = Client(host, connection, seeded(send, seed), flow)
        host.flush()

    def tcp_result(self, role: str, port: int, *, within: Duration) -> tuple[TransferResult, ...]:
        """Wait for the ``server`` or ``client`` of ``port``: what it sent and what it received."""
        if role not in ("server", "client"):
            raise PlanError(f"a TCP service is 'server' or 'client', not {role!r}")
        service = self._services.get((role, port))
        if service is None:
            raise DeviceError(f"{self.name}: ENOENT: no {role} was started on port {port}")
        if not self.host.run_until(lambda: service.done, within):
            sent, received = service.octets
            raise ExpectationFailed(
                f"{self.name}: result of port {port}: EINPROGRESS: the {role} has not ended: it "
                f"has sent {sent} and received {received} octets"
            )
        return service.results

    def udp_serve(self, port: int, *, groups: tuple[tuple[str, str], ...] = ()) -> None:
        """Start a UDP service that records and echoes every datagram."""
        if port in self._echoes:
            raise DeviceError(f"{self.name}: EBUSY: a UDP service of port {port} is running")
        socket = self._open_udp(port)
        for group, at in groups:
            socket.join(IPv4Address(group), self._port_with(IPv4Address(at)), self.host.now())
        self._echoes[port] = _Echo(socket)
        self.host.flush()

    def udp_received(self, port: int, *, count: int = 1, within: Duration) -> tuple[Datagram, ...]:
        """What the UDP service of ``port`` received, once there are ``count`` or time is up."""
        if port not in self._echoes:
            raise DeviceError(f"{self.name}: ENOENT: no UDP service was started on port {port}")
        seen = self._echoes[port].seen
        self.host.run_until(lambda: len(seen) >= count, within)
        return tuple(seen)

    def udp_send(
        self, to: str, port: int, payload: bytes, *, df: bool = False, source: str | None = None
    ) -> str | None:
        """Send one datagram; returns the error's name (``EMSGSIZE``) or None."""
        return self.udp_ask(to, port, payload, df=df, source=source, within=Duration(0)).error

    def udp_ask(
        self,
        to: str,
        port: int,
        payload: bytes,
        *,
        df: bool = False,
        source: str | None = None,
        source_port: int = 0,
        within: Duration,
    ) -> UdpAnswer:
        """Send one datagram and wait for an answer, or for an ICMP error, ``within`` at most."""
        at = None if source is None else IPv4Address(source)
        host, socket = self.host, self._open_udp(source_port, at)
        try:
            return self._ask(socket, (IPv4Address(to), port), payload, df, within)
        except NoRoute:
            return UdpAnswer(None, "ENETUNREACH")
        except Refused as error:
            return UdpAnswer(None, error.errno_name)
        finally:
            socket.close(host.now())

    def _ask(
        self,
        socket: UdpSocket,
        peer: tuple[IPv4Address, int],
        payload: bytes,
        df: bool,
        within: Duration,
    ) -> UdpAnswer:
        host = self.host
        socket.broadcast = True
        socket.connect(*peer, host.now())
        socket.send(payload, host.now(), df=df)
        if within:
            host.run_until(lambda: socket.readable or socket.error is not None, within)
        else:
            host.flush()
        error, answer = socket.take_error(), socket.receive()
        if error is not None:
            return UdpAnswer(None, error.errno_name)
        return UdpAnswer(None if answer is None else answer.payload, None)

    def http_serve(self, port: int, pages: Mapping[str, bytes]) -> None:
        """Start a web server of ``pages``, by their paths; it closes after each answer."""
        host = self.host
        try:
            self._webs.append(HttpServer.on(host.stack, pages, host.now(), port=port))
        except Refused as error:
            raise DeviceError(f"{self.name}: http_serve of port {port}: {error}") from error

    def stop_services(self) -> None:
        """End every service and client that was started here."""
        for web in self._webs:
            web.close(self.host.now())
        self._webs.clear()
        for service in self._services.values():
            service.stop()
        self._services.clear()
        for echo in self._echoes.values():
            echo.socket.close(self.host.now())
        if self._echoes:
            self.host.flush()
        self._echoes.clear()

    def _open_udp(self, port: int, address: IPv4Address | None = None) -> UdpSocket:
        try:
            return self.host.stack.udp.open(self.host.now(), address, port)
        except Refused as error:
            raise DeviceError(f"{self.name}: UDP port {port}: {error}") from error

    def _port_with(self, address: IPv4Address) -> str | None:
        """The interface that has ``address``; None where the stack may choose."""
        links = self.host.stack.snapshot(self.host.now()).interfaces
        return next(
            (link.name for link in links for held in link.addresses if held.ip == address), None
        )

    def _refuse_running(self, role: str, port: int) -> None:
        service = self._services.get((role, port))
        if service is None:
            return
        if not service.done:
            raise DeviceError(f"{self.name}: EBUSY: a {role} of port {port} is still running")
        service.stop()
