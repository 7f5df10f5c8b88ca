"""The event sources in CXone that the operator has configured, and what can be checked of them from here.

They stand in the file of STREAM_ROUTER_CONFIG, one table `[[cxone.sources]]` each. CXone documents no API that lists
its senders, so most of what decides whether an event comes cannot be asked; that is said, not passed over.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from stream_router.core.settings_error import SettingsError, first_error
from stream_router.cxone.web import parse_url
from stream_router.settings import toml_file

VARIABLE = "STREAM_ROUTER_CONFIG"

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


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True, frozen=True)

    name: str = Field(min_length=1, max_length=64)


class WebhookSource(_Table):
    """Something in CXone that posts to our receiver: Expert, a Studio script, Workflow Automation."""

    type: Literal["webhook"]
    url: str
    scheme: Literal["expert", "standard-webhooks", "hmac", "bearer", "basic"]


class DataStreamSource(_Table):
    """CXone Data Streams, which writes into the Kinesis stream itself."""

    type: Literal["data-stream"]
    stream: str = Field(pattern=r"^[a-zA-Z0-9_.-]{1,128}$")
    format: Literal["JSON", "JSON+LF", "PROTO", "AVRO", "JSON-AVRO+LF"]
    account: str = Field("737494165703", pattern=r"^\d{12}$")
    role_arn: str = Field(pattern=r"^arn:aws[a-z-]*:iam::\d{12}:role/\S+$")


class DigitalSource(_Table):
    """CXone digital's events, posted to our receiver."""

    type: Literal["digital"]
    url: str
    event_types: tuple[str, ...] = Field(min_length=1)


Source = Annotated[WebhookSource | DataStreamSource | DigitalSource, Field(discriminator="type")]


class _Sources(BaseModel):
    model_config = ConfigDict(hide_input_in_errors=True)

    sources: tuple[Source, ...] = ()


class _Document(BaseModel):
    """Only the table that is ours: the rest of the file belongs to the consumer, which checks it."""

    model_config = ConfigDict(hide_input_in_errors=True)

    cxone: _Sources = _Sources()


class Finding(NamedTuple):
    """One line of the check. `unknown` is what cannot be found out from here."""

    verdict: Literal["ok", "wrong", "unknown"]
    about: str
    text: str


def read(path: Path | None) -> tuple[Source, ...]:
    """The configured sources. Raises SettingsError, naming the failing key, where the file or the table is wrong."""
    if path is None:
        return ()
    try:
        return _Document.model_validate(toml_file.parse(path.read_text("utf-8"))).cxone.sources
    except OSError as error:
        raise SettingsError(f"{VARIABLE}: cannot be read ({error.strerror}); name a readable TOML file") from None
    except ValidationError as error:
        first = first_error(error)
        key = ".".join(str(step) for step in first["loc"])
        raise SettingsError(f"{VARIABLE}: {key}: {first['msg']}; see docs/cxone.md") from None
    except (toml_file.NoTomlError, UnicodeDecodeError):
        raise SettingsError(f"{VARIABLE}: is no TOML; correct the file") from None


def check(source: Source, stream: str) -> Iterator[Finding]:
    """What can be said of one source by itself. `stream` is the one that the consumer reads."""
    if isinstance(source, DataStreamSource):
        yield from _check_data_stream(source, stream)
        return
    yield _check_url(source.name, source.url)
    if isinstance(source, DigitalSource):
        strange = sorted(set(source.event_types) - DIGITAL_TYPES)
        if strange:
            text = f"{', '.join(strange)}: not among the types that NICE documents; check the spelling"
            yield Finding("unknown", source.name, text)
        else:
            yield Finding("ok", source.name, "every event type is a documented one")
    yield Finding("unknown", source.name, "whether CXone sends here, and with which secret: it has no API that tells")


def _check_url(name: str, url: str) -> Finding:
    parts = parse_url(url)
    if not parts or parts.scheme != "https" or not parts.host:
        return Finding("wrong", name, "url: is no https:// URL; CXone must reach the receiver over HTTPS")
    if parts.path != "/v1/events":
        return Finding("wrong", name, "url: its path is not /v1/events, where the receiver takes events")
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
