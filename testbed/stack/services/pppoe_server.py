"""The access concentrator of PPPoE (RFC 2516)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from testbed.errors import WireError
from testbed.stack.alarms import Alarms
from testbed.stack.entropy import Entropy
from testbed.stack.events import EventLog, PacketDropped
from testbed.stack.services.ppp_config import PppConfig
from testbed.stack.services.pppoe import PppoeSession, SendFrame
from testbed.stack.variants import Variants
from testbed.timing import Instant
from testbed.wire.addresses import MacAddr
from testbed.wire.ethernet import EtherType, EthFrame
from testbed.wire.pppoe import (
    PppoeCode,
    PppoePacket,
    PppoeTag,
    TagType,
)

__all__ = ["AccessConcentrator", "ConcentratorConfig"]

_ECHOED = (TagType.HOST_UNIQ, TagType.RELAY_SESSION_ID)


@dataclass(frozen=True, slots=True)
class ConcentratorConfig:
    """What a concentrator offers. ``ppp_for`` gives the PPP settings of one host's session."""

    name: bytes = b"testbed"
    """Told in every PADO as AC-Name."""
    services: tuple[bytes, ...] = (b"",)
    """Services by name; the empty name is 'any service'."""
    max_sessions: int = 1000
    """Sessions at a time; a host beyond is told AC-System-Error."""
    cookie: bool = True
    """Demand that a PADR proves to come from who sent the PADI (RFC 2516 9)."""
    ppp_for: Callable[[MacAddr], PppConfig] = field(default=lambda _mac: PppConfig())


