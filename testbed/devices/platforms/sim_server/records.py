"""DNS records as a command line wants them: as in a zone's master file (RFC 1035 5.1)."""

from __future__ import annotations

from testbed.errors import PlanError
from testbed.wire.dns import AAAA, CNAME, MX, NS, PTR, SOA, TXT, A, DnsRecord

__all__ = ["record_words"]


def record_words(record: DnsRecord) -> str:
    """Name, TTL, type and data; PlanError for types that cannot be told so."""
    head = f"{record.name} {record.ttl}"
    data = record.data
    if isinstance(data, A | AAAA):
        return f"{head} {type(data).__name__} {data.address}"
    if isinstance(data, NS | CNAME | PTR):
        return f"{head} {type(data).__name__} {data.target}"
    if isinstance(data, MX):
        return f"{head} MX {data.preference} {data.exchange}"
    if isinstance(data, SOA):
        numbers = (data.serial, data.refresh, data.retry, data.expire, data.minimum)
        return f"{head} SOA {data.primary} {data.mailbox} {' '.join(map(str, numbers))}"
    if isinstance(data, TXT) and all(len(each.split()) == 1 for each in data.strings):
        return f"{head} TXT {' '.join(each.decode('ascii') for each in data.strings)}"
    raise PlanError(f"the record {record.name} cannot be typed at a command line: {data}")
