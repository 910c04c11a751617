"""Congestion control: how much may be in the network at once."""

from testbed.stack.tcp.congestion.base import CongestionControl
from testbed.stack.tcp.congestion.cubic import Cubic
from testbed.stack.tcp.congestion.make import make
from testbed.stack.tcp.congestion.newreno import NewReno
from testbed.stack.tcp.congestion.reno import Reno

__all__ = ["CongestionControl", "Cubic", "NewReno", "Reno", "make"]
