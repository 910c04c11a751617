"""Faults of PPPoE access concentrators."""

from __future__ import annotations

from typing import Final

from testbed.stack.services.ppp_lcp import Lcp
from testbed.stack.services.pppoe import PppoeSession
from testbed.stack.services.pppoe_server import AccessConcentrator
from testbed.stack.variants import Defect
from testbed.timing import Instant
from testbed.wire.addresses import MacAddr
from testbed.wire.ethernet import EtherType, EthFrame
from testbed.wire.ppp import PppFrame
from testbed.wire.ppp_control import LcpOption, PppOption
from testbed.wire.pppoe import PppoeCode, PppoePacket, PppoeTag, TagType

__all__ = [
    "ANY_COOKIE",
    "ANY_SERVICE",
    "BROADCASTS_OFFERS",
    "GRANTS_WITHOUT_WORDS",
    "HANGS_UP_IN_SILENCE",
    "IGNORES_PADT",
    "MRU_1500",
    "NO_AC_NAME",
    "NO_HOST_UNIQ",
    "NO_RELAY_ID",
    "OFFERS_WITH_A_SESSION",
    "OPEN_TO_ALL",
    "OTHER_SESSIONS_NUMBER",
    "REUSES_NUMBERS",
    "SERVES_BY_PREFIX",
    "SESSION_0",
    "SILENT_REFUSAL",
    "TAKES_1500",
]


class _Large(Lcp):
    __slots__ = ()

    def requested(self) -> tuple[PppOption, ...]:
        wanted = tuple(each for each in super().requested() if each.kind != LcpOption.MRU)
        if LcpOption.MRU in self.refused:  # left out, 1500 is meant all the same (RFC 1661 6.1)
            return wanted
        return (PppOption.number(LcpOption.MRU, 1500, 2), *wanted)

    def better(self, option: PppOption) -> PppOption | None:
        return None if option.kind == LcpOption.MRU else super().better(option)


class _Obliging(Lcp):
    __slots__ = ()

    def better(self, option: PppOption) -> PppOption | None:
        return None if option.kind == LcpOption.MRU else super().better(option)


class _WithoutTag(AccessConcentrator):
    __slots__ = ()
    left_out: int

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
        kept = [tag for tag in tags if tag.kind != self.left_out]
        told = tuple(tag for tag in asked.tags if tag.kind != self.left_out)
        asked = PppoePacket.discovery(asked.code, told, asked.session)
        super()._answer(host, code, asked, kept, now=now, session=session)


class _NoHostUniq(_WithoutTag):
    __slots__ = ()
    left_out = TagType.HOST_UNIQ


class _NoRelayId(_WithoutTag):
    __slots__ = ()
    left_out = TagType.RELAY_SESSION_ID


class _Nameless(_WithoutTag):
    __slots__ = ()
    left_out = TagType.AC_NAME


class _Gullible(AccessConcentrator):
    __slots__ = ()

    def _requested(self, host: MacAddr, packet: PppoePacket, now: Instant) -> None:
        kept = [tag for tag in packet.tags if tag.kind != TagType.AC_COOKIE]
        cookie = PppoeTag(TagType.AC_COOKIE, self.cookie(host))
        packet = PppoePacket.discovery(packet.code, [*kept, cookie], packet.session)
        super()._requested(host, packet, now)


class _ServesAll(AccessConcentrator):
    __slots__ = ()

    def serves(self, service: bytes) -> bool:
        del service
        return True


class _OneNumber(AccessConcentrator):
    __slots__ = ()

    def new_ident(self) -> int:
        return 1


class _NumberOnPado(AccessConcentrator):
    __slots__ = ()

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
        session = 0x0101 if code == PppoeCode.PADO else session
        super()._answer(host, code, asked, tags, now=now, session=session)


class _NumberZero(AccessConcentrator):
    __slots__ = ()

    def new_ident(self) -> int:
        return 0


class _OffersToAll(AccessConcentrator):
    __slots__ = ()

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
        whom = MacAddr.BROADCAST if code == PppoeCode.PADO else host
        super()._answer(whom, code, asked, tags, now=now, session=session)


class _BareGrant(AccessConcentrator):
    __slots__ = ()

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
        kept = [] if code == PppoeCode.PADS and session else tags
        super()._answer(host, code, asked, kept, now=now, session=session)


class _NeverSaysNo(AccessConcentrator):
    __slots__ = ()

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
        if code != PppoeCode.PADS or session:
            super()._answer(host, code, asked, tags, now=now, session=session)


class _DeafToPadt(AccessConcentrator):
    __slots__ = ()

    def _discovery(self, host: MacAddr, packet: PppoePacket, now: Instant) -> None:
        if packet.code != PppoeCode.PADT:
            super()._discovery(host, packet, now)


class _AnyHost(AccessConcentrator):
    __slots__ = ()

    def _held(self, host: MacAddr, packet: PppoePacket) -> PppoeSession | None:
        del host
        return self.sessions.get(packet.session)


