"""EventBridge's own dead letters, and what somebody else put beside them, as letters."""

import orjson
import pytest

from stream_router.control.dead_letters.queue.gathering import Whole
from stream_router.control.dead_letters.queue.held import Held
from stream_router.control.dead_letters.undelivered import reading
from stream_router.control.dead_letters.undelivered.redrive import UndeliveredTrials
from stream_router.control.dead_letters.undelivered.stream import Found


@pytest.mark.parametrize("tries", ["", "x", "-1", "9" * 5_000])
def test_a_number_of_retries_that_is_none_is_not_known(tries: str) -> None:
    """Python refuses to read thousands of digits: one message must not end a listing of all."""
    body = orjson.dumps({"detail-type": "t", "detail": {}}).decode()
    assert reading.read(body, {"RETRY_ATTEMPTS": tries}).attempts == 0


@pytest.mark.parametrize("condition", [7, ["x"], {"a": 1}, True])
def test_a_condition_that_is_no_text_is_told_as_it_stands(condition: object) -> None:
    """Whatever a message says, it is one line of a listing."""
    body = orjson.dumps({"failedMessages": [], "exhaustedRetryCondition": condition}).decode()
    assert reading.read(body, {}).condition == str(condition)


@pytest.mark.parametrize("unread", [True, False])
def test_an_event_that_was_not_looked_for_is_told_from_one_that_is_gone(unread: bool) -> None:
    """A v2 bus keeps no payload: where the stream cannot be read now, the next redrive may find the event."""
    trials = UndeliveredTrials(lambda _: pytest.fail("nothing was found"))
    trials.found = Found({}, "why", unread=unread)
    body = orjson.dumps({"failedMessages": [{"deduplicationId": "t", "timestamp": "2026-11-24T09:30:00Z"}]}).decode()
    held = Held({"MessageId": "1", "ReceiptHandle": "r", "Body": body}, 0.0)
    made = trials(Whole(reading.read(body, {}), [held]))
    assert (made.skipped, made.unavailable) == ("why", unread)
