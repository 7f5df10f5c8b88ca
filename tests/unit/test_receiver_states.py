"""What is told of a stream that refuses while hardly anybody sends, on a clock of the test's own."""

from types import SimpleNamespace
from typing import Any

import pytest

from stream_router.errors import CODES
from stream_router.receiver.batching.backlog import NO_SPILL
from stream_router.receiver.batching.stats import Stats
from stream_router.receiver.batching.stream_state import BELIEVED_FOR_S, KNOWN_FOR_S, StreamState
from stream_router.receiver.states import States

BUCKET, OTHER = 0, 7


class Watched:
    """A worker without a spill, what it knows of its stream, and what it says of it."""

    def __init__(self) -> None:
        self.now_s = 1_000.0
        self.stats = Stats()
        self.stream = StreamState(lambda: self.now_s)
        batcher: Any = SimpleNamespace(stream=self.stream, spill_takes=False, spill_state=NO_SPILL)
        self._states = States(batcher, self.stats, lambda: self.now_s, "cxone-events", 8, "")

    def refuse(self) -> None:
        """A sender's event is refused."""
        self.stream.refused("AccessDeniedException", BUCKET)
        self.stats.events_refused += 1

    def pass_s(self, seconds: float, *, refusing: bool = False) -> None:
        """Time goes by in quarters of a second, with a refusal in each of them or without."""
        for _ in range(int(seconds * 4)):
            if refusing:
                self.refuse()
            self.now_s += 0.25
            self._states.look()


@pytest.fixture
def watched() -> Watched:
    return Watched()


def test_what_was_refused_last_is_down_until_it_takes_something(watched: Watched) -> None:
    """A single refusal proves nothing. For readiness they are believed for 5 s, or nobody would ever try again."""
    assert (watched.stream.refuses, watched.stream.down) == (False, False)
    watched.refuse()
    assert (watched.stream.refuses, watched.stream.down) == (False, False)
    watched.pass_s(2)
    assert (watched.stream.refuses, watched.stream.down) == (False, False)
    watched.refuse()
    assert (watched.stream.refuses, watched.stream.down) == (True, True)
    watched.pass_s(BELIEVED_FOR_S + 1)
    assert (watched.stream.refuses, watched.stream.down) == (True, False)
    watched.pass_s(3_600)
    assert watched.stream.refuses
    watched.stream.took(BUCKET)
    assert (watched.stream.refuses, watched.stream.down) == (False, False)


def test_what_lasts_is_told_once_a_minute_while_it_is_met(watched: Watched, caplog: pytest.LogCaptureFixture) -> None:
    """Its begin, each minute of it, and its end with how long and how many."""
    watched.pass_s(150, refusing=True)
    watched.stream.took(BUCKET)
    watched.pass_s(1)
    begin, *still, over = [record.getMessage() for record in caplog.records]
    assert begin.startswith("the stream takes no events: senders are answered 503 (AccessDeniedException)")
    assert [line.startswith("the stream takes no events: still: ") for line in still] == [True, True]
    assert over == "the stream takes no events: over"
    told = caplog.records[-1].__dict__
    assert (told["after_s"], told["events"]) == (pytest.approx(150, abs=1), 600)


def test_buckets_that_refuse_while_others_take_are_told_as_such(
    watched: Watched, caplog: pytest.LogCaptureFixture
) -> None:
    """How many of how many, and that it is over; not that the stream takes nothing."""
    for bucket in (1, 2):
        watched.stream.refused("InternalFailure", bucket)
    watched.pass_s(0.5)
    for _ in range(12):
        watched.stream.took(OTHER)
        watched.stream.refused("InternalFailure", 1)
        watched.pass_s(0.25)
    watched.stream.took(1)
    watched.pass_s(1)
    begin, over = [record.getMessage() for record in caplog.records]
    assert begin == (
        "a part of the stream takes no events: 1 of its 8 buckets, while others do; senders are answered 503 "
        "(InternalFailure); see how full each shard is (stream-router shards); it mends itself, or AWS's health page "
        "says more"
    )
    assert over == "a part of the stream takes no events: over"


