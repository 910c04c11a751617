"""Faults of servers: of PPP, of PPPoE, and of the addresses and names that they serve."""

from testbed.sim.server.defects import ppp, pppoe, served

__all__ = ["ppp", "pppoe", "served"]
