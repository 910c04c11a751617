"""What LCP and IPCP have in common: one automaton, packets in and out, options that converge.

A protocol derives from ``ControlProtocol`` and says what it asks for and what it takes; the rest
(RFC 1661 5) is here.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

from testbed.errors import WireError
from testbed.stack.alarms import Alarms
from testbed.stack.events import Event, EventLog, PacketDropped
from testbed.stack.services.ppp_automaton import Action, Automaton, AutomatonConfig, State
from testbed.stack.services.ppp_automaton import Event as Happening
from testbed.timing import Instant
from testbed.wire.ppp_control import CODE_NAMES, ControlCode, ControlPacket, PppOption

__all__ = ["ControlProtocol", "PppStateChanged", "SendPacket"]

SendPacket = Callable[[int, ControlPacket, Instant], None]
"""Sends a packet of the protocol with that number."""

_ANSWERS = {
    ControlCode.CONFIGURE_ACK: Happening.ACK,
    ControlCode.CONFIGURE_NAK: Happening.NAK,
    ControlCode.CONFIGURE_REJECT: Happening.NAK,
}


@dataclass(frozen=True, slots=True)
class PppStateChanged(Event):
    """A control protocol's automaton went from one state to another."""

    protocol: str
    before: State
    cause: str
    state: State


