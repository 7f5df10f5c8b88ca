"""`replay` over a stream in memory: what goes back, as what, what does not, and what is said."""

import re
from typing import Any

import orjson
import pytest

from stream_router.envelope import Resubmitted, open_record, seal, seal_line
from stream_router.model import PROBE_TYPE, Event, Record
from stream_router.operate import replay
from stream_router.operate.console import Stop
from stream_router.operate.replay import DONE, NOT_ALL, Wish
from stream_router.operate.stream import Span
from stream_router.settings.operators import DeadLetters
from stream_router.settings.reading import load
from tests.kinesis_shelf import Kept, Puts, Shelf, quick, refusal

WISH = Wish("2h", None, [], [], 0.0, dry_run=False, yes=False)
SPAN = Span(0, 1_000)
APPLICATION = "cxone-event-router"


@pytest.fixture(autouse=True)
def _in_no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    quick(monkeypatch)


def body(event_type: str = "interaction.created", **more: Any) -> bytes:
    said = {"interactionId": "i", "conversationId": "c-1", "timestamp": "2026-11-24T09:30:00Z", "payload": {}}
    return orjson.dumps({**said, "eventType": event_type, **more})


def sealed(number: int, event: bytes | None = None) -> bytes:
    return seal(f"{number:032x}", "delivery", 7, event or body())


def put_back(number: int, way: str, application: str = APPLICATION) -> bytes:
    return seal_line(sealed(number), f"{number:032x}", "delivery", 7, Resubmitted(way, application, "run-1", 2))


class Kinesis(Shelf):
    def __init__(self, *datas: bytes) -> None:
        super().__init__({"a": ()}, set())
        self.kept["a"] = [Kept(n, 100 + n, data) for n, data in enumerate(datas, 1)]
        self.puts = Puts()

    def put_records(self, **asked: Any) -> dict[str, Any]:
        if error := self.refuse("PutRecords", ""):
            raise error
        return self.puts.put_records(**asked)


def replayed(*datas: bytes, wish: Wish = WISH, **settings: Any) -> tuple[int, list[dict[str, Any]]]:
    kinesis = Kinesis(*datas)
    found = load(DeadLetters, aws_region="us-east-1", sqs_dlq_url="https://sqs/1/q", **settings)
    status = replay.Replay(found, wish, SPAN, kinesis.stream).run(kinesis.clients, Stop())
    return status, [orjson.loads(line) for line in kinesis.puts.lines()]


def opened(*datas: bytes) -> list[Event]:
    found = [one for data in datas for one in open_record(Record(data, 1, 0, 100))]
    return sorted((one for one in found if isinstance(one, Event)), key=lambda one: one.event_id)


def test_an_event_goes_back_as_its_line_stood_under_its_id(capsys: pytest.CaptureFixture[str]) -> None:
    """Also what others wrote, an element of an array, what a redrive put there; marked with the run, counted."""
    foreign, array = body(payload={"n": 1.0}), b"[" + body("a") + b"," + body("b") + b"]"
    status, put = replayed(sealed(1), foreign, array, put_back(2, "redrive"))
    assert status == DONE
    events = opened(sealed(1), foreign, array, sealed(2))
    again = opened(*[orjson.dumps(line) for line in put])
    assert [one.event_id for one in again] == [one.event_id for one in events]
    assert [one.id_from for one in again] == [one.id_from for one in events]
    assert [one.raw for one in again] == [one.raw for one in events]
    assert [one.body for one in again] == [one.body for one in events]
    (run,) = {line["resubmitted"] for line in put}
    assert run.startswith(f"replay/{APPLICATION}/")
    assert run.endswith("/1")
    assert f"put 5 events on the stream again, as run {run.split('/')[2]}" in capsys.readouterr().out


def test_what_is_nobodys_or_no_event_is_left_out_and_said(capsys: pytest.CaptureFixture[str]) -> None:
    """A replay's own lines, a redriven replay's, another application's, a probe, garbage, what fits no record."""
    datas = (
        put_back(1, "replay"),
        put_back(2, "redrive", "another-router"),
        sealed(3, orjson.dumps({"eventType": PROBE_TYPE})),
        b"{broken",
        sealed(4, body(payload={"text": "x" * 900_000})),
    )
    status, put = replayed(*datas)
    assert (status, put) == (DONE, [])
    out = capsys.readouterr().out
    for why in ("put there by a replay", "put back for application another-router", "a probe of", "malformed_json"):
        assert f"left out 1: {why}" in out or f"left out 1: no event, but a dead letter: {why}" in out
    assert "left out 1: too large to be put back" in out


