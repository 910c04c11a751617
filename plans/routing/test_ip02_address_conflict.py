"""A host probes for an address before its use, defends it once, and gives it up to who insists.

RFC 5227 2.1.1: PROBE_NUM probes, which name no sender address, PROBE_MIN to PROBE_MAX apart, and
ANNOUNCE_WAIT of silence behind the last; until then nothing is sent or answered with the address.
2.3: ANNOUNCE_NUM announcements, ANNOUNCE_INTERVAL apart. Where somebody has the address, or probes
for it as well, it is never used. 2.4 (b): who meets a rival later sends one announcement, and at a
second one within DEFEND_INTERVAL "MUST immediately cease using this address".

The times are shortened to tenths of the RFC's; a slow plan has them as they are. Each may come
``conflict_late`` (seconds, 0.15) late; early by the difference of two clocks only.

The device under test is the Python stack: a Linux kernel neither probes nor defends. Peers are a
NIC that knows no better, and a kernel host that has the address, or takes it without asking.
"""

import itertools
from ipaddress import IPv4Address, IPv4Interface

import pytest

from testbed import (
    ArpPacket,
    Bench,
    Capture,
    Duration,
    EthFrame,
    ExpectationFailed,
    MacAddr,
    Matcher,
    StackConfig,
    StackHost,
    Topology,
    TracedFrame,
    compose,
    defects,
    drill,
    faults,
    format_duration,
    match,
    milliseconds,
    seconds,
)

IP02 = pytest.mark.behaviour("IP-02", clause="RFC 5227 2.1")
LAN = pytest.mark.topology(Topology.star("lan", "newcomer", "other"))
PAIR = pytest.mark.topology(Topology.chain("newcomer:nic", "holder:host"))
TENTHS = {
    "probe_wait": milliseconds(100),
    "probe_min": milliseconds(100),
    "probe_max": milliseconds(200),
    "announce_wait": milliseconds(200),
    "announce_interval": milliseconds(200),
}
"""RFC 5227 1.1's times, shortened."""
DEFEND = milliseconds(1000)
"""DEFEND_INTERVAL, shortened."""
EARLY = milliseconds(10)
"""What two clocks, the stack's and the capture's, may differ by over a second."""
RIVAL = MacAddr("02:00:00:00:52:27")
NOBODY = IPv4Address(0)
SOON = seconds(3)
POINT = "other--lan"
STACK = "newcomer--lan"
"""Captured as well, so that settling waits for what the stack does about a frame."""


def quick() -> StackConfig:
    """RFC 5227's behaviour at ten times its speed."""
    return StackConfig.of(arp={**TENTHS, "defend_interval": DEFEND})


def claim(host: StackHost, number: int = 77) -> IPv4Address:
    """Let the host begin to probe for one more address of its own subnet."""
    network = host.stack.interface("eth0").addresses[0].network
    return claim_address(host, IPv4Interface((network[number], network.prefixlen)))


def claim_address(host: StackHost, wanted: IPv4Interface) -> IPv4Address:
    """Let the host begin to probe for an address."""
    host.stack.add_address("eth0", wanted, host.now(), probe=True)
    host.flush()
    return wanted.ip


def probe_for(host: StackHost, address: IPv4Address) -> Matcher:
    """RFC 5227 1.1: a request, broadcast, that names no sender address and no target MAC."""
    frame = match.eth(src=host.mac, dst=MacAddr.BROADCAST)
    sender = match.arp(op="request", sender_mac=host.mac, sender_ip=NOBODY)
    return frame & sender & match.arp(target_ip=address, target_mac=MacAddr.ZERO)


def announcement_of(host: StackHost, address: IPv4Address) -> Matcher:
    """RFC 5227 1.1: the same with the address as sender's and target's."""
    frame = match.eth(src=host.mac, dst=MacAddr.BROADCAST)
    return frame & match.arp(sender_mac=host.mac, sender_ip=address, target_ip=address)


def use_of(host: StackHost, address: IPv4Address) -> Matcher:
    """Whatever the host sends as the owner of an address."""
    return match.eth(src=host.mac) & (match.arp(sender_ip=address) | match.ipv4(src=address))


def tell(bench: Bench, arp: ArpPacket) -> None:
    """An ARP packet of a station behind the NIC ``other``."""
    frame = compose(EthFrame(MacAddr.BROADCAST, arp.sender_mac), arp, pad=True)
    bench.nic("other").inject(frame)


def ask(bench: Bench, address: IPv4Address) -> None:
    """Ask from the NIC ``other`` who has ``address``."""
    other = bench.bring_up_network()["other"]
    tell(bench, ArpPacket.request(other.mac, other.ip, address))


