"""PPP: the automaton's table, negotiation, authentication, addresses, and IP over the link."""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from ipaddress import IPv4Address

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from testbed.errors import PlanError
from testbed.stack.alarms import Alarms
from testbed.stack.entropy import Entropy
from testbed.stack.events import EventLog, PacketDropped
from testbed.stack.services.ppp_auth import Authenticated, Chap
from testbed.stack.services.ppp_automaton import (
    TRANSITIONS,
    Action,
    Automaton,
    AutomatonConfig,
    Event,
    State,
)
from testbed.stack.services.ppp_config import PppConfig
from testbed.stack.services.ppp_link import Phase, PppLink
from testbed.stack.variants import Defect, Variants
from testbed.timing import Instant, milliseconds, seconds
from testbed.wire.ppp import PppFrame, PppProtocol
from testbed.wire.ppp_auth import ChapCode, ChapValue, PapCode
from testbed.wire.ppp_control import ControlCode, ControlPacket, IpcpOption, LcpOption, PppOption

HOST, SERVER = IPv4Address("10.0.0.2"), IPv4Address("10.0.0.1")
SECRETS = {b"host": b"hush"}


class Line:
    """Two links and a wire between them, in virtual time; ``lose`` decides what is lost."""

    def __init__(self, left: PppConfig, right: PppConfig, variants: Variants | None = None) -> None:
        self.now = Instant(0)
        self.alarms = Alarms()
        self.flying: deque[tuple[int, PppFrame]] = deque()
        self.heard: list[tuple[int, PppFrame]] = []
        self.lose = lambda _side, _frame: False
        self.logs = (EventLog(10_000), EventLog(10_000))
        self.ip: tuple[list[bytes], list[bytes]] = ([], [])
        self.ends = tuple(
            PppLink(
                config,
                send=lambda frame, _now, side=side: self.flying.append((side, frame)),
                alarms=self.alarms,
                entropy=Entropy(f"ppp {side}"),
                events=self.logs[side],
                variants=variants if side else None,
                key=side,
            )
            for side, config in enumerate((left, right))
        )
        for side, end in enumerate(self.ends):
            end.on_ip = lambda packet, _now, side=side: self.ip[side].append(packet)

    def open(self) -> Line:
        for end in self.ends:
            end.open(self.now)
            end.lower_up(self.now)
        self.run()
        return self

    def carry(self) -> None:
        for _ in range(10_000):
            if not self.flying:
                return
            side, frame = self.flying.popleft()
            self.heard.append((side, frame))
            if not self.lose(side, frame):
                self.ends[1 - side].receive(PppFrame.parse(frame.emit()), self.now)
        pytest.fail("the two ends never come to rest")

    def run(self, span: int = 0) -> Line:
        end = self.now + span
        self.carry()
        while (at := self.alarms.next_deadline()) is not None and at <= end:
            self.now = max(self.now, at)
            self.alarms.fire_due(self.now)
            self.carry()
        self.now = Instant(end)
        return self

    def sent(self, side: int, protocol: int) -> list[ControlPacket]:
        return [
            ControlPacket.parse(frame.information)
            for by, frame in self.heard
            if by == side and frame.protocol == protocol
        ]

    def drops(self, side: int) -> list[str]:
        return [event.reason for event in self.logs[side].of(PacketDropped)]


def client(**changes) -> PppConfig:
    return replace(PppConfig(name=b"host", secret=b"hush"), **changes)


def server(**changes) -> PppConfig:
    return replace(PppConfig(address=SERVER, peer_address=HOST, secrets=SECRETS), **changes)


def lone(config: PppConfig) -> tuple[PppLink, list[PppFrame], Alarms]:
    """One link that talks to the test."""
    sent: list[PppFrame] = []
    alarms = Alarms()
    link = PppLink(
        config,
        send=lambda frame, _now: sent.append(frame),
        alarms=alarms,
        entropy=Entropy(1),
        events=EventLog(1000),
    )
    link.open(Instant(0))
    link.lower_up(Instant(0))
    return link, sent, alarms


def lcp(code: int, ident: int, *options: PppOption) -> PppFrame:
    return PppFrame(PppProtocol.LCP, ControlPacket.configure(code, ident, options).emit())


