"""Faults in how the server has its PPP peers prove who they are."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from testbed.stack.services.ppp_auth import Chap, Pap
from testbed.stack.services.ppp_lcp import Lcp
from testbed.stack.services.ppp_link import Phase, PppLink
from testbed.stack.variants import Defect
from testbed.timing import Instant
from testbed.wire.ppp_auth import ChapCode, ChapValue, PapRequest, chap_md5
from testbed.wire.ppp_control import ControlPacket

__all__ = [
    "ACCEPTS_ANY_PASSWORD",
    "ACCEPTS_ANY_RESPONSE",
    "ANSWERS_ONCE",
    "COMPARES_HALF",
    "DEAF_TO_IDENTIFIERS",
    "DOES_NOT_ASK_WHO",
    "IGNORES_CASE",
    "IP_BEFORE_AUTHENTICATION",
    "KEEPS_STRANGERS",
    "LEAVES_OUT_THE_IDENTIFIER",
    "NEVER_ASKS_AGAIN",
    "SAME_CHALLENGE",
    "SAME_IDENTIFIER",
]


class _Credulous(Chap):
    __slots__ = ()

    def check(self, ident: int, response: ChapValue) -> bool:
        del ident, response
        return True


class _Monotonous(Chap):
    __slots__ = ()

    def fresh_value(self) -> bytes:
        return bytes(range(self._config.challenge_bytes))


class _NoIdentifier(Chap):
    __slots__ = ()

    def check(self, ident: int, response: ChapValue) -> bool:
        del ident
        return super().check(0, response)


class _AnyIdentifier(Chap):
    __slots__ = ()

    def take(self, packet: ControlPacket, now: Instant) -> None:
        if packet.code == ChapCode.RESPONSE:
            packet = replace(packet, ident=self._ident)
        super().take(packet, now)


class _AsksOnce(Chap):
    __slots__ = ()

    def _after_first(self, name: bytes, *, success: bool, now: Instant) -> None:
        self._config = replace(self._config, rechallenge=None)
        super()._after_first(name, success=success, now=now)


class _OneIdentifier(Chap):
    __slots__ = ()

    def _next_ident(self) -> int:
        self._ident = 1
        return 1


class _Trusting(Pap):
    __slots__ = ()

    def check(self, request: PapRequest) -> bool:
        return self.known(request.peer) is not None


class _AsksNobody(Lcp):
    __slots__ = ()

    def reset(self) -> None:
        super().reset()
        self.demand = None


class _Hasty(PppLink):
    __slots__ = ()

    def _established(self, now: Instant) -> None:
        super()._established(now)
        self._enter_network(now)

    def _enter_network(self, now: Instant) -> None:
        if self.phase is not Phase.NETWORK:
            super()._enter_network(now)


class _Hospitable(PppLink):
    __slots__ = ()

    def _failed(self, peer: bool, now: Instant) -> None:
        if not peer:
            super()._failed(peer, now)


ACCEPTS_ANY_RESPONSE: Final = Defect(
    "accepts any CHAP response",
    "AP-04",
    "A concentrator whose RADIUS server does not answer lets everybody in.",
    {Chap: _Credulous},
)
SAME_CHALLENGE: Final = Defect(
    "same challenge each time",
    "AP-04",
    "A concentrator begins with the same seed after every boot, and a response that was overheard "
    "once is good for ever.",
    {Chap: _Monotonous},
)
LEAVES_OUT_THE_IDENTIFIER: Final = Defect(
    "leaves the identifier out of the digest",
    "AP-04",
    "A concentrator hashes secret and challenge with an identifier of zero, and refuses all who do "
    "it right.",
    {Chap: _NoIdentifier},
)
DEAF_TO_IDENTIFIERS: Final = Defect(
    "takes responses to other challenges",
    "AP-04",
    "A concentrator looks at the response alone, and answers a late one to an old challenge with a "
    "failure that ends a good session.",
    {Chap: _AnyIdentifier},
)
NEVER_ASKS_AGAIN: Final = Defect(
    "never asks again",
    "AP-04",
    "A session that somebody has taken over in the middle goes on for ever, as who it is was asked "
    "at the beginning only.",
    {Chap: _AsksOnce},
)
SAME_IDENTIFIER: Final = Defect(
    "same identifier each time",
    "AP-04",
    "Every challenge has the identifier 1, and a late answer to the last one is taken for one to "
    "this.",
    {Chap: _OneIdentifier},
)
ACCEPTS_ANY_PASSWORD: Final = Defect(
    "accepts any PAP password",
    "AP-04",
    "A concentrator looks a user up, and forgets to compare the password.",
    {Pap: _Trusting},
)
DOES_NOT_ASK_WHO: Final = Defect(
    "never asks for authentication",
    "AP-04",
    "A template without its authentication line is rolled out, and everybody is let in.",
    {Lcp: _AsksNobody},
)
IP_BEFORE_AUTHENTICATION: Final = Defect(
    "goes on before authentication is done",
    "AP-04",
    "A concentrator opens the network layer as soon as the link is up, and hosts that nobody knows "
    "have their address before the failure is found out.",
    {PppLink: _Hasty},
)
KEEPS_STRANGERS: Final = Defect(
    "keeps the link of who failed",
    "AP-04",
    "A concentrator tells a host that its password is wrong, and leaves the link open to further "
    "guesses.",
    {PppLink: _Hospitable},
)


class _ComparesHalf(Chap):
    __slots__ = ()

    def check(self, ident: int, response: ChapValue) -> bool:
        secret = self.known(response.name)
        wanted = b"" if secret is None else chap_md5(ident, secret, self._challenge)
        return bool(wanted) and wanted[:8] == response.value[:8]


class _AnswersOnce(Chap):
    __slots__ = ()

    def take(self, packet: ControlPacket, now: Instant) -> None:
        again = packet.code == ChapCode.RESPONSE and self.demanding and self._settled is not None
        if not again:
            super().take(packet, now)


class _IgnoresCase(Pap):
    __slots__ = ()

    def check(self, request: PapRequest) -> bool:
        secret = self.known(request.peer)
        return secret is not None and secret.lower() == request.password.lower()


COMPARES_HALF: Final = Defect(
    "compares half of a CHAP response",
    "AP-04",
    "A digest is compared as two words, and the second of them by mistake with itself: half the "
    "work for whoever guesses.",
    {Chap: _ComparesHalf},
)
ANSWERS_ONCE: Final = Defect(
    "answers a CHAP response once",
    "AP-04",
    "A concentrator is done when it has said Success: where that is lost, the host goes on sending "
    "its response, and gives up.",
    {Chap: _AnswersOnce},
)
IGNORES_CASE: Final = Defect(
    "ignores the case of a PAP password",
    "AP-04",
    "Passwords come from a directory that holds them in capitals, and are compared so.",
    {Pap: _IgnoresCase},
)
