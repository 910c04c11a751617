"""Proving who one is over PPP: PAP (RFC 1334 2) and CHAP with MD5 (RFC 1994), both sides."""

from __future__ import annotations

import hmac
from collections.abc import Callable
from dataclasses import dataclass

from testbed.errors import WireError
from testbed.stack.alarms import Alarms
from testbed.stack.entropy import Entropy
from testbed.stack.events import Event, EventLog, PacketDropped
from testbed.stack.services.ppp_config import PppConfig
from testbed.stack.services.ppp_negotiation import SendPacket
from testbed.timing import Instant, after
from testbed.wire.ppp import PppProtocol
from testbed.wire.ppp_auth import ChapCode, ChapValue, PapCode, PapReply, PapRequest, chap_md5
from testbed.wire.ppp_control import ControlPacket

__all__ = ["Authenticated", "Authentication", "Chap", "Pap"]


@dataclass(frozen=True, slots=True)
class Authenticated(Event):
    """A side proved who it is, or failed to: ``peer`` tells whether it was the other side."""

    method: str
    name: bytes
    peer: bool
    success: bool


class Authentication:
    """One method on one link. ``on_proved`` is told of success, ``on_failed`` of failure.

    Both get whether the peer is meant (True) or this side (False).
    """

    __slots__ = (
        "_alarms",
        "_config",
        "_entropy",
        "_events",
        "_ident",
        "_key",
        "_left",
        "_send",
        "demanding",
        "on_failed",
        "on_proved",
        "peer_name",
        "proving",
    )
    method = ""
    number = 0

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
        self._config = config
        self._send = send
        self._alarms = alarms
        self._events = events
        self._entropy = entropy
        self._key = ("ppp auth", self.method, key)
        self._ident = entropy.below(256)
        self._left = 0
        self.demanding = False
        """The peer must prove itself to us by this method."""
        self.proving = False
        """We must prove ourselves to the peer by this method."""
        self.peer_name = b""
        self.on_proved: Callable[[bool, Instant], None] = lambda _peer, _now: None
        self.on_failed: Callable[[bool, Instant], None] = lambda _peer, _now: None

    def start(self, now: Instant, *, demanding: bool, proving: bool) -> None:
        """The link was established, and this was agreed upon."""
        self.demanding, self.proving = demanding, proving
        self._left = self._config.auth_attempts
        self.begin(now)

    def begin(self, now: Instant) -> None:
        """Send what this method begins with."""

    def stop(self) -> None:
        """The link is down."""
        self.demanding = self.proving = False
        self._alarms.cancel(self._key)

    def receive(self, packet: ControlPacket, now: Instant) -> None:
        """Take a packet; what makes no sense is dropped with an event."""
        try:
            self.take(packet, now)
        except WireError as error:
            self._drop(str(error), now)

    def take(self, packet: ControlPacket, now: Instant) -> None:
        """Take a packet of this method; WireError where it is malformed."""

    def known(self, name: bytes) -> bytes | None:
        """The secret of ``name``, or None."""
        return self._config.secrets.get(name)

    def _emit(self, code: int, ident: int, data: bytes, now: Instant) -> None:
        self._send(self.number, ControlPacket(code, ident, data), now)

    def _wait(self, now: Instant, action: Callable[[Instant], None]) -> None:
        self._alarms.set(self._key, after(now, self._config.auth_timeout), action)

    def _outcome(self, name: bytes, *, peer: bool, success: bool, now: Instant) -> None:
        self._events.add(Authenticated(now, self.method, name, peer, success))
        (self.on_proved if success else self.on_failed)(peer, now)

    def _drop(self, reason: str, now: Instant) -> None:
        self._events.add(PacketDropped(now, self.method.upper(), reason))

    def _next_ident(self) -> int:
        self._ident = (self._ident + 1) % 256
        return self._ident