def expect_gap(
    bench: Bench, before: TracedFrame, later: TracedFrame, least: Duration, most: Duration
) -> None:
    """A frame came so long after another, or a little later."""
    gap = Duration(later.at - before.at)
    late = seconds(bench.tolerance("conflict_late", 0.15))
    if not least - EARLY <= gap <= most + late:
        raise ExpectationFailed(
            f"{POINT}: #{later.number} came {format_duration(gap)} after #{before.number}, "
            f"expected {format_duration(least)} to {format_duration(most)}, "
            f"{format_duration(late)} late at most"
        )


def in_use(bench: Bench, seen: Capture, host: StackHost, address: IPv4Address) -> None:
    """Wait for the second announcement of an address."""
    told = announcement_of(host, address)
    bench.wait_until(
        lambda: len(seen.at(POINT).all(told)) > 1, SOON, f"the second announcement of {address}"
    )


@IP02
@LAN
@drill(
    "announces without probing",
    faults.python_stack(defects.ip.PROBES_NOT, role="newcomer"),
    caught=r"expect .*target_mac=00:00:00:00:00:00.*did not come",
)
@drill(
    "probes as owner",
    faults.python_stack(defects.ip.PROBES_AS_OWNER, role="newcomer"),
    caught=r"expect .*sender_ip=0\.0\.0\.0.*did not come",
)
@drill(
    "answers before use",
    faults.python_stack(defects.ip.ANSWERS_BEFORE_USE, role="newcomer"),
    caught=r"expect none: .*arp\(sender_ip=.*1 frame came",
)
def test_a_free_address_is_probed_for_then_announced(bench: Bench) -> None:
    host = bench.host("newcomer", quick())
    judge_start(bench, host, TENTHS)


@IP02
@LAN
@pytest.mark.slow("RFC 5227's own times: up to 11 s")
@drill(
    "announces without probing",
    faults.python_stack(defects.ip.PROBES_NOT, role="newcomer"),
    caught=r"expect .*target_mac=00:00:00:00:00:00.*did not come",
)
def test_a_free_address_is_probed_for_at_leisure(bench: Bench) -> None:
    host = bench.host("newcomer", StackConfig())
    arp = StackConfig().arp
    judge_start(bench, host, {name: getattr(arp, name) for name in TENTHS})


def judge_start(bench: Bench, host: StackHost, times: dict[str, Duration]) -> None:
    """Three probes, silence, two announcements; before them nothing, after them an owner."""
    with bench.capture(POINT, STACK) as seen:
        address = claim(host)
        probe, told = probe_for(host, address), announcement_of(host, address)
        seen.wait_for(POINT, probe, within=SOON)
        ask(bench, address)
        view = seen.at(POINT)
        bench.wait_until(lambda: len(view.all(told)) > 1, seconds(12), "the second announcement")
        ask(bench, address)
        seen.settle()
        view = seen.at(POINT)
        first, second = view.expect_count(told, 2)
        view.before(first).expect_none(use_of(host, address))
        probes = view.expect_count(probe, 3)
        for one, next_one in itertools.pairwise(probes):
            expect_gap(bench, one, next_one, times["probe_min"], times["probe_max"])
        expect_gap(bench, probes[-1], first, times["announce_wait"], times["announce_wait"])
        expect_gap(bench, first, second, times["announce_interval"], times["announce_interval"])
        view.after(first).expect_count(use_of(host, address) & match.arp(op="reply"), 1)


@IP02
@LAN
@drill(
    "ignores rival probes",
    faults.python_stack(defects.ip.IGNORES_RIVALS, role="newcomer"),
    caught="expect none: .*came",
)
def test_an_address_that_another_probes_for_is_let_go(bench: Bench) -> None:
    """RFC 5227 2.1.1: two hosts that probe for one address at the same time."""
    host = bench.host("newcomer", quick())
    with bench.capture(POINT, STACK) as seen:
        address = claim(host)
        seen.wait_for(POINT, probe_for(host, address), within=SOON)
        tell(bench, ArpPacket.probe(RIVAL, address))
        another = claim(host, 78)  # takes as long: when this is in use, the first would be, too
        in_use(bench, seen, host, another)
        ask(bench, address)
        seen.settle()
    view = seen.at(POINT)
    view.expect_count(probe_for(host, another), 3)
    view.expect_none(use_of(host, address))


