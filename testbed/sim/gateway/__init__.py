"""An application gateway: HTTP (RFC 9110, 9112) on one side, gopher (RFC 1436) on the other."""

from testbed.sim.gateway.device import SimGateway

__all__ = ["SimGateway"]
