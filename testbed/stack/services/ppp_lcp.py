"""The Link Control Protocol (RFC 1661 5 and 6): MRU, magic numbers, echoes, rejects."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from testbed.stack.alarms import Alarms
from testbed.stack.entropy import Entropy
from testbed.stack.events import Event, EventLog
from testbed.stack.services.ppp_config import PppConfig
from testbed.stack.services.ppp_negotiation import ControlProtocol, SendPacket
from testbed.timing import Instant, after
from testbed.wire.hdlc import ALL_CONTROLS
from testbed.wire.ppp import PppProtocol
from testbed.wire.ppp_auth import CHAP_MD5
from testbed.wire.ppp_control import ControlCode, ControlPacket, LcpOption, PppOption

__all__ = ["Lcp", "LoopFound"]

_AUTHENTICATION = {
    "pap": PppOption.number(LcpOption.AUTHENTICATION, PppProtocol.PAP, 2),
    "chap": PppOption.number(LcpOption.AUTHENTICATION, PppProtocol.CHAP << 8 | CHAP_MD5, 3),
}
_METHODS = {option: method for method, option in _AUTHENTICATION.items()}

_SIZES = {
    LcpOption.MRU: 2,
    LcpOption.ACCM: 4,
    LcpOption.MAGIC: 4,
    LcpOption.PFC: 0,
    LcpOption.ACFC: 0,
}
_OF_FRAMING = frozenset({LcpOption.ACCM, LcpOption.ACFC})

_DEFAULT_MRU = 1500


@dataclass(frozen=True, slots=True)
class LoopFound(Event):
    """What this side sends comes back to it: ``times`` so far in a row."""

    times: int


class Lcp(ControlProtocol):
    """The link's own control protocol.

    ``peer_mru``, ``peer_accm``, ``send_pfc`` and ``send_acfc`` are what was agreed for sending;
    ``prove_by`` is how the peer wants this side to authenticate, ``demand`` how this side the peer.
    """

    __slots__ = (
        "_advised",
        "_alarms",
        "_config",
        "_echoes",
        "_entropy",
        "_key",
        "_mru",
        "_offers",
        "demand",
        "echo_replies",
        "looped",
        "magic",
        "on_echo_reply",
        "on_protocol_reject",
        "peer_accm",
        "peer_magic",
        "peer_mru",
        "prove_by",
        "send_acfc",
        "send_pfc",
    )

    def __init__(
        self,
        config: PppConfig,
        *,
        send: SendPacket,
        alarms: Alarms,
        events: EventLog,
        entropy: Entropy,
        key: object,
    ) -> None:
        super().__init__(
            "LCP",
            PppProtocol.LCP,
            send=send,
            alarms=alarms,
            events=events,
            config=config.automaton,
            key=key,
        )
        self._config = config
        self._entropy = entropy
        self._alarms = alarms
        self._key = ("ppp echo", key)
        self._echoes = 0
        self._advised = 0
        self.looped = 0
        self.echo_replies = 0
        self.on_protocol_reject: Callable[[int, Instant], None] = lambda _protocol, _now: None
        self.on_echo_reply: Callable[[ControlPacket, Instant], None] = lambda _packet, _now: None
        self.codes = {
            ControlCode.PROTOCOL_REJECT: self._protocol_rejected,
            ControlCode.ECHO_REQUEST: self._echo_request,
            ControlCode.ECHO_REPLY: self._echo_reply,
            # "The receiver MUST silently discard any Discard-Request" (RFC 1661 5.9).
            ControlCode.DISCARD_REQUEST: lambda _packet, _now: None,
        }
        self.reset()
        self.take(())

    def reset(self) -> None:
        """Start over with what the settings say, and with another magic number."""
        super().reset()
        self._offers = list(self._config.authenticate)
        self.demand: str | None = self._offers[0] if self._offers else None
        self._mru = self._config.mru
        self.magic = self.new_magic() if self._config.magic else 0

    def new_magic(self) -> int:
        """A number that no other machine has, hopefully; never 0 (RFC 1661 6.4)."""
        return self._entropy.between(1, 0xFFFFFFFF)

    def requested(self) -> tuple[PppOption, ...]:
        """Only what is not the default: leaving an option out says just that."""
        config = self._config
        options: list[PppOption] = []
        if self._mru != _DEFAULT_MRU:
            options.append(PppOption.number(LcpOption.MRU, self._mru, 2))
        if config.framed and config.accm is not None:
            options.append(PppOption.number(LcpOption.ACCM, config.accm, 4))
        if self.demand is not None:
            options.append(_AUTHENTICATION[self.demand])
        if self.magic:
            options.append(PppOption.number(LcpOption.MAGIC, self.magic, 4))
        if config.pfc:
            options.append(PppOption(LcpOption.PFC))
        if config.framed and config.acfc:
            options.append(PppOption(LcpOption.ACFC))
        return tuple(option for option in options if option.kind not in self.refused)

    def unknown(self, option: PppOption) -> bool:
        """Quality monitoring and whatever RFC 1661 does not have; odd lengths too."""
        if option.kind == LcpOption.AUTHENTICATION:
            return not self._config.accept or len(option.data) < 2
        if option.kind in _OF_FRAMING and not self._config.framed:
            return True
        return _SIZES.get(option.kind) != len(option.data)

    def better(self, option: PppOption) -> PppOption | None:
        """Another MRU, another way to authenticate, or a magic number that is not ours."""
        if option.kind == LcpOption.MRU:
            fit = min(max(option.value, self._config.least_mru), self._config.largest_mru)
            return None if fit == option.value else PppOption.number(LcpOption.MRU, fit, 2)
        if option.kind == LcpOption.AUTHENTICATION:
            known = _METHODS.get(option) in self._config.accept
            return None if known else _AUTHENTICATION[self._config.accept[0]]
        if option.kind == LcpOption.MAGIC:
            return self._better_magic(option)
        return None

    def _better_magic(self, option: PppOption) -> PppOption | None:
        """Another number in place of one that is also ours, or zero.

        'If the two Magic-Numbers are equal, ... a Configure-Nak MUST be sent specifying a different
        Magic-Number value'; 'zero is illegal and MUST always be Nak'd' (RFC 1661 6.4).
        """
        if option.value and option.value != self.magic:
            return None
        self._advised = self.new_magic()
        return PppOption.number(LcpOption.MAGIC, self._advised, 4)

    def take(self, options: tuple[PppOption, ...]) -> None:
        """What the peer asked for, and the defaults of what it did not mention."""
        told = {option.kind: option for option in options}
        mru, accm = told.get(LcpOption.MRU), told.get(LcpOption.ACCM)
        magic = told.get(LcpOption.MAGIC)
        self.peer_mru = mru.value if mru else min(_DEFAULT_MRU, self._config.largest_mru)
        self.peer_accm = accm.value if accm else ALL_CONTROLS
        self.peer_magic = magic.value if magic else 0
        wish = told.get(LcpOption.AUTHENTICATION)
        self.prove_by = _METHODS.get(wish) if wish else None
        self.send_pfc = LcpOption.PFC in told
        self.send_acfc = LcpOption.ACFC in told

    def suggested(self, option: PppOption) -> None:
        """Take the hint where it is ours to take."""
        if option.kind == LcpOption.MRU and len(option.data) == 2:
            # 1500 bytes must be taken whatever was agreed (RFC 1661 6.1), so more is safe.
            self._mru = min(max(option.value, self._config.least_mru), self._config.mru)
        elif option.kind == LcpOption.MAGIC:
            self._other_magic(option.value)
        elif option.kind == LcpOption.AUTHENTICATION and self.demand is not None:
            self._other_demand(_METHODS.get(option))

    def _other_demand(self, method: str | None) -> None:
        """The peer cannot prove itself so: by what it suggests, if the settings allow, or the next.

        With none left the demand stays, and the negotiation ends by its counters.
        """
        left = [each for each in self._offers if each != self.demand]
        if left:
            self._offers = left
            self.demand = method if method in left else left[0]

    def _other_magic(self, suggested: int) -> None:
        """Choose anew, and notice where our own advice comes back to us.

        'If the Magic-Number is equal to the one sent in the last Configure-Nak, the possibility of
        a looped-back link is increased, and a new Magic-Number MUST be chosen' (RFC 1661 6.4).
        """
        self.looped = self.looped + 1 if suggested == self._advised else 0
        self.magic = self.new_magic()

    def own_magic(self) -> int:
        """Ours, unless the peer rejected the option (RFC 1661 5.8: then 0)."""
        return 0 if LcpOption.MAGIC in self.refused else self.magic

    @property
    def rejected_authentication(self) -> bool:
        """Whether the peer refuses to prove itself at all."""
        return LcpOption.AUTHENTICATION in self.refused

    def room(self) -> int:
        """Bytes of data in a control packet to the peer."""
        return self.peer_mru - 4

    def protocol_reject(self, protocol: int, information: bytes, now: Instant) -> None:
        """Tell the peer that ``protocol`` is not known here; only an open link may (5.7)."""
        refused = information[: self.room() - 2]
        self.send(ControlPacket.protocol_reject(self.new_ident(), protocol, refused), now)

    def send_echo(self, now: Instant, data: bytes = b"") -> int:
        """Send an Echo-Request and give its identifier."""
        ident = self.new_ident()
        packet = ControlPacket.echo(ControlCode.ECHO_REQUEST, ident, self.own_magic(), data)
        self.send(packet, now)
        return ident

    def watch(self, now: Instant) -> None:
        """Begin to send Echo-Requests, where the settings want it."""
        self._echoes = 0
        if self._config.echo_interval is not None:
            self._alarms.set(self._key, after(now, self._config.echo_interval), self._watch)

    def unwatch(self) -> None:
        """Send no more of them."""
        self._alarms.cancel(self._key)

    def _watch(self, now: Instant) -> None:
        if self._echoes >= self._config.echo_failures:
            self.dead(now)
            return
        echoes = self._echoes + 1
        self.send_echo(now)
        self.watch(now)
        self._echoes = echoes

    def dead(self, now: Instant) -> None:
        """Nothing comes back: the link is taken down and negotiated anew."""
        self.drop("no Echo-Reply", now)
        self.rejected(fatal=True, now=now)

    def _protocol_rejected(self, packet: ControlPacket, now: Instant) -> None:
        """Dropped if it comes before LCP is open, where none may be sent (RFC 1661 5.7)."""
        if not self.opened or len(packet.data) < 2:
            self.drop("Protocol-Reject out of place", now)
            return
        self.on_protocol_reject(int.from_bytes(packet.data[:2], "big"), now)

    def _echo_request(self, packet: ControlPacket, now: Instant) -> None:
        self._look_for_loop(packet.magic, now)
        self.echo_requested(packet, now)

    def _echo_reply(self, packet: ControlPacket, now: Instant) -> None:
        if not self.opened:
            self.drop("Echo-Reply before the link was open", now)
            return
        self._look_for_loop(packet.magic, now)
        self._echoes = 0
        self.echo_replies += 1
        self.on_echo_reply(packet, now)

    def _look_for_loop(self, magic: int, now: Instant) -> None:
        if magic and magic == self.own_magic():
            self.looped += 1
            self.events.add(LoopFound(now, self.looped))
        else:
            self.looped = 0
