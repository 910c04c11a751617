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
from testbed.wire.hdlc import BitReader, ByteReader, Fcs, bit_frame, byte_frame
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
from testbed.wire.ppp import PppFrame, PppProtocol
from testbed.wire.ppp_auth import ChapCode, ChapValue, PapCode, PapReply, PapRequest, chap_md5
from testbed.wire.ppp_control import ControlCode, ControlPacket, IpcpOption, LcpOption, PppOption
from testbed.wire.pppoe import PPPOE_MRU, PppoeCode, PppoePacket, PppoeTag, TagType
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
    "PPPOE_MRU",
    "TPIDS",
    "AddressClass",
    "ArpOp",
    "ArpPacket",
    "BitReader",
    "ByteReader",
    "ChapCode",
    "ChapValue",
    "ControlCode",
    "ControlPacket",
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
    "Fcs",
    "Frame",
    "IPv4Packet",
    "IcmpType",
    "IcmpUnknown",
    "Icmpv4",
    "IgmpMessage",
    "IgmpType",
    "IpProtocol",
    "IpcpOption",
    "Layer",
    "LcpOption",
    "MacAddr",
    "MaskReply",
    "MaskRequest",
    "OptionKind",
    "PapCode",
    "PapReply",
    "PapRequest",
    "ParameterProblem",
    "PppFrame",
    "PppOption",
    "PppProtocol",
    "PppoeCode",
    "PppoePacket",
    "PppoeTag",
    "Redirect",
    "RedirectCode",
    "RouterAdvertisement",
    "RouterSolicitation",
    "Sack",
    "SackPermitted",
    "Sendable",
    "SourceQuench",
    "TagType",
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
    "bit_frame",
    "byte_frame",
    "chap_md5",
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
