"""near -- x1 box x2 -- far: a fault box between two veths whose frames the kernel carries."""

import socket
import time
from contextlib import contextmanager

from netns import sh

from testbed.hosts import FaultBox, Tap
from testbed.labs.bypass import open_bypass
from testbed.link.afpacket import AfPacketPort
from testbed.link.claim import claim
from testbed.timing import milliseconds, seconds

HEAD = bytes.fromhex("020000000002 020000000001 88b5")


def frame(n, size=60, mark=0):
    return HEAD + n.to_bytes(4, "big") + bytes([mark]) + bytes(size - 19)


def number(data):
    return int.from_bytes(data[14:18], "big")


class Rig:
    """near -- x1 box x2 -- far, on veths whose far ends take what XDP sends."""

    def __init__(self, netns, loop, *, bypass=open_bypass, gro="on"):
        self.loop = loop
        netns.veth("near", "x1")
        netns.veth("x2", "far")
        for end in ("near", "far"):
            sh("ethtool", "-K", end, "tx", "off", "gso", "off", "tso", "off", "gro", gro)
        for end in ("x1", "x2"):
            claim(end)
        self.taps = [Tap(AfPacketPort(end, end), loop) for end in ("x1", "x2")]
        self.box = FaultBox("w1", *self.taps, loop, bypass)
        self.box.start()
        self.way = self.box.direction(from_left=True)
        self.near, self.far = self._socket("near"), self._socket("far")
        self.heard = []
        self.times = []
        loop.add_reader(self.far.fileno(), self._hear)
        self.turn()

    def _socket(self, interface):
        end = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        end.setsockopt(263, 23, 1)  # SOL_PACKET, PACKET_IGNORE_OUTGOING
        end.setsockopt(socket.SOL_SOCKET, 33, 64 << 20)  # SO_RCVBUFFORCE
        end.bind((interface, 3))
        end.setblocking(False)
        return end

    def _hear(self):
        try:
            while True:
                data = self.far.recv(4096)
                if data[:14] == HEAD:
                    self.heard.append(data)
                    self.times.append(time.monotonic_ns())
        except BlockingIOError:
            pass

    def turn(self):
        self.loop.run_until(lambda: False, milliseconds(1))

    def send(self, *frames):
        for each in frames:
            self.near.send(each)

    def settle(self, count):
        self.loop.run_until(lambda: len(self.heard) >= count, seconds(5))
        self.turn()
        assert len(self.heard) == count

    def await_received(self, count):
        assert self.loop.run_until(lambda: self.way.received == count, seconds(5))

    def close(self):
        self.loop.remove_reader(self.far.fileno())
        self.near.close()
        self.far.close()
        self.box.stop()
        for tap in self.taps:
            tap.close()


@contextmanager
def in_kernel(rig, *stages):
    """The stages in place, decided about by the kernel."""
    with rig.way.impaired(*stages):
        rig.turn()
        assert rig.way.engine == "XDP", rig.way.why
        yield
