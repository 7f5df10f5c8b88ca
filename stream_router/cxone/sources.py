"""`stream-router cxone token` and `cxone sources`: test the credentials, check the configured event sources.

Each source is a table `[[cxone.sources]]` in the file of STREAM_ROUTER_CONFIG. Most of what decides
whether events arrive cannot be checked from here (Expert's guide names a webhooks API, which we do
not use). Such points are reported as `unknown`, not left out.
"""

import sys
from collections.abc import Iterator, Mapping
from typing import Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict

from stream_router.cxone.client import SCOPES, CxoneClient, CxoneError
from stream_router.log import plain
from stream_router.pipeline.mapping.config_file import DIGITAL_TYPES
from stream_router.settings import types
from stream_router.settings.operators import Cxone
from stream_router.settings.reading import load
from stream_router.settings.sources import DataStreamSource, DigitalSource, PostedSource, read, read_part
from stream_router.settings.types import is_url

NICE_ACCOUNTS = frozenset({"737494165703", "751344753113", "420587085960"})
"""The AWS accounts from which CXone Data Streams writes: commercial, FedRAMP, FedRAMP High (docs/facts.md, "CXone")."""

_EXPERT_NOTE = (
    "whether its event types match the rule: event types of Expert keep their names, and a type that is neither "
    "renamed in [event_types] nor named in STREAM_ROUTER_EVENT_TYPES becomes a dead letter"
)


Finding = tuple[Literal["ok", "wrong", "unknown"], str, str]
"""A line of the check: verdict, subject, text. `unknown` marks what cannot be checked from here."""


class _Renames(BaseModel):
    """The keys of the config file, or of one of its shapes, that rename event types.

    The file's other keys are ignored here, since the consumer checks them.
    """

    model_config = ConfigDict(hide_input_in_errors=True)

    event_types: dict[str, str] = {}
    shapes: "tuple[_Renames, ...]" = ()


def token() -> int:
    """Request a token, and print its lifetime, scopes and tenant, but never the token itself.

    Return 0, or 1 if CXone gives no token. Raises SettingsError.
    """
    settings = load(Cxone)
    try:
        token = CxoneClient(settings).token()
    except CxoneError as error:
        sys.stderr.write(f"stream-router cxone: {plain(str(error))}\n")
        return 1
    scopes = "scopes not stated"
    # Of scopes that were not requested only the number is printed, since the server may write any text there.
    if token.scopes is not None:
        others = f" and {len(token.scopes - SCOPES)} others" if token.scopes - SCOPES else ""
        scopes = f"scopes {' '.join(sorted(token.scopes & SCOPES)) or 'none of the requested ones'}{others}"
    tenant = f"tenant {token.tenant_id}" if token.tenant_id else "tenant not stated"
    _print_line(f"the credentials work: {token.describe()}, {scopes}, {tenant}")
    return 0


def sources() -> int:
    """Print a line for each finding. Return 0, or 1 if something is wrong. Raises SettingsError."""
    settings = load(Cxone)
    status = 0
    for verdict, subject, text in _check_sources(settings):
        status = 1 if verdict == "wrong" else status
        _print_line(f"{verdict:8}{subject}: {text}")
    return status


def _check_sources(settings: Cxone) -> Iterator[Finding]:
    configured, document = read(settings.config), read_part(settings.config, _Renames)
    yield from _check_account(CxoneClient(settings))
    for source in configured:
        if isinstance(source, DataStreamSource):
            yield from _check_data_stream(source, settings.stream)
            continue
        yield _check_url(source)
        if isinstance(source, DigitalSource):
            yield from _check_types(source, settings, document)
        elif source.scheme == "expert" and settings.unroutable == "dead-letter":
            yield "unknown", source.name, _EXPERT_NOTE
        text = "whether CXone sends here, and with which secret: only arriving events show it"
        yield "unknown", source.name, text
    if not configured:
        yield "unknown", "sources", "none configured; add [[cxone.sources]] to STREAM_ROUTER_CONFIG's file"