class AccessConcentrator:
    """Answers hosts and holds their sessions, by session number.

    Frames in by ``receive``, out by ``send``. ``on_session`` is told of each session before its PPP
    begins.
    """

    __slots__ = (
        "_alarms",
        "_config",
        "_entropy",
        "_events",
        "_last",
        "_send",
        "_variants",
        "mac",
        "on_session",
        "sessions",
    )

    def __init__(
        self,
        mac: MacAddr,
        config: ConcentratorConfig,
        *,
        send: SendFrame,
        alarms: Alarms,
        entropy: Entropy,
        events: EventLog,
        variants: Variants | None = None,
    ) -> None:
        self.mac = mac
        self.sessions: dict[int, PppoeSession] = {}
        self.on_session: Callable[[PppoeSession, Instant], None] = lambda _session, _now: None
        self._config = config
        self._send = send
        self._alarms = alarms
        self._entropy = entropy
        self._events = events
        self._variants = variants or Variants()
        self._last = 0

    def receive(self, frame: EthFrame, now: Instant) -> None:
        """Take an Ethernet frame; those that are not PPPoE for this concentrator do nothing."""
        if frame.dst not in (self.mac, MacAddr.BROADCAST) or frame.src.is_group:
            return
        if frame.ethertype not in (EtherType.PPPOE_DISCOVERY, EtherType.PPPOE_SESSION):
            return
        try:
            packet = PppoePacket.parse(frame.payload)
            if frame.ethertype == EtherType.PPPOE_SESSION:
                self._session(frame.src, packet, now)
            elif packet.code == PppoeCode.PADI:
                self._asked(frame.src, packet, now)
            elif frame.dst == self.mac:
                self._discovery(frame.src, packet, now)
        except WireError as error:
            self._drop(str(error), now)

    def close(self, now: Instant) -> None:
        """End all sessions."""
        for session in tuple(self.sessions.values()):
            session.close(now)

    def _discovery(self, host: MacAddr, packet: PppoePacket, now: Instant) -> None:
        if packet.code == PppoeCode.PADR:
            self._requested(host, packet, now)
        elif packet.code == PppoeCode.PADT and (session := self._held(host, packet)) is not None:
            session.terminated(now)
        else:
            self._drop(f"code {packet.code:#04x} out of place", now)

    def _session(self, host: MacAddr, packet: PppoePacket, now: Instant) -> None:
        session = self._held(host, packet)
        if session is None or packet.code != PppoeCode.SESSION:
            self._drop("packet of no session", now)
        else:
            session.receive(packet, now)

    def _held(self, host: MacAddr, packet: PppoePacket) -> PppoeSession | None:
        """The session of that number, if it is this host's."""
        session = self.sessions.get(packet.session)
        return session if session is not None and session.peer == host else None

    def _asked(self, host: MacAddr, packet: PppoePacket, now: Instant) -> None:
        """'If the Access Concentrator can not serve the PADI it MUST NOT respond' (5.2)."""
        wanted = _service(packet)
        if wanted is None or packet.session or not self.serves(wanted):
            self._drop("PADI for what is not served", now)
            return
        tags = [PppoeTag(TagType.AC_NAME, self._config.name)]
        # "a Service-Name TAG identical to the one in the PADI, and any number of other" (5.2).
        tags.append(PppoeTag(TagType.SERVICE_NAME, wanted))
        others = (each for each in self._config.services if each != wanted)
        tags += [PppoeTag(TagType.SERVICE_NAME, each) for each in others]
        if self._config.cookie:
            tags.append(PppoeTag(TagType.AC_COOKIE, self.cookie(host)))
        self._answer(host, PppoeCode.PADO, packet, tags, now=now)

    def serves(self, service: bytes) -> bool:
        """Whether ``service`` is offered; the empty name asks for any."""
        return service == b"" or service in self._config.services

    def cookie(self, host: MacAddr) -> bytes:
        """What only the owner of that MAC address has been told (RFC 2516 9)."""
        return self._entropy.keyed(b"pppoe cookie", host.packed).to_bytes(8, "big")

    def _requested(self, host: MacAddr, packet: PppoePacket, now: Instant) -> None:
        wanted = _service(packet)
        if wanted is None or packet.session:
            self._drop("PADR without one service or with a session", now)
        elif self._config.cookie and packet.tag(TagType.AC_COOKIE) != self.cookie(host):
            self._drop("PADR with a wrong cookie", now)
        elif not self.serves(wanted):
            # RFC 2516 5.4: "the Access Concentrator ... MUST reply with a PADS containing a TAG of
            # TAG_TYPE Service-Name-Error ... the SESSION_ID MUST be set to 0x0000".
            tags = [PppoeTag(TagType.SERVICE_NAME_ERROR, b"no such service")]
            self._answer(host, PppoeCode.PADS, packet, tags, now=now)
        elif len(self.sessions) >= self._config.max_sessions:
            tags = [
                PppoeTag(TagType.SERVICE_NAME, wanted),
                PppoeTag(TagType.AC_SYSTEM_ERROR, b"no sessions left"),
            ]
            self._answer(host, PppoeCode.PADS, packet, tags, now=now)
        else:
            self._grant(host, wanted, packet, now)

    def _grant(self, host: MacAddr, wanted: bytes, packet: PppoePacket, now: Instant) -> None:
        ident = self.new_ident()
        session = self._variants.of(PppoeSession)(
            ident,
            self.mac,
            host,
            self._config.ppp_for(host),
            send=self._send,
            alarms=self._alarms,
            entropy=self._entropy,
            events=self._events,
            variants=self._variants,
        )
        self.sessions[ident] = session
        session.on_end = lambda _now: self._forget(ident)
        tags = [PppoeTag(TagType.SERVICE_NAME, wanted)]
        self._answer(host, PppoeCode.PADS, packet, tags, now=now, session=ident)
        self.on_session(session, now)
        session.start(now)

    def new_ident(self) -> int:
        """A session number not in use; 0 and 0xffff are not to be (RFC 2516 4, 5.4)."""
        while True:
            self._last = self._last % 0xFFFE + 1
            if self._last not in self.sessions:
                return self._last

    def _forget(self, ident: int) -> None:
        self.sessions.pop(ident, None)

    def _answer(
        self,
        host: MacAddr,
        code: int,
        asked: PppoePacket,
        tags: list[PppoeTag],
        *,
        now: Instant,
        session: int = 0,
    ) -> None:
        """Host-Uniq and Relay-Session-Id go back unchanged (RFC 2516 appendix A)."""
        echoed = [tag for tag in asked.tags if tag.kind in _ECHOED]
        packet = PppoePacket.discovery(code, [*tags, *echoed], session)
        self._send(EthFrame(host, self.mac, EtherType.PPPOE_DISCOVERY, packet.emit()), now)

    def _drop(self, reason: str, now: Instant) -> None:
        self._events.add(PacketDropped(now, "PPPoE", reason))


def _service(packet: PppoePacket) -> bytes | None:
    """The one service asked for; None where it is not exactly one (RFC 2516 5.1, 5.3)."""
    names = [tag.data for tag in packet.tags if tag.kind == TagType.SERVICE_NAME]
    return names[0] if len(names) == 1 else None