def packets(frames: list[PppFrame]) -> list[ControlPacket]:
    return [ControlPacket.parse(frame.information) for frame in frames]


class Recorder:
    """A layer that notes what the automaton wants."""

    def __init__(self) -> None:
        self.done: list[Action] = []

    def act(self, action: Action, now: Instant) -> None:
        self.done.append(action)


# The table.


def test_every_event_has_a_cell_in_every_state_but_where_rfc_1661_has_a_dash():
    # Counted in RFC 1661 4.1: 16 events, less the dashes in each column.
    cells = {state: sum(1 for at, _ in TRANSITIONS if at is state) for state in State}
    assert cells == {
        State.INITIAL: 3,
        State.STARTING: 3,
        State.CLOSED: 13,
        State.STOPPED: 13,
        State.CLOSING: 15,
        State.STOPPING: 15,
        State.REQ_SENT: 15,
        State.ACK_RCVD: 15,
        State.ACK_SENT: 15,
        State.OPENED: 13,
    }


def test_what_cannot_happen_is_a_bug_of_the_caller():
    automaton = Automaton(Recorder(), Alarms(), AutomatonConfig(), "x")
    with pytest.raises(PlanError, match=r"RCR\+ cannot happen in state INITIAL"):
        automaton.on(Event.REQUEST_GOOD, Instant(0))


def test_the_restart_timer_runs_where_timeouts_can_happen_and_nowhere_else():
    for (state, event), (actions, then) in TRANSITIONS.items():
        if event in (Event.TIMEOUT, Event.TIMEOUT_LAST):
            continue
        alarms = Alarms()
        automaton = Automaton(Recorder(), alarms, AutomatonConfig(), "x")
        automaton.state = state
        automaton.on(event, Instant(0))
        assert automaton.state is then
        timed = {each for each, what in TRANSITIONS if what is Event.TIMEOUT}
        sends = {Action.SEND_REQUEST, Action.SEND_TERMINATE, Action.ZERO_RESTART_COUNT}
        assert (alarms.next_deadline() is not None) == (
            then in timed and bool(sends & set(actions))
        )


def test_ten_requests_three_seconds_apart_and_then_it_stops():
    link, sent, alarms = lone(PppConfig())
    times = [0]
    while (at := alarms.next_deadline()) is not None:
        before = len(sent)
        alarms.fire_due(at)
        times += [at] * (len(sent) - before)
    assert times == [seconds(3 * n) for n in range(10)]
    assert len({frame.emit() for frame in sent}) == 1  # what is resent is the same
    assert link.lcp.automaton.state is State.STOPPED
    assert link.phase is Phase.DEAD


def test_terminate_requests_are_sent_twice():
    line = Line(client(), server()).open()
    line.lose = lambda _side, _frame: True
    line.heard.clear()
    line.ends[0].close(line.now)
    line.run(seconds(20))
    codes = [packet.code for packet in line.sent(0, PppProtocol.LCP)]
    assert codes == [ControlCode.TERMINATE_REQUEST] * 2
    assert line.ends[0].lcp.automaton.state is State.CLOSED


# A whole link.


def test_a_link_opens_gives_an_address_carries_ip_and_closes():
    line = Line(client(ask_dns=True), server(dns=(SERVER, HOST))).open()
    left, right = line.ends
    assert left.up
    assert right.up
    assert (left.ipcp.local, left.ipcp.remote) == (HOST, SERVER)
    assert (right.ipcp.local, right.ipcp.remote) == (SERVER, HOST)
    assert tuple(left.ipcp.dns.values()) == (SERVER, HOST)
    left.send_ip(b"E" * 1500, line.now)
    right.send_ip(b"F", line.now)
    line.run()
    assert line.ip == ([b"F"], [b"E" * 1500])
    left.close(line.now)
    line.run(seconds(10))
    assert not left.up
    assert not right.up
    assert left.lcp.automaton.state is State.CLOSED
    assert right.lcp.automaton.state is State.STOPPED
    assert (left.phase, right.phase) == (Phase.DEAD, Phase.DEAD)


def test_a_closed_link_opens_again():
    line = Line(client(), server(authenticate=("chap",))).open()
    line.ends[0].close(line.now)
    line.run(seconds(10))
    line.ends[0].open(line.now)
    line.run(seconds(10))
    assert all(end.up for end in line.ends)


