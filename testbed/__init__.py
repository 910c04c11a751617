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
    from testbed.bench.playing import Replay
    from testbed.bench.ppp_peer import PppPeer
    from testbed.bench.receiver import Receiver
    from testbed.bench.recordings import NicRecording
    from testbed.bench.streams import Stream, frames_of
    from testbed.bench.tallies import ReceiveTally
    from testbed.bench.topology import Kind, Topology
    from testbed.bench.transfers import Transfer
    from testbed.bench.translation import Talk, Translator
    from testbed.bench.trials import Trials
    from testbed.capture import Matcher, PointView, TracedFrame, match, tcpflow
    from testbed.devices.capabilities import Host
    from testbed.devices.hearing import Hearing, Try
    from testbed.devices.media import Attempt
    from testbed.devices.middle import DhcpService, PppoeService
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
    from testbed.hosts.stack_sockets import StackConnection, StackListener
    from testbed.link.impair import (
        Chance,
        Corrupt,
        Delay,
        Drop,
        Duplicate,
        Fragments,
        FrameField,
        GilbertElliott,
        Hold,
        Modify,
        MtuHole,
        Nth,
        RateLimit,
        Reorder,
        Stage,
        TcpData,
    )
    from testbed.link.streams import SENT_AT, SEQUENCE, Frames, Increment, Listed, Random
    from testbed.link.streams.signing import signed
    from testbed.stack import defects
    from testbed.stack.advertise import AdvertiseConfig
    from testbed.stack.config import OverlapPolicy, StackConfig
    from testbed.stack.nat import NatConfig
    from testbed.stack.services.dhcp_client import DhcpClient
    from testbed.stack.services.dhcp_lease import DhcpClientConfig, DhcpLease
    from testbed.stack.services.dhcp_pool import DhcpServerConfig, DhcpSubnet
    from testbed.stack.services.dhcp_server import DhcpServer
    from testbed.stack.services.dhcp_states import ClientState
    from testbed.stack.services.dns_resolver import DnsConfig, DnsResolver, Resolution
    from testbed.stack.services.dns_server import DnsServer
    from testbed.stack.services.dns_zone import Zone
    from testbed.stack.services.http import HttpFetch, HttpServer
    from testbed.stack.services.ppp_config import PppConfig
    from testbed.stack.services.pppoe import PppoeConfig
    from testbed.stack.services.pppoe_host import PppoeHost, PppoeServer
    from testbed.stack.services.pppoe_server import ConcentratorConfig
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
        EtherType,
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
        ppp,
        ppp_auth,
        ppp_control,
        pppoe,
        reassemble,
        subnets,
    )

