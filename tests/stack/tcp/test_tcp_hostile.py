"""Whatever comes, nothing raises, memory stays bounded, and the live connection goes on."""

from __future__ import annotations

from random import Random

import pytest
from tcp_wire import PEER_ISN, Wire

from testbed.stack.tcp.states import State
from testbed.wire import MSS, Sack, SackPermitted, TcpFlags, TcpSegment, Timestamps, WindowScale

M = 1 << 32


def nonsense(random: Random, wire: Wire, *, blind: bool) -> TcpSegment:
    """A random segment; ``blind``: as from an attacker who does not know the numbers."""
    near = random.choice([0, 1, 2, 5, 100, 1460, 65535, 1 << 20, 1 << 31, random.randrange(M)])
    seq = random.randrange(M) if blind else (PEER_ISN + random.choice([1, -1]) * near) % M
    ack = random.randrange(M) if blind else (wire.iss + random.choice([1, -1]) * near) % M
    options = random.choice(
        [
            (),
            (Timestamps(random.randrange(M), random.randrange(M)),),
            (Sack(((ack, (ack + 100) % M), (random.randrange(M), random.randrange(M)))),),
            (MSS(random.randrange(1 << 16)), SackPermitted(), WindowScale(random.randrange(256))),
        ]
    )
    return TcpSegment(
        wire.peer_port,
        wire.port,
        seq,
        ack,
        TcpFlags(random.randrange(512)),
        random.choice([0, 1, 65535, random.randrange(1 << 16)]),
        random.randrange(1 << 16),
        options,
        bytes(random.choice([0, 0, 1, 100, 1460])),
    )


@pytest.mark.parametrize("seed", range(40))
@pytest.mark.parametrize("opening", ["accept", "connect", "start", "listen"])
def test_no_segment_raises_in_any_state(seed, opening):
    random = Random(seed)  # noqa: S311 - the same nonsense in every run
    wire = Wire(sack=True, window_scaling=True, timestamps=bool(seed & 1))
    wire.stack.tcp.listen(81, wire.now)
    c = None
    if opening == "listen":
        wire.stack.tcp.listen(80, wire.now, backlog=2)
    else:
        c = getattr(wire, opening)()
    for step in range(150):
        wire.raw(nonsense(random, wire, blind=False))
        if c is not None and step % 7 == 0 and c.state is not State.CLOSED:
            what = random.randrange(4)
            if what == 0 and c.writable and not c.fin_queued and c.error is None:
                c.send(bytes(random.randrange(5000)), wire.now, urgent=random.random() < 0.2)
            elif what == 1 and c.error is None:
                c.receive(2000, wire.now)
            elif what == 2 and step > 100:
                c.shutdown(wire.now)
        wire.run(random.choice([0, 1, 300, 5000]))
    for each in wire.stack.tcp.connections:
        assert each.receiving.unread <= 262_144
        assert each.receiving.out_of_order_bytes <= 262_144
        each.snapshot()


def test_a_blind_attacker_does_not_end_or_spoil_a_connection():
    random = Random(3)  # noqa: S311 - the same attack in every run
    wire = Wire(sack=True, timestamps=True)
    c = wire.accept(options=(MSS(1460), SackPermitted()), stamp=Timestamps(1000))
    for _ in range(20_000):
        wire.raw(nonsense(random, wire, blind=True))
    wire.take()
    assert c.state is State.ESTABLISHED
    stamp = (Timestamps(1001, 1),)
    wire.say("PA", 1, 1, b"still fine", options=stamp)
    assert c.receive(100, wire.now) == b"still fine"
    assert c.send(b"both ways", wire.now) == 9
    assert wire.take()[-1].payload == b"both ways"