class _OffByOne(PppoeSession):
    __slots__ = ()

    def _send_ppp(self, frame: PppFrame, now: Instant) -> None:
        if self._alive:
            ident = (self.ident + 1) & 0xFFFF
            packet = PppoePacket(PppoeCode.SESSION, ident, frame.emit(pfc=False))
            eth = EthFrame(self.peer, self.mac, EtherType.PPPOE_SESSION, packet.emit())
            self._send(eth, now)


class _HangsUp(PppoeSession):
    __slots__ = ()

    def close(self, now: Instant) -> None:
        self.terminated(now)


MRU_1500: Final = Defect(
    "MRU 1500",
    "AP-05",
    "A concentrator made for serial lines asks for 1500 bytes, which Ethernet cannot carry with "
    "PPPoE's 8 more: large packets vanish.",
    {Lcp: _Large},
)
TAKES_1500: Final = Defect(
    "acks an MRU of 1500",
    "AP-05",
    "A concentrator asks for 1492 itself, agrees to a host's 1500, and sends it what does not fit.",
    {Lcp: _Obliging},
)
NO_HOST_UNIQ: Final = Defect(
    "does not echo Host-Uniq",
    "AP-05",
    "A host that opens several sessions cannot tell which offer answers which request.",
    {AccessConcentrator: _NoHostUniq},
)
NO_RELAY_ID: Final = Defect(
    "does not echo Relay-Session-Id",
    "AP-05",
    "Behind a relay no host gets through, for the relay cannot tell whose the answer is.",
    {AccessConcentrator: _NoRelayId},
)
NO_AC_NAME: Final = Defect(
    "offers without a name",
    "AP-05",
    "A concentrator's offer lacks its AC-Name, and hosts that look for it pass it over.",
    {AccessConcentrator: _Nameless},
)
ANY_COOKIE: Final = Defect(
    "takes any cookie",
    "AP-05",
    "A flood of PADRs from invented addresses uses up all sessions, as nobody checks the cookie.",
    {AccessConcentrator: _Gullible},
)
ANY_SERVICE: Final = Defect(
    "answers for services that it has not",
    "AP-05",
    "A concentrator answers every PADI, and hosts of another provider on that LAN end up on it.",
    {AccessConcentrator: _ServesAll},
)
REUSES_NUMBERS: Final = Defect(
    "reuses a session id",
    "AP-05",
    "A second host gets the number of a session that is in use, and the first loses it.",
    {AccessConcentrator: _OneNumber},
)
SESSION_0: Final = Defect(
    "grants session 0",
    "AP-05",
    "A counter that begins at zero: the first host after a boot gets a number that means none.",
    {AccessConcentrator: _NumberZero},
)
OFFERS_WITH_A_SESSION: Final = Defect(
    "offers with a session id",
    "AP-05",
    "A concentrator fills the session's number in from the offer on, and careful hosts drop it.",
    {AccessConcentrator: _NumberOnPado},
)
BROADCASTS_OFFERS: Final = Defect(
    "broadcasts its offers",
    "AP-05",
    "Every offer wakes all hosts of the LAN, and tells them who asks.",
    {AccessConcentrator: _OffersToAll},
)
GRANTS_WITHOUT_WORDS: Final = Defect(
    "confirms no service",
    "AP-05",
    "A concentrator's PADS does not say for which service the session is.",
    {AccessConcentrator: _BareGrant},
)
SILENT_REFUSAL: Final = Defect(
    "refuses in silence",
    "AP-05",
    "A concentrator without room leaves hosts waiting, where an error would have sent them to "
    "another one.",
    {AccessConcentrator: _NeverSaysNo},
)
IGNORES_PADT: Final = Defect(
    "PADT ignored",
    "AP-05",
    "Hosts that are switched off the orderly way keep their sessions, and come back to find that "
    "they are one too many.",
    {AccessConcentrator: _DeafToPadt},
)
HANGS_UP_IN_SILENCE: Final = Defect(
    "no PADT",
    "AP-05",
    "A concentrator forgets sessions without a word, and hosts go on sending into nothing.",
    {PppoeSession: _HangsUp},
)
OPEN_TO_ALL: Final = Defect(
    "takes frames of other hosts",
    "AP-05",
    "A concentrator goes by the session's number alone, and a neighbour who guesses it uses the "
    "session, or ends it.",
    {AccessConcentrator: _AnyHost},
)
OTHER_SESSIONS_NUMBER: Final = Defect(
    "sends with the wrong session id",
    "AP-05",
    "Two line cards disagree about a session's number, and the host drops all that comes.",
    {PppoeSession: _OffByOne},
)


class _ByPrefix(AccessConcentrator):
    __slots__ = ()

    def serves(self, service: bytes) -> bool:
        return any(each.startswith(service) for each in self._config.services)


SERVES_BY_PREFIX: Final = Defect(
    "compares the beginnings of services",
    "AP-05",
    "Names are compared as far as the shorter one goes: hosts that look for another service are "
    "taken in.",
    {AccessConcentrator: _ByPrefix},
)
