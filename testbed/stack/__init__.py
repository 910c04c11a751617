"""The Python-stack endpoint: a TCP/IP stack without I/O that a plan can steer."""