class Pap(Authentication):
    """The Password Authentication Protocol: the side that proves itself repeats its request."""

    __slots__ = ("_settled",)
    method = "pap"
    number = PppProtocol.PAP

    def begin(self, now: Instant) -> None:
        """Send the request, where it is ours to send; else wait for the peer's."""
        self._settled: bool | None = None
        if self.proving:
            self._request(now)

    def _request(self, now: Instant) -> None:
        if self._left <= 0:
            self._outcome(self._config.name, peer=False, success=False, now=now)
            return
        self._left -= 1
        data = PapRequest(self._config.name, self._config.secret).emit()
        # "The Identifier field ... MUST be changed each time an Authenticate-Request packet is
        # issued" (RFC 1334 2.2.1).
        self._emit(PapCode.REQUEST, self._next_ident(), data, now)
        self._wait(now, self._request)

    def take(self, packet: ControlPacket, now: Instant) -> None:
        """A request, where the peer has to send them, or the answer to ours."""
        if packet.code == PapCode.REQUEST and self.demanding:
            self._judge(packet, now)
        elif packet.code in (PapCode.ACK, PapCode.NAK) and self.proving:
            self._answered(packet, now)
        else:
            self._drop(f"code {packet.code} out of place", now)

    def _judge(self, packet: ControlPacket, now: Instant) -> None:
        request = PapRequest.parse(packet.data)
        # Requests repeated because an answer was lost get "the same reply code" (RFC 1334 2.2.2).
        first = self._settled is None
        if self._settled is None:
            self._settled = self.check(request)
            self.peer_name = request.peer
        code = PapCode.ACK if self._settled else PapCode.NAK
        words = b"" if self._settled else b"name or password is wrong"
        self._emit(code, packet.ident, PapReply(words).emit(), now)
        if first:
            self._outcome(request.peer, peer=True, success=self._settled, now=now)

    def check(self, request: PapRequest) -> bool:
        """Whether the password is the name's."""
        secret = self.known(request.peer)
        return secret is not None and hmac.compare_digest(secret, request.password)

    def _answered(self, packet: ControlPacket, now: Instant) -> None:
        if packet.ident != self._ident:
            self._drop("answer to another request", now)
            return
        self.proving = False
        self._alarms.cancel(self._key)
        success = packet.code == PapCode.ACK
        self._outcome(self._config.name, peer=False, success=success, now=now)


class Chap(Authentication):
    """The Challenge Handshake: the side that demands proof sends challenges, again and again."""

    __slots__ = ("_challenge", "_settled")
    method = "chap"
    number = PppProtocol.CHAP

    def begin(self, now: Instant) -> None:
        """Challenge the peer, where it is ours to do; else wait for its challenge."""
        self._settled: bool | None = None
        self._challenge = b""
        if self.demanding:
            self.challenge(now)

    def challenge(self, now: Instant) -> None:
        """Send a fresh challenge: another value and another identifier each time.

        "Each challenge value SHOULD be unique" (RFC 1994 2.3).
        """
        self._challenge = self.fresh_value()
        self._settled = None
        self._left = self._config.auth_attempts
        self._next_ident()
        self._repeat(now)

    def fresh_value(self) -> bytes:
        """A value that nobody can foretell."""
        return self._entropy.octets(self._config.challenge_bytes)

    def _repeat(self, now: Instant) -> None:
        if self._left <= 0:
            self._outcome(self.peer_name, peer=True, success=False, now=now)
            return
        self._left -= 1
        data = ChapValue(self._challenge, self._config.name).emit()
        self._emit(ChapCode.CHALLENGE, self._ident, data, now)
        self._wait(now, self._repeat)

    def take(self, packet: ControlPacket, now: Instant) -> None:
        """A challenge at any time, a response to ours, or what came of our response."""
        if packet.code == ChapCode.CHALLENGE and self.proving:
            self._respond(packet, now)
        elif packet.code == ChapCode.RESPONSE and self.demanding:
            self._judge(packet, now)
        elif packet.code in (ChapCode.SUCCESS, ChapCode.FAILURE) and self.proving:
            success = packet.code == ChapCode.SUCCESS
            self._outcome(self._config.name, peer=False, success=success, now=now)
        else:
            self._drop(f"code {packet.code} out of place", now)

    def _respond(self, packet: ControlPacket, now: Instant) -> None:
        challenge = ChapValue.parse(packet.data)
        value = chap_md5(packet.ident, self._config.secret, challenge.value)
        data = ChapValue(value, self._config.name).emit()
        self._emit(ChapCode.RESPONSE, packet.ident, data, now)

    def _judge(self, packet: ControlPacket, now: Instant) -> None:
        """The identifier tells to which challenge the response is; others are dropped (4.1)."""
        if packet.ident != self._ident:
            self._drop("response to another challenge", now)
            return
        response = ChapValue.parse(packet.data)
        first = self._settled is None
        if self._settled is None:
            self._settled = self.check(packet.ident, response)
            self.peer_name = response.name
        # A Response that comes again has the same answer again, as the first may have been lost
        # (RFC 1994 4.2).
        code = ChapCode.SUCCESS if self._settled else ChapCode.FAILURE
        words = b"welcome" if self._settled else b"name or secret is wrong"
        self._emit(code, packet.ident, words, now)
        if first:
            self._after_first(response.name, success=self._settled, now=now)

    def _after_first(self, name: bytes, *, success: bool, now: Instant) -> None:
        self._alarms.cancel(self._key)
        if success and self._config.rechallenge is not None:
            self._alarms.set(self._key, after(now, self._config.rechallenge), self.challenge)
        self._outcome(name, peer=True, success=success, now=now)

    def check(self, ident: int, response: ChapValue) -> bool:
        """Whether the value is what the name's secret makes of our challenge."""
        secret = self.known(response.name)
        if secret is None:
            return False
        return hmac.compare_digest(chap_md5(ident, secret, self._challenge), response.value)
