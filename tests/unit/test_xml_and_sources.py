"""What a named source or an XML body becomes: sealed byte for byte, mapped by its preset, or a dead letter."""

from pathlib import Path
from typing import Any

import orjson
import pytest

from stream_router.envelope import open_record
from stream_router.errors import SettingsError
from stream_router.model import DeadLetter, Entry, Reason, Record, event_id
from stream_router.pipeline.mapping import config_file, xml_body
from stream_router.pipeline.transform import Transform, TransformConfig
from stream_router.receiver.intake import Body, Intake
from stream_router.settings.receiver import Receiver
from tests.unit.test_hostile_events import cpu_s

NOW_S = 1_780_000_000.0
XML = (
    b'<?xml version="1.0" encoding="utf-8"?>\n<event id="e-1" datetime="2026-11-24T09:30:00Z" type="page:edit">'
    b'<page id="42"><title>J\xc3\xb6rg &amp; Co</title></page><tag>a</tag><tag n="2">b</tag></event>\n'
)
TYPE = "page.updated"


OF_UTF_8 = "text/xml; charset=utf-8"


def sealed(
    text: bytes, event_type: str = TYPE, source: str = "", *, content_type: str = OF_UTF_8, **settings: Any
) -> bytes:
    """The line that the receiver writes for this body, of scheme `expert`."""
    made = Receiver(aws_region="x", webhook_scheme="expert", **settings)
    intake = Intake(made, lambda: NOW_S, source, takes_xml=True)
    events = intake.events(Body(text, "d-1", content_type, event_type))
    assert events[0].identity == event_id(f"source/{source}" if source else "expert", "d-1", 0, text)
    return events[0].line


def transformed(
    line: bytes, config: Path | None = None, types: tuple[str, ...] = (TYPE,)
) -> dict[str, Any] | DeadLetter:
    transform = Transform(TransformConfig("us-east-1", types, config_file=config), lambda: NOW_S * 1000)
    (event,) = open_record(Record(line, 1))
    assert not isinstance(event, DeadLetter)
    made = transform(event)
    if isinstance(made, Entry):
        detail: dict[str, Any] = orjson.loads(made.detail)
        return detail
    assert isinstance(made, DeadLetter)
    return made


def test_a_signed_xml_body_ends_as_an_entry() -> None:
    """Type from the header, attributes with @, text as #text, repeated elements an array, the root's name kept."""
    detail = transformed(sealed(XML))
    assert isinstance(detail, dict)
    assert detail["payload"] == {
        "event": {
            "@id": "e-1",
            "@datetime": "2026-11-24T09:30:00Z",
            "@type": "page:edit",
            "page": {"@id": "42", "title": "Jörg & Co"},
            "tag": ["a", {"@n": "2", "#text": "b"}],
        }
    }
    assert (detail["eventType"], detail["originalEventId"]) == (TYPE, "e-1")
    assert (detail["conversationId"], detail["eventTimestamp"]) == ("42", "2026-11-24T09:30:00.000Z")


def test_names_are_read_without_their_prefixes() -> None:
    """Of attributes with one local name the one without a prefix has the short name, others are counted; declarations
    of namespaces are left out."""
    text = b'<n:a xmlns="u:0" xmlns:n="%b" n:id="1" id="2" n:b="3"><n:c/></n:a>' % (b"u" * 100_000)
    assert xml_body.parse(text) == {"a": {"@id": "2", "@2:id": "1", "@b": "3", "c": ""}}


def test_xml_travels_byte_for_byte() -> None:
    """The envelope holds the text itself, with what the headers said; bytes that are no UTF-8 go as base64."""
    line = orjson.loads(sealed(XML))
    assert line["body"].encode() == XML
    assert (line["bodyEncoding"], line["eventTypeHeader"]) == ("text", TYPE)
    assert line["contentType"] == "text/xml; charset=utf-8"
    latin = '<?xml version="1.0" encoding="iso-8859-1"?><event id="1"><a>é</a></event>'.encode("iso-8859-1")
    assert orjson.loads(sealed(latin))["bodyEncoding"] == "base64"
    detail = transformed(sealed(latin))
    assert isinstance(detail, dict)
    assert detail["payload"]["event"]["a"] == "é"


SAID = '<?xml version="1.0" encoding="{}"?><event id="1"><a>é</a></event>'
ENCODED = {
    "a writer of .NET's texts says UTF-16": (SAID.format("utf-16"), "utf-8", OF_UTF_8),
    "and its header nothing": (SAID.format("utf-16"), "utf-8", "text/xml"),
    "and its header a framework's default": (SAID.format("utf-16"), "utf-8", "text/xml; charset=iso-8859-1"),
    "and its header the truth": (SAID.format("utf-16"), "iso-8859-1", "text/xml; charset=iso-8859-1"),
    "a mark goes before both": ("\ufeff" + SAID.format("utf-16"), "utf-8", "text/xml; charset=iso-8859-1"),
    "the header is right, the XML is not": (SAID.format("iso-8859-1"), "utf-8", 'text/xml; charset="utf-8"'),
    "the XML is right, the header is not": (SAID.format("iso-8859-1"), "iso-8859-1", OF_UTF_8),
    "the header alone": ("<event id='1'><a>é</a></event>", "windows-1252", "application/xml;charset=windows-1252"),
    "neither": ("<event id='1'><a>é</a></event>", "utf-8", "text/xml"),
    "UTF-16 with its mark": (SAID.format("utf-16"), "utf-16", OF_UTF_8),
    "UTF-16 without": ("<event id='1'><a>é</a></event>", "utf-16-be", "text/xml; charset=utf-16be"),
}


