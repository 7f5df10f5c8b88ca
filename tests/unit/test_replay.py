"""`replay` over a stream in memory: what goes back, as what, and what does not."""

import re
from typing import Any

import orjson
import pytest

from stream_router.envelope import Resubmitted, open_record, seal, seal_line
from stream_router.model import PROBE_TYPE, Event, Record
from stream_router.operate import replay
from stream_router.operate.console import Stop
from stream_router.operate.put_back import PutBack, Selection
from stream_router.operate.replay import DONE, NOT_ALL
from stream_router.settings.operators import DeadLetters
from stream_router.settings.reading import load
from tests.kinesis_shelf import Kept, Puts, Shelf, quick

ALL = Selection(0, 1_000)


def body(event_type: str = "interaction.created", **more: Any) -> bytes:
    said = {"interactionId": "i", "conversationId": "c-1", "timestamp": "2026-11-24T09:30:00Z", "payload": {}}
    return orjson.dumps({**said, "eventType": event_type, **more})


def sealed(number: int, event: bytes | None = None) -> bytes:
    return seal(f"{number:032x}", "delivery", 7, event or body())


def put_back(number: int, way: str, application: str = "cxone-event-router") -> bytes:
    return seal_line(sealed(number), f"{number:032x}", "delivery", 7, Resubmitted(way, application, "run-1", 2))


def replayed(*datas: bytes, wanted: Selection = ALL) -> tuple[int, list[dict[str, Any]]]:
    """The exit status, and the lines that are put."""
    with pytest.MonkeyPatch.context() as patch:
        quick(patch)
        shelf, puts, stop = Shelf({"a": ()}, set()), Puts(), Stop()
        shelf.put_records = puts.put_records  # type: ignore[attr-defined]
        shelf.kept["a"] = [Kept(n, 100 + n, data) for n, data in enumerate(datas, 1)]
        found = load(DeadLetters, aws_region="us-east-1", sqs_dlq_url="https://sqs/1/q")
        back = PutBack(found, shelf.clients, 0.0, stop, dry_run=False)
        status = replay.Replay(found, wanted, (), shelf.stream, back).run(shelf.clients, stop)
    return status, [orjson.loads(line) for line in puts.stored]


def opened(*datas: bytes) -> list[tuple[str, str, bytes, Any]]:
    found = [one for data in datas for one in open_record(Record(data, 1, 0, 100)) if isinstance(one, Event)]
    return sorted((one.event_id, one.id_from, one.raw, one.body) for one in found)


def test_an_event_goes_back_as_its_line_stood_under_its_id() -> None:
    """Also what others wrote, an element of an array, what a redrive put there; marked with the run, counted."""
    foreign, array = body(payload={"n": 1.0}), b"[" + body("a") + b"," + body("b") + b"]"
    status, put = replayed(sealed(1), foreign, array, put_back(2, "redrive"))
    assert (status, len(put)) == (DONE, 5)
    assert opened(*[orjson.dumps(line) for line in put]) == opened(sealed(1), foreign, array, sealed(2))
    (run,) = {line["resubmitted"] for line in put}
    assert re.fullmatch("replay/cxone-event-router/[^/]+/1", run)


def test_what_is_nobodys_or_no_event_is_passed_over_and_said(capsys: pytest.CaptureFixture[str]) -> None:
    """A replay's own lines, another application's, a probe, garbage, what fits no record."""
    whys = {
        "put there by a replay": put_back(1, "replay"),
        "put back for application another-router": put_back(2, "redrive", "another-router"),
        "a probe of": sealed(3, orjson.dumps({"eventType": PROBE_TYPE})),
        "no event, but a dead letter: malformed_json": b"{broken",
        "fits no record": sealed(4, body(payload={"text": "x" * 900_000})),
    }
    assert replayed(*whys.values()) == (DONE, [])
    out = capsys.readouterr().out
    assert not [why for why in whys if not re.search(rf"^ +1  {why}", out, re.MULTILINE)]


def test_a_choice_by_type_and_by_id(capsys: pytest.CaptureFixture[str]) -> None:
    """What is asked for and not there is said, and ends it with 1."""
    datas = (sealed(1), sealed(2, body("conversation.updated")), put_back(1, "replay"))
    status, put = replayed(*datas, wanted=ALL._replace(event_types=("conversation.updated",)))
    assert (status, [int(one["id"], 16) for one in put]) == (DONE, [2])
    ids = tuple(f"{number:032x}" for number in (1, 2, 9))
    status, put = replayed(*datas, wanted=ALL._replace(ids=ids, event_types=("interaction.created",)))
    assert (status, [int(one["id"], 16) for one in put]) == (NOT_ALL, [1])
    out = capsys.readouterr().out
    assert [one for one in ids if f"not put back: {one}" in out] == [*ids[1:]]
    assert replayed(sealed(1), wanted=ALL._replace(event_types=("conversation.updated",))) == (NOT_ALL, [])