class ControlProtocol(ABC):
    """A control protocol on one link. ``refused`` are option types that the peer rejected."""

    __slots__ = (
        "_answer",
        "_ident",
        "_next_ident",
        "_send",
        "_sent",
        "_subject",
        "automaton",
        "codes",
        "events",
        "naks",
        "name",
        "number",
        "on_down",
        "on_finished",
        "on_up",
        "refused",
    )

    def __init__(
        self,
        name: str,
        number: int,
        *,
        send: SendPacket,
        alarms: Alarms,
        events: EventLog,
        config: AutomatonConfig,
        key: object,
    ) -> None:
        self.name = name
        self.number = number
        self.events = events
        self.automaton = Automaton(self, alarms, config, (key, name))
        self.automaton.on_change = self._note
        self.codes: dict[int, Callable[[ControlPacket, Instant], None]] = {}
        """What else than RFC 1661's first seven codes is known, and who takes it."""
        self.refused: set[int] = set()
        self.naks = 0
        self.on_up: Callable[[Instant], None] = _nothing
        self.on_down: Callable[[Instant], None] = _nothing
        self.on_finished: Callable[[Instant], None] = _nothing
        self._send = send
        self._next_ident = 1
        self._ident = 0
        self._sent: tuple[PppOption, ...] = ()
        self._subject = ControlPacket(0)
        self._answer = ControlPacket(0)

    # What a protocol says of itself.

    @abstractmethod
    def requested(self) -> tuple[PppOption, ...]:
        """The options to ask for, less those that were refused."""

    @abstractmethod
    def unknown(self, option: PppOption) -> bool:
        """Whether to reject a peer's option: not recognised, or not negotiable here."""

    @abstractmethod
    def better(self, option: PppOption) -> PppOption | None:
        """The value to suggest in place of a peer's ``option``; None where it will do."""

    @abstractmethod
    def take(self, options: tuple[PppOption, ...]) -> None:
        """The peer's options, all of them good: they hold for what is sent to it."""

    @abstractmethod
    def suggested(self, option: PppOption) -> None:
        """The peer would rather have our ``option`` so."""

    def reset(self) -> None:
        """A new negotiation begins: forget what the last one made of our own options."""
        self.refused.clear()
        self.naks = 0

    def room(self) -> int:
        """Bytes of data that a packet to the peer may have: its MRU less this header."""
        return 1496

    # What happens.

    @property
    def opened(self) -> bool:
        """Whether both sides agreed."""
        return self.automaton.state is State.OPENED

    def receive(self, packet: ControlPacket, now: Instant) -> None:
        """Take one packet of this protocol; what makes no sense is dropped with an event."""
        if self.automaton.state in (State.INITIAL, State.STARTING):
            self.drop("link is down", now)
            return
        try:
            self._dispatch(packet, now)
        except WireError as error:
            self.drop(str(error), now)

    def drop(self, reason: str, now: Instant) -> None:
        """Note that a packet was not taken."""
        self.events.add(PacketDropped(now, self.name, reason))

    def _dispatch(self, packet: ControlPacket, now: Instant) -> None:
        code = packet.code
        if code == ControlCode.CONFIGURE_REQUEST:
            self._request(packet, now)
        elif code in _ANSWERS:
            self._answered(packet, now)
        elif code == ControlCode.TERMINATE_REQUEST:
            self._subject = packet
            self.automaton.on(Happening.TERMINATE, now)
        elif code == ControlCode.TERMINATE_ACK:
            self.automaton.on(Happening.TERMINATE_ACK, now)
        elif code == ControlCode.CODE_REJECT:
            refused = ControlPacket.parse(packet.data + bytes(4)).code
            self.rejected(fatal=ControlCode.CONFIGURE_REQUEST <= refused < 8, now=now)
        elif code in self.codes:
            self.codes[code](packet, now)
        else:
            self._subject = packet
            self.automaton.on(Happening.UNKNOWN_CODE, now)

    def rejected(self, *, fatal: bool, now: Instant) -> None:
        """The peer does not know a code or the protocol; ``fatal`` if we cannot do without."""
        self.automaton.on(Happening.REJECT_FATAL if fatal else Happening.REJECT_HARMLESS, now)

    def echo_requested(self, packet: ControlPacket, now: Instant) -> None:
        """An Echo-Request came: answered in Opened only (RFC 1661 5.8)."""
        self._subject = packet
        self.automaton.on(Happening.ECHO, now)

    def _request(self, packet: ControlPacket, now: Instant) -> None:
        options = packet.options
        self._answer = self.judge(packet, options)
        good = self._answer.code == ControlCode.CONFIGURE_ACK
        self.automaton.on(Happening.REQUEST_GOOD if good else Happening.REQUEST_BAD, now)

    def judge(self, packet: ControlPacket, options: tuple[PppOption, ...]) -> ControlPacket:
        """The answer to a Configure-Request: first what is rejected, then what is to be better.

        Options keep the order in which they came, in a Configure-Nak (RFC 1661 5.3) as in a
        Configure-Reject (5.4). After ``max_failure`` Naks, what they were about is rejected (4.6).
        """
        rejects = [option for option in options if self.unknown(option)]
        better = [(option, self.better(option)) for option in options if option not in rejects]
        naks = [instead for _, instead in better if instead is not None]
        exhausted = self.naks >= self.automaton.config.max_failure
        if exhausted and not rejects:
            rejects = [option for option, instead in better if instead is not None]
            naks = []
        if rejects:
            return ControlPacket.configure(ControlCode.CONFIGURE_REJECT, packet.ident, rejects)
        if naks:
            self.naks += 1
            return ControlPacket.configure(ControlCode.CONFIGURE_NAK, packet.ident, naks)
        self.naks = 0
        self.take(options)
        return ControlPacket(ControlCode.CONFIGURE_ACK, packet.ident, packet.data)

    def _answered(self, packet: ControlPacket, now: Instant) -> None:
        """An answer counts only for the last request, and an Ack only for exactly that one.

        "On reception of a Configure-Ack, the Identifier field MUST match that of the last
        transmitted Configure-Request. Additionally, the Configuration Options in a Configure-Ack
        MUST exactly match" (RFC 1661 5.2); "Invalid packets are silently discarded".
        """
        if not self._sent_last(packet.ident):
            self.drop(f"{CODE_NAMES[packet.code]} for another request", now)
            return
        options = packet.options
        if packet.code == ControlCode.CONFIGURE_ACK and options != self._sent:
            self.drop("Configure-Ack of other options than were sent", now)
            return
        if packet.code == ControlCode.CONFIGURE_REJECT:
            # "MUST be a proper subset of those in the last transmitted Configure-Request", in
            # order and unchanged (RFC 1661 5.4).
            rest = iter(self._sent)
            if not options or not all(option in rest for option in options):
                self.drop("Configure-Reject of options that were not sent", now)
                return
            self.refused.update(option.kind for option in options)
        elif packet.code == ControlCode.CONFIGURE_NAK:
            for option in options:
                self.suggested(option)
        # Not to be answered twice: the next request has another identifier.
        self._ident = -1
        self.automaton.on(_ANSWERS[packet.code], now)

    def _sent_last(self, ident: int) -> bool:
        """Whether ``ident`` is the last Configure-Request's, which is still unanswered."""
        return ident == self._ident

    # What the automaton wants done.

    def act(self, action: Action, now: Instant) -> None:
        """Do what the table says."""
        if action in _SENDS:
            self._send(self.number, _SENDS[action](self), now)
        elif action is Action.LAYER_UP:
            self.on_up(now)
        elif action is Action.LAYER_DOWN:
            self.on_down(now)
        elif action is Action.LAYER_FINISHED:
            self.on_finished(now)

    def new_ident(self) -> int:
        """The next identifier of a packet that is no answer."""
        ident = self._next_ident
        self._next_ident = ident % 255 + 1
        return ident

    def make_request(self) -> ControlPacket:
        """A Configure-Request; one that is resent is the same to the bit (RFC 1661 5.1)."""
        options = self.requested()
        if not self.automaton.resending or options != self._sent or self._ident < 0:
            self._ident = self.new_ident()
            self._sent = options
        return ControlPacket.configure(ControlCode.CONFIGURE_REQUEST, self._ident, options)

    def make_answer(self) -> ControlPacket:
        """The Ack, Nak or Reject that was decided upon."""
        return self._answer

    def make_terminate(self) -> ControlPacket:
        """A Terminate-Request."""
        return ControlPacket(ControlCode.TERMINATE_REQUEST, self.new_ident())

    def make_terminate_ack(self) -> ControlPacket:
        """A Terminate-Ack; where no Terminate-Request asks for it, it has a new identifier."""
        asked = self._subject.code == ControlCode.TERMINATE_REQUEST
        ident = self._subject.ident if asked else self.new_ident()
        self._subject = ControlPacket(0)
        return ControlPacket(ControlCode.TERMINATE_ACK, ident)

    def make_code_reject(self) -> ControlPacket:
        """A Code-Reject with the packet that it refuses, as much as fits (RFC 1661 5.6)."""
        refused = self._subject.emit()[: self.room()]
        return ControlPacket(ControlCode.CODE_REJECT, self.new_ident(), refused)

    def make_echo_reply(self) -> ControlPacket:
        """An Echo-Reply: the request's identifier and data, our magic number (RFC 1661 5.8)."""
        data = self._subject.data[4 : self.room()]
        return ControlPacket.echo(
            ControlCode.ECHO_REPLY, self._subject.ident, self.own_magic(), data
        )

    def own_magic(self) -> int:
        """The magic number that was agreed for this side; 0 where none was."""
        return 0

    def send(self, packet: ControlPacket, now: Instant) -> None:
        """Send a packet of this protocol that the automaton has no part in."""
        self._send(self.number, packet, now)

    def _note(self, before: State, event: Happening, state: State, now: Instant) -> None:
        starting = before < State.CLOSING or before is State.OPENED
        if starting and State.REQ_SENT <= state < State.OPENED:
            self.reset()
        if state is not before:
            self.events.add(PppStateChanged(now, self.name, before, event.value, state))


_SENDS: dict[Action, Callable[[ControlProtocol], ControlPacket]] = {
    Action.SEND_REQUEST: lambda protocol: protocol.make_request(),
    Action.SEND_ACK: lambda protocol: protocol.make_answer(),
    Action.SEND_NAK: lambda protocol: protocol.make_answer(),
    Action.SEND_TERMINATE: lambda protocol: protocol.make_terminate(),
    Action.SEND_TERMINATE_ACK: lambda protocol: protocol.make_terminate_ack(),
    Action.SEND_CODE_REJECT: lambda protocol: protocol.make_code_reject(),
    Action.SEND_ECHO_REPLY: lambda protocol: protocol.make_echo_reply(),
}


def _nothing(_now: Instant) -> None:
    """Nobody wants to know."""
