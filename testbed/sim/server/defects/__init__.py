"""Faults of servers: of PPP and its proofs, of PPPoE, and of the addresses and names that they serve."""

from testbed.sim.server.defects import authentication, ppp, pppoe, served

__all__ = ["authentication", "ppp", "pppoe", "served"]
