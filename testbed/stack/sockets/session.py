"""A stack driven from outside, request by request: its clock, its packets, its sockets.

Requests and answers are plain dictionaries, as JSON has them: who carries them is no concern here.
Nothing blocks, and time moves only by ``advance``; so whoever drives sees, to the nanosecond of
virtual time, what is sent when.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from typing import Any, Final

from testbed.errors import PlanError, TestbedError, UsageError
from testbed.stack.config import StackConfig
from testbed.stack.sockets import constants
from testbed.stack.sockets.api import SocketApi
from testbed.stack.sockets.base import Socket
from testbed.stack.sockets.stream import StreamSocket
from testbed.stack.stack import Stack
from testbed.timing import Instant, after, microseconds
from testbed.wire.addresses import MacAddr

__all__ = ["CALLS", "Session"]

CALLS: Final = (
    "accept",
    "bind",
    "close",
    "connect",
    "fcntl",
    "getpeername",
    "getsockname",
    "getsockopt",
    "listen",
    "poll_mask",
    "recv",
    "recvfrom",
    "send",
    "sendto",
    "setsockopt",
    "shutdown",
    "sockatmark",
)
"""The socket calls that a request may name."""

START: Final = microseconds(1_000_000)
"""The clock's first reading, unless the driver says other."""


class Session:
    """One stack and its driver. ``answer`` takes a request and never raises."""

    def __init__(self) -> None:
        self._now = Instant(START)
        self._stack: Stack | None = None
        self._api: SocketApi | None = None
        self._sent: list[dict[str, Any]] = []
        self._known: dict[str, Callable[[Mapping[str, Any]], object]] = {
            "stack": self._open,
            "interface": self._interface,
            "address": self._address,
            "route": self._route,
            "link": self._link,
            "mtu": self._mtu,
            "advance": self._advance,
            "receive": self._receive,
            "socket": self._socket,
            "call": self._call,
            "snapshot": self._snapshot,
            "events": self._events,
        }

    def answer(self, request: object) -> dict[str, Any]:
        """Do one request; the answer has ``result`` or ``error``, and what was sent meanwhile."""
        reply: dict[str, Any] = {}
        if isinstance(request, Mapping) and "id" in request:
            reply["id"] = request["id"]
        try:
            reply["result"] = _plain(self._do(request))
        except OSError as error:
            number = error.errno or 0
            name = errno.errorcode.get(number, str(number))
            reply["error"] = {"errno": name, "number": number, "text": error.strerror}
        except (TestbedError, ValueError, TypeError, KeyError, AttributeError) as error:
            text = f"missing {error}" if isinstance(error, KeyError) else str(error)
            reply["error"] = {"usage": text}
        self._settle()
        self._drain()
        sent, self._sent = self._sent, []
        deadline = None if self._stack is None else self._stack.poll_timeout()
        reply |= {
            "now_us": _us(self._now),
            "packets": sent,
            "timeout_us": None if deadline is None else _us(deadline),
        }
        return reply

    def _do(self, request: object) -> object:
        if not isinstance(request, Mapping):
            raise PlanError("a request is an object")
        what = request.get("do")
        action = self._known.get(str(what))
        if action is None:
            raise PlanError(f"do {what!r}: expected one of {', '.join(self._known)}")
        if self._stack is None and what != "stack":
            raise PlanError('the first request makes the stack: do "stack"')
        return action(request)

    @property
    def _here(self) -> Stack:
        if self._stack is None:
            raise UsageError("there is no stack yet")
        return self._stack

    @property
    def _sockets(self) -> SocketApi:
        if self._api is None:
            raise UsageError("there is no stack yet")
        return self._api

    # Setting up

    def _open(self, request: Mapping[str, Any]) -> object:
        if self._stack is not None:
            raise PlanError("the stack is there already")
        base = StackConfig.linux() if request.get("preset") == "linux" else StackConfig()
        self._now = Instant(microseconds(request.get("start_us", _us(self._now))))
        config = base.with_(**request.get("config", {}))
        self._stack = Stack(config, seed=request.get("seed", 1), name=request.get("name", "stack"))
        self._api = SocketApi(self._stack, lambda: self._now)
        return None

    def _interface(self, request: Mapping[str, Any]) -> object:
        mac = request.get("mac")
        self._here.add_interface(
            request["name"], mac=MacAddr(mac) if mac else None, mtu=request.get("mtu", 1500)
        )
        return None

    def _address(self, request: Mapping[str, Any]) -> object:
        address = IPv4Interface(request["address"])
        self._here.add_address(request["interface"], address, self._now)
        return None

    def _route(self, request: Mapping[str, Any]) -> object:
        via = request.get("via")
        self._here.add_route(
            IPv4Network(request["to"]),
            via=IPv4Address(via) if via else None,
            interface=request.get("interface"),
            now=self._now,
        )
        return None

    def _link(self, request: Mapping[str, Any]) -> object:
        self._here.set_link(request["interface"], bool(request["up"]), self._now)
        return None

    def _mtu(self, request: Mapping[str, Any]) -> object:
        self._here.set_mtu(request["interface"], request["mtu"], self._now)
        return None

    # Time and packets

    def _advance(self, request: Mapping[str, Any]) -> object:
        """Let time go by; timers fire at their own instants, in order."""
        span = microseconds(request["us"])
        if span < 0:
            raise PlanError("time does not go back")
        end = after(self._now, span)
        while (due := self._here.poll_timeout()) is not None and due <= end:
            self._drain()
            self._now = max(self._now, due)
            self._here.handle_timeout(self._now)
        self._drain()
        self._now = end
        return None

    def _receive(self, request: Mapping[str, Any]) -> object:
        self._settle()
        packet = bytes.fromhex(request["packet"])
        self._here.receive(packet, self._now, request.get("interface"))
        return None

    def _settle(self) -> None:
        """Do what is due at this very instant, such as packets of the stack to itself."""
        stack = self._stack
        while stack and (due := stack.poll_timeout()) is not None and due <= self._now:
            stack.handle_timeout(self._now)

    def _drain(self) -> None:
        if self._stack is None:
            return
        while (out := self._stack.poll_transmit(self._now)) is not None:
            self._sent.append(
                {"at_us": _us(self._now), "interface": out.interface, "packet": out.frame.hex()}
            )

    # Sockets

    def _socket(self, request: Mapping[str, Any]) -> object:
        kind = {"stream": constants.SOCK_STREAM, "datagram": constants.SOCK_DGRAM}.get(
            request.get("kind", "stream")
        )
        if kind is None:
            raise PlanError("kind is stream or datagram")
        made = self._sockets.socket(kind)
        made.setblocking(False)
        return made.fileno()

    def _call(self, request: Mapping[str, Any]) -> object:
        name = request["name"]
        if name not in CALLS:
            raise PlanError(f"call {name!r}: expected one of {', '.join(CALLS)}")
        socket = self._sockets.at(request["fd"])
        arguments = [_argument(each) for each in request.get("args", ())]
        result = getattr(socket, name)(*arguments)
        if name == "accept":
            made, peer = result
            made.setblocking(False)
            return [made.fileno(), list(peer)]
        return result

    # Looking in

    def _snapshot(self, request: Mapping[str, Any]) -> object:
        if "fd" not in request:
            return self._here.snapshot(self._now)
        socket: Socket = self._sockets.at(request["fd"])
        if not isinstance(socket, StreamSocket) or socket.connection is None:
            raise PlanError("that socket has no connection")
        return socket.connection.snapshot()

    def _events(self, request: Mapping[str, Any]) -> object:
        skip = int(request.get("after", 0))
        log = self._here.events
        first = max(0, skip - log.forgotten)
        return {
            "total": log.total,
            "events": [
                {"event": type(each).__name__, **_fields(each)} for each in tuple(log)[first:]
            ],
        }