def test_a_choice_by_type_and_by_id(capsys: pytest.CaptureFixture[str]) -> None:
    """What is asked for and not there is said, with why, and ends it with 1."""
    datas = (sealed(1), sealed(2, body("conversation.updated")), put_back(1, "replay"))
    status, put = replayed(*datas, wish=WISH._replace(event_types=["conversation.updated"]))
    assert (status, [int(one["id"], 16) for one in put]) == (DONE, [2])
    ids = [f"{number:032x}" for number in (1, 2, 9)]
    status, put = replayed(*datas, wish=WISH._replace(ids=ids, event_types=["interaction.created"]))
    assert (status, [int(one["id"], 16) for one in put]) == (NOT_ALL, [1])
    out = capsys.readouterr().out
    assert f"left out though asked for: {ids[1]}: it is of type conversation.updated" in out
    assert f"not in this span: {ids[2]}; see stream-router find {ids[2]}" in out
    assert replayed(sealed(1), wish=WISH._replace(event_types=["conversation.updated"])) == (NOT_ALL, [])


def test_a_dry_run_says_what_would_become_of_each_and_puts_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    """By type and reason, through mapping, masking and bounds of this shell's settings."""
    datas = (
        sealed(1),
        sealed(2),
        sealed(3, body("typing.started")),
        sealed(4, body(timestamp="yesterday")),
    )
    wish = WISH._replace(dry_run=True)
    status, put = replayed(*datas, wish=wish, drop_types="typing.started", masking="default")
    assert (status, put) == (DONE, [])
    out = capsys.readouterr().out
    assert "would put 4 events of 1970-01-01T00:00:00.000Z to 1970-01-01T00:00:01.000Z on the stream again" in out
    assert "by the settings of this shell (masking default) they would be\n           2  published  inter" in out
    assert "\n           1  dropped  typing.started\n" in out
    assert "\n           1  a dead letter: schema_mismatch (BadTimestamp)\n" in out


@pytest.mark.parametrize(
    ("settings", "wish", "says"),
    [
        ({"rule": "none"}, WISH, "STREAM_ROUTER_RULE is none: .* add --yes to go on"),
        ({}, WISH._replace(event_types=["no.such"]), "no.such: not in STREAM_ROUTER_EVENT_TYPES"),
    ],
)
def test_what_could_do_nothing_or_harm_is_refused_before(
    settings: dict[str, Any], wish: Wish, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing is asked of AWS."""
    found = load(DeadLetters, aws_region="us-east-1", sqs_dlq_url="https://sqs/1/q", **settings)
    assert replay.run(found, wish) == NOT_ALL
    err = capsys.readouterr().err
    assert err.startswith("stream-router replay: ")
    assert re.search(says, err)


@pytest.mark.parametrize("operation", ["GetRecords", "PutRecords"])
def test_a_stream_that_refuses_is_said_with_the_command_that_goes_on(
    operation: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also where reading fails for a reason that nobody foresaw: only the summary says what was put."""
    kinesis = Kinesis(sealed(1))
    kinesis.refuse = lambda asked, _: (
        refusal("AccessDeniedException", operation=operation) if asked == operation else None
    )
    found = load(DeadLetters, aws_region="us-east-1", sqs_dlq_url="https://sqs/1/q")
    wish = WISH._replace(rate=50.0, yes=True, event_types=["interaction.created"])
    assert replay.Replay(found, wish, SPAN, kinesis.stream).run(kinesis.clients, Stop()) == NOT_ALL
    said = capsys.readouterr()
    assert "not all: stream " in said.out
    assert (
        "go on with: stream-router replay --since 1970-01-01T00:00:00.000Z --until 1970-01-01T00:00:01.000Z "
        "--event-type interaction.created --rate 50 --yes"
    ) in said.out
    assert "; if it is killed, say again: stream-router replay --since" in said.err
