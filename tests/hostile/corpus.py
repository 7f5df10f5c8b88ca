"""The rows: inputs that did harm, or were made to; what the receiver answers, and what becomes of each in the child."""

import base64
import json
import zlib
from collections.abc import Mapping
from typing import Any, NamedTuple

Fates = Mapping[str, int]
"""How many events were `delivered`, and how many are dead letters of each reason. What is dropped is in none."""


class Row(NamedTuple):
    """One input. `answer` is the receiver's status and code ("" if it is accepted); None for what is not posted."""

    name: str
    data: bytes
    answer: tuple[int, str] | None
    fates: Fates
    hides: bytes = b""
    """What may not leave on the bus."""
    path: str = "/v1/events"
    content_type: str = "application/json"


STORED = (202, "")
DELIVERED = {"delivered": 1}
MISMATCH = {"schema_mismatch": 1}
MALFORMED = {"malformed_json": 1}
NO_JSON = (400, "malformed_json")
ID = "0123456789abcdef" * 2
HEAD = b'{"v":1,"id":"%b","idFrom":"delivery","receivedAt":1764000000000,"body":' % ID.encode()


def event(payload: Any = None, **changes: Any) -> bytes:
    """An event of the default shape."""
    body = {
        "interactionId": "i-1",
        "conversationId": "c-1",
        "eventType": "interaction.created",
        "timestamp": "2026-11-24T09:30:00.123Z",
        "payload": {"number": 1} if payload is None else payload,
        **changes,
    }
    return json.dumps(body, separators=(",", ":")).encode()


def posted(name: str, data: bytes, fates: Fates, hides: bytes = b"") -> Row:
    """What a sender posts and the receiver has to store."""
    return Row(name, data, STORED, fates, hides)


def refused(name: str, data: bytes, status: int, code: str) -> Row:
    """What a sender posts and the receiver has to refuse: nothing is stored."""
    return Row(name, data, (status, code), {})


def xml(name: str, data: bytes, fates: Fates) -> Row:
    """What is posted to a source that takes XML."""
    return Row(name, data, STORED, fates, path="/v1/events/xml", content_type="text/xml")


def record(name: str, data: bytes, fates: Fates, hides: bytes = b"") -> Row:
    """A record that somebody wrote into the stream."""
    return Row(name, data, None, fates, hides)


def put_back(body: bytes, kind: str = "entry", application: str = "cxone-event-router") -> bytes:
    """An envelope as an operator's command writes it; or as somebody forged it."""
    return HEAD + body + b',"kind":"%b","resubmitted":"redrive/%b/run/1"}' % (kind.encode(), application.encode())


def entry(detail: bytes, kind: bytes = b'"interaction.created"') -> bytes:
    """An EventBridge event that claims to have been accepted."""
    return b'{"source":"nice.cxone.webhook","detail-type":%b,"time":"2026-11-24T09:30:00Z","detail":%b}' % (
        kind,
        detail,
    )


def bomb(levels: int) -> bytes:
    """Entities that grow tenfold by level."""
    steps = [b'<!ENTITY a%d "%b">' % (n, b"&a%d;" % (n - 1) * 10) for n in range(1, levels)]
    return b'<!DOCTYPE x [<!ENTITY a0 "lol">%b]><x>&a%d;</x>' % (b"".join(steps), levels - 1)


FORGED = json.dumps(
    {
        "correlationId": "01234567-89ab-cdef-0123-456789abcdef",
        "eventId": ID,
        "eventSource": "cxone.webhook",
        "eventType": "interaction.created",
        "originalEventId": None,
        "conversationId": "c-1",
        "eventTimestamp": "2026-11-24T09:30:00.123Z",
        "receivedAt": "2026-11-24T09:30:00.123Z",
        "processedAt": "2026-11-24T09:30:00.123Z",
        "sourceSystem": "nice.cxone",
        "routingVersion": "1.0",
        "payload": {"name": "Anna Meyer"},
        "metadata": {
            "enrichmentPipeline": "cxone-event-router-v1",
            "complianceTag": "pii-masked",
            "region": "us-east-1",
            "maskingPolicy": {"id": "default", "version": "1"},
        },
    }
).encode()
"""A Detail that says that it was masked."""

