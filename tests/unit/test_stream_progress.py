"""What is said before a reading, and while it goes on."""

import io
import os

import pytest

from stream_router.control.stream import estimate
from stream_router.control.stream.polite_reads import UserRecord
from stream_router.control.stream.positions import Position
from stream_router.control.stream.progress import LINE_EVERY_S, Progress
from stream_router.control.stream.reader import Piece, Span
from stream_router.control.stream.shards import Shard
from tests.scripted import Script

HOUR = Span(0, 3_600_000)
SHARD = Shard("a", (), 0, 9, is_open=True)


def test_an_estimate_is_by_what_came_in() -> None:
    """400 MB over two shards, at 0.6 MB a second each: some 340 s."""
    made = estimate.estimate(400_000_000, 2, HOUR)
    assert estimate.text(made, 2) == (
        "reading 2 shards, one read of at most about 1 MB a second each: about 6 min (400.0 MB by CloudWatch)"
    )


def test_without_cloudwatch_it_is_a_bound() -> None:
    """A shard takes 1 MB a second and is read at 0.6: at most somewhat longer than the span."""
    text = estimate.text(estimate.estimate(None, 1, HOUR), 1)
    assert text == (
        "reading 1 shard, one read of at most about 1 MB a second each: at most 100 min, less where there is "
        "less than 1 MB a second"
    )


def test_more_shards_than_are_read_at_once_take_as_much_longer() -> None:
    """64 shards of 60 MB are read in 106 s; 1,000 of them 64 at a time, in 16 such turns."""
    of_shard = 60_000_000
    few, many = (estimate.estimate(of_shard * shards, shards, HOUR) for shards in (64, 1_000))
    assert few.seconds == pytest.approx(106)
    assert many.seconds == pytest.approx(16 * 106)
    unknown = estimate.estimate(None, 1_000, Span(0, 60_000))
    assert estimate.text(unknown, 1_000) == (
        "reading 1000 shards, one read of at most about 1 MB a second each, 64 shards at a time: at most 28 min, less "
        "where there is less than 1 MB a second"
    )


def test_cloudwatch_is_asked_in_whole_minutes_and_need_not_answer() -> None:
    """The sum over the span; None where it may not be asked or knows nothing."""
    script = Script()
    asked = {
        "Namespace": "AWS/Kinesis",
        "MetricName": "IncomingBytes",
        "Dimensions": [{"Name": "StreamName", "Value": "s"}],
        "Period": 60,
        "Statistics": ["Sum"],
    }
    times = {"StartTime": _at(0), "EndTime": _at(3600)}
    points = [{"Sum": 5.0}, {"Sum": 7.0}]
    script.expect("cloudwatch", "get_metric_statistics", asked | times, {"Datapoints": points})
    assert estimate.incoming_bytes(script.clients.cloudwatch, "s", HOUR) == 12
    script.refuse("cloudwatch", "get_metric_statistics", asked | times, "AccessDenied")
    assert estimate.incoming_bytes(script.clients.cloudwatch, "s", HOUR) is None
    week = Span(0, 7 * 24 * 3_600_000)
    long = asked | {"Period": 420, "StartTime": _at(0), "EndTime": _at(7 * 24 * 3600)}
    script.expect("cloudwatch", "get_metric_statistics", long, {"Datapoints": []})
    assert estimate.incoming_bytes(script.clients.cloudwatch, "s", week) is None


def _at(seconds: int) -> object:
    from datetime import UTC, datetime

    return datetime.fromtimestamp(seconds, UTC)


def piece(reached_ms: int, records: int = 100) -> Piece:
    one = UserRecord(Position(1, 0), 1, b"", passed_over=False)
    return Piece(SHARD, [one] * records, 1_000_000, reached_ms, reached_ms)


def test_progress_is_a_line_now_and_then_where_nobody_watches() -> None:
    """By arrival time over all shards; with what is left at this pace, also while nothing more is read."""
    out, now = io.StringIO(), [0.0]
    progress = Progress(HOUR, 2, lambda: now[0], out, more=lambda: ", 7 published")
    progress.note(piece(900_000))
    assert out.getvalue() == ""
    now[0] = LINE_EVERY_S
    progress.note(piece(1_800_000))
    assert out.getvalue() == "read 25%: 200 records, 2.0 MB, 7 published, about 30 s left\n"
    now[0] += LINE_EVERY_S - 1
    progress.tell()
    assert out.getvalue().count("\n") == 1
    now[0] += 1
    progress.tell()
    assert out.getvalue().endswith("read 25%: 200 records, 2.0 MB, 7 published, about 60 s left\n")
    progress.end()
    assert out.getvalue().count("\n") == 2


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_is_one_line_that_is_written_over_on_a_terminal() -> None:
    """And is gone in the end, so that the result stands alone."""
    out, now = Terminal(), [0.0]
    progress = Progress(HOUR, 1, lambda: now[0], out)
    for _ in range(3):
        now[0] += 1
        progress.note(piece(1_800_000))
    progress.end()
    assert out.getvalue().count("\r") == 5
    assert "\n" not in out.getvalue()
    assert out.getvalue().split("\r")[-2].strip() == ""


@pytest.mark.parametrize("live", [False, True])
def test_progress_that_nobody_reads_any_more_stops_no_work(live: bool) -> None:
    """`2>&1 | head`, or a terminal that was closed: a replay would end between two pieces of the stream."""
    reader, writer = os.pipe()
    os.close(reader)
    now = [0.0]
    with os.fdopen(writer, "w") as out:
        progress = Progress(HOUR, 1, lambda: now[0], out)
        progress._live = live
        for _ in range(2):
            now[0] += LINE_EVERY_S
            progress.note(piece(1_800_000))
        progress.end()
    assert progress.records == 200


@pytest.mark.parametrize(("seconds", "text"), [(0.2, "1 s"), (59, "59 s"), (600, "10 min"), (8000, "2.2 h")])
def test_durations_are_said_as_a_person_says_them(seconds: float, text: str) -> None:
    """Seconds, minutes, hours."""
    assert estimate.duration(seconds) == text
