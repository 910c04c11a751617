"""A server: DHCP, DNS, and a PPPoE access concentrator, each switched on by its command line."""

from testbed.sim.server.device import SimServer

__all__ = ["SimServer"]
