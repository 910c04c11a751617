"""Services under attack, and services made wrong on purpose: their seams hold for both."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Interface
from random import Random

from test_dhcp import FIRST, MAC, QUICK, SERVER, SUBNET, Lan, S
from test_dns import EXAMPLE, PLAIN, WEB, World

from testbed.stack.config import StackConfig
from testbed.stack.services.dhcp_client import DhcpClient
from testbed.stack.services.dhcp_pool import DhcpServerConfig
from testbed.stack.services.dhcp_server import DhcpServer
from testbed.stack.services.dns_cache import DnsCache
from testbed.stack.services.dns_resolver import DnsResolver
from testbed.stack.stack import Stack
from testbed.stack.variants import Defect
from testbed.timing import Instant, seconds
from testbed.wire import DnsName, EthFrame, IPv4Packet, MacAddr, UdpDatagram, compose, dissect


class _PingsNobody:
    __slots__ = ()

    def ping(self, address: IPv4Address, now: Instant) -> None:
        pass


class _NeverForgets:
    __slots__ = ()

    def fresh(self, expires: Instant, now: Instant) -> bool:
        return True


def test_a_server_can_be_made_to_offer_a_taken_address():
    defect = Defect("offers a taken address", "AP-01", "A story.", {DhcpServer: _PingsNobody})
    lan = Lan(server=None)
    lan.stack = Stack(StackConfig().with_defects(defect), seed=5, name="server")
    lan.stack.add_interface("eth0", mac=MacAddr("02:00:00:00:00:01"))
    lan.stack.add_address("eth0", IPv4Interface(f"{SERVER}/24"), lan.net.now)
    DhcpServer.on(lan.stack, "eth0", DhcpServerConfig((SUBNET,)), lan.net.now)
    lan.other(str(FIRST))
    client = lan.start()
    lan.until(client, S.BOUND)
    assert client.lease is not None
    assert client.lease.address.ip == FIRST


def test_a_resolver_can_be_made_to_ignore_ttls():
    defect = Defect("ignores TTL", "AP-02", "A story.", {DnsCache: _NeverForgets})
    world = World()
    stack = Stack(StackConfig().with_defects(defect), seed=5, name="client")
    resolver = DnsResolver.on(stack, PLAIN)
    world.resolver.look_up("www.example.test", world.net.now)
    world.net.run(seconds(1))
    resolver.cache.put(world.ask("www.example.test").records, world.net.now, DnsCache.ANSWER)
    late = Instant(world.net.now + seconds(100_000))
    assert resolver.look_up("www.example.test", late).result is not None
    assert world.resolver.cache.get(DnsName("www.example.test"), 1, late) == ()


def mutated(frame: bytes, random: Random) -> bytes:
    """The frame with bytes of its UDP payload changed, checksums right: it reaches the service."""
    seen = dissect(frame)
    assert seen.ipv4 is not None
    assert seen.udp is not None
    payload = bytearray(seen.payload)
    for _ in range(random.randint(1, 8)):
        payload[random.randrange(len(payload))] = random.choice(
            [0, 1, 0xC0, 0xFF, random.randrange(256)]
        )
    cut = bytes(payload[: random.choice([len(payload), random.randint(0, len(payload))])])
    eth = seen.eth or EthFrame(MAC, MAC)
    packet = IPv4Packet(seen.ipv4.src, seen.ipv4.dst)
    datagram = UdpDatagram(seen.udp.src_port, seen.udp.dst_port, cut)
    return compose(EthFrame(eth.dst, eth.src), packet, datagram)


def test_mutated_dhcp_messages_harm_neither_client_nor_server():
    random = Random(1)  # noqa: S311 - a seed, not a secret
    lan = Lan()
    client = lan.start()
    lan.until(client, S.BOUND)
    to_server = [each.frame for each in lan.net.sent(lan.client) if dissect(each.frame).udp]
    to_client = [each.frame for each in lan.net.sent(lan.stack) if dissect(each.frame).udp]
    asking = DhcpClient.on(lan.client, "eth0", QUICK)
    client.stop(lan.net.now)
    lan.stack.answers.dhcp = False
    asking.start(lan.net.now)
    for _ in range(3000):
        lan.net.inject(lan.stack, mutated(random.choice(to_server), random))
        lan.net.inject(lan.client, mutated(random.choice(to_client), random))
    lan.stack.answers.dhcp = True
    for _ in range(3000):
        lan.net.inject(lan.stack, mutated(random.choice(to_server), random))
    assert lan.server is not None
    assert sum(1 for pool in lan.server.pools for _ in pool) <= 11  # the pool's size


def test_mutated_dns_messages_harm_neither_resolver_nor_server():
    random = Random(2)  # noqa: S311 - a seed, not a secret
    world = World()
    queries, answers = [], []
    world.ask("www.example.test")
    for stack, into in ((world.client, queries), *((s, answers) for s in world.stacks.values())):
        into += [each.frame for each in world.net.sent(stack) if dissect(each.frame).udp]
    for _ in range(3000):
        world.net.inject(world.stacks[EXAMPLE], mutated(random.choice(queries), random))
    world.resolver.cache.clear()
    for _ in range(100):
        lookup = world.resolver.look_up("www.example.test", world.net.now)
        for _ in range(5):
            latest = world.queries()[-1][2]
            frame = mutated(random.choice(answers), random)
            seen = dissect(frame)
            assert seen.ipv4 is not None
            assert seen.udp is not None
            forged = UdpDatagram(53, latest.src_port, latest.payload[:2] + seen.payload[2:])
            packet = IPv4Packet(IPv4Address("10.0.0.1"), IPv4Address("10.0.0.9"))
            assert seen.eth is not None
            mac = world.client.interface("eth0").mac
            assert mac is not None
            world.net.inject(world.client, compose(EthFrame(mac, seen.eth.src), packet, forged))
        lookup.cancel(world.net.now)
        world.resolver.cache.clear()
    assert world.ask("www.example.test").addresses == (WEB,)
    world.at_rest()