_HOMES = {
    "AdvertiseConfig": "testbed.stack.advertise",
    "ArpPacket": "testbed.wire",
    "Attempt": "testbed.devices.media",
    "Bench": "testbed.bench.bench",
    "BenchError": "testbed.errors",
    "Capture": "testbed.bench.capturing",
    "Chance": "testbed.link.impair",
    "ClientState": "testbed.stack.services.dhcp_states",
    "ConcentratorConfig": "testbed.stack.services.pppoe_server",
    "Corrupt": "testbed.link.impair",
    "Delay": "testbed.link.impair",
    "DestinationUnreachable": "testbed.wire",
    "DhcpClient": "testbed.stack.services.dhcp_client",
    "DhcpClientConfig": "testbed.stack.services.dhcp_lease",
    "DhcpLease": "testbed.stack.services.dhcp_lease",
    "DhcpServer": "testbed.stack.services.dhcp_server",
    "DhcpServerConfig": "testbed.stack.services.dhcp_pool",
    "DhcpService": "testbed.devices.middle",
    "DhcpSubnet": "testbed.stack.services.dhcp_pool",
    "DnsConfig": "testbed.stack.services.dns_resolver",
    "DnsResolver": "testbed.stack.services.dns_resolver",
    "DnsServer": "testbed.stack.services.dns_server",
    "Drop": "testbed.link.impair",
    "Duplicate": "testbed.link.impair",
    "Duration": "testbed.timing",
    "EchoReply": "testbed.wire",
    "EchoRequest": "testbed.wire",
    "Ending": "testbed.devices.values",
    "EthFrame": "testbed.wire",
    "EtherType": "testbed.wire",
    "ExpectationFailed": "testbed.errors",
    "FdbEntry": "testbed.devices.values",
    "Flow": "testbed.devices.values",
    "Fragments": "testbed.link.impair",
    "FrameField": "testbed.link.impair",
    "Frames": "testbed.link.streams",
    "GilbertElliott": "testbed.link.impair",
    "Hearing": "testbed.devices.hearing",
    "Hold": "testbed.link.impair",
    "Host": "testbed.devices.capabilities",
    "HttpFetch": "testbed.stack.services.http",
    "HttpServer": "testbed.stack.services.http",
    "IPv4Packet": "testbed.wire",
    "IcmpUnknown": "testbed.wire",
    "IgmpMessage": "testbed.wire",
    "Increment": "testbed.link.streams",
    "Instant": "testbed.timing",
    "Keepalive": "testbed.devices.values",
    "Kind": "testbed.bench.topology",
    "Listed": "testbed.link.streams",
    "MSS": "testbed.wire",
    "MacAddr": "testbed.wire",
    "Matcher": "testbed.capture",
    "Modify": "testbed.link.impair",
    "MtuHole": "testbed.link.impair",
    "NatConfig": "testbed.stack.nat",
    "NicRecording": "testbed.bench.recordings",
    "Nth": "testbed.link.impair",
    "OverlapPolicy": "testbed.stack.config",
    "ParameterProblem": "testbed.wire",
    "PlanError": "testbed.errors",
    "PointView": "testbed.capture",
    "PppConfig": "testbed.stack.services.ppp_config",
    "PppPeer": "testbed.bench.ppp_peer",
    "PppoeConfig": "testbed.stack.services.pppoe",
    "PppoeHost": "testbed.stack.services.pppoe_host",
    "PppoeServer": "testbed.stack.services.pppoe_host",
    "PppoeService": "testbed.devices.middle",
    "Random": "testbed.link.streams",
    "RateLimit": "testbed.link.impair",
    "ReceiveTally": "testbed.bench.tallies",
    "Receiver": "testbed.bench.receiver",
    "Redirect": "testbed.wire",
    "Reorder": "testbed.link.impair",
    "Replay": "testbed.bench.playing",
    "Resolution": "testbed.stack.services.dns_resolver",
    "RouterAdvertisement": "testbed.wire",
    "RouterSolicitation": "testbed.wire",
    "SENT_AT": "testbed.link.streams",
    "SEQUENCE": "testbed.link.streams",
    "Sack": "testbed.wire",
    "SackPermitted": "testbed.wire",
    "SocketOptions": "testbed.stack.tcp.options",
    "StackConfig": "testbed.stack.config",
    "StackConnection": "testbed.hosts.stack_sockets",
    "StackHost": "testbed.hosts.stack_host",
    "StackListener": "testbed.hosts.stack_sockets",
    "Stage": "testbed.link.impair",
    "State": "testbed.stack.tcp.states",
    "Stream": "testbed.bench.streams",
    "Talk": "testbed.bench.translation",
    "TcpData": "testbed.link.impair",
    "TcpFlags": "testbed.wire",
    "TcpSegment": "testbed.wire",
    "TestbedError": "testbed.errors",
    "TimeExceeded": "testbed.wire",
    "Timestamps": "testbed.wire",
    "Topology": "testbed.bench.topology",
    "TracedFrame": "testbed.capture",
    "Transfer": "testbed.bench.transfers",
    "Translator": "testbed.bench.translation",
    "Trials": "testbed.bench.trials",
    "TransferResult": "testbed.devices.values",
    "Try": "testbed.devices.hearing",
    "UdpDatagram": "testbed.wire",
    "UnknownOption": "testbed.wire",
    "Unsupported": "testbed.errors",
    "VlanMode": "testbed.devices.values",
    "VlanTag": "testbed.wire",
    "WindowScale": "testbed.wire",
    "WireError": "testbed.errors",
    "Zone": "testbed.stack.services.dns_zone",
    "compose": "testbed.wire",
    "defects": "testbed.stack",
    "dhcp": "testbed.wire",
    "dissect": "testbed.wire",
    "dns": "testbed.wire",
    "drill": "testbed.bench.drill",
    "enclose": "testbed.wire",
    "faults": "testbed.bench",
    "format_duration": "testbed.timing",
    "fragment": "testbed.wire",
    "frames_of": "testbed.bench.streams",
    "match": "testbed.capture",
    "microseconds": "testbed.timing",
    "milliseconds": "testbed.timing",
    "patched": "testbed.wire",
    "ppp": "testbed.wire",
    "ppp_auth": "testbed.wire",
    "ppp_control": "testbed.wire",
    "pppoe": "testbed.wire",
    "reassemble": "testbed.wire",
    "seconds": "testbed.timing",
    "signed": "testbed.link.streams.signing",
    "subnets": "testbed.wire",
    "tcpflow": "testbed.capture",
    "to_seconds": "testbed.timing",
}

__all__ = [
    "MSS",
    "SENT_AT",
    "SEQUENCE",
    "AdvertiseConfig",
    "ArpPacket",
    "Attempt",
    "Bench",
    "BenchError",
    "Capture",
    "Chance",
    "ClientState",
    "ConcentratorConfig",
    "Corrupt",
    "Delay",
    "DestinationUnreachable",
    "DhcpClient",
    "DhcpClientConfig",
    "DhcpLease",
    "DhcpServer",
    "DhcpServerConfig",
    "DhcpService",
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
    "EtherType",
    "ExpectationFailed",
    "FdbEntry",
    "Flow",
    "Fragments",
    "FrameField",
    "Frames",
    "GilbertElliott",
    "Hearing",
    "Hold",
    "Host",
    "HttpFetch",
    "HttpServer",
    "IPv4Packet",
    "IcmpUnknown",
    "IgmpMessage",
    "Increment",
    "Instant",
    "Keepalive",
    "Kind",
    "Listed",
    "MacAddr",
    "Matcher",
    "Modify",
    "MtuHole",
    "NatConfig",
    "NicRecording",
    "Nth",
    "OverlapPolicy",
    "ParameterProblem",
    "PlanError",
    "PointView",
    "PppConfig",
    "PppPeer",
    "PppoeConfig",
    "PppoeHost",
    "PppoeServer",
    "PppoeService",
    "Random",
    "RateLimit",
    "ReceiveTally",
    "Receiver",
    "Redirect",
    "Reorder",
    "Replay",
    "Resolution",
    "RouterAdvertisement",
    "RouterSolicitation",
    "Sack",
    "SackPermitted",
    "SocketOptions",
    "StackConfig",
    "StackConnection",
    "StackHost",
    "StackListener",
    "Stage",
    "State",
    "Stream",
    "Talk",
    "TcpData",
    "TcpFlags",
    "TcpSegment",
    "TestbedError",
    "TimeExceeded",
    "Timestamps",
    "Topology",
    "TracedFrame",
    "Transfer",
    "TransferResult",
    "Translator",
    "Trials",
    "Try",
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
    "frames_of",
    "match",
    "microseconds",
    "milliseconds",
    "patched",
    "ppp",
    "ppp_auth",
    "ppp_control",
    "pppoe",
    "reassemble",
    "seconds",
    "signed",
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
