"""The Python-stack endpoint: a TCP/IP stack without I/O, for a plan to steer.

::

    stack = Stack(StackConfig(), seed=1, name="client")
    stack.add_interface("eth0", mac=MacAddr("02:00:00:00:00:01"))   # without a MAC: bare IP packets
    stack.add_address("eth0", IPv4Interface("192.0.2.1/24"), now)
    stack.receive(frame, now)                     # what came
    stack.handle_timeout(now)                     # what is due ...
    stack.poll_timeout()                          # ... and when the next is
    stack.poll_transmit(now)                      # what to send, until None

It reads no clock and no socket: time comes in as ``now``, chance from its seed. The same calls at
the same times give the same frames. ``SocketApi`` puts BSD sockets in front of it; ``testbed stack
serve`` lets another process drive it; ``testbed.hosts.StackHost`` keeps it going on a real port.
"""

from testbed.stack.config import (
    ArpConfig,
    IcmpConfig,
    IgmpConfig,
    IpConfig,
    OverlapPolicy,
    PmtuConfig,
    StackConfig,
    UdpConfig,
)
from testbed.stack.output import Outgoing
from testbed.stack.refusals import Refused
from testbed.stack.sockets import SocketApi
from testbed.stack.stack import Stack
from testbed.stack.tcp.options import SocketOptions
from testbed.stack.tcp.states import State
from testbed.stack.tcp_config import TcpConfig
from testbed.stack.variants import Defect, Variants

__all__ = [
    "ArpConfig",
    "Defect",
    "IcmpConfig",
    "IgmpConfig",
    "IpConfig",
    "Outgoing",
    "OverlapPolicy",
    "PmtuConfig",
    "Refused",
    "SocketApi",
    "SocketOptions",
    "Stack",
    "StackConfig",
    "State",
    "TcpConfig",
    "UdpConfig",
    "Variants",
]
