"""Whatever comes in, the transform gives a valid entry or a reason, and changes nothing unseen."""

import json
import re
from typing import Any

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_router import limits
from stream_router.dead_letter_reasons import Reason
from stream_router.envelope import Resubmitted, open_record, seal, seal_entry
from stream_router.model import SOURCE, DeadLetter, Dropped, Entry, Event, Record
from stream_router.pipeline.mapping.timestamps import to_utc
from stream_router.pipeline.transform import Transform
from stream_router.process import iso
from tests.events import IDENTITY, NOW_MS, RECEIVED_MS, config_of

TRANSFORMS = [
    Transform(config_of(unroutable=unroutable, masking=masking), lambda: NOW_MS)
    for unroutable in ("dead-letter", "publish", "drop")
    for masking in ("off", "default")
]
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
NUMBERS = st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False)
JSON = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT | st.sampled_from(["email", "text"]), inner),
    max_leaves=12,
)
STAMPS = st.sampled_from(["2026-11-24T09:30:00.123Z", 1795512600, "1795512600123", "2026-11-24", None]) | NUMBERS | TEXT
TYPES = st.sampled_from(["conversation.updated", "interaction.created", "other", "MessageCreated", "a\x00b", "x" * 129])
KEYS = {
    "interactionId": TEXT | NUMBERS,
    "conversationId": TEXT | NUMBERS | st.none(),
    "eventType": TYPES | JSON,
    "timestamp": STAMPS,
    "payload": st.dictionaries(TEXT, JSON) | JSON,
    "eventId": TEXT,
    "eventObject": TEXT,
    "createdAt": STAMPS,
    "data": st.dictionaries(TEXT, JSON) | JSON,
    "eventTime": STAMPS,
    "contactId": NUMBERS,
    "extra": JSON,
}
NEARLY_RIGHT = st.fixed_dictionaries({}, optional=KEYS)
WRITERS = st.sampled_from([{"separators": (",", ":"), "ensure_ascii": False}, {"indent": 1}, {}])


def text(body: Any, writer: Any) -> bytes:
    return json.dumps(body, **writer).encode()


def events(data: bytes) -> list[Event]:
    return [result for result in open_record(Record(data, 1, arrived_at_ms=RECEIVED_MS)) if isinstance(result, Event)]


def check(result: Entry | DeadLetter | Dropped) -> None:
    if isinstance(result, Entry):
        detail = json.loads(result.detail)
        assert isinstance(detail, dict)
        assert all(limits.INT64_MIN <= int(n) <= limits.INT64_MAX for n in integers(result.detail))
        assert 1 <= len(result.detail_type) <= limits.DETAIL_TYPE_MAX_CHARS
        wanted = limits.ENTRY_TIME_BYTES + len(SOURCE) + len(result.detail_type.encode()) + len(result.detail)
        assert result.size_bytes == wanted
        assert result.order_key == (detail["conversationId"] or "")
        assert iso(round(result.time_s * 1000)) == detail["eventTimestamp"]
    elif isinstance(result, DeadLetter):
        assert result.reason != "internal_error", (result.code, result.message)
        assert result.message
        assert "\n" not in result.message


def integers(data: bytes) -> list[str]:
    texts: list[str] = []
    json.loads(data, parse_int=texts.append)
    return texts


DATA = st.builds(
    lambda data, sealed: seal(IDENTITY, "delivery", RECEIVED_MS, data) if sealed else data,
    st.builds(text, NEARLY_RIGHT | JSON, WRITERS),
    st.booleans(),
)


@given(data=DATA | st.binary(max_size=200))
@settings(max_examples=200, deadline=None)
def test_whatever_comes_gives_an_entry_or_a_reason(data: bytes) -> None:
    """Nothing makes the transform raise or fail unforeseen; what it gives is within EventBridge's limits."""
    for event in events(data):
        for transform in TRANSFORMS:
            check(transform(event))


