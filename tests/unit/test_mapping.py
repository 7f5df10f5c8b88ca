"""What an event is mapped by: NICE's types, the trace context; and what fails unforeseen. Shapes: the golden files."""

from typing import Any

import orjson
import pytest

from stream_router.envelope import encode_added_fields, seal
from stream_router.model import DeadLetter
from stream_router.pipeline.mapping.config_file import DIGITAL_TYPES
from stream_router.pipeline.transform import Transform
from tests.events import BODY, IDENTITY, code_of, config_of, event, sent, transform

CASE = {"case": {"id": "case-1", "interactionId": "interaction-1", "contactId": "contact-1"}}


def test_each_type_of_nices_lists_is_routed() -> None:
    """As event and as answer, which has no time: to one of our types; joined by interaction and case.

    A type about no conversation keeps its name: it is a dead letter by default, and delivered where a setting names it.
    By NICE's own name each is dropped where that is set.
    """
    time = "2022-08-04T19:27:35.450+01:00"
    for name, ours in DIGITAL_TYPES.items():
        body: dict[str, Any] = {"eventId": "e-1", "eventType": name, "createdAt": time, "data": CASE}
        answer = {"eventId": "e-1", "postback": {"eventType": name, "data": CASE}}
        assert code_of(transform(body, drop_types=name)) == "dropped"
        assert code_of(transform(body)) == ("UnroutableEventType" if name == ours else "")
        details = [sent(orjson.dumps(item), event_types=ours) for item in (body, answer)]
        for detail in details:
            assert detail["eventType"] == ours
            assert (detail["originalEventId"], detail["conversationId"]) == ("interaction-1", "case-1")
        assert details[0]["eventTimestamp"] == "2022-08-04T18:27:35.450Z"


TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
NO_TRACES = [
    *("", TRACE.upper(), TRACE[:-1], TRACE + "-x", TRACE + "\n", " " + TRACE, TRACE.replace("00-", "ff-", 1)),
    *("00-" + "0" * 32 + "-00f067aa0ba902b7-01", TRACE[:36] + "0" * 16 + "-01", "\u0660\u0660" + TRACE[2:]),
]


@pytest.mark.parametrize("trace", [TRACE, *NO_TRACES])
def test_a_trace_context_goes_on_in_w3cs_form_alone(trace: str) -> None:
    """A bad one is dropped, never repaired."""
    line = seal(IDENTITY, "delivery", 1, orjson.dumps(BODY), encode_added_fields({"traceparent": trace}))
    assert sent(line)["metadata"].get("traceparent") == (trace if trace == TRACE else None)


@pytest.mark.parametrize("error", [LookupError("secret payload"), MemoryError()])
def test_what_fails_unforeseen_is_a_dead_letter_but_not_for_want_of_memory(error: Exception) -> None:
    """It is named by its class, for its text could quote the payload. Without memory the process ends instead."""

    def broken() -> float:
        raise error

    route = Transform(config_of(), broken)
    if isinstance(error, MemoryError):
        with pytest.raises(MemoryError):
            route(event(BODY))
        return
    letter = route(event(BODY))
    assert isinstance(letter, DeadLetter)
    assert (letter.reason, letter.code) == ("internal_error", "LookupError")
    assert "secret" not in letter.message
