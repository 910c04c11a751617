"""A PPPoE host of a plan's own making: nothing leaves it that the plan did not send.

For what no good host does: a wrong response, another session's number, an option that nobody knows.
::

    peer = PppPeer(bench, seen, "client--dut", MacAddr("02:00:00:00:70:01"))
    peer.dial()                                     # PADI, PADO, PADR, PADS
    demand = peer.open_link()                       # LCP, to its end
    peer.send(PppProtocol.CHAP, ControlPacket(ChapCode.RESPONSE, 7, b"..."))
    peer.hear(match.ppp(protocol="chap", code=ChapCode.FAILURE))
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from testbed.bench.bench import Bench
from testbed.bench.capturing import Capture
from testbed.bench.topology import Kind
from testbed.capture import Matcher, TracedFrame, match
from testbed.errors import ExpectationFailed, WireError
from testbed.timing import Duration, format_duration, seconds
from testbed.wire import dissect
from testbed.wire.addresses import MacAddr
from testbed.wire.ethernet import EtherType, EthFrame
from testbed.wire.ppp import PppFrame, PppProtocol
from testbed.wire.ppp_control import ControlCode, ControlPacket, LcpOption, PppOption
from testbed.wire.pppoe import PPPOE_MRU, PppoeCode, PppoePacket, PppoeTag, TagType

__all__ = ["PppPeer"]

SOON: Final = seconds(4)
"""A concentrator answers at once; where it waits for its Restart timer, within 3 s (RFC 1661 4.6).
"""


class PppPeer:
    """One host on a NIC, by a MAC address of its own; any number of them can share the NIC."""

    def __init__(self, bench: Bench, seen: Capture, point: str, mac: MacAddr) -> None:
        self.bench = bench
        self.seen = seen
        self.point = point
        self.mac = mac
        self.server = MacAddr.BROADCAST
        """The concentrator, once one has made an offer."""
        self.session = 0
        self.uniq = b"uniq" + mac.packed
        self.magic = int.from_bytes(mac.packed[2:], "big") | 1
        link = bench.topology.link(point)
        self._role = link.a if bench.topology.kind(link.a) is Kind.NIC else link.b
        self._heard: set[int] = set()
        self._ident = 0

    # Out

    def discover(
        self, code: int, tags: Iterable[PppoeTag], *, session: int = 0, to: MacAddr | None = None
    ) -> None:
        """Send a packet of the discovery stage."""
        packet = PppoePacket.discovery(code, tags, session)
        self._inject(EtherType.PPPOE_DISCOVERY, packet, to or self.server)

    def ask(self, service: bytes = b"", *more: PppoeTag) -> None:
        """Send a PADI for a service; the empty one is any."""
        tags = (self._service(service), self._own(), *more)
        self.discover(PppoeCode.PADI, tags, to=MacAddr.BROADCAST)

    def request(self, offer: TracedFrame, service: bytes = b"", *more: PppoeTag) -> None:
        """Take an offer: a PADR that brings its cookie back."""
        tags = PppoePacket.parse(dissect(offer.data).payload).tags
        kept = [tag for tag in tags if tag.kind == TagType.AC_COOKIE]
        self.discover(PppoeCode.PADR, (self._service(service), self._own(), *kept, *more))

    def send(self, protocol: int, packet: ControlPacket | bytes) -> None:
        """Send a packet in the session: a control packet, or any bytes."""
        data = packet if isinstance(packet, bytes) else packet.emit()
        frame = PppFrame(protocol, data).emit()
        held = PppoePacket(PppoeCode.SESSION, self.session, frame)
        self._inject(EtherType.PPPOE_SESSION, held, self.server)

    def new_ident(self) -> int:
        """An identifier that was not used before."""
        self._ident = self._ident % 255 + 1
        return self._ident

    # In

    def hear(self, wanted: Matcher, within: Duration = SOON) -> TracedFrame:
        """The next frame for this host that matches; ExpectationFailed where none comes."""
        mine = match.eth(dst=self.mac) & wanted

        def fresh() -> TracedFrame | None:
            frames = self.seen.at(self.point).all(mine)
            return next((each for each in frames if each.number not in self._heard), None)

        self.bench.loop.run_until(lambda: fresh() is not None, within)
        try:
            self.seen.at(self.point).expect(mine)
        except ExpectationFailed as failure:
            raise ExpectationFailed(
                f"{failure.summary} within {format_duration(within)}", failure.details
            ) from None
        found = fresh()
        if found is None:
            raise ExpectationFailed(
                f"{self.point}: expect {mine} once more: it did not come within "
                f"{format_duration(within)}"
            )
        self._heard.add(found.number)
        return found

    def control(self, wanted: Matcher, within: Duration = SOON) -> ControlPacket:
        """The control packet in the next frame that matches."""
        return packet_of(self.hear(wanted, within))

    # What all hosts do first

    def dial(self, service: bytes = b"") -> int:
        """Get a session; its number."""
        self.ask(service)
        offer = self.hear(match.pppoe(code="pado", host_uniq=self.uniq))
        self.server = MacAddr(offer.data[6:12])
        self.request(offer, service)
        granted = self.hear(match.pppoe(code="pads", host_uniq=self.uniq, error=False))
        self.session = PppoePacket.parse(dissect(granted.data).payload).session
        return self.session

    def open_link(self, *options: PppOption, mru: int | None = PPPOE_MRU) -> ControlPacket:
        """Agree on LCP: with what the concentrator asks for, and with our own options.

        Returns the concentrator's request that was acked.
        """
        own = [PppOption.number(LcpOption.MAGIC, self.magic, 4), *options]
        if mru is not None:
            own.insert(0, PppOption.number(LcpOption.MRU, mru, 2))
        asked = self.control(match.ppp(protocol="lcp", code=ControlCode.CONFIGURE_REQUEST))
        ident = self.new_ident()
        request = ControlPacket.configure(ControlCode.CONFIGURE_REQUEST, ident, own)
        self.send(PppProtocol.LCP, request)
        ack = ControlPacket(ControlCode.CONFIGURE_ACK, asked.ident, asked.data)
        self.send(PppProtocol.LCP, ack)
        self.hear(match.ppp(protocol="lcp", code=ControlCode.CONFIGURE_ACK, ident=ident))
        return asked

    def _own(self) -> PppoeTag:
        return PppoeTag(TagType.HOST_UNIQ, self.uniq)

    def _service(self, name: bytes) -> PppoeTag:
        return PppoeTag(TagType.SERVICE_NAME, name)

    def _inject(self, ethertype: int, packet: PppoePacket, to: MacAddr) -> None:
        frame = EthFrame(to, self.mac, ethertype, packet.emit())
        self.bench.nic(self._role).inject(frame)


def packet_of(traced: TracedFrame) -> ControlPacket:
    """The control packet that a frame carries; ExpectationFailed where it cannot be read."""
    try:
        payload = PppoePacket.parse(dissect(traced.data).payload).payload
        return ControlPacket.parse(PppFrame.parse(payload).information)
    except WireError as error:
        raise ExpectationFailed(f"#{traced.number} is no control packet: {error}") from error