@given(payload=st.dictionaries(TEXT, JSON, max_size=5), writer=WRITERS)
@settings(max_examples=80, deadline=None)
def test_payload_arrives_as_it_was_sent_or_not_at_all(payload: dict[str, Any], writer: Any) -> None:
    """Whoever wrote it, and however: the Detail's payload equals what was sent, or the event is refused."""
    sent = {"interactionId": "i", "conversationId": "c", "eventType": "conversation.updated", "timestamp": 1795512600}
    body = text({**sent, "payload": payload}, writer)
    (event,) = events(seal(IDENTITY, "delivery", RECEIVED_MS, body))
    result = TRANSFORMS[0](event)
    small = all(limits.INT64_MIN <= int(number) <= limits.INT64_MAX for number in integers(body))
    assert isinstance(result, Entry) == small
    if isinstance(result, Entry):
        assert json.loads(result.detail)["payload"] == payload


CANARY = "cAnArY-" + "7f3a9"


@given(place=st.sampled_from([*KEYS, "payload.x"]), value=st.sampled_from([CANARY, {CANARY: 1}, [CANARY]]))
@settings(max_examples=100, deadline=None)
def test_no_reason_quotes_the_event(place: str, value: Any) -> None:
    """Whatever is wrong with an event, the words about it hold nothing of it."""
    body = {"interactionId": "i", "conversationId": "c", "eventType": "conversation.updated", "timestamp": value}
    body = {**body, place: value, CANARY: CANARY}
    for event in events(orjson.dumps(body)):
        result = TRANSFORMS[0](event)
        if isinstance(result, DeadLetter):
            assert CANARY not in result.message + result.code


@given(moment=st.integers(0, 253_402_300_799_999), offset=st.integers(-14 * 60, 14 * 60))
@settings(max_examples=120, deadline=None)
def test_every_millisecond_survives_every_form(moment: int, offset: int) -> None:
    """A moment written as epoch, or as ISO 8601 at any offset, comes out as the same millisecond."""
    wanted = iso(moment)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", wanted)
    assert to_utc(wanted, None)[0] == wanted
    if 1_000_000_000_000 <= moment < 10_000_000_000_000:
        assert to_utc(moment, None)[0] == to_utc(str(moment), None)[0] == wanted
    local = moment + offset * 60_000
    if 0 <= local <= 253_402_300_799_999:
        sign, minutes = "+-"[offset < 0], abs(offset)
        written = iso(local)[:-1] + f"{sign}{minutes // 60:02d}:{minutes % 60:02d}"
        assert to_utc(written, None)[0] == wanted


ENTRY_MEMBERS = {
    "source": st.just(SOURCE) | JSON,
    "detail-type": TYPES | JSON,
    "time": STAMPS | JSON,
    "detail": JSON
    | st.fixed_dictionaries(
        {"eventSource": st.just("cxone.webhook") | JSON, "eventId": st.just("0" * 32) | JSON},
        optional={
            "conversationId": TEXT | JSON,
            "metadata": JSON | st.fixed_dictionaries({"complianceTag": st.just("pii-masked") | JSON}),
        },
    ),
}
PUT_BACK = Resubmitted("undelivered", "app", "run", 1)


@settings(max_examples=400)
@given(st.fixed_dictionaries({}, optional=ENTRY_MEMBERS) | JSON, WRITERS)
def test_a_malformed_entry_is_a_mismatch_and_a_well_formed_one_claims_no_masking(body: Any, writer: Any) -> None:
    """Whatever somebody wrote into the stream as an entry is not a defect of ours, and carries no stronger tag."""
    transform = Transform(config_of(application="app", masking="default"), lambda: NOW_MS)
    line = seal_entry(text(body, writer), IDENTITY, "delivery", RECEIVED_MS, PUT_BACK)
    for result in open_record(Record(line, 1, arrived_at_ms=RECEIVED_MS)):
        entry = transform(result)
        if isinstance(entry, DeadLetter):
            assert entry.reason is Reason.SCHEMA_MISMATCH
        else:
            assert isinstance(entry, Entry)
            assert orjson.loads(entry.detail)["metadata"]["complianceTag"] == "resubmitted"
