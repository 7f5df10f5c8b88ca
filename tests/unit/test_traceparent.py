"""The sender's trace context goes through to the Detail; what is none is dropped, and nothing else changes."""

from typing import Any

import orjson
import pytest

from stream_router.envelope import added_fields, open_record, valid_traceparent
from stream_router.model import Entry, Event, Record
from stream_router.pipeline.transform import Transform, TransformConfig
from stream_router.receiver.intake import Body, Intake
from stream_router.settings.receiver import Receiver
from tests.events import RECEIVED_MS

TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
BODY = (
    b'{"interactionId":"i","eventType":"interaction.created","timestamp":"2026-11-24T09:30:00.123Z",'
    b'"payload":{"traceparent":"00-11111111111111111111111111111111-2222222222222222-01"}}'
)


@pytest.mark.parametrize(
    "text",
    [
        "",
        TRACE.upper(),
        TRACE[:-1],
        TRACE + "-x",
        TRACE.replace("00-", "ff-", 1),
        "00-" + "0" * 32 + "-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-" + "0" * 16 + "-01",
        TRACE + "\n",
        " " + TRACE,
        None,
        7,
        "\u0660\u0660" + TRACE[2:],
    ],
)
def test_what_is_no_trace_context_is_dropped(text: object) -> None:
    """By the form that W3C gives it."""
    assert valid_traceparent(text) == ""


def detail(line: bytes, masking: str = "off") -> dict[str, Any]:
    record = Record(line, 1, 0, RECEIVED_MS)
    (event,) = open_record(record)
    assert isinstance(event, Event)
    config = TransformConfig("us-east-1", ("interaction.created",), masking=masking)
    entry = Transform(config, lambda: 0.0)(event)
    assert isinstance(entry, Entry)
    told: dict[str, Any] = orjson.loads(entry.detail)
    return told


def sealed(trace: str, **fields: str) -> bytes:
    intake = Intake(Receiver(aws_region="x", webhook_scheme="none"), source="crm")
    (one,) = intake.events(Body(BODY, "d-1", traceparent=trace, **fields))
    return one.line


@pytest.mark.parametrize("masking", ["off", "default"])
def test_it_goes_from_the_envelope_to_the_metadata(masking: str) -> None:
    """Beside what else stands there; the payload's own field of that name is no trace context."""
    line = sealed(TRACE, event_type="x")
    assert added_fields(line) == {"source": "crm", "traceparent": TRACE, "eventTypeHeader": "x"}
    assert detail(line, masking)["metadata"]["traceparent"] == TRACE
    assert detail(line, masking)["metadata"]["region"] == "us-east-1"
    assert "traceparent" not in detail(sealed(""), masking)["metadata"]


def test_a_bad_one_in_the_stream_is_dropped() -> None:
    """Others may write envelopes too."""
    assert "traceparent" not in detail(sealed("not a trace"))["metadata"]