def test_the_mru_is_what_the_peer_takes_and_larger_packets_stay():
    line = Line(client(mru=600), server()).open()
    left, right = line.ends
    assert (left.mtu, right.mtu) == (1500, 600)
    right.send_ip(bytes(601), line.now)
    line.run()
    assert line.ip[0] == []
    assert "the peer takes 600" in line.drops(1)[-1]


def test_an_mru_out_of_bounds_is_answered_with_a_better_one():
    link, sent, _ = lone(PppConfig(least_mru=128, largest_mru=1492))
    for ident, (asked, told) in enumerate({1500: 1492, 10: 128}.items(), 7):
        link.receive(lcp(1, ident, PppOption.number(LcpOption.MRU, asked, 2)), Instant(0))
        answer = packets(sent)[-1]
        assert (answer.code, answer.ident) == (ControlCode.CONFIGURE_NAK, ident)
        assert answer.options == (PppOption.number(LcpOption.MRU, told, 2),)


def test_unknown_options_are_rejected_in_order_and_nothing_else():
    link, sent, _ = lone(PppConfig())
    odd = PppOption(200, b"x"), PppOption(LcpOption.QUALITY, b"\xc0\x25\0\0\0\1"), PppOption(17)
    mru = PppOption.number(LcpOption.MRU, 1000, 2)
    link.receive(lcp(1, 9, odd[0], mru, odd[1], odd[2]), Instant(0))
    answer = packets(sent)[-1]
    assert (answer.code, answer.ident, answer.options) == (ControlCode.CONFIGURE_REJECT, 9, odd)


def test_after_five_naks_the_option_is_rejected():
    link, sent, _ = lone(PppConfig(largest_mru=1000))
    for ident in range(7):
        link.receive(lcp(1, ident, PppOption.number(LcpOption.MRU, 1500, 2)), Instant(0))
    codes = [packet.code for packet in packets(sent)[1:]]
    assert codes == [ControlCode.CONFIGURE_NAK] * 5 + [ControlCode.CONFIGURE_REJECT] * 2


def test_an_answer_to_another_request_or_of_other_options_is_dropped():
    link, sent, _ = lone(PppConfig())
    request = packets(sent)[0]
    link.receive(lcp(2, request.ident + 1, *request.options), Instant(0))
    link.receive(lcp(2, request.ident), Instant(0))
    link.receive(lcp(4, request.ident, PppOption(99)), Instant(0))
    link.receive(lcp(4, request.ident), Instant(0))
    assert link.lcp.automaton.state is State.REQ_SENT
    assert len(sent) == 1
    link.receive(lcp(2, request.ident, *request.options), Instant(0))
    assert link.lcp.automaton.state is State.ACK_RCVD


def test_a_new_request_has_a_new_identifier_and_no_rejected_option():
    link, sent, _ = lone(PppConfig(mru=1000))
    first = packets(sent)[0]
    magic = next(option for option in first.options if option.kind == LcpOption.MAGIC)
    link.receive(lcp(4, first.ident, magic), Instant(0))
    second = packets(sent)[1]
    assert second.ident != first.ident
    assert second.options == (PppOption.number(LcpOption.MRU, 1000, 2),)


def test_a_nak_of_the_mru_is_followed():
    link, sent, _ = lone(PppConfig(mru=1400))
    first = packets(sent)[0]
    link.receive(lcp(3, first.ident, PppOption.number(LcpOption.MRU, 900, 2)), Instant(0))
    assert packets(sent)[1].options[0] == PppOption.number(LcpOption.MRU, 900, 2)


def test_unknown_codes_are_rejected_with_what_they_came_in():
    line = Line(client(), server()).open()
    odd = ControlPacket(77, 5, b"data")
    line.ends[0].receive(PppFrame(PppProtocol.LCP, odd.emit()), line.now)
    line.run()
    reject = line.sent(0, PppProtocol.LCP)[-1]
    assert (reject.code, reject.data) == (ControlCode.CODE_REJECT, odd.emit())
    assert all(end.up for end in line.ends)  # RXJ+ is harmless