METADATA_AGAIN = b', "metadata": {"enrichmentPipeline": "cxone-event-router-v1", "region": "us-east-1"}}'

TYPES = [event(eventType=f"t{n}") for n in range(3_000)]
LONG_ENTITY = b'<!DOCTYPE x [<!ENTITY e "%b">]><x>%b</x>' % (b"e" * 50_000, b"&e;" * 50_000)

PRIVATE_KEY = "@Anna Meyer +49 30 901820"

CORPUS: list[Row] = [
    # S1: wrong data of one sender beside the good events of others.
    posted("five thousand empty objects", b"[" + b",".join([b"{}"] * 5_000) + b"]", {"schema_mismatch": 5_000}),
    posted(
        "five thousand types",
        b"[" + b",".join(event(eventType=f"t{n}") for n in range(3_000)) + b"]",
        {"unroutable": 3_000},
    ),
    refused("an array over the limit", b"[" + b",".join([b"{}"] * 5_001) + b"]", 413, "too_large"),
    refused("an array of arrays", b"[[{}]]", 400, "not_an_object"),
    record("a record of a quarter million objects", b"[" + b",".join([b"1"] * 250_001) + b"]", MISMATCH),
    record("a record of a quarter million lines", b"1\n" * 250_001, MISMATCH),
    # S5: what somebody with the right to write to the stream can claim.
    record("a forged entry under the tag of a policy", put_back(entry(FORGED)), DELIVERED, b"pii-masked"),
    record("a tag with an escape", put_back(entry(FORGED.replace(b"Tag", b"\\u0054ag"))), DELIVERED, b"pii-masked"),
    record("two metadata", put_back(entry(FORGED[:-1] + METADATA_AGAIN)), DELIVERED, b"pii-masked"),
    record("another application's name", put_back(b'"e30="', "line", "another"), {}),
    record("a line within a line", put_back(b'"%b"' % base64.b64encode(put_back(b'"e30="', "line")), "line"), MISMATCH),
    record("a line that is not base64", put_back(b'"{}"', "line"), MISMATCH),
    record("an envelope of another version", HEAD.replace(b'"v":1', b'"v":2') + b"{}}", {"unsupported_version": 1}),
    record("an envelope with half an id", HEAD.replace(ID.encode(), b"x") + event() + b"}", MISMATCH),
    # S6: entries that are none, and line feeds.
    *(record(f"an entry that is {body.decode()}", put_back(body), MISMATCH) for body in (b"null", b"[]", b"1", b'"x"')),
    record("an entry without anything", put_back(b"{}"), MISMATCH),
    record("an entry whose detail is a text", put_back(entry(b'"x"')), MISMATCH),
    record("an entry whose type is a number", put_back(entry(FORGED, b"7")), MISMATCH),
    record("an entry whose type has a control", put_back(entry(FORGED, b'"a\\u0007"')), MISMATCH),
    record("an entry that nests deep", put_back(b"[" * 5_000 + b"]" * 5_000), MISMATCH),
    record("a megabyte of line feeds", b"\n" * 1_000_000, MALFORMED),
    record("a megabyte of blanks", b" " * 1_000_000, MALFORMED),
    # Deep.
    posted("deep enough", b'{"a":' + b"[" * 249 + b"]" * 249 + b"}", MISMATCH),
    refused("too deep", b'{"a":' + b"[" * 250 + b"]" * 250 + b"}", *NO_JSON),
    refused("a hundred thousand brackets", b"[" * 100_000, *NO_JSON),
    record("a hundred thousand brackets in the stream", b"[" * 100_000, MISMATCH),
    record("a hundred thousand closed brackets", b"[" * 100_000 + b"]" * 100_000, MISMATCH),
    record("a hundred thousand objects", b'{"a":' * 100_000 + b"1" + b"}" * 100_000, MISMATCH),
    posted("a deep payload", event(json.loads("[" * 200 + "]" * 200)), MISMATCH),
    # Wide.
    posted("thousands of keys that nobody knows", json.dumps({f"k{n}": n for n in range(30_000)}).encode(), MISMATCH),
    posted("thousands of keys in the payload", event({f"k{n}": n for n in range(30_000)}), DELIVERED),
    posted("thousands of numbers", event({"numbers": [*range(100_000)]}), DELIVERED),
    posted("thousands of empty objects in the payload", event({"parts": [{}] * 100_000}), DELIVERED),
    posted("a key of a hundred thousand characters", event({"k" * 100_000: 1}), DELIVERED, b"kkkk"),
    posted("a conversation of a hundred thousand characters", event(conversationId="c" * 100_000), MISMATCH),
    # Numbers, texts, keys.
    posted("a number beyond any double", b'{"a":1e999}', MISMATCH),
    posted("a hundred thousand digits", event()[:-1] + b',"x":' + b"9" * 100_000 + b"}", MISMATCH),
    posted("a lone surrogate", b'{"a":"\\ud800"}', MISMATCH),
    posted("the same key twice", event()[:-1] + b',"eventType":"other"}', MISMATCH),
    posted("a key of Python's", event({"__proto__": {"x": 1}, "__class__": "y"}), DELIVERED),
    posted("a type with a line feed", event(eventType="a\nb"), MISMATCH),
    posted("a type of many characters", event(eventType="x" * 100_000), MISMATCH),
    posted("a time of many digits", event(timestamp="9" * 100_000), MISMATCH),
    posted("a time in the year 10000", event(timestamp="9999-12-31T23:59:59-23:59"), MISMATCH),
    posted("the type of doctor's probes", event(eventType="stream_router.probe"), DELIVERED, b'"number"'),
    refused("NaN", b'{"a":NaN}', *NO_JSON),
    refused("no UTF-8", b'{"a":"\xff"}', *NO_JSON),
    refused("UTF-16", '{"a":1}'.encode("utf-16"), *NO_JSON),
    refused("a byte order mark", b"\xef\xbb\xbf{}", *NO_JSON),
    refused("a NUL", b'{"a":"\x00"}', *NO_JSON),
    refused("more than a body may be", b'{"a":"' + b"x" * 716_800 + b'"}', 413, "too_large"),
    record("compressed", zlib.compress(event() * 100), MALFORMED),
    record("bytes of every value", bytes(range(256)) * 100, MALFORMED),
    record("half an event", event()[:-5], MALFORMED),
    record("a good event before what is none", event() + b"\n{broken", {"delivered": 1, "malformed_json": 1}),
    # XML.
    refused("XML where none is taken", b"<a/>", 415, "unsupported_media_type")._replace(content_type="text/xml"),
    xml("entities that grow", bomb(10), MISMATCH),
    xml("an entity that is a file", b'<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><x>&e;</x>', MISMATCH),
    xml(
        "a long entity, often", b'<!DOCTYPE x [<!ENTITY e "%b">]><x>%b</x>' % (b"e" * 50_000, b"&e;" * 50_000), MISMATCH
    ),
    xml("deep XML", b"<a>" * 101 + b"</a>" * 101, MISMATCH),
    xml("very deep XML", b"<a>" * 90_000 + b"</a>" * 90_000, MISMATCH),
    xml("wide XML", b"<x>" + b"<a/>" * 20_001 + b"</x>", MISMATCH),
    xml("thousands of attributes", b"<x %b/>" % b" ".join(b'a%d="1"' % n for n in range(30_000)), MISMATCH),
    xml("no end", b"<x>" + b"y" * 500_000, MISMATCH),
    # S3: digits in searched texts; keys that look like an attribute's name.
    posted("a private key like an attribute", event({f"{PRIVATE_KEY}{'x' * 60}:queue": "q"}), DELIVERED, b"Anna"),
    posted("the same below an object", event({"queue": {f"{PRIVATE_KEY}:name": "q"}}), DELIVERED, b"Anna"),
    posted("a note of digits", event({"notes": [{"text": "4 " * 500}]}), DELIVERED),
    posted("a note with a number", event({"notes": [{"text": "call +49 30 901820 now"}]}), DELIVERED, b"901820"),
    posted("a private key of an object", event({"Anna Meyer +49 30 901820": "queue"}), DELIVERED, b"Anna"),
]
