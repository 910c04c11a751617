"""What every simulated device is: jacks for cables, and the sans-IO four.

``receive(frame, now, port)`` and ``handle_timeout(now)`` go in; ``poll_transmit(now)`` and
``poll_timeout()`` tell what comes out and when to ask again. The network does the rest.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from testbed.errors import PlanError
from testbed.sim.cli.commands import Command, CommandSession, Mode
from testbed.stack.alarms import Alarms
from testbed.stack.entropy import Entropy
from testbed.stack.output import Outgoing
from testbed.stack.variants import Defect, Variants
from testbed.timing import Instant
from testbed.wire.addresses import MacAddr

__all__ = ["Jack", "SimDevice"]


@dataclass(frozen=True, slots=True)
class Jack:
    """A place for a cable. ``mtu`` is the largest payload of an untagged frame, in bytes."""

    name: str
    mac: MacAddr
    mtu: int = 1500


class SimDevice(ABC):
    """A device by its name, its jacks, the seed that all its chance follows from, its defects.

    Parts that a defect may alter are made by ``self.variants.of(Part)(...)``.
    """

    kind = ""
    """What it is to a plan's topology: ``switch``, ``router``, ``hub``..."""
    model = ""
    """What it says it is."""

    def __init__(
        self,
        name: str,
        jacks: Iterable[Jack],
        *,
        seed: int | str = 0,
        defects: Iterable[Defect] = (),
        stated: Mapping[str, int] = MappingProxyType({}),
    ) -> None:
        self.name = name
        self.jacks = {jack.name: jack for jack in jacks}
        self.defects = tuple(defects)
        self.stated = stated
        """What its data sheet promises, by the bench file's words: ``fdb_capacity``..."""
        self.variants = Variants(self.defects)
        self.entropy = Entropy(f"{seed}/{name}".encode())
        self.alarms = Alarms()
        self.output: deque[Outgoing] = deque()
        self.up = dict.fromkeys(self.jacks, False)
        """Whether the port has a link: the network says so by set_link()."""
        self.enabled = dict.fromkeys(self.jacks, True)
        """Whether the port is switched on."""
        self.on_enabled: Callable[[str], None] = lambda _: None
        """Told by set_enabled() which port was switched: the far end's link follows."""

    # The sans-IO four

    @abstractmethod
    def receive(self, frame: bytes, now: Instant, interface: str | None = None) -> None:
        """Take a frame that came by the port ``interface``; nothing on the wire makes it raise."""

    def handle_timeout(self, now: Instant) -> None:
        """Do all that is due at ``now``."""
        self.alarms.fire_due(now)

    def poll_timeout(self) -> Instant | None:
        """When handle_timeout() must be called next, or None."""
        return self.alarms.next_deadline()

    def poll_transmit(self, now: Instant) -> Outgoing | None:  # noqa: ARG002 - the face has it
        """The next frame to send, or None."""
        return self.output.popleft() if self.output else None

    # Ports

    def set_link(self, port: str, up: bool, now: Instant) -> None:  # noqa: ARG002 - for subclasses
        """The link of ``port`` came or went."""
        self.up[port] = up

    def set_enabled(self, port: str, on: bool, now: Instant) -> None:  # noqa: ARG002 - likewise
        """Switch ``port`` on or off; its link follows."""
        self.jack(port)
        if self.enabled[port] != on:
            self.enabled[port] = on
            self.on_enabled(port)

    def is_enabled(self, port: str) -> bool:
        """Whether ``port`` is switched on."""
        return self.enabled[port]

    def jack(self, port: str) -> Jack:
        """The jack called ``port``; PlanError where there is none."""
        if port not in self.jacks:
            raise PlanError(f"{self.name} has no port {port!r}; it has {', '.join(self.jacks)}")
        return self.jacks[port]

    def send(self, port: str, frame: bytes) -> None:
        """Put a frame into the output."""
        self.output.append(Outgoing(port, frame))

    # Management

    @abstractmethod
    def commands(self) -> tuple[Command, ...]:
        """Its command line: what there is to type."""

    def login(self, mode: Mode = Mode.ENABLE) -> CommandSession:
        """A command line of its own for one who logged in."""
        return CommandSession(self.name, self.commands(), mode, ports=self.jacks)
