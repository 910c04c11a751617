"""Simulated devices, and the network in virtual time that joins them.

Pure: frames in, frames out, and the time told to it. Nothing here reads a clock or draws from a
source of chance that was not given.
"""
