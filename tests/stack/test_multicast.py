"""IGMPv2 on the host's side: the state table of RFC 2236, by what is sent when."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Interface

import pytest

from testbed.errors import WireError
from testbed.stack.alarms import Alarms
from testbed.stack.config import IgmpConfig, StackConfig
from testbed.stack.entropy import Entropy
from testbed.stack.events import EventLog, PacketDropped
from testbed.stack.multicast import ALL_ROUTERS, ALL_SYSTEMS, GroupMembership, MemberState
from testbed.stack.stack import Stack
from testbed.timing import Instant, milliseconds, seconds
from testbed.wire import IPv4Packet
from testbed.wire.igmp import IgmpMessage, IgmpType

ME, ROUTER, OTHER = IPv4Address("10.0.0.1"), IPv4Address("10.0.0.254"), IPv4Address("10.0.0.2")
GROUP, SECOND = IPv4Address("239.1.2.3"), IPv4Address("239.9.9.9")


class Rig:
    def __init__(self, config: IgmpConfig | None = None) -> None:
        self.now = Instant(0)
        self.alarms = Alarms()
        self.events = EventLog(100)
        self.sent: list[tuple[float, IPv4Packet, IgmpMessage]] = []
        self.member = GroupMembership(
            "eth0",
            alarms=self.alarms,
            entropy=Entropy(5),
            events=self.events,
            source=lambda: ME,
            send=self.take,
            config=config or IgmpConfig(),
        )

    def take(self, packet: IPv4Packet, now: Instant) -> None:
        self.sent.append((now / 1e9, packet, IgmpMessage.parse(packet.payload)))

    def run(self, until: float) -> None:
        while (due := self.alarms.next_deadline()) is not None and due <= seconds(until):
            self.now = due
            self.alarms.fire_due(due)
        self.now = Instant(seconds(until))

    def hear(self, message: IgmpMessage, to: IPv4Address = ALL_SYSTEMS) -> None:
        self.member.receive(IPv4Packet(ROUTER, to, 2, message.emit(), ttl=1), self.now)

    def said(self) -> list[tuple[int, IPv4Address]]:
        out = [(message.type, packet.dst) for _, packet, message in self.sent]
        self.sent.clear()
        return out


@pytest.fixture
def rig() -> Rig:
    return Rig()


REPORT = (IgmpType.V2_REPORT, GROUP)


def test_joining_is_reported_at_once_and_once_more_within_ten_seconds(rig):
    rig.member.join(GROUP, rig.now)
    assert rig.member.state(GROUP) is MemberState.DELAYING
    rig.run(11)
    assert rig.sent[0][0] == 0
    assert 0 < rig.sent[1][0] <= 10
    assert rig.said() == [REPORT, REPORT]
    assert rig.member.state(GROUP) is MemberState.IDLE


def test_messages_have_ttl_1_and_router_alert(rig):
    rig.member.join(GROUP, rig.now)
    _, packet, message = rig.sent[0]
    assert (packet.ttl, packet.options, packet.src) == (1, bytes.fromhex("94040000"), ME)
    assert message.group == GROUP


def test_a_second_user_is_not_told_nor_is_its_leave(rig):
    rig.member.join(GROUP, rig.now)
    rig.member.join(GROUP, rig.now)
    assert rig.said() == [REPORT]
    rig.member.leave(GROUP, rig.now)
    assert rig.said() == []
    assert rig.member.is_member(GROUP)


def test_leaving_is_told_to_the_routers(rig):
    rig.member.join(GROUP, rig.now)
    rig.run(20)
    rig.said()
    rig.member.leave(GROUP, rig.now)
    assert rig.said() == [(IgmpType.LEAVE, ALL_ROUTERS)]
    assert not rig.member.is_member(GROUP)
    assert len(rig.alarms) == 0


def test_leaving_before_the_second_report_takes_it_back(rig):
    rig.member.join(GROUP, rig.now)
    rig.member.leave(GROUP, rig.now)
    rig.run(30)
    assert rig.said() == [REPORT, (IgmpType.LEAVE, ALL_ROUTERS)]


def test_who_was_not_the_last_to_report_leaves_in_silence(rig):
    rig.member.join(GROUP, rig.now)
    rig.hear(IgmpMessage.report(GROUP), GROUP)
    assert rig.member.state(GROUP) is MemberState.IDLE
    rig.run(20)
    rig.member.leave(GROUP, rig.now)
    assert rig.said() == [REPORT]


def test_a_general_query_is_answered_for_every_group_within_its_time(rig):
    rig.member.join(GROUP, rig.now)
    rig.member.join(SECOND, rig.now)
    rig.run(20)
    rig.said()
    rig.hear(IgmpMessage.query(max_response=30))
    assert rig.said() == []
    rig.run(23)
    assert sorted(rig.said()) == sorted([REPORT, (IgmpType.V2_REPORT, SECOND)])


def test_a_query_for_one_group_is_answered_for_it_alone(rig):
    rig.member.join(GROUP, rig.now)
    rig.member.join(SECOND, rig.now)
    rig.run(20)
    rig.said()
    rig.hear(IgmpMessage.query(GROUP, max_response=10), GROUP)
    rig.run(21)
    assert rig.said() == [REPORT]


def test_a_shorter_time_shortens_a_timer_and_a_longer_one_does_not(rig):
    rig.member.join(GROUP, rig.now)
    rig.run(20)
    rig.hear(IgmpMessage.query(max_response=200))
    due = rig.alarms.next_deadline()
    rig.hear(IgmpMessage.query(max_response=255))
    assert rig.alarms.next_deadline() == due
    rig.hear(IgmpMessage.query(max_response=1))
    assert rig.alarms.next_deadline() <= seconds(20.1)


def test_another_members_report_makes_ones_own_needless(rig):
    rig.member.join(GROUP, rig.now)
    rig.run(20)
    rig.said()
    rig.hear(IgmpMessage.query())
    rig.hear(IgmpMessage.report(GROUP, version=1), GROUP)
    rig.run(60)
    assert rig.said() == []


def test_with_a_version_1_querier_one_speaks_its_language(rig):
    rig.hear(IgmpMessage.query(max_response=0))
    rig.member.join(GROUP, rig.now)
    rig.run(20)
    assert rig.said() == [(IgmpType.V1_REPORT, GROUP)] * 2
    rig.member.leave(GROUP, rig.now)
    assert rig.said() == []
    rig.run(401)
    rig.member.join(GROUP, rig.now)
    assert rig.said() == [REPORT]


def test_all_systems_is_always_joined_and_never_reported(rig):
    rig.member.join(ALL_SYSTEMS, rig.now)
    rig.hear(IgmpMessage.query())
    rig.run(30)
    rig.member.leave(ALL_SYSTEMS, rig.now)
    assert rig.said() == []
    assert rig.member.is_member(ALL_SYSTEMS)
    assert rig.member.state(ALL_SYSTEMS) is MemberState.IDLE


def test_after_the_link_came_back_all_is_reported_anew(rig):
    rig.member.join(GROUP, rig.now)
    rig.member.silence()
    rig.run(20)
    assert rig.said() == [REPORT]
    rig.member.announce(rig.now)
    assert rig.said() == [REPORT]


def test_nonsense_is_dropped_and_noted(rig):
    rig.member.receive(IPv4Packet(ROUTER, ALL_SYSTEMS, 2, b"\x11\x00"), rig.now)
    rig.member.receive(IPv4Packet(ROUTER, ALL_SYSTEMS, 2, bytes(8)), rig.now)
    assert len(rig.events.of(PacketDropped)) == 2
    rig.member.leave(GROUP, rig.now)
    with pytest.raises(WireError):
        rig.member.join(OTHER, rig.now)


def test_a_version_1_query_is_answered_within_ten_seconds(rig):
    rig.member.join(GROUP, rig.now)
    rig.run(20)
    rig.said()
    rig.hear(IgmpMessage.query(max_response=0))
    rig.run(30)
    assert rig.said() == [(IgmpType.V1_REPORT, GROUP)]


def test_a_link_that_is_down_hears_no_timer(rig):
    rig.member.join(GROUP, rig.now)
    rig.member.silence()
    assert len(rig.alarms) == 0
    assert rig.member.state(GROUP) is MemberState.IDLE


def test_announcing_while_a_report_is_due_starts_anew(rig):
    rig.member.join(GROUP, rig.now)
    rig.member.announce(rig.now)
    rig.run(30)
    assert rig.said() == [REPORT] * 3


def test_who_reports_again_after_another_is_the_last_once_more(rig):
    rig.member.join(GROUP, rig.now)
    rig.hear(IgmpMessage.report(GROUP), GROUP)
    rig.hear(IgmpMessage.query())
    rig.run(20)
    rig.member.leave(GROUP, rig.now)
    assert rig.said() == [REPORT, REPORT, (IgmpType.LEAVE, ALL_ROUTERS)]


@pytest.mark.parametrize("config", [IgmpConfig(), IgmpConfig(seconds(2), seconds(50))])
def test_the_times_of_rfc_2236_are_settings(config: IgmpConfig):
    rig = Rig(config)
    rig.member.join(GROUP, rig.now)
    rig.run(config.unsolicited_interval / 1e9)
    assert rig.said() == [REPORT, REPORT]
    rig.hear(IgmpMessage.query(max_response=0))
    present = Instant(rig.now + config.v1_router_present)
    assert rig.member.v1_router_present(Instant(present - 1))
    assert not rig.member.v1_router_present(present)


def test_a_stack_goes_by_its_own_settings_of_groups():
    said = []
    for span in (seconds(10), milliseconds(1)):
        stack = Stack(StackConfig.of(igmp={"unsolicited_interval": span}), seed=1)
        stack.add_interface("tun0")
        stack.add_address("tun0", IPv4Interface("10.0.0.1/24"), Instant(0))
        stack.groups.join(GROUP, "tun0", Instant(0))
        stack.handle_timeout(Instant(milliseconds(1)))
        said.append(len(stack.core.output))
    assert said == [1, 2]
