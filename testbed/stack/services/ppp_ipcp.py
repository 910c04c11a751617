"""The IP Control Protocol (RFC 1332): addresses, and name servers (RFC 1877)."""

from __future__ import annotations

from ipaddress import IPv4Address

from testbed.stack.alarms import Alarms
from testbed.stack.events import EventLog
from testbed.stack.services.ppp_config import PppConfig
from testbed.stack.services.ppp_negotiation import ControlProtocol, SendPacket
from testbed.wire.ppp import PppProtocol
from testbed.wire.ppp_control import IpcpOption, PppOption

__all__ = ["Ipcp"]

_UNSPECIFIED = IPv4Address(0)
_SERVERS = (IpcpOption.PRIMARY_DNS, IpcpOption.SECONDARY_DNS)


class Ipcp(ControlProtocol):
    """IP's control protocol: ``local`` and ``remote`` are the addresses, ``dns`` the servers."""

    __slots__ = ("_config", "dns", "local", "remote")

    def __init__(
        self,
        config: PppConfig,
        *,
        send: SendPacket,
        alarms: Alarms,
        events: EventLog,
        key: object,
    ) -> None:
        super().__init__(
            "IPCP",
            PppProtocol.IPCP,
            send=send,
            alarms=alarms,
            events=events,
            config=config.automaton,
            key=key,
        )
        self._config = config
        self.reset()
        self.take(())

    def reset(self) -> None:
        """Start over with the settings' address."""
        super().reset()
        self.local = self._config.address
        self.dns: dict[int, IPv4Address] = (
            dict.fromkeys(_SERVERS, _UNSPECIFIED) if self._config.ask_dns else {}
        )

    def requested(self) -> tuple[PppOption, ...]:
        """Our address, 0.0.0.0 to be given one, and the name servers where they are wanted."""
        options = [PppOption.address(IpcpOption.ADDRESS, self.local)]
        options += [PppOption.address(kind, server) for kind, server in self.dns.items()]
        return tuple(option for option in options if option.kind not in self.refused)

    def unknown(self, option: PppOption) -> bool:
        """Header compression, the old IP-Addresses option, and servers that we do not know of."""
        if len(option.data) != 4:
            return True
        if option.kind in _SERVERS:
            return self._server(option.kind) is None
        return option.kind != IpcpOption.ADDRESS

    def _server(self, kind: int) -> IPv4Address | None:
        told = dict(zip(_SERVERS, self._config.dns, strict=False))
        return told.get(kind)

    def better(self, option: PppOption) -> PppOption | None:
        """The address that is the peer's; its own will do where the settings name none.

        An address of zero asks for one (RFC 1332 3.3); with none to give, it is as good as any.
        """
        if option.kind in _SERVERS:
            right = self._server(option.kind)
        else:
            right = self._config.peer_address
            if right == _UNSPECIFIED and option.data != _UNSPECIFIED.packed:
                right = None
        if right is None or option.data == right.packed or right == _UNSPECIFIED:
            return None
        return PppOption.address(option.kind, right)

    def take(self, options: tuple[PppOption, ...]) -> None:
        """The peer's address; what it did not mention is what the settings say."""
        told = {option.kind: option for option in options}
        mine = told.get(IpcpOption.ADDRESS)
        self.remote = IPv4Address(mine.data) if mine else self._config.peer_address

    def suggested(self, option: PppOption) -> None:
        """Take an address where the settings name none, and any name server."""
        if len(option.data) != 4:
            return
        if option.kind == IpcpOption.ADDRESS and self._config.address == _UNSPECIFIED:
            self.local = IPv4Address(option.data)
        elif option.kind in self.dns:
            self.dns[option.kind] = IPv4Address(option.data)
