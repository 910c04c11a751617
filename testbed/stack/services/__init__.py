"""Services over the stack: DHCP, DNS, PPP."""
