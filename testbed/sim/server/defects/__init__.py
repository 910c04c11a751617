"""Faults of servers: PPP and its proofs, PPPoE, and the addresses and names that they serve."""

from testbed.sim.server.defects import authentication, ppp, pppoe, served

__all__ = ["authentication", "ppp", "pppoe", "served"]
