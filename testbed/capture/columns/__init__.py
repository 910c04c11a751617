"""Captures of any size as numpy columns: records, header fields, flows, fragments.

::

    columns = read_columns(data)              # bytes, or an mmap of a file
    headers = read_headers(columns)
    flows = group_flows(headers)
    tcp = columns.time[headers.protocol == 6]

Millions of packets a second, by doing every step to all packets at once. Nothing here opens a file:
the bytes come in, and the columns look into them.
"""

from __future__ import annotations

from testbed.capture.columns.addresses import Addresses
from testbed.capture.columns.columns import Columns, Source
from testbed.capture.columns.flows import Datagram, Flows, datagrams, group, group_flows
from testbed.capture.columns.frames import columns_of
from testbed.capture.columns.headers import Headers, read_headers
from testbed.capture.columns.reading import LIMIT, read_columns

__all__ = [
    "LIMIT",
    "Addresses",
    "Columns",
    "Datagram",
    "Flows",
    "Headers",
    "Source",
    "columns_of",
    "datagrams",
    "group",
    "group_flows",
    "read_columns",
    "read_headers",
]
