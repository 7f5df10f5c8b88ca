"""The event sources in CXone that the operator has configured, and what can be checked of them from here.

They stand in the file of STREAM_ROUTER_CONFIG, one table `[[cxone.sources]]` each. CXone documents no API that lists
its senders, so most of what decides whether an event comes cannot be asked; that is said, not passed over.
"""

from collections.abc import Iterator, Mapping
from typing import Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from stream_router.cxone.web import parse_url
from stream_router.pipeline.mapping.digital_types import DIGITAL_TYPES, KEPT_TYPES
from stream_router.settings import types
from stream_router.settings.operators import Cxone
from stream_router.settings.sources import DataStreamSource, DigitalSource, Posted, Source, read, read_part

__all__ = ["Finding", "check", "read", "routing"]

NICE_ACCOUNTS = frozenset({"737494165703", "751344753113", "420587085960"})
"""The AWS accounts from which CXone Data Streams writes: commercial, FedRAMP, FedRAMP High (docs/facts.md, "CXone")."""


_OF_EXPERT = (
    "whether its event types match the rule: Expert's keep their names, and one that neither [event_types] renames nor "
    "STREAM_ROUTER_EVENT_TYPES names is a dead letter"
)


class _Renames(BaseModel):
    """Of a shape of the mapping what renames types."""

    model_config = ConfigDict(hide_input_in_errors=True)

    event_types: dict[str, str] = Field(default_factory=dict)


class _Renaming(BaseModel):
    """Of the file what renames event types: the rest belongs to the consumer, which checks it."""

    model_config = ConfigDict(hide_input_in_errors=True)

    event_types: dict[str, str] = Field(default_factory=dict)
    shapes: tuple[_Renames, ...] = ()


class Routing(NamedTuple):
    """What the consumer makes of an event type: renamed by `names`, dropped, let through by the rule, or not."""

    names: Mapping[str, str]
    let_through: frozenset[str]
    dropped: frozenset[str]
    unroutable: str


class Finding(NamedTuple):
    """One line of the check. `unknown` is what cannot be found out from here."""

    verdict: Literal["ok", "wrong", "unknown"]
    about: str
    text: str


def routing(settings: Cxone) -> Routing:
    """What the consumer would make of event types under these settings. Raises SettingsError as `read` does."""
    document = read_part(settings.config, _Renaming)
    names = {**DIGITAL_TYPES, **{old: new for shape in document.shapes for old, new in shape.event_types.items()}}
    return Routing(
        {**names, **document.event_types},
        frozenset(types.items(settings.event_types)),
        frozenset(types.items(settings.drop_types)),
        settings.unroutable,
    )


def check(source: Source, stream: str, routes: Routing) -> Iterator[Finding]:
    """What can be said of one source by itself. `stream` is the one that the consumer reads, `routes` its settings."""
    if isinstance(source, DataStreamSource):
        yield from _check_data_stream(source, stream)
        return
    yield _check_url(source)
    if isinstance(source, DigitalSource):
        yield from _check_types(source, routes)
    elif source.scheme == "expert" and routes.unroutable == "dead-letter":
        yield Finding("unknown", source.name, _OF_EXPERT)
    yield Finding("unknown", source.name, "whether CXone sends here, and with which secret: it has no API that tells")


def _check_types(source: DigitalSource, routes: Routing) -> Iterator[Finding]:
    """Whether every event type is one of NICE's, and what becomes of it."""
    given = sorted(set(source.event_types))
    if strange := [one for one in given if one not in DIGITAL_TYPES and one not in KEPT_TYPES]:
        text = f"{', '.join(strange)}: not among the types that NICE documents; check the spelling"
        yield Finding("unknown", source.name, text)
    else:
        yield Finding("ok", source.name, "every event type is a documented one")
    kept = [one for one in given if routes.dropped.isdisjoint((one, routes.names.get(one, one)))]
    lost = [one for one in kept if routes.names.get(one, one) not in routes.let_through]
    if lost and routes.unroutable == "dead-letter":
        cure = "rename them in [event_types], or name them in STREAM_ROUTER_EVENT_TYPES or STREAM_ROUTER_DROP_TYPES"
        yield Finding("wrong", source.name, f"{', '.join(lost)}: each such event would be a dead letter; {cure}")
    elif lost:
        how = "published, but not by our rule" if routes.unroutable == "publish" else "dropped"
        yield Finding("unknown", source.name, f"{', '.join(lost)}: {how} (STREAM_ROUTER_UNROUTABLE)")


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