def test_of_a_stream_that_takes_nothing_no_part_is_told(watched: Watched, caplog: pytest.LogCaptureFixture) -> None:
    """Though a bucket was refused first, and a call that was under way was taken after it: then no others take."""
    watched.stream.refused("InternalFailure", 1)
    watched.stream.took(OTHER)
    for _ in range(12):
        watched.stream.refused("InternalFailure", OTHER)
        watched.stream.refused("InternalFailure", 1)
        watched.pass_s(0.25)
    assert watched.stream.apart == 0
    (told,) = [record.getMessage() for record in caplog.records]
    assert told.startswith("the stream takes no events: ")


def test_a_part_that_nobody_tries_is_not_said_to_refuse_for_good(
    watched: Watched, caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing may come for its conversations for hours, and its shard is well long before: an alarm would go on."""
    for _ in range(8):
        watched.stream.refused("InternalFailure", 1)
        watched.stream.took(OTHER)
        watched.pass_s(0.25)
    assert watched.stream.apart == 1
    for _ in range(8):
        watched.pass_s(KNOWN_FOR_S / 8 + 0.5)
        watched.stream.took(OTHER)
    watched.pass_s(1)
    assert watched.stream.apart == 0
    assert caplog.records[-1].getMessage() == "a part of the stream takes no events: over"
    watched.stream.refused("InternalFailure", 1)
    watched.pass_s(1)
    assert watched.stream.apart == 0, "one refusal after that proves nothing"


def refused_for_two_seconds(watched: Watched, code: str) -> None:
    """Long enough that it is told."""
    for _ in range(8):
        watched.stream.refused(code, BUCKET)
        watched.pass_s(0.25)


@pytest.mark.parametrize("code", ["ServiceUnavailable", "ServiceUnavailableException", "InternalFailure"])
def test_of_an_outage_of_aws_it_is_told_that_it_is_aws_s(
    watched: Watched, caplog: pytest.LogCaptureFixture, code: str
) -> None:
    """The commonest outage: who is woken by it is not sent to look up a code."""
    refused_for_two_seconds(watched, code)
    assert f"({code}); it mends itself, or AWS's health page says more" in caplog.text


def test_while_nobody_sends_nothing_is_told_of_senders(watched: Watched, caplog: pytest.LogCaptureFixture) -> None:
    """The outage is told once, however long the silence behind it; its end counts to the last refusal."""
    watched.pass_s(25, refusing=True)
    watched.pass_s(600)
    assert len(caplog.records) == 1
    watched.stream.took(BUCKET)
    watched.pass_s(1)
    begin, over = caplog.records
    assert (begin.levelname, over.levelname) == ("ERROR", "WARNING")
    assert over.__dict__["after_s"] == pytest.approx(25, abs=0.5)
    assert over.__dict__["events"] == 100


def test_a_refusal_after_a_silence_is_the_same_outage(watched: Watched, caplog: pytest.LogCaptureFixture) -> None:
    """Nothing was taken in between, so it is told that it lasts still."""
    watched.pass_s(5, refusing=True)
    watched.pass_s(300)
    watched.refuse()
    watched.pass_s(300)
    assert [": still: " in record.getMessage() for record in caplog.records] == [False, True]


@pytest.mark.parametrize("code", [code for code in CODES if code.startswith("KMS")])
def test_of_the_stream_s_key_each_trouble_has_its_cure(
    watched: Watched, caplog: pytest.LogCaptureFixture, code: str
) -> None:
    """Whoever disables or deletes a key hardly knows which stream is sealed with it."""
    refused_for_two_seconds(watched, code)
    assert f"({code}); " in caplog.text
    assert "look the code up" not in caplog.text
