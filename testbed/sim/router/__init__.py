"""A router: IPv4 forwarding, ICMP, ARP, IGMP, NAPT, a filter, and a command line.

::

    router = SimRouter("r1", [Jack("p1", MacAddr("02:00:00:00:01:01"))], seed=1)
    router.set_link("p1", True, now)
    router.login().run("configure terminal ; interface p1 ; ip address 10.0.0.1/24 ; end", now)
    router.receive(frame, now, "p1")
    router.poll_transmit(now)
"""

from testbed.sim.router.device import SimRouter

__all__ = ["SimRouter"]
