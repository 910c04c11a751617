"""A DHCP client's states and what moves it from one to another: RFC 2131 figure 5 as a table.

CHECKING is the figure's unnamed moment between a DHCPACK and BOUND, when the client probes for the
address that it was given (RFC 2131 4.4.1: "SHOULD perform a check on the suggested address").
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final, NamedTuple

from testbed.stack.events import Event

__all__ = ["TABLE", "ClientEvent", "ClientState", "DhcpStateChanged", "Transition"]


class ClientState(Enum):
    """Where a client stands; STOPPED is not in the figure: it does nothing."""

    STOPPED = "stopped"
    INIT = "init"
    SELECTING = "selecting"
    REQUESTING = "requesting"
    CHECKING = "checking"
    BOUND = "bound"
    RENEWING = "renewing"
    REBINDING = "rebinding"
    INIT_REBOOT = "init-reboot"
    REBOOTING = "rebooting"


class ClientEvent(Enum):
    """What happens to a client."""

    BEGIN = "begin"  # the wait before the first message is over
    CHOSEN = "chosen"  # an offer was selected
    ACK = "ack"
    NAK = "nak"
    RETRY = "retry"  # no answer came in time
    GIVE_UP = "give up"  # nor to any repetition
    FREE = "free"  # nobody else answers for the address
    TAKEN = "taken"  # somebody else has the address
    T1 = "t1"
    T2 = "t2"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True)
class DhcpStateChanged(Event):
    """A client went from one state to another."""

    interface: str
    old: ClientState
    new: ClientState


class Transition(NamedTuple):
    """What to do, the name of a client's method, and the state after it."""

    action: str
    state: ClientState


_S: Final = ClientState
_E: Final = ClientEvent

TABLE: Final[dict[tuple[ClientState, ClientEvent], Transition]] = {
    (_S.INIT, _E.BEGIN): Transition("discover", _S.SELECTING),
    (_S.SELECTING, _E.CHOSEN): Transition("request", _S.REQUESTING),
    (_S.SELECTING, _E.RETRY): Transition("discover_again", _S.SELECTING),
    (_S.REQUESTING, _E.ACK): Transition("check", _S.CHECKING),
    (_S.REQUESTING, _E.NAK): Transition("start_over", _S.INIT),
    (_S.REQUESTING, _E.RETRY): Transition("request_again", _S.REQUESTING),
    (_S.REQUESTING, _E.GIVE_UP): Transition("start_over", _S.INIT),
    (_S.CHECKING, _E.FREE): Transition("bind", _S.BOUND),
    (_S.CHECKING, _E.TAKEN): Transition("decline", _S.INIT),
    (_S.BOUND, _E.T1): Transition("renew", _S.RENEWING),
    (_S.BOUND, _E.TAKEN): Transition("decline", _S.INIT),
    (_S.RENEWING, _E.ACK): Transition("bind", _S.BOUND),
    (_S.RENEWING, _E.NAK): Transition("halt", _S.INIT),
    (_S.RENEWING, _E.RETRY): Transition("renew_again", _S.RENEWING),
    (_S.RENEWING, _E.T2): Transition("rebind", _S.REBINDING),
    (_S.RENEWING, _E.TAKEN): Transition("decline", _S.INIT),
    (_S.REBINDING, _E.ACK): Transition("bind", _S.BOUND),
    (_S.REBINDING, _E.NAK): Transition("halt", _S.INIT),
    (_S.REBINDING, _E.RETRY): Transition("rebind_again", _S.REBINDING),
    (_S.REBINDING, _E.EXPIRED): Transition("halt", _S.INIT),
    (_S.REBINDING, _E.TAKEN): Transition("decline", _S.INIT),
    (_S.INIT_REBOOT, _E.BEGIN): Transition("reboot", _S.REBOOTING),
    (_S.REBOOTING, _E.ACK): Transition("check", _S.CHECKING),
    (_S.REBOOTING, _E.NAK): Transition("start_over", _S.INIT),
    (_S.REBOOTING, _E.RETRY): Transition("reboot_again", _S.REBOOTING),
    (_S.REBOOTING, _E.GIVE_UP): Transition("start_over", _S.INIT),
}
"""What is not in it does not move the client."""