@IP02
@LAN
@drill(
    "defends for ever",
    faults.python_stack(defects.ip.DEFENDS_FOR_EVER, role="newcomer"),
    caught="expect none: .*came",
)
@drill(
    "never defends",
    faults.python_stack(defects.ip.NEVER_DEFENDS, role="newcomer"),
    caught="expect 1 of .*did not come",
)
def test_an_address_is_defended_once_per_interval(bench: Bench) -> None:
    host = bench.host("newcomer", quick())
    with bench.capture(POINT, STACK) as seen:
        address = claim(host)
        in_use(bench, seen, host, address)
        rival = ArpPacket.announcement(RIVAL, address)
        for _ in range(2):  # the second time, the first is long ago
            start = bench.loop.wall_now()
            tell(bench, rival)
            seen.settle()
            (defence,) = seen.at(POINT).after(start).expect_count(announcement_of(host, address), 1)
            ask(bench, address)
            seen.settle()
            used = seen.at(POINT).after(defence)
            used.expect_count(use_of(host, address) & match.arp(op="reply"), 1)
            used.expect_count(use_of(host, address), 1)
            bench.watch_for(DEFEND)
        # Conflicts close together: the first of them is defended against, and no other.
        tell(bench, rival)
        seen.settle()
        start = bench.loop.wall_now()
        tell(bench, rival)
        ask(bench, address)
        seen.settle()
        seen.at(POINT).after(start).expect_none(use_of(host, address))


@IP02
@PAIR
@drill(
    "uses a taken address",
    faults.python_stack(defects.ip.USES_TAKEN_ADDRESS, role="newcomer"),
    caught="expect none: .*came",
)
@drill(
    "holder does not answer probes",
    faults.sysctl("net.ipv4.conf.{newcomer}.arp_ignore", "8", role="holder"),
    caught=r"arp\(op=2.*did not come",
)
def test_an_address_that_a_kernel_host_has_is_not_used(bench: Bench) -> None:
    host, holder = bench.host("newcomer", quick()), bench.host("holder")
    link, port = "newcomer--holder", bench.port("holder", toward="newcomer")
    network = bench.bring_up_network()["holder"].address
    taken = IPv4Interface((network.network[77], network.network.prefixlen))
    holder.add_address(port, taken)
    with bench.capture(link) as seen:
        claim_address(host, taken)
        probe = seen.wait_for(link, probe_for(host, taken.ip), within=SOON, sent=True)
        seen.wait_for(
            link,
            match.eth(dst=host.mac)
            & match.arp(op="reply", sender_mac=holder.mac(port), sender_ip=taken.ip),
            within=SOON,
        )
        free = claim(host, 78)
        view = seen.at(link).both
        bench.wait_until(
            lambda: len(view.all(announcement_of(host, free))) > 1, SOON, f"use of {free}"
        )
        holder.udp_send(str(free), 4002, b"IP-02")
        seen.wait_for(link, match.eth(dst=host.mac) & match.ipv4(dst=free), within=SOON)
        seen.settle()
        view = seen.at(link).both
        view.expect_none(use_of(host, taken.ip))
        view.after(probe).expect_count(probe_for(host, taken.ip), range(2))


@IP02
@PAIR
@drill(
    "defends for ever",
    faults.python_stack(defects.ip.DEFENDS_FOR_EVER, role="newcomer"),
    caught="expect none: .*came",
)
@drill(
    "never defends",
    faults.python_stack(defects.ip.NEVER_DEFENDS, role="newcomer"),
    caught=r"expect .*arp\(.*sender_ip=198\.19\.252\.5.*did not come",
)
def test_an_address_that_a_kernel_host_takes_is_defended_then_given_up(bench: Bench) -> None:
    """The kernel host takes the address without asking, and asks for a neighbour as its owner.

    It asks once a second: the second time is within DEFEND_INTERVAL, 10 s.
    """
    host = bench.host("newcomer", StackConfig.of(arp=TENTHS))
    holder = bench.host("holder")
    link, port = "newcomer--holder", bench.port("holder", toward="newcomer")
    shared = IPv4Interface("198.19.252.5/24")
    asks = match.arp(op="request", sender_ip=shared.ip, sender_mac=holder.mac(port))
    with bench.capture(link) as seen:
        claim_address(host, shared)
        view, told = seen.at(link).both, announcement_of(host, shared.ip)
        bench.wait_until(lambda: len(view.all(told)) > 1, SOON, f"use of {shared}")
        holder.add_address(port, shared)
        holder.udp_send(str(shared.ip + 1), 4002, b"IP-02", source=str(shared.ip))
        first = seen.wait_for(link, asks, within=SOON)
        bench.wait_until(lambda: len(view.all(asks)) > 1, SOON, "the second conflict")
        seen.settle()
        view = seen.at(link).both
        second = view.all(asks)[1]
        defence = view.after(first).before(second)
        defence.expect(told)
        defence.expect_count(use_of(host, shared.ip), 1)
        view.after(second).expect_none(use_of(host, shared.ip))
