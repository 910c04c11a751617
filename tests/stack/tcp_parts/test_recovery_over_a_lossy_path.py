"""Loss recovery and the receive buffer over a path that loses, reorders and duplicates."""

import heapq
import random

import pytest
from recovery_rig import SMSS, Rig

from testbed.stack.tcp.receivebuffer import ReceiveBuffer
from testbed.stack.tcp.recovery import Fired
from testbed.timing import Duration, Instant, milliseconds, seconds

ONE_WAY = milliseconds(50)
SEGMENTS = 120


class Path:
    """A sender, a receiver that acknowledges every segment, and 50 ms between them."""

    def __init__(self, rig: Rig, seed: int, **how: float) -> None:
        self.rig = rig
        self.chance = random.Random(seed)  # noqa: S311 - a test's dice
        self.how = how
        self.receive = ReceiveBuffer(0, 1 << 30, 4096)
        self.flying: list[tuple[int, int, tuple]] = []
        self.count = 0
        self.dropped: list[int] = []
        self.kept = 0

    def launch(self, packet, *, ack: bool) -> None:
        how, chance = self.how, self.chance
        if chance.random() < how.get("ack_loss" if ack else "loss", 0):
            if not ack:
                self.dropped.append(packet[1])
            return
        delay = ONE_WAY
        if not ack and chance.random() < how.get("reorder", 0):
            delay = Duration(delay + chance.randrange(int(how.get("late", milliseconds(10)))))
        for _ in range(1 + (chance.random() < how.get("duplicate", 0))):
            self.count += 1
            heapq.heappush(self.flying, (self.rig.now + delay, self.count, (ack, packet)))

    def send(self) -> None:
        for sent in self.rig.send():
            self.launch((sent.seq, sent.end), ack=False)

    def arrive(self, packet) -> None:
        ack, content = packet
        rig = self.rig
        if ack:
            if content[0] <= rig.recovery.highest_sent:
                rig.recovery.on_ack(content[0], content[1], rig.now)
            self.send()
            return
        told = self.receive.insert(content[0], bytes(content[1] - content[0]))
        blocks = self.receive.sack_blocks(3, told.duplicate) if rig.recovery.sack_enabled else ()
        self.launch((self.receive.next, blocks), ack=True)

    def check(self) -> None:
        board = self.rig.recovery._board
        live = [s for s in board.segments if not s.sacked]
        assert board.lost == sum(s.end - s.seq for s in live if s.lost)
        assert board.copies == sum(s.end - s.seq for s in live if s.copy)
        assert board.pipe >= 0
        assert (self.rig.recovery.next_deadline() is None) == (self.rig.recovery.flight == 0)

    def run(self, until: int | None = None) -> None:
        rig = self.rig
        until = rig.end if until is None else until
        self.send()
        for _ in range(100_000):
            self.check()
            if rig.recovery.una >= until:
                return
            deadline = rig.recovery.next_deadline()
            if self.flying and (deadline is None or self.flying[0][0] <= deadline):
                at, _, packet = heapq.heappop(self.flying)
                rig.now = Instant(at)
                self.arrive(packet)
            else:
                self.on_deadline()
        pytest.fail("it goes on for ever")

    def on_deadline(self) -> None:
        fired = self.rig.fire()
        assert fired is not None
        if fired is Fired.PROBE:
            probe = self.rig.recovery.probe_segment()
            assert probe is not None
            self.rig.recovery.sent(probe.seq, probe.end, self.rig.now, probe.reason)
            self.launch((probe.seq, probe.end), ack=False)
        self.send()


kinds = pytest.mark.parametrize(
    "how",
    [
        {"sack": True},
        {"sack": True, "rack": False, "tlp": False},
        {"sack": True, "rack": False, "control": "cubic"},
        {"sack": False},
        {"sack": False, "control": "reno"},
        {"sack": False, "frto": False, "limited_transmit": False},
    ],
    ids=["rack", "rfc6675", "rfc6675-tlp", "newreno", "reno", "plain"],
)


@kinds
@pytest.mark.parametrize("seed", range(12))
def test_all_arrives_whatever_the_path_does(how, seed):
    path = Path(
        Rig(unsent=SEGMENTS, **how),
        seed,
        loss=(seed % 4) * 0.1,
        ack_loss=(seed % 3) * 0.1,
        reorder=(seed % 2) * 0.3,
        late=milliseconds(80),
        duplicate=(seed % 5) * 0.05,
    )
    path.run()
    assert path.receive.read(1 << 30) == bytes(SEGMENTS * SMSS)


@pytest.mark.parametrize("seed", range(40))
def test_with_sack_and_rack_what_is_sent_again_is_what_was_lost_and_probes(seed):
    """Without reordering or lost ACKs nothing else goes out twice; timeouts are rare."""
    path = Path(Rig(unsent=SEGMENTS, frto=False), seed, loss=0.05)
    path.run()
    again = [e for e in path.rig.recovery.history if e.reason.name != "TLP"]
    assert len(again) <= len(path.dropped)


@pytest.mark.parametrize("seed", range(20))
def test_without_rack_nothing_but_what_was_lost_goes_out_twice_before_a_timeout(seed):
    path = Path(Rig(unsent=5000, rack=False, tlp=False, frto=False), seed, loss=0.03)
    path.run(until=1000 * SMSS)
    history = path.rig.recovery.history
    timeouts = [e.at for e in history if e.reason.name == "RTO"]
    first = timeouts[0] if timeouts else path.rig.now
    again = [e.end for e in history if e.at < first]
    assert len(again) > 3
    assert set(again) <= set(path.dropped)
    assert len(again) == len(set(again))


@pytest.mark.parametrize("seed", range(10))
def test_reordering_within_a_quarter_of_the_round_trip_is_soon_seen_through(seed):
    """Before any was seen, three reports count as a loss (RFC 8985 6.2 step 4); then none do."""
    path = Path(Rig(unsent=400, control="cubic"), seed, reorder=0.3, late=milliseconds(20))
    path.run()
    assert path.rig.recovery._rack.reordering_seen
    assert all(e.at < milliseconds(350) for e in path.rig.recovery.history)


def test_a_path_that_dies_backs_off_and_one_that_comes_back_is_used_again():
    path = Path(Rig(unsent=40), 1, loss=1.0)
    path.send()
    for _ in range(6):
        path.on_deadline()
    assert path.rig.recovery.rtt.backoffs >= 4
    path.how = {}
    path.run()
    assert path.rig.now < seconds(200)
    assert path.receive.next == 40 * SMSS
