"""The parts of TCP of one stack, joined; each is made of the class that ``Variants`` names."""

from __future__ import annotations

from testbed.stack.lower import Lower
from testbed.stack.tcp.acks import Acks
from testbed.stack.tcp.cookies import Cookies
from testbed.stack.tcp.delivery import Delivery
from testbed.stack.tcp.factory import Factory
from testbed.stack.tcp.guard import Guard
from testbed.stack.tcp.handshake import Handshake
from testbed.stack.tcp.input import Input
from testbed.stack.tcp.keepalive import Keepalive
from testbed.stack.tcp.lifecycle import Lifecycle
from testbed.stack.tcp.output import Output
from testbed.stack.tcp.owner import Owner
from testbed.stack.tcp.pathmtu import PathMtu
from testbed.stack.tcp.table import Table
from testbed.stack.tcp.timers import Timers
from testbed.stack.tcp.transmit import Transmitter

__all__ = ["Machine"]


class Machine:
    """One of each part; they hold no connection's state."""

    __slots__ = (
        "acks",
        "cookies",
        "delivery",
        "factory",
        "guard",
        "handshake",
        "input",
        "keepalive",
        "lifecycle",
        "lower",
        "output",
        "pathmtu",
        "table",
        "timers",
        "transmit",
    )

    def __init__(self, lower: Lower) -> None:
        of = lower.variants.of
        self.lower = lower
        self.table: Table[Owner] = Table()
        self.transmit = of(Transmitter)(lower)
        self.factory = of(Factory)(lower, self.transmit.window)
        self.cookies = of(Cookies)(self.factory)
        self.guard = of(Guard)(lower, self.transmit)
        self.lifecycle = of(Lifecycle)(lower, self.table, self.transmit)
        self.output = of(Output)(lower, self.transmit)
        self.pathmtu = of(PathMtu)(lower, self.factory, self.output)
        self.acks = of(Acks)(
            lower,
            self.transmit,
            guard=self.guard,
            lifecycle=self.lifecycle,
            output=self.output,
            pathmtu=self.pathmtu,
        )
        self.delivery = of(Delivery)(lower, self.transmit, self.lifecycle)
        self.keepalive = of(Keepalive)(lower, self.transmit, self.lifecycle)
        self.handshake = of(Handshake)(
            lower,
            self.transmit,
            lifecycle=self.lifecycle,
            output=self.output,
            delivery=self.delivery,
            factory=self.factory,
            keepalive=self.keepalive,
            pathmtu=self.pathmtu,
        )
        self.input = of(Input)(
            lower,
            self.transmit,
            guard=self.guard,
            lifecycle=self.lifecycle,
            output=self.output,
            acks=self.acks,
            delivery=self.delivery,
            handshake=self.handshake,
            pathmtu=self.pathmtu,
        )
        self.timers = of(Timers)(
            lower,
            self.transmit,
            lifecycle=self.lifecycle,
            output=self.output,
            handshake=self.handshake,
            keepalive=self.keepalive,
            pathmtu=self.pathmtu,
        )

    def retune(self) -> None:
        """Go by the settings that the lower layer has now; connections keep theirs."""
        config = self.lower.config.tcp
        for part in (
            self.transmit,
            self.transmit.window,
            self.factory,
            self.guard,
            self.lifecycle,
            self.output,
            self.acks,
            self.delivery,
            self.keepalive,
            self.handshake,
            self.input,
            self.timers,
        ):
            part.tune(config)
