"""PPP over Ethernet (RFC 2516), both sides: discovery, and the session that it leads to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from enum import Enum

from testbed.errors import WireError
from testbed.stack.alarms import Alarms
from testbed.stack.entropy import Entropy
from testbed.stack.events import Event, EventLog, PacketDropped
from testbed.stack.services.ppp_config import PppConfig
from testbed.stack.services.ppp_link import PppLink
from testbed.stack.variants import Variants
from testbed.timing import Duration, Instant, after, seconds
from testbed.wire.addresses import MacAddr
from testbed.wire.ethernet import EtherType, EthFrame
from testbed.wire.ppp import PppFrame
from testbed.wire.pppoe import (
    PPPOE_MRU,
    PppoeCode,
    PppoePacket,
    PppoeTag,
    TagType,
)

__all__ = ["PppoeClient", "PppoeConfig", "PppoeSession", "SendFrame", "SessionEvent", "Stage"]

SendFrame = Callable[[EthFrame, Instant], None]

ERRORS = (TagType.SERVICE_NAME_ERROR, TagType.AC_SYSTEM_ERROR, TagType.GENERIC_ERROR)
"""Tags that say that it will not be (RFC 2516 appendix A)."""


@dataclass(frozen=True, slots=True)
class PppoeConfig:
    """What a client looks for, how long it tries, and its PPP side."""

    service: bytes = b""
    """The service wanted; empty: any."""
    concentrator: bytes | None = None
    """The only access concentrator to take offers of, by its name; None: whichever comes first."""
    host_uniq: bool = True
    """Mark own requests, to know the answers to them (RFC 2516 appendix A)."""
    timeout: Duration = seconds(5)
    """Until PADI or PADR is sent again, doubled each time (RFC 2516 8)."""
    attempts: int = 5
    """PADIs, or PADRs, without an answer before it gives up."""
    ppp: PppConfig = field(default_factory=PppConfig)
    """The session's PPP."""


class Stage(Enum):
    """How far a client has come."""

    IDLE = "idle"
    ASKED = "PADI sent"
    REQUESTED = "PADR sent"
    SESSION = "session"


@dataclass(frozen=True, slots=True)
class SessionEvent(Event):
    """A session began or ended, or could not be had: ``what`` says which and why."""

    what: str
    session: int


def over_ethernet(config: PppConfig) -> PppConfig:
    """The PPP settings that RFC 2516 7 demands, whatever they were.

    'The Maximum-Receive-Unit (MRU) option MUST NOT be negotiated to a larger size than 1492', and
    an implementation 'MUST NOT request' FCS alternatives, ACFC and ACCM; PFC is 'NOT RECOMMENDED'.
    """
    return replace(
        config,
        mru=min(config.mru, PPPOE_MRU),
        largest_mru=min(config.largest_mru, PPPOE_MRU),
        framed=False,
        accm=None,
        acfc=False,
    )


class PppoeSession:
    """One side of a session: carries the frames of its ``link`` between two MAC addresses."""

    __slots__ = ("_alive", "_send", "events", "ident", "link", "mac", "on_end", "peer")

    def __init__(
        self,
        ident: int,
        mac: MacAddr,
        peer: MacAddr,
        config: PppConfig,
        *,
        send: SendFrame,
        alarms: Alarms,
        entropy: Entropy,
        events: EventLog,
        variants: Variants,
    ) -> None:
        self.ident = ident
        self.mac = mac
        self.peer = peer
        self.events = events
        self.on_end: Callable[[Instant], None] = lambda _now: None
        self._send = send
        self._alive = True
        self.link = variants.of(PppLink)(
            over_ethernet(config),
            send=self._send_ppp,
            alarms=alarms,
            entropy=entropy,
            events=events,
            variants=variants,
            key=("pppoe", mac, peer, ident),
        )
        self.link.on_dead = self.close

    def start(self, now: Instant) -> None:
        """Begin with PPP."""
        self.events.add(SessionEvent(now, "began", self.ident))
        self.link.open(now)
        self.link.lower_up(now)

    def receive(self, packet: PppoePacket, now: Instant) -> None:
        """A packet of the session stage."""
        try:
            frame = PppFrame.parse(packet.payload)
        except WireError as error:
            self.events.add(PacketDropped(now, "PPPoE", str(error)))
            return
        self.link.receive(frame, now)

    def close(self, now: Instant) -> None:
        """End the session with a PADT, which 'may be sent anytime' (RFC 2516 5.5)."""
        if self._alive:
            tell = PppoePacket.discovery(PppoeCode.PADT, (), self.ident)
            self._send(EthFrame(self.peer, self.mac, EtherType.PPPOE_DISCOVERY, tell.emit()), now)
            self.terminated(now)

    def terminated(self, now: Instant) -> None:
        """A PADT came or went: 'no further PPP traffic is allowed' (RFC 2516 5.5)."""
        if self._alive:
            self._alive = False
            self.events.add(SessionEvent(now, "ended", self.ident))
            self.link.lower_down(now)
            self.on_end(now)

    def _send_ppp(self, frame: PppFrame, now: Instant) -> None:
        if self._alive:
            packet = PppoePacket(PppoeCode.SESSION, self.ident, frame.emit(pfc=False))
            self._send(EthFrame(self.peer, self.mac, EtherType.PPPOE_SESSION, packet.emit()), now)


