"""`stream-router dlq redrive` as a process, against the fake AWS: none lost, none deleted before it was accepted."""

import re
import signal
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson
import pytest

from stream_router.model import Reason, event_id
from tests import dead_letters as dlq
from tests.constants import CALL_BYTES, with_constants
from tests.dead_letters import Letters
from tests.fakeaws.process import FakeAwsProcess


def fault(operation: str, kind: str, rate: float, code: str = "", **more: Any) -> dict[str, Any]:
    return {"operation": operation, "fault": kind, "rate": rate, **({"code": code} if code else {}), **more}


FAULTS = [
    *(fault(name, "entry_error", 0.05, "InternalFailure") for name in ("PutEvents", "PutEventsV2")),
    *(fault(name, "call_error", 0.05, "ThrottlingException") for name in ("PutEvents", "PutEventsV2")),
    *(fault(name, "reset", 0.02) for name in ("PutEvents", "PutEventsV2", "ReceiveMessage")),
    fault("ReceiveMessage", "call_error", 0.05, "InternalError", status=500),
    fault("DeleteMessageBatch", "entry_error", 0.05, "InternalError"),
    fault("DeleteMessageBatch", "call_error", 0.05, "ServiceUnavailable", status=503),
    fault("ChangeMessageVisibilityBatch", "reset", 0.05),
]


@pytest.fixture
def fake_aws(tmp_path: Path) -> Iterator[FakeAwsProcess]:
    with FakeAwsProcess(tmp_path / "ledger.jsonl", {"bus_rules": [dlq.RULE]}, 7, "--payloads") as made:
        yield made


def plan(**more: Any) -> dict[str, Any]:
    return {"bus_rules": [dlq.RULE], **more}


def test_letters_of_every_form_come_back_to_life(fake_aws: FakeAwsProcess) -> None:
    """Each event is accepted once, with its id; the queue is empty after it; the summary adds up."""
    made = Letters(fake_aws).put(60)
    done = dlq.run(fake_aws, "redrive", "--rate", "0")
    assert done.returncode == 0, done.stdout + done.stderr
    assert dlq.accepted(fake_aws) == dict.fromkeys([one.event_id for one in made], 1)
    assert dlq.left(fake_aws) == []
    assert "selected 60, eligible 60" in done.stdout
    assert "redriven 60" in done.stdout
    assert dlq.assert_accepted_before_deleted(fake_aws) == sum(one.messages for one in made)


