"""Formats on the wire: legal values in, bytes out, and back.

One module per protocol; ``dissect`` takes any bytes apart, ``compose`` builds frames from layers.
"""

from testbed.wire.addresses import MacAddr, ipv4_address
from testbed.wire.arp import ArpOp, ArpPacket
from testbed.wire.checksum import checksum_ok, internet_checksum, pseudo_header_sum, update_checksum
from testbed.wire.compose import Layer, Sendable, compose, enclose, patched, to_bytes
from testbed.wire.describe import fields, summary
from testbed.wire.dhcp import DhcpCode, DhcpMessage, DhcpOp, DhcpOption, DhcpType
from testbed.wire.dissect import Dissection, dissect, dissect_ipv4
from testbed.wire.dns import DnsMessage, DnsName, DnsQuestion, DnsRcode, DnsRecord, DnsType, Edns
from testbed.wire.ethernet import TPIDS, EtherType, EthFrame, VlanTag
from testbed.wire.fragment import fragment, reassemble
from testbed.wire.frame import Direction, Frame
from testbed.wire.icmp_info import (
    MaskReply,
    MaskRequest,
    RouterAdvertisement,
    RouterSolicitation,
    TimestampReply,
    TimestampRequest,
)
from testbed.wire.icmp_message import IcmpType
from testbed.wire.icmpv4 import (
    DestinationUnreachable,
    EchoReply,
    EchoRequest,
    IcmpUnknown,
    Icmpv4,
    ParameterProblem,
    Redirect,
    RedirectCode,
    SourceQuench,
    TimeExceeded,
    TimeExceededCode,
    UnreachableCode,
    parse_icmpv4,
)
from testbed.wire.igmp import IgmpMessage, IgmpType
from testbed.wire.ipv4 import IpProtocol, IPv4Packet
from testbed.wire.sequence import seq_add, seq_before, seq_between, seq_diff, seq_max, seq_min
from testbed.wire.subnets import (
    AddressClass,
    class_network,
    class_of,
    directed_broadcast,
    host_count,
    host_range,
    mask_of,
    multicast_mac,
    prefix_of,
)
from testbed.wire.tcp import TcpFlags, TcpSegment
from testbed.wire.tcp_options import (
    MSS,
    OptionKind,
    Sack,
    SackPermitted,
    TcpOption,
    Timestamps,
    UnknownOption,
    WindowScale,
)
from testbed.wire.udp import UdpDatagram

__all__ = [
    "MSS",
    "TPIDS",
    "AddressClass",
    "ArpOp",
    "ArpPacket",
    "DestinationUnreachable",
    "DhcpCode",
    "DhcpMessage",
    "DhcpOp",
    "DhcpOption",
    "DhcpType",
    "Direction",
    "Dissection",
    "DnsMessage",
    "DnsName",
    "DnsQuestion",
    "DnsRcode",
    "DnsRecord",
    "DnsType",
    "EchoReply",
    "EchoRequest",
    "Edns",
    "EthFrame",
    "EtherType",
    "Frame",
    "IPv4Packet",
    "IcmpType",
    "IcmpUnknown",
    "Icmpv4",
    "IgmpMessage",
    "IgmpType",
    "IpProtocol",
    "Layer",
    "MacAddr",
    "MaskReply",
    "MaskRequest",
    "OptionKind",
    "ParameterProblem",
    "Redirect",
    "RedirectCode",
    "RouterAdvertisement",
    "RouterSolicitation",
    "Sack",
    "SackPermitted",
    "Sendable",
    "SourceQuench",
    "TcpFlags",
    "TcpOption",
    "TcpSegment",
    "TimeExceeded",
    "TimeExceededCode",
    "TimestampReply",
    "TimestampRequest",
    "Timestamps",
    "UdpDatagram",
    "UnknownOption",
    "UnreachableCode",
    "VlanTag",
    "WindowScale",
    "checksum_ok",
    "class_network",
    "class_of",
    "compose",
    "directed_broadcast",
    "dissect",
    "dissect_ipv4",
    "enclose",
    "fields",
    "fragment",
    "host_count",
    "host_range",
    "internet_checksum",
    "ipv4_address",
    "mask_of",
    "multicast_mac",
    "parse_icmpv4",
    "patched",
    "prefix_of",
    "pseudo_header_sum",
    "reassemble",
    "seq_add",
    "seq_before",
    "seq_between",
    "seq_diff",
    "seq_max",
    "seq_min",
    "summary",
    "to_bytes",
    "update_checksum",
]