@pytest.mark.parametrize(("text", "encoding", "content_type"), ENCODED.values(), ids=ENCODED)
def test_xml_is_read_in_the_encoding_that_it_is_in(text: str, encoding: str, content_type: str) -> None:
    """Whether header or XML names it: a UTF-8 that the header says and the bytes are, the XML's own, the header's."""
    detail = transformed(sealed(text.encode(encoding), content_type=content_type))
    assert isinstance(detail, dict)
    assert detail["payload"] == {"event": {"@id": "1", "a": "é"}}


def test_an_xml_body_without_id_and_time_has_the_event_s_own() -> None:
    """Nothing is invented: the event's id, and when it was received."""
    detail = transformed(sealed(b"<event/>"))
    assert isinstance(detail, dict)
    assert detail["originalEventId"] == detail["eventId"]
    assert detail["eventTimestamp"] == detail["receivedAt"]


def test_json_of_expert_has_its_type_in_the_header_too() -> None:
    """The same preset for both."""
    detail = transformed(sealed(b'{"id":7,"page":{"id":3}}'))
    assert isinstance(detail, dict)
    assert (detail["eventType"], detail["originalEventId"], detail["conversationId"]) == (TYPE, "7", "3")


HOSTILE = {
    "entities": b'<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>',
    "laughs": b'<!DOCTYPE a [<!ENTITY l "ha">' + b"".join(
        b'<!ENTITY l%d "%b">' % (n, b"&l%d;" % (n - 1) * 10 if n > 1 else b"&l;" * 10) for n in range(1, 10)
    ) + b"]><a>&l9;</a>",
    "external": b'<!DOCTYPE a SYSTEM "file:///etc/passwd"><a/>',
    "levels": b"<a>" * 100_000 + b"</a>" * 100_000,
    "elements": b"<a>" + b"<b/>" * 100_000 + b"</a>",
    "broken": b"<a><b></a>",
    "nothing": b"   ",
}  # fmt: skip


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_hostile_xml_is_a_dead_letter_and_costs_little(text: bytes) -> None:
    """No entity is read, no file opened, no stack exhausted; at most 50 ms of CPU (and what a busy machine adds)."""
    line = sealed(text, max_body_bytes=2_000_000)
    transform = Transform(TransformConfig("us-east-1", (TYPE,)), lambda: NOW_S * 1000)
    (event,) = open_record(Record(line, 1))
    assert not isinstance(event, DeadLetter)
    letter = transform(event)
    assert cpu_s(lambda: transform(event)) < 0.05 + 0.05
    assert isinstance(letter, DeadLetter)
    assert letter.reason is Reason.SCHEMA_MISMATCH


SOURCES = """
[[shapes]]
name = "studio"
when = ["script", "kind"]
[shapes.fields]
interactionId = "script"
eventType = "kind"
timestamp = "at"

[[cxone.sources]]
name = "ivr-script"
type = "webhook"
url = "https://x/v1/events/ivr-script"
scheme = "bearer"
secrets = "a token of some length"
preset = "studio"
"""


def test_a_named_source_is_mapped_by_its_preset(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Its name travels in the envelope; a file that lacks it maps as without, and says so once."""
    path = tmp_path / "config.toml"
    path.write_text(SOURCES)
    body = b'{"script":"s-1","kind":"page.updated","at":"2026-11-24T09:30:00Z"}'
    line = sealed(body, "", "ivr-script")
    assert orjson.loads(line)["source"] == "ivr-script"
    detail = transformed(line, path)
    assert isinstance(detail, dict)
    assert detail["originalEventId"] == "s-1"
    other = b'{"interactionId":"i","eventType":"page.updated","timestamp":"2026-11-24T09:30:00Z","payload":{}}'
    transform = Transform(TransformConfig("us-east-1", (TYPE,), config_file=path), lambda: NOW_S * 1000)
    for _ in range(2):
        (event,) = open_record(Record(sealed(other, "", "strange"), 1))
        assert not isinstance(event, DeadLetter)
        assert isinstance(transform(event), Entry)
    assert caplog.text.count("strange") == 1


def test_a_preset_that_is_none_is_refused(tmp_path: Path) -> None:
    """At start, naming the key."""
    path = tmp_path / "config.toml"
    path.write_text(SOURCES.replace('"studio"\n\n', '"studio2"\n\n').replace('preset = "studio"', 'preset = "nothing"'))
    with pytest.raises(SettingsError, match=r"cxone\.sources\[0\]\.preset"):
        config_file.load(path)


OF_THE_FILE = """
naive_zone = "Europe/Berlin"
[event_types]
"page:edit" = "page.updated"
"""


@pytest.mark.parametrize("header", ["page:edit", ""])
@pytest.mark.parametrize(
    "body",
    [
        b'{"id":"e-1","type":"page:edit","datetime":"2026-11-24T09:30:00"}',
        b'<event id="e-1" type="page:edit" datetime="2026-11-24T09:30:00"/>',
    ],
    ids=["JSON", "XML"],
)
def test_the_files_event_types_and_zone_hold_for_expert_too(tmp_path: Path, body: bytes, header: str) -> None:
    """What the file says for every shape it says for this preset, which is none of the shapes."""
    path = tmp_path / "config.toml"
    path.write_text(OF_THE_FILE + '[[cxone.sources]]\nname = "kb"\npreset = "expert"\n')
    detail = transformed(sealed(body, header, "kb"), path)
    assert isinstance(detail, dict)
    assert (detail["eventType"], detail["eventTimestamp"]) == (TYPE, "2026-11-24T08:30:00.000Z")
