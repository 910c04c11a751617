"""The Python stack against a Linux kernel on a bad line: whatever happens, every byte arrives.

Not collected by pytest: ``make soak`` runs it as plans, each seed with its report and packets.
SEEDS is how many (200 unless set), FROM the first one.

A seed decides who connects, how much goes each way, the stack's settings, and which of these befall
the cable: loss up to 20 %, bursts of loss, reordering, duplicates, flipped bits, a smaller MTU from
the middle on, a reader that stops reading, a pulled cable.
"""

import os
import random
from dataclasses import dataclass

import pytest

from testbed import (
    Bench,
    Chance,
    Corrupt,
    Delay,
    Drop,
    Duplicate,
    ExpectationFailed,
    Flow,
    GilbertElliott,
    MtuHole,
    Reorder,
    Topology,
    milliseconds,
    seconds,
)
from testbed.link.impair import Stage
from testbed.stack.config import StackConfig

FIRST = int(os.environ.get("FROM", "0"))
SEEDS = range(FIRST, FIRST + int(os.environ.get("SEEDS", "200")))
PATIENCE = seconds(300)
OPEN_STATES = {"TIME-WAIT", "TIME_WAIT", "LISTEN", "CLOSED"}


def is_ipv4(frame: bytes) -> bool:
    """Three lost ARP requests in a row are a reason to give up, and no subject of this."""
    return frame[12:14] == b"\x08\x00"


@dataclass(frozen=True)
class Weather:
    """What befalls one run; every number comes from the seed."""

    seed: int
    loss: float
    burst: bool
    reorder: float
    duplicate: float
    corrupt: float
    delay_ms: float
    shrink: int | None
    told: bool
    pause_ms: int
    pull_ms: int

    @classmethod
    def of(cls, seed: int) -> "Weather":
        luck = random.Random(seed)  # noqa: S311 - repeatable on purpose

        def some(chance: float, high: float) -> float:
            return luck.uniform(0, high) if luck.random() < chance else 0.0

        loss = luck.choice((0, 0, 0.001, 0.01, 0.03, 0.1, 0.2))
        return cls(
            seed=seed,
            loss=loss,
            burst=luck.random() < 0.25,
            reorder=some(0.4, 0.05),
            duplicate=some(0.4, 0.05),
            corrupt=some(0.4, 0.03),
            delay_ms=luck.choice((0, 0, 2, 10, 30)),
            shrink=luck.choice((None, None, None, 1400, 1006, 576)),
            told=luck.random() < 0.5,
            pause_ms=luck.choice((0, 0, 500, 1500)),
            pull_ms=luck.choice((0, 0, 0, 700, 2500)),
        )

    @property
    def harsh(self) -> bool:
        """Whether a large transfer would take minutes."""
        return self.loss + self.corrupt > 0.025 or self.burst

    def stages(self, way: int) -> list[Stage]:
        """What to put into one direction of the box."""
        seed = self.seed * 16 + way * 8

        def by(chance: float, offset: int) -> Chance:
            return Chance(chance, seed + offset, matching=is_ipv4)

        found: list[Stage] = []
        if self.loss:
            found.append(Drop(by(self.loss, 0)))
        if self.burst:
            found.append(Drop(GilbertElliott(0.01, 0.5, seed + 1, matching=is_ipv4)))
        if self.duplicate:
            found.append(Duplicate(by(self.duplicate, 2)))
        if self.corrupt:
            found.append(Corrupt(by(self.corrupt, 3), seed=seed + 4))
        if self.reorder:
            found.append(Reorder(by(self.reorder, 5), 3))
        if self.delay_ms:
            found.append(Delay(milliseconds(self.delay_ms)))
        return found


@pytest.mark.topology(Topology.chain("peer:nic", "r:router", "wire:box", "dut:host"))
@pytest.mark.parametrize("seed", SEEDS)
def test_every_byte_arrives(bench: Bench, seed: int) -> None:
    weather = Weather.of(seed)
    luck = random.Random(seed + 1_000_000)  # noqa: S311 - repeatable on purpose
    # A line that swallows large packets in silence is nothing that Linux's defaults get over.
    config = StackConfig.linux().with_(pmtu={"probing": "blackhole"}) if seed % 2 else StackConfig()
    controller = luck.choice(("reno", "newreno", "cubic"))
    bench.host("peer", config.with_(tcp={"congestion_control": controller}), seed=seed + 1)
    client, server = ("peer", "dut") if luck.random() < 0.5 else ("dut", "peer")
    least, most = 256 << 10, (512 << 10) if weather.harsh else (4 << 20)
    up = luck.randint(least, most)
    down = luck.randint(least, most) if luck.random() < 0.5 else 0
    if luck.random() < 0.5:
        up, down = down, up
    bench.log(f"{weather}, {client} connects, {controller}, {up} bytes up, {down} down")
    box = bench.box("wire")
    for way, node in enumerate(("r", "dut")):
        for stage in weather.stages(way):
            box.toward(node).add(stage)

    reading = Flow(read_after=milliseconds(weather.pause_ms), receive_buffer=32768)
    port = 20_000 + seed % 20_000
    transfer = bench.transfer(
        client, server, port=port, up=up, down=down, server_flow=reading if seed % 3 else None
    )
    if weather.pull_ms:
        bench.watch_for(milliseconds(150))
        with box.pulled():
            bench.watch_for(milliseconds(weather.pull_ms))
    if weather.shrink:
        bench.watch_for(milliseconds(100))
        shrink(bench, weather.shrink, told=weather.told)
    transfer.expect_intact(within=PATIENCE)
    expect_ended(bench, port)


def shrink(bench: Bench, mtu: int, *, told: bool) -> None:
    """Let the path carry less from now on: the router says so, or a box swallows in silence."""
    if not told:
        bench.host("dut").set_sysctl("net.ipv4.tcp_mtu_probing", "1")
        for node in ("r", "dut"):
            bench.box("wire").toward(node).add(MtuHole(mtu))
        return
    network = bench.bring_up_network()
    for node in ("peer", "dut"):
        port = bench.port("r", toward={"peer": "peer", "dut": "wire"}[node])
        # An MTU that is locked holds for forwarded packets too, and only for those that leave here.
        bench.sabotage("r").run(
            f"ip route replace {network[node].ip}/32 dev {port} mtu lock {mtu}",
            undo=(f"ip route del {network[node].ip}/32 dev {port} || true",),
        )


def expect_ended(bench: Bench, port: int) -> None:
    """Both sides have let go of the connection, or wait out TIME-WAIT."""

    def still_open() -> list[str]:
        return [
            f"{role}: {each.local} to {each.remote} is {each.state}"
            for role in ("peer", "dut")
            for each in bench.host(role).sockets()
            if f":{port}" in each.local + each.remote and each.state.upper() not in OPEN_STATES
        ]

    # The last FIN or ACK may be lost too, and is sent again with growing patience.
    if not bench.loop.run_until(lambda: not still_open(), seconds(130)):
        raise ExpectationFailed("; ".join(still_open()))