def test_a_code_reject_of_a_code_that_is_vital_ends_the_link():
    line = Line(client(), server()).open()
    vital = ControlPacket(ControlCode.CODE_REJECT, 1, ControlPacket(1).emit())
    line.ends[0].receive(PppFrame(PppProtocol.LCP, vital.emit()), line.now)
    assert not line.ends[0].up
    assert line.ends[0].lcp.automaton.state is State.STOPPING


def test_unknown_protocols_are_rejected_on_an_open_link_only():
    link, sent, _ = lone(PppConfig())
    link.receive(PppFrame(0x8057, b"ipv6cp"), Instant(0))
    assert len(sent) == 1
    line = Line(client(), server(mru=300)).open()
    line.ends[0].receive(PppFrame(0x8057, bytes(400)), line.now)
    line.run()
    reject = line.sent(0, PppProtocol.LCP)[-1]
    assert reject.code == ControlCode.PROTOCOL_REJECT
    assert reject.data[:2] == b"\x80\x57"
    assert len(reject.emit()) == 300  # cut to the peer's MRU
    assert all(end.up for end in line.ends)


def test_a_protocol_reject_of_ipcp_stops_it():
    line = Line(client(), server()).open()
    packet = ControlPacket.protocol_reject(1, PppProtocol.IPCP, b"")
    line.ends[0].receive(PppFrame(PppProtocol.LCP, packet.emit()), line.now)
    assert not line.ends[0].up


def test_echoes_are_answered_with_our_magic_number_and_their_data():
    line = Line(client(), server()).open()
    left, right = line.ends
    assert left.lcp.magic != right.lcp.magic
    ident = left.lcp.send_echo(line.now, b"anybody?")
    line.run()
    reply = line.sent(1, PppProtocol.LCP)[-1]
    assert (reply.code, reply.ident) == (ControlCode.ECHO_REPLY, ident)
    assert reply.magic == right.lcp.magic
    assert reply.data[4:] == b"anybody?"
    assert left.lcp.echo_replies == 1


def test_echoes_before_the_link_is_open_are_not_answered():
    link, sent, _ = lone(PppConfig())
    echo = ControlPacket.echo(ControlCode.ECHO_REQUEST, 1, 5)
    link.receive(PppFrame(PppProtocol.LCP, echo.emit()), Instant(0))
    assert len(sent) == 1


def test_a_discard_request_is_discarded():
    line = Line(client(), server()).open()
    count = len(line.heard)
    packet = ControlPacket.echo(ControlCode.DISCARD_REQUEST, 1, 5)
    line.ends[0].receive(PppFrame(PppProtocol.LCP, packet.emit()), line.now)
    line.run()
    assert len(line.heard) == count


def test_a_dead_peer_is_noticed_by_echoes():
    config = client(echo_interval=seconds(10), echo_failures=3)
    line = Line(config, server()).open()
    line.run(seconds(100))
    assert line.ends[0].up
    line.lose = lambda side, _frame: side == 1
    line.run(seconds(39))
    assert line.ends[0].up
    line.run(seconds(2))
    assert not line.ends[0].up


def test_a_line_that_is_looped_back_is_closed():
    link, sent, alarms = lone(PppConfig())
    for _ in range(200):
        if not sent:
            break
        link.receive(sent.pop(0), Instant(0))
    while (at := alarms.next_deadline()) is not None:
        alarms.fire_due(at)
        while sent:
            link.receive(sent.pop(0), at)
    assert link.lcp.automaton.state is State.CLOSED
    assert any("looped back" in event.reason for event in link.events.of(PacketDropped))


def test_a_magic_number_that_is_ours_or_zero_is_answered_with_another():
    link, sent, _ = lone(PppConfig())
    for ident, number in enumerate((link.lcp.magic, 0)):
        link.receive(lcp(1, ident, PppOption.number(LcpOption.MAGIC, number, 4)), Instant(0))
        answer = packets(sent)[-1]
        assert answer.code == ControlCode.CONFIGURE_NAK
        assert answer.options[0].value not in (0, number)


