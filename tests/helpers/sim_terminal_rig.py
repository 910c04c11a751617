"""A simulated device with a command line and nothing else, for the terminal's tests."""

from __future__ import annotations

from testbed.sim.cli.commands import Call, Command, CommandRefused, Mode
from testbed.sim.device import Jack, SimDevice
from testbed.wire.addresses import MacAddr

__all__ = ["Toy"]

LOOK = (Mode.EXEC, Mode.ENABLE)
EVERYWHERE = (*LOOK, Mode.CONFIG, Mode.INTERFACE)


class Toy(SimDevice):
    """Shows lines without end, and can be named."""

    kind = "switch"
    model = "toy"

    def __init__(self, name: str = "sw1") -> None:
        jacks = [Jack(f"p{n}", MacAddr(f"02:00:00:00:00:0{n}")) for n in (1, 2)]
        super().__init__(name, jacks)
        self.label = ""
        self.descriptions: dict[str, str] = {}

    def receive(self, frame, now, interface=None):
        """Nothing comes of it."""

    def commands(self) -> tuple[Command, ...]:
        return (
            Command(LOOK, "show version", lambda _: f"toy of {self.name}", "what it is"),
            Command(LOOK, "show numbers <count>", self._numbers, "lines with numbers"),
            Command(LOOK, "show nothing", lambda _: None, "no line at all"),
            Command(LOOK, "show odd", lambda _: ODD, "lines that are odd"),
            Command(LOOK, "show label", lambda _: self.label, "the label"),
            Command((Mode.CONFIG,), "label <text...>", self._set_label, "put a label on it"),
            Command((Mode.INTERFACE,), "description <text...>", self._describe, "say what for"),
            Command((Mode.INTERFACE,), "shutdown", self._shut, "switch the port off"),
        )

    def _numbers(self, call: Call) -> str:
        if not call["count"].isdigit():
            raise CommandRefused(f"Not a number: {call['count']}")
        return "".join(f"line {n}\n" for n in range(int(call["count"])))

    def _set_label(self, call: Call) -> None:
        self.label = call["text"]

    def _describe(self, call: Call) -> None:
        self.descriptions[call.port] = call["text"]

    def _shut(self, call: Call) -> None:
        self.set_enabled(call.port, False, call.now)
        self.set_link(call.port, False, call.now)


ODD = "\n".join(
    (
        "",
        "  indented, and with blanks at its end   ",
        "\ttabs\tin it",
        "sw2# not our prompt",
        "a --More-- within",
        "Grüße aus Köln",
        "login: ",
        "100 % of it",
        "",
        "",
        "x" * 700,
        "",
    )
)
"""Output that a careless reader takes for something else."""
