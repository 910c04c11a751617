"""A simulated switch on a table: frames go in at a port, and what comes out is told by port."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from testbed.sim.device import Jack
from testbed.sim.switch import SimSwitch
from testbed.stack.variants import Defect
from testbed.timing import Duration, Instant, milliseconds
from testbed.wire.addresses import MacAddr

__all__ = ["ALL", "Bed", "eth", "station", "tagged"]

ALL = b"\xff" * 6
Out = dict[str, list[bytes]]
_AT_ONCE = Duration(0)


def station(number: int) -> bytes:
    """The address of a made-up station."""
    return b"\x02\x00\x00" + number.to_bytes(3, "big")


def eth(dst: bytes, src: bytes, payload: bytes = b"", kind: int = 0x88B5) -> bytes:
    """An untagged frame, padded."""
    return (dst + src + kind.to_bytes(2, "big") + payload).ljust(60, b"\0")


def tagged(vlan: int, frame: bytes, pcp: int = 0) -> bytes:
    """``frame`` with a tag."""
    return frame[:12] + b"\x81\x00" + (pcp << 13 | vlan).to_bytes(2, "big") + frame[12:]


class Bed:
    """A switch whose ports all have a link, and the time."""

    def __init__(
        self, *defects: Defect, ports: int = 5, stated: Mapping[str, int] | None = None
    ) -> None:
        jacks = [
            Jack(f"p{n}", MacAddr(b"\x02\xff\0\0\0" + bytes([n]))) for n in range(1, ports + 1)
        ]
        self.switch = SimSwitch("sw", jacks, defects=defects, stated=stated or {})
        self.now = Instant(1_000_000_000)
        for jack in jacks:
            self.switch.set_link(jack.name, True, self.now)
        self.cli = self.switch.login()

    def wait(self, span: Duration) -> Out:
        """Let time pass, at each deadline what is due then; what comes out meanwhile."""
        end = self.now + span
        out: Out = {}
        while (at := self.switch.poll_timeout()) is not None and at <= end:
            self.now = Instant(max(self.now, at))
            self.switch.handle_timeout(self.now)
            while (frame := self.switch.poll_transmit(self.now)) is not None:
                out.setdefault(frame.interface, []).append(frame.frame)
        self.now = Instant(end)
        return out

    def send(self, port: str, *frames: bytes, gap: Duration = _AT_ONCE) -> Out:
        """Let frames in at ``port``, ``gap`` apart; what comes out within 100 ms, by port."""
        out: Out = {}
        for frame in frames:
            self.switch.receive(frame, self.now, port)
            merge(out, self.wait(gap))
        return merge(out, self.wait(milliseconds(100)))

    def exits(self, port: str, *frames: bytes) -> list[str]:
        """The ports that frames come out of, once for each copy."""
        return sorted(name for name, got in self.send(port, *frames).items() for _ in got)

    def type(self, *lines: str) -> str:
        """Type lines at its console, none of which may be refused."""
        answer = self.cli.run(" ; ".join(lines), self.now)
        assert answer.status == 0, answer.output
        return answer.output

    def configure(self, *lines: str) -> None:
        """Type settings."""
        self.type("configure terminal", *lines, "end")

    def refusal(self, *lines: str) -> str:
        """Type lines of which one is refused; the refusal."""
        answer = self.cli.run(" ; ".join(lines), self.now)
        assert answer.status == 1, answer.output
        return answer.output.splitlines()[-1]

    def table(self) -> dict[tuple[int, bytes], str]:
        """The port of each VLAN and address in the MAC table."""
        rows = self.switch.fdb.rows(self.now)
        return {(row.vlan, row.mac): row.port.name for row in rows}

    def knows(self, number: int, vlan: int = 0) -> str | None:
        """The port that the station is known on."""
        return self.table().get((vlan, station(number)))

    def introduce(self, **places: Iterable[int]) -> None:
        """Have stations speak at their ports: ``p1=(1, 2)``."""
        for port, numbers in places.items():
            for number in numbers:
                self.send(port, eth(ALL, station(number)))


def merge(out: Out, more: Out) -> Out:
    """Add what came later."""
    for port, frames in more.items():
        out.setdefault(port, []).extend(frames)
    return out
