"""Faults of the server's side of PPP."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address
from typing import Final

from testbed.sim.server.access import AddressBook
from testbed.stack.services.ppp_automaton import Action
from testbed.stack.services.ppp_ipcp import Ipcp
from testbed.stack.services.ppp_lcp import Lcp
from testbed.stack.variants import Defect
from testbed.timing import Instant
from testbed.wire.ppp_control import ControlCode, ControlPacket, IpcpOption, LcpOption, PppOption

__all__ = [
    "ACKS_ANOTHER_IDENTIFIER",
    "ACKS_WHAT_IT_DOES_NOT_KNOW",
    "ANSWERS_BEYOND_THE_MRU",
    "DROPS_THE_LIVING",
    "ECHOES_EVERYTHING_BACK",
    "GIVES_NO_ADDRESS",
    "IGNORES_ECHO",
    "KEEPS_THE_DEAD",
    "NO_CODE_REJECT",
    "NO_PROTOCOL_REJECT",
    "NO_TERMINATE_ACK",
    "ONE_ADDRESS_FOR_ALL",
    "REORDERS_REJECTS",
    "TAKES_ANY_ADDRESS",
]

# LCP


class _NoEcho(Lcp):
    __slots__ = ()

    def echo_requested(self, packet: ControlPacket, now: Instant) -> None:
        pass


class _Patient(Lcp):
    __slots__ = ()

    def dead(self, now: Instant) -> None:
        self.watch(now)


class _Nervous(Lcp):
    __slots__ = ()

    def _echo_reply(self, packet: ControlPacket, now: Instant) -> None:
        pass


class _Mirror(Lcp):
    __slots__ = ()

    def make_echo_reply(self) -> ControlPacket:
        return replace(self._subject, code=ControlCode.ECHO_REPLY)


class _Wordy(Lcp):
    __slots__ = ()

    def room(self) -> int:
        return 1496


class _LeavesInSilence(Lcp):
    __slots__ = ()

    def act(self, action: Action, now: Instant) -> None:
        if action is not Action.SEND_TERMINATE_ACK:
            super().act(action, now)


class _Compliant(Lcp):
    __slots__ = ()

    def unknown(self, option: PppOption) -> bool:
        known = {LcpOption.MRU, LcpOption.AUTHENTICATION, LcpOption.MAGIC}
        return option.kind in known and super().unknown(option)


class _WrongIdentifier(Lcp):
    __slots__ = ()

    def judge(self, packet: ControlPacket, options: tuple[PppOption, ...]) -> ControlPacket:
        answer = super().judge(packet, options)
        return replace(answer, ident=(answer.ident + 1) % 256)


class _Sorted(Lcp):
    __slots__ = ()

    def judge(self, packet: ControlPacket, options: tuple[PppOption, ...]) -> ControlPacket:
        answer = super().judge(packet, options)
        if answer.code != ControlCode.CONFIGURE_REJECT:
            return answer
        turned = tuple(reversed(answer.options))
        return ControlPacket.configure(answer.code, answer.ident, turned)


class _SilentAboutProtocols(Lcp):
    __slots__ = ()

    def protocol_reject(self, protocol: int, information: bytes, now: Instant) -> None:
        pass


class _SilentAboutCodes(Lcp):
    __slots__ = ()

    def act(self, action: Action, now: Instant) -> None:
        if action is not Action.SEND_CODE_REJECT:
            super().act(action, now)


IGNORES_ECHO: Final = Defect(
    "ignores LCP echo",
    "AP-04",
    "A concentrator under load does not answer Echo-Requests, and its hosts take good lines down.",
    {Lcp: _NoEcho},
)
KEEPS_THE_DEAD: Final = Defect(
    "keeps hosts that answer no echo",
    "AP-04",
    "Hosts that were switched off the hard way hold their addresses until the pool is empty.",
    {Lcp: _Patient},
)
DROPS_THE_LIVING: Final = Defect(
    "does not count Echo-Replies",
    "AP-04",
    "A concentrator takes good hosts down every minute, as it overlooks what they answer.",
    {Lcp: _Nervous},
)
ECHOES_EVERYTHING_BACK: Final = Defect(
    "echoes the peer's magic number",
    "AP-04",
    "A concentrator sends the Echo-Request back with another code, and the host takes its line for "
    "looped.",
    {Lcp: _Mirror},
)
ANSWERS_BEYOND_THE_MRU: Final = Defect(
    "answers beyond the peer's MRU",
    "AP-04",
    "A concentrator acks a small MRU and goes on as before, and the host's buffers run over.",
    {Lcp: _Wordy},
)
NO_TERMINATE_ACK: Final = Defect(
    "no Terminate-Ack",
    "AP-04",
    "A concentrator drops a link as soon as it is asked to, and the host waits for its time-out "
    "before it dials again.",
    {Lcp: _LeavesInSilence},
)
ACKS_WHAT_IT_DOES_NOT_KNOW: Final = Defect(
    "acks options that it does not know",
    "AP-04",
    "A concentrator agrees to a compression of the host's, and understands nothing from there on.",
    {Lcp: _Compliant},
)
ACKS_ANOTHER_IDENTIFIER: Final = Defect(
    "answers with another identifier",
    "AP-04",
    "A concentrator numbers its answers by itself, and hosts drop all of them.",
    {Lcp: _WrongIdentifier},
)
REORDERS_REJECTS: Final = Defect(
    "reorders what it rejects",
    "AP-04",
    "A concentrator lists what it rejects in an order of its own, which careful hosts discard as "
    "no answer of theirs.",
    {Lcp: _Sorted},
)
NO_PROTOCOL_REJECT: Final = Defect(
    "no Protocol-Reject",
    "AP-04",
    "A host asks for IPv6 on a concentrator without it, and tries for ever as nobody says no.",
    {Lcp: _SilentAboutProtocols},
)
NO_CODE_REJECT: Final = Defect(
    "no Code-Reject",
    "AP-04",
    "A host tries an extension, and cannot tell that nobody knows it from its loss on the way.",
    {Lcp: _SilentAboutCodes},
)

# IPCP


class _Stingy(Ipcp):
    __slots__ = ()

    def better(self, option: PppOption) -> PppOption | None:
        given = option.kind == IpcpOption.ADDRESS and not option.value
        return None if given else super().better(option)


class _Lenient(Ipcp):
    __slots__ = ()

    def better(self, option: PppOption) -> PppOption | None:
        chosen = option.kind == IpcpOption.ADDRESS and option.value
        return None if chosen else super().better(option)


class _Forgetful(AddressBook):
    __slots__ = ()

    def is_free(self, address: IPv4Address) -> bool:
        del address
        return True


GIVES_NO_ADDRESS: Final = Defect(
    "acks the address 0.0.0.0",
    "AP-04",
    "A concentrator whose pool is not configured agrees to what hosts begin with, and they are up "
    "without an address.",
    {Ipcp: _Stingy},
)
TAKES_ANY_ADDRESS: Final = Defect(
    "lets the peer choose its address",
    "AP-04",
    "A concentrator agrees to the address that a host had from its last provider, and routes "
    "somebody else's packets to it.",
    {Ipcp: _Lenient},
)
ONE_ADDRESS_FOR_ALL: Final = Defect(
    "hands out one address twice",
    "AP-04",
    "A concentrator that lost its book gives the first address of its pool to everybody.",
    {AddressBook: _Forgetful},
)
