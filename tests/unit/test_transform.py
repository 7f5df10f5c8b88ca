"""The transform: one event to one entry, or to the reason why it cannot be one."""

import orjson
import pytest

from stream_router.envelope import added_text, open_record, seal, valid_traceparent
from stream_router.model import SOURCE, DeadLetter, Dropped, Entry, Reason, Record
from stream_router.pipeline.transform import Transform
from tests.events import BODY, IDENTITY, NOW_MS, config_of, event, transform


def test_entry_is_the_contracts() -> None:
    """Every field of the Detail, the entry's time, its size by AWS's formula and its order key are as promised."""
    entry = transform(BODY)
    assert isinstance(entry, Entry)
    assert orjson.loads(entry.detail) == {
        "correlationId": "01234567-89ab-cdef-0123-456789abcdef",
        "eventId": IDENTITY,
        "eventSource": "cxone.webhook",
        "eventType": "conversation.updated",
        "originalEventId": "int-1",
        "conversationId": "conv-1",
        "eventTimestamp": "2026-11-24T09:30:00.123Z",
        "receivedAt": "2026-11-24T09:30:01.007Z",
        "processedAt": "2026-11-24T09:30:02.999Z",
        "sourceSystem": "nice.cxone",
        "routingVersion": "1.0",
        "payload": BODY["payload"],
        "metadata": {
            "enrichmentPipeline": "cxone-event-router-v1",
            "complianceTag": "unmasked",
            "region": "eu-central-1",
        },
    }
    assert entry.detail_type == "conversation.updated"
    assert entry.time_s == pytest.approx(1_795_512_600.123, abs=1e-6)
    assert entry.order_key == "conv-1"
    assert entry.size_bytes == 14 + len(SOURCE) + len("conversation.updated") + len(entry.detail)


@pytest.mark.parametrize(("unroutable", "kind"), [("dead-letter", DeadLetter), ("publish", Entry), ("drop", Dropped)])
def test_unroutable_type_is_handled_as_set(unroutable: str, kind: type) -> None:
    """An event type that does not match the rule is dead-lettered, published or dropped, as the setting says."""
    result = transform({**BODY, "eventType": "chat.ended"}, unroutable=unroutable)
    assert type(result) is kind
    if isinstance(result, DeadLetter):
        assert (result.reason, result.event_type) == (Reason.UNROUTABLE, "chat.ended")
    elif isinstance(result, Dropped):
        assert result.event_type == "chat.ended"


def test_unforeseen_exception_is_a_dead_letter_without_its_text() -> None:
    """Whatever breaks inside is this event's dead letter, named by its class; its text could quote the payload."""

    def broken() -> float:
        raise LookupError("secret payload")

    result = Transform(config_of(), broken)(event(BODY))
    assert isinstance(result, DeadLetter)
    assert (result.reason, result.code) == (Reason.INTERNAL_ERROR, "LookupError")
    assert "secret" not in result.message


def test_running_out_of_memory_is_not_the_events_fault() -> None:
    """The process ends and the event comes again: it is not buried for what the machine lacks."""

    def exhausted() -> float:
        raise MemoryError

    with pytest.raises(MemoryError):
        Transform(config_of(), exhausted)(event(BODY))


@pytest.mark.parametrize("further", [{}, {"eventObject": None}, {"eventObject": "Case"}])
def test_a_digital_event_needs_only_what_it_is_known_by(further: dict[str, object]) -> None:
    """What nothing is read from may be missing."""
    body = {"eventId": "e-1", "eventType": "CaseCreated", "createdAt": "2026-11-24T09:30:00Z", "data": {}, **further}
    assert type(transform(body)) is Entry


@pytest.mark.parametrize("policy", ["off", "default"])
def test_a_detail_holds_no_character_that_a_queue_refuses(policy: str) -> None:
    """U+FFFE and U+FFFF leave as escapes, in keys and ids too: the value is the same, and SQS takes the text."""
    body = {**BODY, "conversationId": "c-\uffff", "payload": {"queue\ufffe": "\\\uffff\ufffd", "deep": {}}}
    entry = transform(body, masking=policy)
    assert isinstance(entry, Entry)
    assert not {"\ufffe", "\uffff"} & set(entry.detail.decode())
    detail = orjson.loads(entry.detail)
    if policy == "off":
        assert (detail["conversationId"], detail["payload"]) == (body["conversationId"], body["payload"])
    assert entry.size_bytes == 14 + len(SOURCE) + len("conversation.updated") + len(entry.detail)


TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.mark.parametrize(
    "text",
    [
        *("", TRACE.upper(), TRACE[:-1], TRACE + "-x", TRACE + "\n", " " + TRACE, TRACE.replace("00-", "ff-", 1), None),
        *("00-" + "0" * 32 + "-00f067aa0ba902b7-01", TRACE[:36] + "0" * 16 + "-01", "\u0660\u0660" + TRACE[2:], 7),
    ],
)
def test_what_is_no_trace_context_is_dropped(text: object) -> None:
    """By the form that W3C gives it."""
    assert valid_traceparent(text) == ""


@pytest.mark.parametrize("masking", ["off", "default"])
@pytest.mark.parametrize(("trace", "told"), [(TRACE, TRACE), ("not a trace", None)])
def test_the_senders_trace_context_goes_to_the_metadata(masking: str, trace: str, told: str | None) -> None:
    """From the envelope, beside what else stands there; the payload's own field of that name is none."""
    body = orjson.dumps({**BODY, "payload": {"traceparent": TRACE.replace("4", "1")}})
    line = seal(IDENTITY, "delivery", 1, body, added_text({"source": "", "traceparent": trace}))
    made = Transform(config_of(masking=masking), lambda: NOW_MS)(open_record(Record(line, 1))[0])
    assert isinstance(made, Entry)
    metadata = orjson.loads(made.detail)["metadata"]
    assert (metadata.get("traceparent"), metadata["region"]) == (told, "eu-central-1")