def test_a_renegotiation_takes_ip_down_and_up_again():
    line = Line(client(), server()).open()
    seen: list[str] = []
    line.ends[1].on_down = lambda _now: seen.append("down")
    line.ends[1].on_up = lambda _now: seen.append("up")
    line.ends[0].lower_down(line.now)
    line.ends[0].lower_up(line.now)
    line.run(seconds(30))
    assert seen == ["down", "up"]
    assert all(end.up for end in line.ends)


def test_ip_before_ipcp_and_ipcp_before_authentication_are_dropped():
    link, sent, _ = lone(PppConfig())
    link.receive(PppFrame(PppProtocol.IPV4, b"E"), Instant(0))
    link.receive(PppFrame(PppProtocol.IPCP, ControlPacket(1, 1).emit()), Instant(0))
    link.send_ip(b"E", Instant(0))
    assert len(sent) == 1
    line = Line(client(secret=b"wrong"), server(authenticate=("chap",)))
    line.lose = lambda side, frame: frame.protocol == PppProtocol.CHAP
    line.open()
    ask = ControlPacket.configure(1, 1, [PppOption.address(IpcpOption.ADDRESS, HOST)])
    line.ends[1].receive(PppFrame(PppProtocol.IPCP, ask.emit()), line.now)
    assert line.drops(1)[-1] == "IPCP before authentication"


def test_with_no_address_on_either_side_the_link_is_closed():
    line = Line(PppConfig(), PppConfig()).open()
    line.run(seconds(10))
    assert not any(end.up for end in line.ends)


def test_an_address_that_the_server_does_not_want_is_not_used():
    other = IPv4Address("192.0.2.9")
    line = Line(client(address=other), server()).open()
    line.run(seconds(60))
    assert not line.ends[0].up  # it insists, and so does the server
    line = Line(client(address=other), server(peer_address=IPv4Address(0))).open()
    assert line.ends[1].ipcp.remote == other


# Authentication.


@pytest.mark.parametrize("method", ["pap", "chap"])
def test_the_right_secret_opens_the_link(method: str):
    line = Line(client(), server(authenticate=(method,))).open()
    assert all(end.up for end in line.ends)
    (event,) = line.logs[1].of(Authenticated)
    assert (event.method, event.name, event.peer, event.success) == (method, b"host", True, True)


@pytest.mark.parametrize("method", ["pap", "chap"])
@pytest.mark.parametrize("change", [{"secret": b"wrong"}, {"secret": b""}, {"name": b"nobody"}])
def test_a_wrong_secret_or_name_closes_it(method: str, change):
    line = Line(client(**change), server(authenticate=(method,))).open()
    line.run(seconds(60))
    assert not any(end.up for end in line.ends)
    assert [event.success for event in line.logs[1].of(Authenticated)] == [False]
    assert line.ends[1].lcp.automaton.state is State.CLOSED


def test_both_sides_may_demand_proof():
    both = {"name": b"host", "secret": b"hush", "secrets": SECRETS}
    line = Line(
        client(**both, authenticate=("pap",)), server(**both, authenticate=("chap",))
    ).open()
    assert all(end.up for end in line.ends)
    assert len(line.logs[0].of(Authenticated)) == 2


def test_the_peer_may_choose_the_way_among_those_offered():
    line = Line(client(accept=("pap",)), server(authenticate=("chap", "pap"))).open()
    assert all(end.up for end in line.ends)
    assert line.logs[1].of(Authenticated)[0].method == "pap"


@pytest.mark.parametrize("accept", [("pap",), ()])
def test_without_a_way_that_both_know_there_is_no_link(accept):
    line = Line(client(accept=accept), server(authenticate=("chap",))).open()
    line.run(seconds(120))
    assert not any(end.up for end in line.ends)
    assert not line.sent(1, PppProtocol.IPCP)


def test_every_challenge_is_fresh():
    line = Line(client(), server(authenticate=("chap",), rechallenge=seconds(60))).open()
    line.run(seconds(600))
    sent = [packet for packet in line.sent(1, PppProtocol.CHAP) if packet.code == 1]
    assert len(sent) == 11
    assert len({ChapValue.parse(packet.data).value for packet in sent}) == 11
    assert len({packet.ident for packet in sent}) == 11
    assert all(end.up for end in line.ends)


