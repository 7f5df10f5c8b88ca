"""An XML body: it travels byte for byte, is read in the encoding that it is in, and costs little whatever it is."""

import base64
import tracemalloc
from typing import Any

import orjson
import pytest

from stream_router.dead_letter_reasons import Rejected
from stream_router.pipeline.mapping import xml_body
from stream_router.receiver.intake import Intake, VerifiedBody
from stream_router.settings.receiver import Receiver
from tests.events import sent

OF_UTF_8 = "text/xml; charset=utf-8"
SAID = '<?xml version="1.0" encoding="{}"?><event id="1"><a>é</a></event>'
ENCODED = {
    "a writer of .NET's texts says UTF-16": (SAID.format("utf-16"), "utf-8", OF_UTF_8),
    "and its header nothing": (SAID.format("utf-16"), "utf-8", "text/xml"),
    "and its header a framework's default": (SAID.format("utf-16"), "utf-8", "text/xml; charset=iso-8859-1"),
    "and its header the truth": (SAID.format("utf-16"), "iso-8859-1", "text/xml; charset=iso-8859-1"),
    "a mark goes before both": ("\ufeff" + SAID.format("utf-16"), "utf-8", "text/xml; charset=iso-8859-1"),
    "the header is right, the XML is not": (SAID.format("iso-8859-1"), "utf-8", 'text/xml; charset="utf-8"'),
    "the XML is right, the header is not": (SAID.format("iso-8859-1"), "iso-8859-1", OF_UTF_8),
    "and the header a framework's default": (SAID.format("utf-8"), "utf-8", "text/xml; charset=iso-8859-1"),
    "the header alone": ("<event id='1'><a>é</a></event>", "windows-1252", "application/xml;charset=windows-1252"),
    "neither": ("<event id='1'><a>é</a></event>", "utf-8", "text/xml"),
    "UTF-16 with its mark": (SAID.format("utf-16"), "utf-16", OF_UTF_8),
    "UTF-16 without": ("<event id='1'><a>é</a></event>", "utf-16-be", "text/xml; charset=utf-16be"),
}


@pytest.mark.parametrize(("text", "encoding", "content_type"), ENCODED.values(), ids=ENCODED)
def test_xml_is_read_in_the_encoding_that_it_is_in(text: str, encoding: str, content_type: str) -> None:
    """Whether header or XML names it: a UTF-8 that the header says and the bytes are, the XML's own, the header's.

    The envelope holds the bytes as they came: as a text, or as base64 where they are no UTF-8.
    """
    body = text.encode(encoding)
    intake = Intake(Receiver(aws_region="x", webhook_scheme="expert"), takes_xml=True)
    (event,) = intake.events(VerifiedBody(body, "d-1", content_type, "page.updated"))
    line: dict[str, Any] = orjson.loads(event.line)
    is_text = line["bodyEncoding"] == "text"
    assert (line["body"].encode() if is_text else base64.b64decode(line["body"])) == body
    assert sent(event.line, event_types="page.updated")["payload"] == {"event": {"@id": "1", "a": "é"}}


LAUGHS = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))
HOSTILE = {
    "a name of 100 KB for a namespace": (f'<n:a xmlns:n="{"u" * 100_000}" n:id="1"/>', ""),
    "laughs": (f'<!DOCTYPE a [<!ENTITY l0 "ha">{LAUGHS}]><a>&l9;</a>', "XmlEntities"),
    "levels": ("<a>" * 100_000 + "</a>" * 100_000, "TooDeep"),
    "elements": ("<a>" + "<b/>" * 100_000 + "</a>", "TooManyElements"),
    "attributes": (
        f'<a xmlns:n="{"x" * 990}" ' + " ".join(f'n:b{at}=""' for at in range(25_000)) + "/>",
        "TooManyElements",
    ),
}


@pytest.mark.parametrize(("text", "code"), HOSTILE.values(), ids=HOSTILE)
def test_hostile_xml_is_refused_and_fills_no_memory(text: str, code: str) -> None:
    """No entity is read, no stack exhausted; a megabyte of attributes, each with its namespace, would be 300 MB."""
    tracemalloc.start()
    try:
        result = ""
        try:
            xml_body.parse(text.encode())
        except Rejected as rejected:
            result = rejected.code
        assert result == code
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()
