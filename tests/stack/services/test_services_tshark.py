"""tshark as an independent judge of all that the services send: it reads it and finds no fault."""

from __future__ import annotations

import subprocess
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from pathlib import Path

from pair import Net

from testbed.stack.config import StackConfig
from testbed.stack.services.dhcp_client import DhcpClient
from testbed.stack.services.dhcp_lease import DhcpClientConfig
from testbed.stack.services.dhcp_pool import DhcpServerConfig, DhcpSubnet
from testbed.stack.services.dhcp_server import DhcpServer
from testbed.stack.services.dhcp_states import ClientState
from testbed.stack.services.dns_resolver import DnsConfig, DnsResolver
from testbed.stack.services.dns_server import DnsServer
from testbed.stack.services.dns_zone import Zone
from testbed.stack.stack import Stack
from testbed.timing import milliseconds, seconds
from testbed.wire import DnsName, DnsRecord, MacAddr, dns

HERE = IPv4Address("10.0.0.1")
SUBNET = DhcpSubnet(
    IPv4Network("10.0.0.0/24"),
    IPv4Address("10.0.0.100"),
    IPv4Address("10.0.0.110"),
    routers=(HERE,),
    dns_servers=(HERE,),
    domain="example.test",
)


def tshark(path: Path, *arguments: str) -> list[str]:
    command = ["tshark", "-r", str(path), "-o", "ip.check_checksum:TRUE"]
    command += ["-o", "udp.check_checksum:TRUE", "-o", "tcp.check_checksum:TRUE", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


def test_tshark_reads_what_dhcp_and_dns_send(tmp_path: Path):
    net = Net()
    server = Stack(StackConfig(), seed=1, name="server")
    client = Stack(StackConfig(), seed=2, name="client")
    for number, stack in ((1, server), (2, client)):
        stack.add_interface("eth0", mac=MacAddr(f"02:00:00:00:00:0{number}"))
    server.add_address("eth0", IPv4Interface("10.0.0.1/24"), net.now)
    net.join((server, "eth0"), (client, "eth0"), delay=milliseconds(1))
    DhcpServer.on(server, "eth0", DhcpServerConfig((SUBNET,)), net.now)
    origin = DnsName("example.test")
    records = [DnsRecord(origin, dns.SOA(origin, origin))]
    records += [DnsRecord(origin, dns.A(IPv4Address(n + 1))) for n in range(60)]
    records += [DnsRecord(origin, dns.TXT((b"text",))), DnsRecord(origin, dns.MX(1, origin))]
    DnsServer.on(server, (Zone(origin, records),), net.now)

    asker = DhcpClient.on(client, "eth0", DhcpClientConfig(client_id=b"\0abc", host_name="box"))
    asker.start(net.now)
    assert net.run_until(lambda: asker.state is ClientState.BOUND)
    assert asker.lease is not None
    resolver = DnsResolver.on(client, DnsConfig(servers=asker.lease.dns_servers))
    for kind in (dns.DnsType.A, dns.DnsType.TXT, dns.DnsType.MX, dns.DnsType.AAAA):
        lookup = resolver.look_up("example.test", net.now, kind)
        assert net.run_until(lambda lookup=lookup: lookup.done)
    asker.release(net.now)
    net.run(seconds(10))

    path = tmp_path / "services.pcapng"
    net.write_pcapng(path, client)
    bad = "_ws.malformed || ip.checksum.status == 0 || udp.checksum.status == 0"
    bad += " || tcp.checksum.status == 0 || _ws.expert.severity >= 0x600000"
    assert tshark(path, "-Y", bad) == []
    kinds = tshark(path, "-Y", "dhcp", "-T", "fields", "-e", "dhcp.option.dhcp")
    assert kinds == ["1", "2", "3", "5", "7"]  # discover, offer, request, ack, release
    lengths = tshark(
        path, "-Y", "dns.flags.response == 1", "-T", "fields", "-e", "dns.count.answers"
    )
    assert lengths[-3:] == ["1", "1", "0"]
    assert "60" in lengths  # by TCP