def test_a_peer_that_fails_a_later_challenge_is_cut_off():
    line = Line(client(), server(authenticate=("chap",), rechallenge=seconds(60))).open()
    line.ends[0].chap._config = client(secret=b"forgotten")
    line.run(seconds(59))
    assert line.ends[1].up
    line.run(seconds(2))
    assert not line.ends[1].up


def test_a_repeated_response_gets_the_same_answer_again():
    line = Line(client(), server(authenticate=("chap",)))
    line.open()
    response = next(p for p in line.sent(0, PppProtocol.CHAP) if p.code == ChapCode.RESPONSE)
    forged = ControlPacket(response.code, response.ident, ChapValue(bytes(16), b"host").emit())
    for packet in (response, forged):
        line.ends[1].receive(PppFrame(PppProtocol.CHAP, packet.emit()), line.now)
    line.run()
    codes = [packet.code for packet in line.sent(1, PppProtocol.CHAP)]
    assert codes == [ChapCode.CHALLENGE] + [ChapCode.SUCCESS] * 3
    assert line.ends[1].up


def test_a_response_to_an_old_challenge_is_dropped():
    line = Line(client(), server(authenticate=("chap",), rechallenge=seconds(60))).open()
    old = next(p for p in line.sent(0, PppProtocol.CHAP) if p.code == ChapCode.RESPONSE)
    line.run(seconds(61))
    count = len(line.heard)
    line.ends[1].receive(PppFrame(PppProtocol.CHAP, old.emit()), line.now)
    line.run()
    assert len(line.heard) == count
    assert line.drops(1)[-1] == "response to another challenge"


def test_lost_pap_requests_are_sent_again_with_another_identifier():
    line = Line(client(), server(authenticate=("pap",)))
    line.lose = lambda side, frame: frame.protocol == PppProtocol.PAP and line.now < seconds(5)
    line.open()
    line.run(seconds(10))
    asked = [packet for packet in line.sent(0, PppProtocol.PAP) if packet.code == PapCode.REQUEST]
    assert len(asked) == 3
    assert len({packet.ident for packet in asked}) == 3
    assert all(end.up for end in line.ends)


@pytest.mark.parametrize("method", ["pap", "chap"])
def test_silence_instead_of_proof_closes_the_link(method: str):
    line = Line(client(), server(authenticate=(method,)))
    line.lose = lambda side, frame: side == 0 and frame.protocol in (0xC023, 0xC223)
    line.open()
    line.run(seconds(120))
    assert not any(end.up for end in line.ends)


def test_a_defect_is_one_method():
    class AcceptsAnything:
        __slots__ = ()

        def check(self, ident, response):
            return True

    defect = Defect("accepts any response", "AP-04", "a story", {Chap: AcceptsAnything})
    wrong = client(secret=b"wrong")
    line = Line(wrong, server(authenticate=("chap",)), Variants((defect,))).open()
    assert all(end.up for end in line.ends)


# Robustness.


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.integers(0, 2**32), st.sampled_from([(), ("pap",), ("chap",)]))
def test_links_open_over_lossy_lines(seed: int, method):
    chance = Entropy(seed)
    line = Line(client(), server(authenticate=method))
    line.lose = lambda _side, _frame: chance.below(100) < 25
    line.open()
    for _ in range(40):
        line.run(seconds(15))
        if all(end.up for end in line.ends):
            break
        if line.ends[0].lcp.automaton.state in (State.CLOSED, State.STOPPED):
            return  # its counters ran out, as they may
    left, right = line.ends
    assert left.up == right.up


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    st.lists(
        st.tuples(
            st.sampled_from([0x21, 0xC021, 0xC023, 0xC223, 0x8021, 0x8057]),
            st.integers(0, 13),
            st.integers(0, 5),
            st.binary(max_size=24),
        ),
        max_size=40,
    ),
    st.booleans(),
)
def test_no_packets_break_a_link(junk, opened: bool):
    line = Line(client(), server(authenticate=("chap",)))
    if opened:
        line.open()
    else:
        line.ends[1].open(line.now)
        line.ends[1].lower_up(line.now)
    for protocol, code, ident, data in junk:
        frame = PppFrame(protocol, ControlPacket(code, ident, data).emit())
        line.ends[1].receive(frame, line.now)
        line.run(milliseconds(10))
    line.run(seconds(200))
    assert line.ends[1].phase in Phase
