"""A tester endpoint that is no more than an address: it answers ARP, and asks."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Interface

from testbed.errors import BenchError, PlanError, WireError
from testbed.hosts.tap import Tap
from testbed.hosts.turning import Loop
from testbed.timing import Duration, format_duration
from testbed.wire.addresses import MacAddr
from testbed.wire.arp import ArpOp, ArpPacket
from testbed.wire.ethernet import EtherType, EthFrame
from testbed.wire.frame import Direction, Frame

__all__ = ["Station"]

ARP_TYPE = EtherType.ARP.to_bytes(2, "big")


class Station:
    """An IPv4 address behind a NIC, so that a device can reach it.

    It answers ARP requests for ``ip`` and for the addresses in ``answer_for``, and nothing else;
    with ``answer_arp`` off it is silent. ``mac`` is the NIC's own unless given.
    """

    def __init__(
        self,
        tap: Tap,
        ip: IPv4Interface,
        gateway: IPv4Address | None,
        loop: Loop,
        *,
        mac: MacAddr | None = None,
    ) -> None:
        if gateway is not None and gateway not in ip.network:
            raise PlanError(f"gateway {gateway} is not in {ip.network}, the network of {ip}")
        self.tap = tap
        self.ip = ip
        self.gateway = gateway
        self.mac = mac if mac is not None else tap.port.mac
        self.answer_arp = True
        self.answer_for: set[IPv4Address] = set()
        self._loop = loop
        self._heard: dict[IPv4Address, MacAddr] = {}
        self._subscription = tap.subscribe(self._receive)

    @property
    def address(self) -> IPv4Address:
        """Its IP address, without the prefix."""
        return self.ip.ip

    def announce(self) -> None:
        """Tell everybody on the link which MAC has this IP (RFC 5227 2.3)."""
        self._send(MacAddr.BROADCAST, ArpPacket.announcement(self.mac, self.address))

    def next_hop(self, destination: IPv4Address) -> IPv4Address:
        """Whom to hand a packet for ``destination``: itself on this link, else the gateway.

        PlanError when it is elsewhere and the station has no gateway.
        """
        if destination in self.ip.network:
            return destination
        if self.gateway is None:
            raise PlanError(f"{self._where()} cannot reach {destination}: it has no gateway")
        return self.gateway

    def resolve(self, destination: IPv4Address, within: Duration) -> MacAddr:
        """The MAC to which a packet for ``destination`` is sent: one ARP request, one answer.

        Turns the loop; asks anew each time. BenchError when nobody answers.
        """
        target = self.next_hop(destination)
        self._heard.pop(target, None)
        request = ArpPacket.request(self.mac, self.address, target)
        self._send(MacAddr.BROADCAST, request)
        if not self._loop.run_until(lambda: target in self._heard, within):
            raise BenchError(
                f"{self._where()} asked who has {target} and nobody answered within "
                f"{format_duration(within)}; see that the device's port is up and has that address"
            )
        return self._heard[target]

    def close(self) -> None:
        """Answer no more; the tap stays open. Closing twice is no error."""
        self._subscription.close()

    def _receive(self, frame: Frame) -> None:
        if frame.direction is not Direction.IN or frame.data[12:14] != ARP_TYPE:
            return
        try:
            eth = EthFrame.parse(frame.data)
            packet = ArpPacket.parse(eth.payload)
        except WireError:
            return  # not for an endpoint to judge: the capture shows it
        if eth.dst not in (self.mac, MacAddr.BROADCAST):
            return
        if packet.op == ArpOp.REPLY:
            self._heard[packet.sender_ip] = packet.sender_mac
        elif packet.op == ArpOp.REQUEST and self._owns(packet.target_ip):
            answer = ArpPacket.reply(
                self.mac, packet.target_ip, packet.sender_mac, packet.sender_ip
            )
            self._send(packet.sender_mac, answer)

    def _owns(self, ip: IPv4Address) -> bool:
        return self.answer_arp and (ip == self.address or ip in self.answer_for)

    def _send(self, destination: MacAddr, packet: ArpPacket) -> None:
        frame = EthFrame(destination, self.mac, EtherType.ARP, packet.emit())
        self.tap.send(frame.emit(pad=True))

    def _where(self) -> str:
        return f"{self.tap.port.name} ({self.ip})"
