"""One side of a PPP link: its phases (RFC 1661 3), and who gets which frame."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from testbed.errors import WireError
from testbed.stack.alarms import Alarms
from testbed.stack.entropy import Entropy
from testbed.stack.events import Event, EventLog, PacketDropped
from testbed.stack.services.ppp_auth import Chap, Pap
from testbed.stack.services.ppp_automaton import Event as Happening
from testbed.stack.services.ppp_automaton import State
from testbed.stack.services.ppp_config import PppConfig
from testbed.stack.services.ppp_ipcp import Ipcp
from testbed.stack.services.ppp_lcp import Lcp
from testbed.stack.variants import Variants
from testbed.timing import Instant
from testbed.wire.ppp import PppFrame, PppProtocol
from testbed.wire.ppp_control import ControlPacket, IpcpOption

__all__ = ["Phase", "PhaseChanged", "PppLink"]


class Phase(Enum):
    """RFC 1661 3.2: how far the link has come."""

    DEAD = "dead"
    ESTABLISH = "establish"
    AUTHENTICATE = "authenticate"
    NETWORK = "network"
    TERMINATE = "terminate"


@dataclass(frozen=True, slots=True)
class PhaseChanged(Event):
    """The link went into another phase."""

    phase: Phase


class PppLink:
    """One side of a link, sans-IO: frames in by ``receive``, frames out by ``send``.

    Frames are PppFrame values; framing and PPPoE are for the layer below, which tells ``lower_up``
    and ``lower_down``. ``on_ip`` gets the IP packets that come, ``on_up`` and ``on_down`` are told
    when IP may flow and when it no longer may, ``on_dead`` when the link has been given up.
    ``alarms`` may be a stack's; ``key`` tells links on the same alarms apart.
    """

    __slots__ = (
        "_send",
        "_unproved",
        "chap",
        "config",
        "events",
        "ipcp",
        "lcp",
        "on_dead",
        "on_down",
        "on_ip",
        "on_up",
        "pap",
        "phase",
    )

    def __init__(
        self,
        config: PppConfig,
        *,
        send: Callable[[PppFrame, Instant], None],
        alarms: Alarms,
        entropy: Entropy,
        events: EventLog,
        variants: Variants | None = None,
        key: object = "ppp",
    ) -> None:
        chosen = variants or Variants()
        self.config = config
        self.events = events
        self.phase = Phase.DEAD
        self._send = send
        self._unproved: set[bool] = set()
        """Who has still to prove itself: the peer (True), this side (False)."""
        self.on_ip: Callable[[bytes, Instant], None] = lambda _packet, _now: None
        self.on_up: Callable[[Instant], None] = lambda _now: None
        self.on_down: Callable[[Instant], None] = lambda _now: None
        self.on_dead: Callable[[Instant], None] = lambda _now: None
        self.lcp = chosen.of(Lcp)(
            config, send=self._control, alarms=alarms, events=events, entropy=entropy, key=key
        )
        self.ipcp = chosen.of(Ipcp)(
            config, send=self._control, alarms=alarms, events=events, key=key
        )
        self.pap = chosen.of(Pap)(
            config, send=self._control, alarms=alarms, events=events, entropy=entropy, key=key
        )
        self.chap = chosen.of(Chap)(
            config, send=self._control, alarms=alarms, events=events, entropy=entropy, key=key
        )
        self.lcp.on_up, self.lcp.on_down = self._established, self._disestablished
        self.lcp.on_finished = self._finished
        self.lcp.on_protocol_reject = self._protocol_rejected
        self.ipcp.on_up, self.ipcp.on_down = self._ip_up, self._ip_down
        self.ipcp.on_finished = self.close
        for method in (self.pap, self.chap):
            method.on_proved, method.on_failed = self._proved, self._failed

    @property
    def mtu(self) -> int:
        """The largest IP packet that the peer takes: its MRU."""
        return self.lcp.peer_mru

    @property
    def up(self) -> bool:
        """Whether IP packets may flow."""
        return self.ipcp.opened

    def open(self, now: Instant) -> None:
        """Want the link; it comes up once the layer below does."""
        self.lcp.automaton.on(Happening.OPEN, now)
        if self.ipcp.automaton.state is State.INITIAL:
            self.ipcp.automaton.on(Happening.OPEN, now)

    def close(self, now: Instant) -> None:
        """Take the link down in an orderly way: Terminate-Request, and wait for the Ack."""
        if self.lcp.automaton.state not in (State.INITIAL, State.CLOSED):
            self._enter(Phase.TERMINATE, now)
        self.lcp.automaton.on(Happening.CLOSE, now)

    def lower_up(self, now: Instant) -> None:
        """Frames can be sent: the line is there, the PPPoE session is."""
        if self.lcp.automaton.state in (State.INITIAL, State.STARTING):
            self._enter(Phase.ESTABLISH, now)
            self.lcp.automaton.on(Happening.UP, now)

    def lower_down(self, now: Instant) -> None:
        """Frames can no longer be sent."""
        if self.lcp.automaton.state not in (State.INITIAL, State.STARTING):
            self.lcp.automaton.on(Happening.DOWN, now)
            self._enter(Phase.DEAD, now)

    def send_ip(self, packet: bytes, now: Instant) -> None:
        """Send an IP packet; one that may not go, or is too large for the peer, is dropped."""
        if not self.ipcp.opened:
            self._drop("IP packet before IPCP was open", now)
        elif len(packet) > self.mtu:
            self._drop(f"IP packet of {len(packet)} bytes, the peer takes {self.mtu}", now)
        else:
            self._send(PppFrame(PppProtocol.IPV4, packet), now)

    def receive(self, frame: PppFrame, now: Instant) -> None:
        """Take a frame; what must not come now, or makes no sense, is dropped with an event."""
        if frame.protocol == PppProtocol.IPV4:
            self._ip(frame, now)
        elif frame.protocol == PppProtocol.LCP:
            self._lcp(frame, now)
        elif not self.lcp.opened:
            # RFC 1661 3.4, 3.5: "all other packets received during this phase MUST be silently
            # discarded".
            self._drop(f"protocol {frame.protocol:#06x} before LCP was open", now)
        else:
            self._other(frame, now)

    def _ip(self, frame: PppFrame, now: Instant) -> None:
        if self.ipcp.opened:
            self.on_ip(frame.information, now)
        else:
            # RFC 1661 3.7: "any supported network-layer protocol packets received when the
            # corresponding NCP is not in the Opened state MUST be silently discarded".
            self._drop("IP packet before IPCP was open", now)

    def _lcp(self, frame: PppFrame, now: Instant) -> None:
        packet = self._parsed(frame, now)
        if packet is not None:
            self.lcp.receive(packet, now)
            if self.lcp.looped >= self.config.loop_limit:
                self.lcp.looped = 0
                self._drop("the line is looped back", now)
                self.close(now)

    def _other(self, frame: PppFrame, now: Instant) -> None:
        takers = {
            PppProtocol.PAP: self.pap.receive,
            PppProtocol.CHAP: self.chap.receive,
            PppProtocol.IPCP: self._take_ipcp,
        }
        if frame.protocol not in takers:
            self.lcp.protocol_reject(frame.protocol, frame.information, now)
        elif (packet := self._parsed(frame, now)) is not None:
            takers[frame.protocol](packet, now)

    def _take_ipcp(self, packet: ControlPacket, now: Instant) -> None:
        """RFC 1661 3.5: what is not LCP, authentication or quality must wait for it."""
        if self.phase is Phase.NETWORK:
            self.ipcp.receive(packet, now)
        else:
            self._drop("IPCP before authentication", now)

    def _parsed(self, frame: PppFrame, now: Instant) -> ControlPacket | None:
        try:
            return ControlPacket.parse(frame.information)
        except WireError as error:
            self._drop(str(error), now)
            return None

    def _control(self, protocol: int, packet: ControlPacket, now: Instant) -> None:
        self._send(PppFrame(protocol, packet.emit()), now)

    def _established(self, now: Instant) -> None:
        demand, prove = self.lcp.demand, self.lcp.prove_by
        if demand is not None and self.lcp.rejected_authentication:
            self._failed(True, now)
            return
        self.lcp.watch(now)
        self._unproved = set()
        if demand is not None:
            self._unproved.add(True)
        if prove is not None:
            self._unproved.add(False)
        if not self._unproved:
            self._enter_network(now)
            return
        self._enter(Phase.AUTHENTICATE, now)
        for method in (self.pap, self.chap):
            wanted, asked = demand == method.method, prove == method.method
            if wanted or asked:
                method.start(now, demanding=wanted, proving=asked)

    def _proved(self, peer: bool, now: Instant) -> None:
        if self._unproved:
            self._unproved.discard(peer)
            if not self._unproved:
                self._enter_network(now)

    def _failed(self, peer: bool, now: Instant) -> None:
        """Who fails to authenticate has the link terminated (RFC 1661 3.5)."""
        self._drop("the peer failed to authenticate" if peer else "we failed to authenticate", now)
        self.close(now)

    def _enter_network(self, now: Instant) -> None:
        self._enter(Phase.NETWORK, now)
        self.ipcp.automaton.on(Happening.UP, now)

    def _ip_up(self, now: Instant) -> None:
        if int(self.ipcp.local) == 0 or IpcpOption.ADDRESS in self.ipcp.refused:
            self._drop("no address for this side that both agree on", now)
            self.close(now)
        else:
            self.on_up(now)

    def _ip_down(self, now: Instant) -> None:
        self.on_down(now)

    def _disestablished(self, now: Instant) -> None:
        self.lcp.unwatch()
        for method in (self.pap, self.chap):
            method.stop()
        if self.ipcp.automaton.state not in (State.INITIAL, State.STARTING):
            self.ipcp.automaton.on(Happening.DOWN, now)
        ending = self.lcp.automaton.state in (State.CLOSING, State.STOPPING)
        self._enter(Phase.TERMINATE if ending else Phase.ESTABLISH, now)

    def _finished(self, now: Instant) -> None:
        self._enter(Phase.DEAD, now)
        self.on_dead(now)

    def _protocol_rejected(self, protocol: int, now: Instant) -> None:
        """'The implementation MUST stop sending packets of the indicated protocol' (5.7)."""
        if protocol == PppProtocol.LCP:
            self.lcp.rejected(fatal=True, now=now)
        elif protocol == PppProtocol.IPCP and self.phase is Phase.NETWORK:
            self.ipcp.rejected(fatal=True, now=now)
        elif protocol in (PppProtocol.PAP, PppProtocol.CHAP):
            self._failed(False, now)

    def _enter(self, phase: Phase, now: Instant) -> None:
        if phase is not self.phase:
            self.phase = phase
            self.events.add(PhaseChanged(now, phase))

    def _drop(self, reason: str, now: Instant) -> None:
        self.events.add(PacketDropped(now, "PPP", reason))
