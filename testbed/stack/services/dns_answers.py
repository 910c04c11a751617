"""What a DNS answer says, as far as its sender may say it (RFC 1034 5.3.3, RFC 2181 5.4.1)."""

from __future__ import annotations

from dataclasses import dataclass

from testbed.wire.dns import CNAME, NS, DnsMessage, DnsName, DnsRcode, DnsRecord, DnsType

__all__ = ["Reading", "read_answer"]


@dataclass(frozen=True, slots=True)
class Reading:
    """An answer taken apart; all that lies outside the asked zone is left out.

    ``denied``: there is no such name (``name_error``), or nothing of the type; ``soa`` tells how
    long to believe that. ``delegation`` are the NS records of a zone further down, ``glue`` the
    addresses of those servers.
    """

    aliases: tuple[DnsRecord, ...] = ()
    records: tuple[DnsRecord, ...] = ()
    denied: bool = False
    name_error: bool = False
    soa: DnsRecord | None = None
    delegation: tuple[DnsRecord, ...] = ()
    glue: tuple[DnsRecord, ...] = ()


def read_answer(message: DnsMessage, name: DnsName, kind: int, zone: DnsName) -> Reading:
    """What a server of ``zone`` says about ``name``."""
    answers = [each for each in message.answers if each.name.within(zone)]
    aliases: list[DnsRecord] = []
    while kind not in {DnsType.CNAME, DnsType.ANY}:
        alias = next((each for each in answers if _is_alias(each, name)), None)
        if alias is None or alias in aliases:
            break
        aliases.append(alias)
        if isinstance(alias.data, CNAME):
            name = alias.data.target
    records = tuple(
        each for each in answers if each.name == name and kind in {each.type, DnsType.ANY}
    )
    if records:
        return Reading(tuple(aliases), records)
    if aliases and not name.within(zone):
        return Reading(tuple(aliases))  # what it says of others is hearsay
    delegation, glue = _referral(message, name, zone)
    soa = next((each for each in message.authority if _is_soa(each, name, zone)), None)
    name_error = message.rcode == DnsRcode.NXDOMAIN
    # Some deny without a SOA (RFC 2308 2.2, types 1 to 3): the zone's own server, or one that was
    # asked to find it out.
    speaks = message.aa or (message.ra and message.rd)
    if name_error or soa is not None or (speaks and not delegation and not aliases):
        return Reading(tuple(aliases), denied=True, name_error=name_error, soa=soa)
    return Reading(tuple(aliases), delegation=delegation, glue=glue)


def _is_alias(record: DnsRecord, name: DnsName) -> bool:
    return record.type == DnsType.CNAME and record.name == name


def _is_soa(record: DnsRecord, name: DnsName, zone: DnsName) -> bool:
    return record.type == DnsType.SOA and record.name.within(zone) and name.within(record.name)


def _referral(
    message: DnsMessage, name: DnsName, zone: DnsName
) -> tuple[tuple[DnsRecord, ...], tuple[DnsRecord, ...]]:
    """The delegation towards ``name``, if it leads further down than ``zone``, and its glue."""
    servers = [
        each
        for each in message.authority
        if each.type == DnsType.NS
        and each.name != zone
        and each.name.within(zone)
        and name.within(each.name)
    ]
    if not servers:
        return (), ()
    lowest = max(servers, key=lambda each: len(each.name.labels)).name
    delegation = tuple(each for each in servers if each.name == lowest)
    targets = {each.data.target for each in delegation if isinstance(each.data, NS)}
    glue = tuple(
        each
        for each in message.additional
        if each.type in {DnsType.A, DnsType.AAAA}
        and each.name in targets
        and each.name.within(zone)
    )
    return delegation, glue
