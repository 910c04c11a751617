"""The simulated server, over its command line."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from ipaddress import IPv4Address

from testbed.devices.lines import LinesDriver, whole_seconds, word
from testbed.devices.middle import DhcpService, LeasedAddress, PppoeHeld, PppoeService
from testbed.devices.platforms.sim_server.records import record_words
from testbed.devices.settings import Setting
from testbed.errors import DeviceError
from testbed.timing import milliseconds
from testbed.wire.addresses import MacAddr
from testbed.wire.dns import DnsRecord

__all__ = ["SimServer"]


def _parse_leases(text: str) -> tuple[LeasedAddress, ...]:
    return tuple(_lease(line) for line in text.splitlines())


def _lease(line: str) -> LeasedAddress:
    try:
        port, address, client = line.split()[:3]
        return LeasedAddress(port, IPv4Address(address), bytes.fromhex(client))
    except ValueError as error:
        raise DeviceError(f"{line!r} is no lease: {error}") from None


def _parse_sessions(text: str) -> tuple[PppoeHeld, ...]:
    return tuple(_session(line) for line in text.splitlines())


def _session(line: str) -> PppoeHeld:
    try:
        port, ident, host, address, phase = line.split()
        return PppoeHeld(port, int(ident), MacAddr(host), IPv4Address(address), phase)
    except ValueError as error:
        raise DeviceError(f"{line!r} is no session: {error}") from None


class SimServer(LinesDriver):
    """Implements ``Server``."""

    platform = "sim_server"

    def serve_dhcp(self, port: str, service: DhcpService) -> None:
        """Give out addresses at ``port``, in place of what was given out there before."""
        ping = 0 if service.ping is None else service.ping // milliseconds(1)
        lines = [f"dhcp lease {service.lease}", f"dhcp ping {ping}"]
        if service.router is not None:
            lines.append(f"dhcp router {service.router}")
        lines.append(f"dhcp pool {service.first} {service.last}")
        summary = f"DHCP from {service.first} to {service.last} on {port}"
        self._replace(summary, "dhcp", lines, port=port)

    def dhcp_leases(self) -> tuple[LeasedAddress, ...]:
        """The addresses that are leased."""
        return self._read("show dhcp leases", _parse_leases)

    def serve_dns(self, origin: str, records: Iterable[DnsRecord]) -> None:
        """Answer for a zone, with authority, at every address of the device."""
        wanted = [f"dns zone {word(origin)}"]
        wanted += [f"dns record {record_words(record)}" for record in records]
        held = self._settings()
        settings = [Setting(line, None, "") for line in wanted if line not in held]
        self._set(f"DNS zone {origin}", *settings)

    def serve_pppoe(self, port: str, service: PppoeService) -> None:
        """Be an access concentrator at ``port``; sessions that there are end."""
        held = self._settings()
        self._set(
            f"PPPoE on {port}",
            *self._instead("pppoe", _pppoe_lines(service), held),
            *self._instead("pppoe", ["pppoe enable"], held, port),
        )

    def pppoe_sessions(self) -> tuple[PppoeHeld, ...]:
        """The sessions that there are."""
        return self._read("show pppoe sessions", _parse_sessions)


def _pppoe_lines(service: PppoeService) -> Iterator[str]:
    yield f"pppoe name {word(service.name)}"
    yield from (f"pppoe service {word(name)}" for name in service.services)
    if service.authenticate:
        yield f"pppoe authentication {' '.join(map(word, service.authenticate))}"
    for name, secret in service.users.items():
        yield f"pppoe user {word(name)} {word(secret)}"
    yield f"pppoe pool {service.local} {service.first} {service.last}"
    if service.echo is not None:
        yield f"pppoe echo {whole_seconds(service.echo)}"
    if service.rechallenge is not None:
        yield f"pppoe rechallenge {whole_seconds(service.rechallenge)}"
    if service.sessions is not None:
        yield f"pppoe sessions {service.sessions}"
