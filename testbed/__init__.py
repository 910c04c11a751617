"""Everything that a plan needs, under one name.

Names are found when they are first used, so that importing any part of the package loads no more
than that part.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from testbed.bench import faults
    from testbed.bench.bench import Bench
    from testbed.bench.capturing import Capture
    from testbed.bench.drill import drill
    from testbed.bench.receiver import Receiver
    from testbed.bench.topology import Kind, Topology
    from testbed.bench.transfers import Transfer
    from testbed.capture import Matcher, PointView, TracedFrame, match, tcpflow
    from testbed.devices.capabilities import Host
    from testbed.devices.values import Ending, FdbEntry, Flow, Keepalive, TransferResult, VlanMode
    from testbed.errors import (
        BenchError,
        ExpectationFailed,
        PlanError,
        TestbedError,
        Unsupported,
        WireError,
    )
    from testbed.hosts.stack_host import StackHost
    from testbed.hosts.stack_sockets import StackConnection
    from testbed.link.impair import (
        Chance,
        Corrupt,
        Delay,
        Drop,
        Duplicate,
        Fragments,
        GilbertElliott,
        Hold,
        Modify,
        MtuHole,
        Nth,
        RateLimit,
        Reorder,
        Stage,
    )
    from testbed.stack import defects
    from testbed.stack.advertise import AdvertiseConfig
    from testbed.stack.config import StackConfig
    from testbed.stack.services.dhcp_client import DhcpClient
    from testbed.stack.services.dhcp_lease import DhcpClientConfig, DhcpLease
    from testbed.stack.services.dhcp_pool import DhcpServerConfig, DhcpSubnet
    from testbed.stack.services.dhcp_server import DhcpServer
    from testbed.stack.services.dhcp_states import ClientState
    from testbed.stack.services.dns_resolver import DnsConfig, DnsResolver, Resolution
    from testbed.stack.services.dns_server import DnsServer
    from testbed.stack.services.dns_zone import Zone
    from testbed.stack.services.http import HttpFetch, HttpServer
    from testbed.stack.tcp.options import SocketOptions
    from testbed.stack.tcp.states import State
    from testbed.timing import (
        Duration,
        Instant,
        format_duration,
        microseconds,
        milliseconds,
        seconds,
        to_seconds,
    )
    from testbed.wire import (
        MSS,
        ArpPacket,
        DestinationUnreachable,
        EchoReply,
        EchoRequest,
        EthFrame,
        IcmpUnknown,
        IgmpMessage,
        IPv4Packet,
        MacAddr,
        ParameterProblem,
        Redirect,
        RouterAdvertisement,
        RouterSolicitation,
        Sack,
        SackPermitted,
        TcpFlags,
        TcpSegment,
        TimeExceeded,
        Timestamps,
        UdpDatagram,
        UnknownOption,
        VlanTag,
        WindowScale,
        compose,
        dhcp,
        dissect,
        dns,
        enclose,
        fragment,
        patched,
        reassemble,
        subnets,
    )

_HOMES = {
    "ArpPacket": "testbed.wire",
    "Bench": "testbed.bench.bench",
    "BenchError": "testbed.errors",
    "Capture": "testbed.bench.capturing",
    "Chance": "testbed.link.impair",
    "Corrupt": "testbed.link.impair",
    "Delay": "testbed.link.impair",
    "DestinationUnreachable": "testbed.wire",
    "Drop": "testbed.link.impair",
    "Duplicate": "testbed.link.impair",
    "Duration": "testbed.timing",
    "EchoReply": "testbed.wire",
    "EchoRequest": "testbed.wire",
    "Ending": "testbed.devices.values",
    "EthFrame": "testbed.wire",
    "ExpectationFailed": "testbed.errors",
    "FdbEntry": "testbed.devices.values",
    "Flow": "testbed.devices.values",
    "Fragments": "testbed.link.impair",
    "GilbertElliott": "testbed.link.impair",
    "Hold": "testbed.link.impair",
    "Host": "testbed.devices.capabilities",
    "IPv4Packet": "testbed.wire",
    "IcmpUnknown": "testbed.wire",
    "Instant": "testbed.timing",
    "Keepalive": "testbed.devices.values",
    "Kind": "testbed.bench.topology",
    "MacAddr": "testbed.wire",
    "Matcher": "testbed.capture",
    "Modify": "testbed.link.impair",
    "MtuHole": "testbed.link.impair",
    "Nth": "testbed.link.impair",
    "ParameterProblem": "testbed.wire",
    "PlanError": "testbed.errors",
    "RateLimit": "testbed.link.impair",
    "Receiver": "testbed.bench.receiver",
    "Redirect": "testbed.wire",
    "Reorder": "testbed.link.impair",
    "Stage": "testbed.link.impair",
    "StackConfig": "testbed.stack.config",
    "TcpFlags": "testbed.wire",
    "TcpSegment": "testbed.wire",
    "TestbedError": "testbed.errors",
    "TimeExceeded": "testbed.wire",
    "Topology": "testbed.bench.topology",
    "TracedFrame": "testbed.capture",
    "Transfer": "testbed.bench.transfers",
    "TransferResult": "testbed.devices.values",
    "UdpDatagram": "testbed.wire",
    "Unsupported": "testbed.errors",
    "VlanMode": "testbed.devices.values",
    "VlanTag": "testbed.wire",
    "WireError": "testbed.errors",
    "compose": "testbed.wire",
    "dissect": "testbed.wire",
    "enclose": "testbed.wire",
    "drill": "testbed.bench.drill",
    "faults": "testbed.bench",
    "format_duration": "testbed.timing",
    "fragment": "testbed.wire",
    "match": "testbed.capture",
    "microseconds": "testbed.timing",
    "milliseconds": "testbed.timing",
    "patched": "testbed.wire",
    "reassemble": "testbed.wire",
    "seconds": "testbed.timing",
    "tcpflow": "testbed.capture",
    "to_seconds": "testbed.timing",
    "SocketOptions": "testbed.stack.tcp.options",
    "State": "testbed.stack.tcp.states",
    "StackHost": "testbed.hosts.stack_host",
    "StackConnection": "testbed.hosts.stack_sockets",
    "MSS": "testbed.wire",
    "WindowScale": "testbed.wire",
    "SackPermitted": "testbed.wire",
    "Sack": "testbed.wire",
    "Timestamps": "testbed.wire",
    "UnknownOption": "testbed.wire",
    "defects": "testbed.stack",
    "subnets": "testbed.wire",
    "RouterSolicitation": "testbed.wire",
    "RouterAdvertisement": "testbed.wire",
    "PointView": "testbed.capture",
    "IgmpMessage": "testbed.wire",
    "AdvertiseConfig": "testbed.stack.advertise",
    "ClientState": "testbed.stack.services.dhcp_states",
    "DhcpClient": "testbed.stack.services.dhcp_client",
    "DhcpClientConfig": "testbed.stack.services.dhcp_lease",
    "DhcpLease": "testbed.stack.services.dhcp_lease",
    "DhcpServer": "testbed.stack.services.dhcp_server",
    "DhcpServerConfig": "testbed.stack.services.dhcp_pool",
    "DhcpSubnet": "testbed.stack.services.dhcp_pool",
    "DnsConfig": "testbed.stack.services.dns_resolver",
    "DnsResolver": "testbed.stack.services.dns_resolver",
    "DnsServer": "testbed.stack.services.dns_server",
    "HttpFetch": "testbed.stack.services.http",
    "HttpServer": "testbed.stack.services.http",
    "Resolution": "testbed.stack.services.dns_resolver",
    "Zone": "testbed.stack.services.dns_zone",
    "dhcp": "testbed.wire",
    "dns": "testbed.wire",
}

__all__ = [
    "MSS",
    "AdvertiseConfig",
    "ArpPacket",
    "Bench",
    "BenchError",
    "Capture",
    "Chance",
    "ClientState",
    "Corrupt",
    "Delay",
    "DestinationUnreachable",
    "DhcpClient",
    "DhcpClientConfig",
    "DhcpLease",
    "DhcpServer",
    "DhcpServerConfig",
    "DhcpSubnet",
    "DnsConfig",
    "DnsResolver",
    "DnsServer",
    "Drop",
    "Duplicate",
    "Duration",
    "EchoReply",
    "EchoRequest",
    "Ending",
    "EthFrame",
    "ExpectationFailed",
    "FdbEntry",
    "Flow",
    "Fragments",
    "GilbertElliott",
    "Hold",
    "Host",
    "HttpFetch",
    "HttpServer",
    "IPv4Packet",
    "IcmpUnknown",
    "IgmpMessage",
    "Instant",
    "Keepalive",
    "Kind",
    "MacAddr",
    "Matcher",
    "Modify",
    "MtuHole",
    "Nth",
    "ParameterProblem",
    "PlanError",
    "PointView",
    "RateLimit",
    "Receiver",
    "Redirect",
    "Reorder",
    "Resolution",
    "RouterAdvertisement",
    "RouterSolicitation",
    "Sack",
    "SackPermitted",
    "SocketOptions",
    "StackConfig",
    "StackConnection",
    "StackHost",
    "Stage",
    "State",
    "TcpFlags",
    "TcpSegment",
    "TestbedError",
    "TimeExceeded",
    "Timestamps",
    "Topology",
    "TracedFrame",
    "Transfer",
    "TransferResult",
    "UdpDatagram",
    "UnknownOption",
    "Unsupported",
    "VlanMode",
    "VlanTag",
    "WindowScale",
    "WireError",
    "Zone",
    "compose",
    "defects",
    "dhcp",
    "dissect",
    "dns",
    "drill",
    "enclose",
    "faults",
    "format_duration",
    "fragment",
    "match",
    "microseconds",
    "milliseconds",
    "patched",
    "reassemble",
    "seconds",
    "subnets",
    "tcpflow",
    "to_seconds",
]


def __getattr__(name: str) -> object:
    """Find ``name`` in the module that defines it."""
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'testbed' has no attribute {name!r}")
    module = import_module(home)
    value = getattr(module, name, None)
    if value is None:  # a module, such as match
        value = import_module(f"{home}.{name}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