def _check_account(cxone: CxoneClient) -> Iterator[Finding]:
    """Yield the findings on token and scopes, the only ones that need an answer of CXone.

    If CXone gives no token, that is a finding and not an error, so that the other checks still run.
    """
    try:
        token = cxone.token()
    except CxoneError as error:
        yield "wrong", "token", str(error)
        return
    yield "ok", "token", token.describe()
    if token.scopes is None:
        yield "unknown", "scopes", "CXone does not state which scopes it granted"
    elif missing := sorted(SCOPES - token.scopes):
        yield "wrong", "scopes", f"{' '.join(missing)} not granted; ask NICE for them"
    else:
        yield "ok", "scopes", f"{' '.join(sorted(SCOPES))} granted"


def _check_types(source: DigitalSource, settings: Cxone, document: _Renames) -> Iterator[Finding]:
    """Yield the findings on the event types of a source: whether NICE documents them, and whether any is unroutable.

    A type is unroutable if STREAM_ROUTER_DROP_TYPES has neither its name nor its new name, and
    STREAM_ROUTER_EVENT_TYPES does not have its new name.
    """
    event_types = sorted(set(source.event_types))
    if undocumented := [event_type for event_type in event_types if event_type not in DIGITAL_TYPES]:
        text = f"{', '.join(undocumented)}: not among the types that NICE documents; check the spelling"
        yield "unknown", source.name, text
    else:
        yield "ok", source.name, "every event type is documented"
    # Later tables override earlier ones: those of the shapes NICE's names, that of the file all others.
    names: Mapping[str, str] = DIGITAL_TYPES
    for table in (*document.shapes, document):
        names = {**names, **table.event_types}
    dropped, accepted_types = set(types.items(settings.drop_types)), types.items(settings.event_types)
    not_dropped = [
        event_type for event_type in event_types if dropped.isdisjoint((event_type, names.get(event_type, event_type)))
    ]
    unroutable_types = [
        event_type for event_type in not_dropped if names.get(event_type, event_type) not in accepted_types
    ]
    if unroutable_types and settings.unroutable == "dead-letter":
        cure = "rename them in [event_types], or name them in STREAM_ROUTER_EVENT_TYPES or STREAM_ROUTER_DROP_TYPES"
        yield "wrong", source.name, f"{', '.join(unroutable_types)}: each such event would be a dead letter; {cure}"


def _check_url(source: PostedSource) -> Finding:
    """Return whether the URL that CXone posts to is HTTPS and has the receiver's path for this source."""
    path = f"/v1/events/{source.name}" if source.has_own_path else "/v1/events"
    if not is_url(source.url) or not source.url.startswith("https:"):
        return "wrong", source.name, "url: is not an https:// URL; CXone must reach the receiver over HTTPS"
    if urlsplit(source.url).path != path:
        text = f"url: its path is not {path}, where the receiver accepts this source's events"
        return "wrong", source.name, text
    return "ok", source.name, "url: HTTPS, and the receiver's path"


def _check_data_stream(source: DataStreamSource, stream: str) -> Iterator[Finding]:
    """Yield the findings on a source that writes to Kinesis itself. `stream` is the one that the consumer reads."""
    if source.stream == stream:
        yield "ok", source.name, "stream: the one that the consumer reads"
    else:
        yield "wrong", source.name, "stream: is not the one that the consumer reads (STREAM_ROUTER_STREAM)"
    if source.format in ("JSON", "JSON+LF"):
        yield "ok", source.name, f"format: {source.format} is read"
    else:
        yield "wrong", source.name, "format: only JSON and JSON+LF are read; choose one of them in CXone"
    if source.account in NICE_ACCOUNTS:
        yield "ok", source.name, "account: one of NICE's"
    else:
        yield "wrong", source.name, "account: is not one of NICE's; the role must trust NICE's account"
    text = "whether CXone can assume the role and writes (up to 24 h after saving): only arriving records show it"
    yield "unknown", source.name, text


def _print_line(line: str) -> None:
    sys.stdout.write(plain(line) + "\n")