def _us(at: int) -> int | float:
    """Nanoseconds as microseconds; whole ones as whole numbers."""
    return at // 1000 if at % 1000 == 0 else at / 1000


def _argument(value: object) -> object:
    """What JSON cannot say: constants by name, bytes as ``{"hex": ...}`` or ``{"text": ...}``."""
    if isinstance(value, Mapping):
        if "hex" in value:
            return bytes.fromhex(value["hex"])
        if "text" in value:
            return str(value["text"]).encode()
        raise PlanError('bytes are {"hex": "..."} or {"text": "..."}')
    if isinstance(value, str) and value in constants.__all__:
        return getattr(constants, value)
    return value


def _plain(value: object) -> Any:
    """A value as JSON has it: bytes become ``{"hex": ...}``."""
    if value is None or isinstance(value, bool | int | float):
        return value
    plain: Any = str(value)
    if isinstance(value, bytes):
        plain = {"hex": value.hex()}
    elif isinstance(value, Enum):
        plain = value.value
    elif isinstance(value, Mapping):
        plain = {str(key): _plain(each) for key, each in value.items()}
    elif isinstance(value, tuple | list | set | frozenset):
        plain = [_plain(each) for each in value]
    elif is_dataclass(value) and not isinstance(value, type):
        plain = _fields(value)
    return plain


def _fields(value: Any) -> dict[str, Any]:
    return {each.name: _plain(getattr(value, each.name)) for each in fields(value)}
