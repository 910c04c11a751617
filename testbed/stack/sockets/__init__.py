"""BSD sockets over a stack: the calls, options and errors that programs know from Linux."""

from testbed.stack.sockets.api import SocketApi
from testbed.stack.sockets.base import Address, Socket, Waiter
from testbed.stack.sockets.datagram import DatagramSocket
from testbed.stack.sockets.stream import StreamSocket

__all__ = ["Address", "DatagramSocket", "Socket", "SocketApi", "StreamSocket", "Waiter"]