class PppoeClient:
    """A host that looks for an access concentrator and opens a session with it.

    Frames in by ``receive``, out by ``send``. ``on_session`` is told of the session once there is
    one, before its PPP begins, so that handlers can be put on its link.
    """

    __slots__ = (
        "_alarms",
        "_config",
        "_entropy",
        "_events",
        "_key",
        "_left",
        "_send",
        "_tags",
        "_uniq",
        "_variants",
        "_wait",
        "mac",
        "on_session",
        "peer",
        "session",
        "stage",
    )

    def __init__(
        self,
        mac: MacAddr,
        config: PppoeConfig,
        *,
        send: SendFrame,
        alarms: Alarms,
        entropy: Entropy,
        events: EventLog,
        variants: Variants | None = None,
    ) -> None:
        self.mac = mac
        self.peer = MacAddr.BROADCAST
        self.stage = Stage.IDLE
        self.session: PppoeSession | None = None
        self.on_session: Callable[[PppoeSession, Instant], None] = lambda _session, _now: None
        self._config = config
        self._send = send
        self._alarms = alarms
        self._entropy = entropy
        self._events = events
        self._variants = variants or Variants()
        self._key = ("pppoe client", mac)
        self._left = 0
        self._wait = config.timeout
        self._uniq = entropy.octets(8)
        self._tags: tuple[PppoeTag, ...] = ()

    def open(self, now: Instant) -> None:
        """Look for a concentrator; nothing happens where a session is up or sought."""
        if self.stage is Stage.IDLE:
            self.peer = MacAddr.BROADCAST
            self._uniq = self._entropy.octets(8)
            self._begin(Stage.ASKED, now)

    def close(self, now: Instant) -> None:
        """Give the session up: PPP ends in an orderly way first, then the PADT goes."""
        if self.session is not None:
            self.session.link.close(now)
        else:
            self._give_up("closed", now)

    def receive(self, frame: EthFrame, now: Instant) -> None:
        """Take an Ethernet frame; those that are not PPPoE for this client do nothing."""
        if frame.dst != self.mac or frame.ethertype not in (
            EtherType.PPPOE_DISCOVERY,
            EtherType.PPPOE_SESSION,
        ):
            return
        try:
            packet = PppoePacket.parse(frame.payload)
            if frame.ethertype == EtherType.PPPOE_DISCOVERY:
                self._discovery(frame.src, packet, now)
            elif self._of_session(frame.src, packet) and packet.code == PppoeCode.SESSION:
                self._in_session(packet, now)
            else:
                self._drop("packet of another session", now)
        except WireError as error:
            self._drop(str(error), now)

    def _of_session(self, source: MacAddr, packet: PppoePacket) -> bool:
        session = self.session
        return session is not None and (session.ident, session.peer) == (packet.session, source)

    def _in_session(self, packet: PppoePacket, now: Instant) -> None:
        if self.session is not None:
            self.session.receive(packet, now)

    def _discovery(self, source: MacAddr, packet: PppoePacket, now: Instant) -> None:
        if packet.code == PppoeCode.PADO and self.stage is Stage.ASKED:
            self._offered(source, packet, now)
        elif packet.code == PppoeCode.PADS and self.stage is Stage.REQUESTED:
            self._confirmed(source, packet, now)
        elif packet.code == PppoeCode.PADT and self._of_session(source, packet):
            if self.session is not None:
                self.session.terminated(now)
        else:
            self._drop(f"code {packet.code:#04x} out of place", now)

    def _ours(self, packet: PppoePacket) -> bool:
        return not self._config.host_uniq or packet.tag(TagType.HOST_UNIQ) == self._uniq

    def _offered(self, source: MacAddr, packet: PppoePacket, now: Instant) -> None:
        """Take the first offer that will do.

        'The choice can be based on the AC-Name or the Services offered' (RFC 2516 5.3).
        """
        name = packet.tag(TagType.AC_NAME)
        services = [tag.data for tag in packet.tags if tag.kind == TagType.SERVICE_NAME]
        wanted = self._config.concentrator
        if not self._ours(packet) or name is None or packet.session:
            self._drop("offer without what it must have", now)
        elif any(packet.tag(kind) is not None for kind in ERRORS):
            self._drop("offer with an error", now)
        elif (wanted is not None and name != wanted) or self._config.service not in services:
            self._drop("offer of another service or concentrator", now)
        else:
            # Cookie and relay's session id go back unchanged (RFC 2516 appendix A).
            kept = (TagType.AC_COOKIE, TagType.RELAY_SESSION_ID)
            self._tags = tuple(tag for tag in packet.tags if tag.kind in kept)
            self.peer = source
            self._begin(Stage.REQUESTED, now)

    def _confirmed(self, source: MacAddr, packet: PppoePacket, now: Instant) -> None:
        if source != self.peer or not self._ours(packet):
            self._drop("confirmation of another request", now)
        elif errors := [tag for tag in packet.tags if tag.kind in ERRORS]:
            words = errors[0].data.decode("utf-8", "replace")
            self._give_up(f"refused ({errors[0].kind:#06x}): {words}", now)
        elif packet.session == 0:
            self._drop("session of number 0", now)
        else:
            self._begin_session(packet.session, now)

    def _begin_session(self, ident: int, now: Instant) -> None:
        self._alarms.cancel(self._key)
        self.stage = Stage.SESSION
        session = self._variants.of(PppoeSession)(
            ident,
            self.mac,
            self.peer,
            self._config.ppp,
            send=self._send,
            alarms=self._alarms,
            entropy=self._entropy,
            events=self._events,
            variants=self._variants,
        )
        self.session = session
        session.on_end = self._ended
        self.on_session(session, now)
        session.start(now)

    def _ended(self, _now: Instant) -> None:
        self.session = None
        self.stage = Stage.IDLE

    def _begin(self, stage: Stage, now: Instant) -> None:
        self.stage = stage
        self._left = self._config.attempts
        self._wait = self._config.timeout
        self._ask(now)

    def _ask(self, now: Instant) -> None:
        """Send PADI or PADR, again and again, waiting twice as long each time (RFC 2516 8)."""
        if self._left <= 0:
            self._give_up(f"no answer, {self.stage.value}", now)
            return
        self._left -= 1
        code = PppoeCode.PADI if self.stage is Stage.ASKED else PppoeCode.PADR
        packet = PppoePacket.discovery(code, self.request_tags())
        self._send(EthFrame(self.peer, self.mac, EtherType.PPPOE_DISCOVERY, packet.emit()), now)
        self._alarms.set(self._key, after(now, self._wait), self._ask)
        self._wait = Duration(2 * self._wait)

    def request_tags(self) -> tuple[PppoeTag, ...]:
        """Exactly one Service-Name (RFC 2516 5.1, 5.3), and what marks the request as ours."""
        tags = [PppoeTag(TagType.SERVICE_NAME, self._config.service)]
        if self._config.host_uniq:
            tags.append(PppoeTag(TagType.HOST_UNIQ, self._uniq))
        if self.stage is Stage.REQUESTED:
            tags += self._tags
        return tuple(tags)

    def _give_up(self, why: str, now: Instant) -> None:
        self._alarms.cancel(self._key)
        self.stage = Stage.IDLE
        self._events.add(SessionEvent(now, why, 0))

    def _drop(self, reason: str, now: Instant) -> None:
        self._events.add(PacketDropped(now, "PPPoE", reason))
