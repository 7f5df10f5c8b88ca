"""EventBridge's own dead letters, and what somebody else put beside them, as letters."""

import orjson
import pytest

from stream_router.control.dead_letters.undelivered import reading


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
