"""PPPoE on a stack's Ethernet interface: the client's side, and the access concentrator's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from testbed.errors import PlanError
from testbed.stack.output import Outgoing
from testbed.stack.services.ppp_interface import PppInterface
from testbed.stack.services.pppoe import PppoeClient, PppoeConfig, PppoeSession
from testbed.stack.services.pppoe_server import AccessConcentrator, ConcentratorConfig
from testbed.stack.stack import Stack
from testbed.timing import Instant
from testbed.wire.addresses import MacAddr
from testbed.wire.ethernet import EtherType, EthFrame

__all__ = ["PppoeHost", "PppoeServer"]

_CLIENT: Final = PppoeConfig()
_SERVER: Final = ConcentratorConfig()
_KINDS: Final = (EtherType.PPPOE_DISCOVERY, EtherType.PPPOE_SESSION)


class PppoeHost:
    """A PPPoE client on the interface ``over``: while a session is up, IP goes by ``name``.

    With ``default_route`` all that has no better route goes that way.
    """

    def __init__(
        self,
        stack: Stack,
        over: str,
        config: PppoeConfig = _CLIENT,
        *,
        name: str = "ppp0",
        default_route: bool = True,
    ) -> None:
        self.stack = stack
        self.name = name
        self.face: PppInterface | None = None
        """The session's interface; None before the first session."""
        self._default = default_route
        self.client = stack.core.variants.of(PppoeClient)(
            _mac(stack, over),
            config,
            send=_sender(stack, over),
            alarms=stack.alarms,
            entropy=stack.entropy,
            events=stack.events,
            variants=stack.core.variants,
        )
        self.client.on_session = self._begun
        _take(stack, over, self.client.receive)

    @property
    def up(self) -> bool:
        """Whether there is a session, and IP goes over it."""
        return self.face is not None and self.stack.interface(self.name).up

    def open(self, now: Instant) -> None:
        """Look for a concentrator; nothing happens where a session is up or sought."""
        self.client.open(now)

    def close(self, now: Instant) -> None:
        """Give the session up, PPP first."""
        self.client.close(now)

    def _begun(self, session: PppoeSession, now: Instant) -> None:
        self.face = PppInterface(
            self.stack, self.name, session.link, now, default_route=self._default
        )


class PppoeServer:
    """An access concentrator on the interface ``over``: each session has an interface of its own.

    They are called ``ppp0`` and so on after ``prefix``, and used again. The server's address is
    that of the first; where it is to outlast it, give it to ``over`` before.
    """

    def __init__(
        self, stack: Stack, over: str, config: ConcentratorConfig = _SERVER, *, prefix: str = "ppp"
    ) -> None:
        self.stack = stack
        self.prefix = prefix
        self.faces: dict[str, PppInterface] = {}
        """Interfaces of sessions, by name."""
        self._sessions: dict[str, PppoeSession] = {}
        self.concentrator = stack.core.variants.of(AccessConcentrator)(
            _mac(stack, over),
            config,
            send=_sender(stack, over),
            alarms=stack.alarms,
            entropy=stack.entropy,
            events=stack.events,
            variants=stack.core.variants,
        )
        self.concentrator.on_session = self._begun
        _take(stack, over, self.concentrator.receive)

    def close(self, now: Instant) -> None:
        """End all sessions."""
        self.concentrator.close(now)

    def _begun(self, session: PppoeSession, now: Instant) -> None:
        alive = self.concentrator.sessions.values()
        names = (f"{self.prefix}{number}" for number in range(len(self._sessions) + 1))
        name = next(each for each in names if self._sessions.get(each) not in alive)
        self._sessions[name] = session
        self.faces[name] = PppInterface(self.stack, name, session.link, now)


def _mac(stack: Stack, over: str) -> MacAddr:
    mac = stack.interface(over).mac
    if mac is None:
        raise PlanError(f"{stack.name}: PPPoE wants Ethernet, and {over} has no MAC address")
    return mac


def _sender(stack: Stack, over: str) -> Callable[[EthFrame, Instant], None]:
    def send(frame: EthFrame, _: Instant) -> None:
        stack.core.output.append(Outgoing(over, frame.emit(pad=True)))

    return send


def _take(stack: Stack, over: str, receive: Callable[[EthFrame, Instant], None]) -> None:
    def take(data: bytes, now: Instant) -> None:
        receive(EthFrame.parse(data), now)

    for kind in _KINDS:
        if (over, kind.to_bytes(2, "big")) in stack.takers:
            raise PlanError(f"{stack.name}: PPPoE is on {over} already")
        stack.takers[over, kind.to_bytes(2, "big")] = take
