"""Settings of ARP, IP, ICMP and path MTUs that no other test changes: each has its effect."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from typing import Any

import pytest

from testbed.stack.config import IpConfig, PmtuConfig, StackConfig
from testbed.stack.events import EventLog
from testbed.stack.pmtu import PathMtuCache
from testbed.stack.reassembly import Reassembler
from testbed.stack.search import MtuSearch
from testbed.stack.stack import Stack
from testbed.timing import Instant, milliseconds, seconds
from testbed.wire import IPv4Packet, MacAddr
from testbed.wire.arp import ArpPacket
from testbed.wire.checksum import internet_checksum
from testbed.wire.ethernet import EthFrame

T0 = Instant(seconds(1000))
HERE, THERE, FAR = IPv4Address("10.0.0.1"), IPv4Address("10.0.0.2"), IPv4Address("10.1.0.9")
MINE, OTHER = MacAddr("02:00:00:00:00:01"), MacAddr("02:00:00:00:00:02")
Seen = list[Any]


def icmp(kind: int, code: int, rest: bytes) -> bytes:
    body = bytes([kind, code, 0, 0]) + rest
    return body[:2] + internet_checksum(body).to_bytes(2, "big") + body[4:]


def made(section: str, **settings: object) -> Stack:
    """Two interfaces that carry bare packets: 10.0.0.1/24 and 10.1.0.1/24."""
    stack = Stack(StackConfig.of(**{section: settings}), seed=1)
    for number in (0, 1):
        stack.add_interface(f"tun{number}", mtu=1500)
        stack.add_address(f"tun{number}", IPv4Interface(f"10.{number}.0.1/24"), T0)
    return stack


def answers(stack: Stack, packet: IPv4Packet, interface: str = "tun0") -> Seen:
    stack.receive(packet.emit(), T0, interface)
    told: Seen = []
    while (out := stack.poll_transmit(T0)) is not None:
        sent = IPv4Packet.parse(out.frame)
        told.append((out.interface, sent.src, sent.dst, sent.protocol, sent.payload[:2]))
    return told


def echo(settings: dict[str, object]) -> Seen:
    return answers(made("icmp", **settings), IPv4Packet(THERE, HERE, 1, icmp(8, 0, bytes(8))))


def timestamp(settings: dict[str, object]) -> Seen:
    return answers(made("icmp", **settings), IPv4Packet(THERE, HERE, 1, icmp(13, 0, bytes(16))))


def frag_needed(settings: dict[str, object]) -> Seen:
    stack = made("icmp", **settings)
    socket = stack.udp.open(T0)
    socket.connect(THERE, 9)
    socket.send(bytes(1400), T0, df=True)
    out = stack.poll_transmit(T0)
    assert out is not None
    rest = bytes([0, 0]) + (1000).to_bytes(2, "big") + out.frame[:28]
    answers(stack, IPv4Packet(THERE, HERE, 1, icmp(3, 4, rest)))
    return list(stack.pmtu.entries(T0))


def forwards(destination: str, *, options: bytes = b"") -> Callable[[dict[str, object]], Seen]:
    def scenario(settings: dict[str, object]) -> Seen:
        stack = made("ip", **({"forwarding": True} | settings))
        to = IPv4Address(destination)
        return answers(stack, IPv4Packet(THERE, to, 17, bytes(20), options=options))

    return scenario


def redirects(settings: dict[str, object]) -> Seen:
    """To a network whose next hop is on the link that the packet came from."""
    stack = made("ip", **({"forwarding": True} | settings))
    stack.add_route(IPv4Network("172.16.0.0/16"), via=IPv4Address("10.0.0.7"), now=T0)
    return answers(stack, IPv4Packet(THERE, IPv4Address("172.16.0.1"), 17, bytes(20)))


def obeys_redirects(settings: dict[str, object]) -> Seen:
    stack = made("ip", **settings)
    stack.add_route(IPv4Network("172.16.0.0/16"), via=IPv4Address("10.0.0.7"), now=T0)
    socket = stack.udp.open(T0)
    socket.send(b"x", T0, to=(IPv4Address("172.16.0.1"), 9))
    out = stack.poll_transmit(T0)
    assert out is not None
    rest = IPv4Address("10.0.0.8").packed + out.frame[:28]
    router = IPv4Address("10.0.0.7")
    answers(stack, IPv4Packet(router, HERE, 1, icmp(5, 1, rest)))
    return [repr(stack.snapshot(T0))]


def identification(settings: dict[str, object]) -> Seen:
    stack = made("ip", **settings)
    socket = stack.udp.open(T0)
    told = []
    for _ in range(3):
        socket.send(b"x", T0, to=(THERE, 9))
        out = stack.poll_transmit(T0)
        assert out is not None
        told.append(IPv4Packet.parse(out.frame).ident)
    return told


def reassembles(settings: dict[str, object]) -> Seen:
    """Five incomplete datagrams of three fragments each."""
    held = Reassembler(IpConfig(**settings), EventLog(100))
    told: Seen = []
    for ident in range(5):
        for offset in (0, 1000, 2000):
            fragment = IPv4Packet(THERE, HERE, 17, bytes(800), ident=ident, mf=True, offset=offset)
            held.add(fragment, T0)
            told.append((held.held_datagrams, held.held_bytes))
    return told


def cache(settings: dict[str, object]) -> Seen:
    """A frag needed of 100 bytes, one of none; what is believed minute by minute."""
    held = PathMtuCache(PmtuConfig(**settings), EventLog(100))
    told: Seen = [held.frag_needed(THERE, 100, 1500, 1500, T0)]
    told.append(held.frag_needed(FAR, 0, 1500, 1500, T0))
    for minute in range(40):
        now = Instant(T0 + seconds(60 * minute))
        told.append((held.mtu(THERE, 1500, now), held.mtu(FAR, 1500, now)))
    return told


def searches(settings: dict[str, object]) -> Seen:
    """Probes above 1400 bytes are lost; for an hour."""
    search = MtuSearch(PmtuConfig(**({"probing": "always"} | settings)), 1500, T0, base=1200)
    told: Seen = []
    now = T0
    while now < T0 + seconds(3600) and len(told) < 200:
        size = search.probe_size(now)
        if size is not None:
            told.append((now - T0, size))
            search.probe_sent(size, now)
            if size <= 1400:
                search.probe_acked(size, now)
                continue
        due = search.next_deadline()
        if due is None:
            break
        now = max(due, Instant(now + milliseconds(1)))
        search.handle_timeout(now)
    return told


def claims(settings: dict[str, object], *, conflicts: int = 0, later: bool = False) -> Seen:
    """An address is probed for and announced; another host wants it, now or ``later``."""
    stack = Stack(StackConfig.of(arp=settings), seed=1)
    stack.add_interface("eth0", mac=MINE, mtu=1500)
    told: Seen = []
    rival = ArpPacket.request(OTHER, HERE, HERE) if later else None
    now = T0
    for number in range(conflicts + 1):
        address = IPv4Address(int(HERE) + number)
        stack.add_address("eth0", IPv4Interface(f"{address}/24"), now, probe=True)
        end = Instant(now + seconds(200))
        while (due := stack.poll_timeout()) is not None and due <= end:
            now = max(now, due)
            stack.handle_timeout(now)
            while stack.poll_transmit(now) is not None:
                told.append(now - T0)
                if number < conflicts:
                    clash = ArpPacket.request(OTHER, address, address)
                    _hear(stack, clash, now)
    if rival is not None:
        _hear(stack, rival, now)
        while stack.poll_transmit(now) is not None:
            told.append("defended")
    return told


def _hear(stack: Stack, arp: ArpPacket, now: Instant) -> None:
    frame = EthFrame(MacAddr("ff:ff:ff:ff:ff:ff"), OTHER, 0x0806, arp.emit())
    stack.receive(frame.emit(), now, "eth0")


TABLE: dict[str, tuple[object, Callable[[dict[str, object]], Seen]]] = {
    "answer_echo": (False, echo),
    "answer_timestamp": (False, timestamp),
    "obey_errors": (False, frag_needed),
    "directed_broadcast": (True, forwards("10.1.0.255")),
    "source_route": (True, forwards("10.0.0.1", options=bytes([131, 7, 4, 10, 1, 0, 9, 0]))),
    "send_redirects": (False, redirects),
    "accept_redirects": (False, obeys_redirects),
    "constant_ident": (7, identification),
    "reassembly_bytes": (4000, reassembles),
    "reassembly_datagrams": (2, reassembles),
    "reassembly_fragments": (2, reassembles),
    "floor": (552, cache),
    "plateaus": ((9000, 1234, 68), cache),
    "never_before": (seconds(1200), cache),
    "retry_after_increase": (seconds(300), cache),
    "max_probes": (1, searches),
    "probe_timer": (seconds(2), searches),
    "raise_timer": (seconds(100), searches),
    "probe_num": (1, claims),
    "announce_num": (5, claims),
    "defend": (False, lambda settings: claims(settings, later=True)),
    "max_conflicts": (0, lambda settings: claims(settings, conflicts=2)),
    "rate_limit_interval": (
        seconds(5),
        lambda settings: claims({"max_conflicts": 0} | settings, conflicts=2),
    ),
}


@pytest.mark.parametrize("name", TABLE)
def test_the_setting_below_tcp_has_an_effect(name: str) -> None:
    value, scenario = TABLE[name]
    assert scenario({name: value}) != scenario({}), name


def test_the_event_log_holds_so_many() -> None:
    stack = Stack(StackConfig(event_limit=3), seed=1)
    stack.add_interface("tun0", mtu=1500)
    for _ in range(10):
        stack.receive(b"nonsense", T0)
    assert len(list(stack.events)) <= 3