def storm(fake_aws: FakeAwsProcess, count: int, **settings: str) -> None:
    """Faults everywhere, a kill -9 in the middle, a Ctrl-C, two at once; then all is well and one more redrive."""
    made = Letters(fake_aws).put(count)
    fake_aws.plan(plan(rules=FAULTS))
    v2 = "event-busv2" in settings.get("STREAM_ROUTER_EVENT_BUS", "")
    words = ("redrive", "--rate", str(count / 2), *(["--yes"] if v2 else []))
    for number in (signal.SIGKILL, signal.SIGINT):
        before = len(dlq.accepted(fake_aws))
        one = dlq.start(fake_aws, *words, **settings)
        _until(lambda: len(dlq.accepted(fake_aws)) >= before + count // 6, one)  # noqa: B023
        one.send_signal(number)
        told, _ = one.communicate(timeout=100)
        if number == signal.SIGINT:
            assert "broken off" in told
            assert one.returncode == 1
        fake_aws.queues(show_all=number == signal.SIGKILL)
    both = [dlq.start(fake_aws, *words, **settings) for _ in range(2)]
    for one in both:
        one.communicate(timeout=400)
    fake_aws.queues(show_all=True)
    fake_aws.plan(plan())
    done = dlq.run(fake_aws, *words, **settings)
    assert done.returncode == 0, done.stdout + done.stderr
    assert dlq.left(fake_aws) == []
    accepted = dlq.accepted(fake_aws)
    assert accepted.keys() == {one.event_id for one in made}, "lost"
    assert dlq.assert_accepted_before_deleted(fake_aws) >= sum(one.messages for one in made)
    assert not v2 or set(accepted.values()) == {1}, "twice within five minutes"


def _until(is_so: Any, process: Any) -> None:
    deadline = time.monotonic() + 100
    while not is_so():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.parametrize(
    ("bus", "count"),
    [
        pytest.param("default", 600, id="classic"),
        pytest.param(dlq.V2_BUS, 300, id="v2", marks=pytest.mark.long),
    ],
)
def test_none_is_lost_whatever_happens(fake_aws: FakeAwsProcess, bus: str, count: int) -> None:
    """Hundreds of letters of all forms under faults, a kill -9, a Ctrl-C and two redrives at once."""
    storm(fake_aws, count, STREAM_ROUTER_EVENT_BUS=bus)


@pytest.mark.long
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("bus", ["default", dlq.V2_BUS], ids=["classic", "v2"])
def test_none_of_ten_thousand_is_lost(fake_aws: FakeAwsProcess, bus: str) -> None:
    """The same with ten thousand."""
    storm(fake_aws, 10_000, STREAM_ROUTER_EVENT_BUS=bus)


@pytest.mark.parametrize(
    ("world", "says"),
    [
        ({"missing": ["default"]}, "does not exist, and would answer success"),
        ({"bus_rules": [{**dlq.RULE, "EventPattern": {"source": ["other"]}}]}, "does not match our events of type"),
        ({"bus_rules": []}, "does not exist on bus"),
        ({"bus_rules": [{**dlq.RULE, "State": "DISABLED"}]}, "is disabled"),
        ({"bus_rules": [{**dlq.RULE, "Targets": []}]}, "has no target"),
    ],
)
def test_where_nobody_would_get_the_events_nothing_is_published(
    fake_aws: FakeAwsProcess, world: dict[str, Any], says: str
) -> None:
    """A bus that is gone and a rule that matches nothing refuse before the first delete, and every letter is back."""
    Letters(fake_aws).put(24, ("base64", "parts"))
    before = len(dlq.left(fake_aws))
    fake_aws.plan(plan(**world))
    done = dlq.run(fake_aws, "redrive")
    assert done.returncode == 1
    assert says in done.stderr
    assert fake_aws.lines("PutEvents") == fake_aws.lines("DeleteMessageBatch") == []
    assert len(dlq.left(fake_aws)) == before
    fake_aws.plan(plan())
    again = dlq.run(fake_aws, "redrive", "--rate", "0")
    assert "redriven 24" in again.stdout, "they were given back at once"


def test_a_bus_that_goes_in_the_middle_settles_nothing_more(fake_aws: FakeAwsProcess) -> None:
    """A classic bus that is gone answers success: what it swallowed is still in the queue."""
    made = Letters(fake_aws).put(400, ("base64",))
    one = dlq.start(fake_aws, "redrive", "--rate", "100")
    _until(lambda: len(dlq.accepted(fake_aws)) >= 100, one)
    fake_aws.plan(plan(missing=["default"]))
    told, _ = one.communicate(timeout=100)
    assert one.returncode == 1
    assert "the event bus is gone" in told
    assert fake_aws.lines("PutEvents", "void")
    still_there = {body["origin"]["eventId"] for body in dlq.left(fake_aws)}
    assert still_there | dlq.accepted(fake_aws).keys() == {one.event_id for one in made}
    dlq.assert_accepted_before_deleted(fake_aws)


def test_what_a_killed_redrive_held_is_told_by_the_next(fake_aws: FakeAwsProcess, tmp_path: Path) -> None:
    """How many messages are hidden, and until when: SQS lets nobody else show them earlier."""
    Letters(fake_aws).put(200, ("base64",))
    one = dlq.start(fake_aws, "redrive", "--rate", "20")
    _until(lambda: len(dlq.accepted(fake_aws)) >= 20, one)
    one.kill()
    one.communicate(timeout=100)
    hidden = len(dlq.left(fake_aws))
    export = dlq.run(fake_aws, "export", str(tmp_path / "letters"), "--take")
    assert f"note: {hidden} more are hidden until " in export.stdout, "an empty file would say that nothing is left"
    done = dlq.run(fake_aws, "redrive", "--rate", "0")
    told = re.search(r"note: (\d+) more are hidden until (\S+) at the latest, if .* was killed", done.stdout)
    assert told, done.stdout
    assert int(told[1]) == hidden
    assert 240 < datetime.fromisoformat(told[2]).timestamp() - time.time() <= 300
    fake_aws.queues(show_all=True)
    after = dlq.run(fake_aws, "redrive", "--rate", "0")
    assert f"redriven {hidden}" in after.stdout
    assert "hidden" not in after.stdout


def test_what_fails_again_goes_back_with_its_history_and_is_passed_over_after_five(fake_aws: FakeAwsProcess) -> None:
    """A generation older each time; the sixth redrive passes it over, unless told otherwise."""
    made = Letters(fake_aws).put(9, ("base64", "s3", "parts"))
    refuse = {"operation": "PutEvents", "fault": "entry_error", "code": "MalformedDetail"}
    fake_aws.plan(plan(rules=[refuse]))
    for generation in range(1, 6):
        done = dlq.run(fake_aws, "redrive", "--rate", "0")
        assert done.returncode == 1
        assert "failed again, back in the queue 9" in done.stdout, done.stdout
        bodies = dlq.left(fake_aws)
        assert {body["generation"] for body in bodies} == {generation}
        assert {body["origin"]["eventId"] for body in bodies} == {one.event_id for one in made}
    assert len(bodies) == sum(one.messages for one in made)
    assert bodies[0]["reason"] == "refused"
    assert [past["reason"] for past in bodies[0]["history"]] == ["outage", *["refused"] * 4]
    fake_aws.plan(plan())
    assert "9  came back from 5 redrives" in dlq.run(fake_aws, "redrive").stdout
    assert dlq.run(fake_aws, "redrive", "--all", "--rate", "0").returncode == 0
    assert dlq.left(fake_aws) == []
    assert dlq.accepted(fake_aws).keys() == {one.event_id for one in made}


def test_a_dry_run_sends_and_deletes_nothing_and_says_what_would_be(fake_aws: FakeAwsProcess) -> None:
    """Selected, eligible, skipped by reason: what it promises was tried on the present settings."""
    letters = Letters(fake_aws)
    letters.put(5, ("base64",))
    letters.put(3, ("base64",), eventType="of.others")
    letters.put(2, ("base64",), timestamp="no time")
    done = dlq.run(fake_aws, "redrive", "--dry-run")
    assert done.returncode == 0, done.stderr
    assert "selected 10, eligible 5" in done.stdout
    assert "3  still unroutable (UnroutableEventType)" in done.stdout
    assert "2  still schema_mismatch (" in done.stdout
    assert "would be redriven 5" in done.stdout
    assert fake_aws.lines("PutEvents") == fake_aws.lines("DeleteMessageBatch") == []
    assert len(dlq.left(fake_aws)) == 10


def test_what_no_call_can_carry_is_skipped_until_there_is_a_bucket(fake_aws: FakeAwsProcess) -> None:
    """A dry run does not promise it, and a redrive does not make it older in vain; with a bucket it goes out."""
    letters = Letters(fake_aws)
    letters.put(2, ("base64",))
    letters.put(3, ("base64",), payload={"text": "x" * 2_000})
    _, (killer,) = letters._one("base64", {"payload": {"text": "x" * 2_000}})
    letters.send([killer._replace(body=killer.body.replace('"reason":"outage"', '"reason":"crashed"'))])
    small = with_constants({CALL_BYTES: 2000})
    for words in (("--dry-run",), ()):
        done = dlq.run(fake_aws, "redrive", *words, **small)
        assert done.returncode == 0, done.stderr
        assert "selected 6, eligible 2" in done.stdout
        assert "4  still oversize (EntryTooLarge)" in done.stdout
    assert [body.get("generation") for body in dlq.left(fake_aws)] == [None] * 4
    done = dlq.run(fake_aws, "redrive", STREAM_ROUTER_OFFLOAD_BUCKET="bucket", **small)
    assert "redriven 4" in done.stdout, done.stdout + done.stderr
    assert dlq.left(fake_aws) == []


def test_present_settings_decide(fake_aws: FakeAwsProcess) -> None:
    """An event type that the rule has learned since goes out; what still cannot stays in the queue."""
    letters = Letters(fake_aws)
    letters.put(3, ("base64",), eventType="now.known")
    letters.put(3, ("base64",), eventType="never.known")
    rule = {**dlq.RULE, "EventPattern": {"source": ["nice.cxone.webhook"]}}
    fake_aws.plan({"bus_rules": [rule]})
    done = dlq.run(fake_aws, "redrive", STREAM_ROUTER_EVENT_TYPES="now.known")
    assert done.returncode == 0
    assert "redriven 3" in done.stdout
    assert len(dlq.left(fake_aws)) == 3
    assert {line["detailType"] for line in fake_aws.lines("PutEvents")} == {"now.known"}


def test_a_limit_bounds_a_redrive(fake_aws: FakeAwsProcess) -> None:
    """So many are published and deleted, the rest stays."""
    Letters(fake_aws).put(30, ("base64",))
    done = dlq.run(fake_aws, "redrive", "--limit", "10")
    assert "redriven 10\n" in done.stdout
    assert sum(dlq.accepted(fake_aws).values()) == 10
    assert len(dlq.left(fake_aws)) == 20


def test_a_conversation_comes_out_oldest_first(fake_aws: FakeAwsProcess) -> None:
    """With ordering=conversation each conversation is accepted in the stream's order, though entries fail."""
    made = Letters(fake_aws).put(300, ("base64", "gzip", "s3"))
    fake_aws.plan(plan(rules=FAULTS[:2]))
    done = dlq.run(fake_aws, "redrive", "--rate", "0", STREAM_ROUTER_ORDERING="conversation")
    assert done.returncode == 0, done.stdout + done.stderr
    order: dict[str, list[str]] = {}
    for line in fake_aws.lines("PutEvents", "accepted"):
        order.setdefault(line["conversationId"], []).append(line["eventId"])
    wanted: dict[str, list[str]] = {}
    for one in made:
        wanted.setdefault(one.conversation_id, []).append(one.event_id)
    assert order == wanted


@pytest.mark.parametrize("edited", [False, True])
def test_a_letter_that_kills_its_process_is_a_skip(
    fake_aws: FakeAwsProcess, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, edited: bool
) -> None:
    """`crashed` is tried in a process of its own, by hand edited or not; where the cause is mended it is redriven.

    The working folder is not that process's code.
    """
    (tmp_path / "logging.py").write_text("raise SystemExit('not ours')")
    monkeypatch.chdir(tmp_path)
    letters = Letters(fake_aws)
    made, messages = letters._one("base64", {"interactionId": "deadly"})
    crashed = '"reason":"crashed","edited":true' if edited else '"reason":"crashed"'
    letters.send([messages[0]._replace(body=messages[0].body.replace('"reason":"outage"', crashed))])
    letters.put(5, ("base64",))
    done = dlq.run(fake_aws, "redrive", STREAM_ROUTER_FAILPOINTS="event=segfault:deadly")
    assert "1  it still kills the process that opens it" in done.stdout
    assert "redriven 5" in done.stdout
    assert [one["origin"]["eventId"] for one in dlq.left(fake_aws)] == [made.event_id]
    assert dlq.run(fake_aws, "redrive").returncode == 0
    assert dlq.accepted(fake_aws)[made.event_id] == 1
    assert dlq.left(fake_aws) == []
    marked = [line["eventId"] for line in fake_aws.lines("PutEvents", "accepted") if '"replayed"' in line["payload"]]
    assert marked == [made.event_id] * edited


@pytest.mark.parametrize("bus", ["default", dlq.V2_BUS], ids=["classic", "v2"])
def test_a_line_of_several_events_that_killed_a_process_comes_back_to_life(fake_aws: FakeAwsProcess, bus: str) -> None:
    """It is one letter, since nobody could open it: each of its events goes out with the id that it would have had."""
    letters = Letters(fake_aws)
    rest = {"timestamp": "2026-11-24T10:30:00Z", "payload": {}}
    bodies = [
        orjson.dumps({"interactionId": f"i-{n}", "conversationId": "c", "eventType": name, **rest})
        for n, name in enumerate(dlq.TYPES)
    ]
    raw = b"[" + b", ".join(bodies) + b"]"
    letters.send(letters.write(letters.letter(raw, event_id("stream", None, 0, raw), "content", reason=Reason.CRASHED)))
    settings = {"STREAM_ROUTER_EVENT_BUS": bus}
    deadly = dlq.run(fake_aws, "redrive", "--yes", STREAM_ROUTER_FAILPOINTS="event=segfault:i-1", **settings)
    assert "1  it still kills the process that opens it" in deadly.stdout
    unknown = dlq.run(fake_aws, "redrive", "--yes", STREAM_ROUTER_EVENT_TYPES=dlq.TYPES[0], **settings)
    assert "1  still unroutable (UnroutableEventType)" in unknown.stdout
    done = dlq.run(fake_aws, "redrive", "--yes", **settings)
    assert done.returncode == 0, done.stdout + done.stderr
    assert dlq.accepted(fake_aws) == {event_id("stream", None, n, body): 1 for n, body in enumerate(bodies)}
    assert dlq.left(fake_aws) == []


def test_letters_that_cannot_be_whole_stay(fake_aws: FakeAwsProcess) -> None:
    """A part is missing, an object is gone, the message is no letter: skipped by reason, nothing deleted."""
    letters = Letters(fake_aws)
    _, parts = letters._one("parts", {})
    letters.send(parts[:1])
    (gone,) = letters.put(1, ("s3",))
    letters._s3.delete_object(Bucket="bucket", Key="dead-letters/2-0-0")
    letters._flush([{"Id": "0", "MessageBody": "somebody else's"}])
    done = dlq.run(fake_aws, "redrive")
    assert "1  its object in S3 cannot be had (NoSuchKey)" in done.stdout, gone
    assert "1  a part of it is missing" in done.stdout
    assert "1  unreadable: the message is no JSON" in done.stdout
    assert len(fake_aws.queues()[dlq.QUEUE_NAME]) == 3


def test_a_queue_that_is_gone_is_one_line(fake_aws: FakeAwsProcess) -> None:
    """With the cure."""
    fake_aws.plan(plan(missing=[dlq.QUEUE_NAME]))
    done = dlq.run(fake_aws, "redrive")
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "correct SQS_DLQ_URL" in done.stderr
