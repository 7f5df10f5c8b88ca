"""The event sources in CXone that the operator has configured, and what can be checked of them from here.

They stand in the file of STREAM_ROUTER_CONFIG, one table `[[cxone.sources]]` each. CXone documents no API that lists
its senders, so most of what decides whether an event comes cannot be asked; that is said, not passed over.
"""

from collections.abc import Iterator
from typing import Literal, NamedTuple

from stream_router.cxone.web import parse_url
from stream_router.settings.sources import DataStreamSource, DigitalSource, Posted, Source, read

__all__ = ["Finding", "check", "read"]

NICE_ACCOUNTS = frozenset({"737494165703", "751344753113", "420587085960"})
"""The AWS accounts from which CXone Data Streams writes: commercial, FedRAMP, FedRAMP High (FACTS 0)."""

DIGITAL_TYPES = frozenset(
    {
        "CaseCreated",
        "CaseInboxAssigneeChanged",
        "CaseStatusChanged",
        "ContactInboxAssigneeChanged",
        "MessageCreated",
        "MessageReadChanged",
        "ThreadRecovered",
    }
)
"""Event types of CXone digital that NICE's own SDKs name; there may be more (FACTS 6)."""


class Finding(NamedTuple):
    """One line of the check. `unknown` is what cannot be found out from here."""

    verdict: Literal["ok", "wrong", "unknown"]
    about: str
    text: str


def check(source: Source, stream: str) -> Iterator[Finding]:
    """What can be said of one source by itself. `stream` is the one that the consumer reads."""
    if isinstance(source, DataStreamSource):
        yield from _check_data_stream(source, stream)
        return
    yield _check_url(source)
    if isinstance(source, DigitalSource):
        strange = sorted(set(source.event_types) - DIGITAL_TYPES)
        if strange:
            text = f"{', '.join(strange)}: not among the types that NICE documents; check the spelling"
            yield Finding("unknown", source.name, text)
        else:
            yield Finding("ok", source.name, "every event type is a documented one")
    yield Finding("unknown", source.name, "whether CXone sends here, and with which secret: it has no API that tells")


def _check_url(source: Posted) -> Finding:
    name, parts = source.name, parse_url(source.url)
    path = f"/v1/events/{name}" if source.has_a_path else "/v1/events"
    if not parts or parts.scheme != "https" or not parts.host:
        return Finding("wrong", name, "url: is no https:// URL; CXone must reach the receiver over HTTPS")
    if parts.path != path:
        return Finding("wrong", name, f"url: its path is not {path}, where the receiver takes this source's events")
    return Finding("ok", name, "url: HTTPS, and the receiver's path")


def _check_data_stream(source: DataStreamSource, stream: str) -> Iterator[Finding]:
    if source.stream == stream:
        yield Finding("ok", source.name, "stream: the one that the consumer reads")
    else:
        yield Finding("wrong", source.name, "stream: is not the one that the consumer reads (STREAM_ROUTER_STREAM)")
    if source.format in ("JSON", "JSON+LF"):
        yield Finding("ok", source.name, f"format: {source.format} is read")
    else:
        yield Finding("wrong", source.name, "format: only JSON and JSON+LF are read; choose one of them in CXone")
    if source.account in NICE_ACCOUNTS:
        yield Finding("ok", source.name, "account: one of NICE's")
    else:
        yield Finding("wrong", source.name, "account: is none of NICE's; the role must trust NICE's account")
    text = "whether CXone can assume the role and writes (up to 24 h after saving): only arriving records tell"
    yield Finding("unknown", source.name, text)
