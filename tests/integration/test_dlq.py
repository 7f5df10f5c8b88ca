"""`stream-router dlq` by the command line, against the fake AWS: looked at, exported, put back on the stream."""

import base64
import json
import re
import signal
import time
from pathlib import Path
from typing import Any

import orjson

from stream_router.dead_letter_reasons import Reason
from stream_router.pipeline.sinks.dead_letters import reader
from tests import dead_letters as dlq
from tests.constants import HIDE_S, KEEP_EVERY_S, with_constants
from tests.dead_letters import Letters
from tests.fakeaws.process import FakeAwsProcess


def fault(operation: str, kind: str, rate: float, code: str = "", **more: Any) -> dict[str, Any]:
    return {"operation": operation, "fault": kind, "rate": rate, **({"code": code} if code else {}), **more}


FAULTS = [
    fault("PutRecords", "entry_error", 0.1, "InternalFailure"),
    fault("PutRecords", "call_error", 0.1, "ProvisionedThroughputExceededException"),
    fault("PutRecords", "reset", 0.05),
    fault("ReceiveMessage", "call_error", 0.05, "InternalError", status=500),
    fault("DeleteMessageBatch", "entry_error", 0.1, "InternalError"),
    fault("DeleteMessageBatch", "call_error", 0.05, "ServiceUnavailable", status=503),
    fault("ChangeMessageVisibilityBatch", "reset", 0.05),
]


def plan(**more: Any) -> dict[str, Any]:
    return {"bus_rules": [dlq.RULE], "keep_records": True, "shards": 2, "shard_limits": False, **more}


FAKE_AWS = (plan(), 7)


def put_one(letters: Letters, **changes: Any) -> str:
    """One letter more, its message's JSON changed: its event's id."""
    event, (message,) = letters._one("base64", {})
    letters.send([message._replace(body=json.dumps({**json.loads(message.body), **changes}))])
    return event.event_id


def ids(fake_aws: FakeAwsProcess) -> set[str]:
    return {body["origin"]["eventId"] for body in dlq.left(fake_aws)}


# --- list, show


def test_list_leads_from_a_count_to_a_letter_and_disturbs_nothing(fake_aws: FakeAwsProcess) -> None:
    """By reason, code and event type, with ids that `show` takes; what is not a dead letter is counted too."""
    letters = Letters(fake_aws)
    letters.put(7, ("base64",), eventType="of.others")
    parts = letters.put(1, ("parts",))
    letters.put(1, ("minimal",))
    letters._flush([{"Id": "0", "MessageBody": "not ours"}])
    listed = dlq.run(fake_aws, "list")
    assert listed.returncode == 0, listed.stderr
    assert re.search(r"^ +7  outage  ThrottlingException  of\.others$", listed.stdout, re.MULTILINE)
    assert re.search(r"^ +1  outage  ThrottlingException  \(type not known\)$", listed.stdout, re.MULTILINE)
    assert re.search(r"^ +1  the message is not JSON$", listed.stdout, re.MULTILINE)
    ids_told = re.findall(r"\b[0-9a-f]{32}\b", listed.stdout)
    assert len(ids_told) == 3 + 1 + 1
    assert dlq.run(fake_aws, "show", ids_told[0]).returncode == 0
    assert dlq.run(fake_aws, "list").stdout == listed.stdout, "everything was given back"
    chosen = dlq.run(fake_aws, "list", "--id", parts[0].event_id, "--reason", "outage").stdout
    assert "read 9 dead letters; 1 of them match" in chosen
    assert "read 9 dead letters; 0 of them match" in dlq.run(fake_aws, "list", "--until", "1h").stdout


def test_list_counts_the_whole_queue_whatever_the_filter(fake_aws: FakeAwsProcess) -> None:
    """Each filter's count equals that of every message in the queue, the newest and the rarest included."""
    letters = Letters(fake_aws)
    common = [f"of.kind.{number}" for number in range(7)]
    for event_type in common:
        letters.put(300, ("base64",), eventType=event_type)
    (rare,) = letters.put(1, ("base64",), eventType="the.newest")
    assert "read 2,101 dead letters" in dlq.run(fake_aws, "list").stdout
    for event_type, count in (*((name, 300) for name in common), ("the.newest", 1)):
        listed = dlq.run(fake_aws, "list", "--event-type", event_type)
        assert listed.returncode == 0, listed.stdout + listed.stderr
        assert f"read 2,101 dead letters; {count} of them match" in listed.stdout
    assert rare.event_id in dlq.run(fake_aws, "list", "--id", rare.event_id).stdout


def test_a_list_that_did_not_see_all_says_how_much_and_is_1(fake_aws: FakeAwsProcess) -> None:
    """Messages that another reader holds are missing from every count, so the status is not 0."""
    letters = Letters(fake_aws)
    letters.put(30, ("base64",))
    letters._sqs.receive_message(QueueUrl=dlq.QUEUE, MaxNumberOfMessages=10, VisibilityTimeout=300)
    listed = dlq.run(fake_aws, "list")
    assert listed.returncode == 1
    assert "read 20 dead letters" in listed.stdout
    assert "note: about 10 messages of cxone-events-dead-letters not seen" in listed.stdout


def test_a_reason_that_no_letter_can_have_is_2_with_the_list(fake_aws: FakeAwsProcess) -> None:
    """A filter that can match nothing is not a success; so of every command that takes one."""
    for words in (("list",), ("redrive",), ("export", "file")):
        done = dlq.run(fake_aws, *words, "--reason", "unroutable,refused")
        assert done.returncode == 2
        assert all(reason in done.stderr for reason in Reason)


def test_show_tells_all_and_the_event_only_where_asked_for(fake_aws: FakeAwsProcess) -> None:
    """By the event's id or correlationId; the event masked where masking is on; what kills processes is not masked."""
    letters = Letters(fake_aws)
    (event,) = letters.put(1, ("parts",))
    deadly = put_one(letters, reason="crashed")
    item = event.event_id
    shown = dlq.run(fake_aws, "show", f"{item[:8]}-{item[8:12]}-{item[12:16]}-{item[16:20]}-{item[20:]}".upper()).stdout
    for line in ("reason      outage", "error       ThrottlingException: accepted nothing", "resubmitted never"):
        assert line in shown
    assert "Zoë" not in shown
    assert '"name":"Zoë"' in dlq.run(fake_aws, "show", item, "--payload").stdout
    masked = dlq.run(fake_aws, "show", item, "--payload", STREAM_ROUTER_MASKING="default")
    assert '"name":"[' in masked.stdout
    assert "Zoë" not in masked.stdout
    refused = dlq.run(fake_aws, "show", deadly, "--payload", STREAM_ROUTER_MASKING="default")
    assert "it is not parsed here to be masked" in refused.stdout
    broken = put_one(letters, record={"encoding": "base64", "data": base64.b64encode(b'{"payload": "Zo').decode()})
    unmaskable = dlq.run(fake_aws, "show", broken, "--payload", STREAM_ROUTER_MASKING="default")
    assert "is on in this shell, and the event cannot be masked (" in unmaskable.stdout
    assert "the policy masks dead letters" not in unmaskable.stdout
    unknown = dlq.run(fake_aws, "show", "f" * 32)
    assert unknown.returncode == 1
    assert f"stream-router find {'f' * 32}" in unknown.stderr


def test_a_queue_that_is_gone_is_one_line(fake_aws: FakeAwsProcess) -> None:
    """With its cure, from every command."""
    fake_aws.plan(plan(missing=[dlq.QUEUE_NAME]))
    for words in (("list",), ("redrive",), ("show", "x")):
        done = dlq.run(fake_aws, *words)
        assert done.returncode == 1
        assert done.stderr.count("\n") == 1
        assert "correct SQS_DLQ_URL" in done.stderr


# --- redrive


def test_letters_of_every_form_go_back_as_they_stood(fake_aws: FakeAwsProcess) -> None:
    """Each line byte for byte on the stream, under its id, said to be put back once; the queue is empty after it."""
    created = Letters(fake_aws).put(60, ("base64", "s3", "minimal", "entry"))
    letters = {body["origin"]["eventId"]: reader.read(body) for body in dlq.left(fake_aws)}
    done = dlq.run(fake_aws, "redrive", "--rate", "0")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "selected 60" in done.stdout
    run = re.search(r"resubmitted 60; run (\S+)$", done.stdout, re.MULTILINE)
    assert run
    result = dlq.on_stream(fake_aws)
    assert sorted(event.event_id for event in result) == sorted(event.event_id for event in created)
    assert {item.kind for item in result} == {"line"}
    assert {item.resubmitted for item in result} == {f"redrive/cxone-event-router/{run[1]}/1"}
    for candidate in result:
        letter = letters[candidate.event_id]
        assert letter.record.encoding == "s3" or reader.original(letter) == candidate.body
        assert orjson.loads(candidate.body)["id"] == candidate.event_id
    assert dlq.left(fake_aws) == []
    assert dlq.assert_stored_before_deleted(fake_aws) == sum(item.messages for item in created)


def test_a_conversation_goes_back_oldest_first_to_one_bucket(fake_aws: FakeAwsProcess) -> None:
    """As the receiver places it, so that its order is kept."""
    result = Letters(fake_aws).put(300, ("base64",))
    fake_aws.plan(plan(rules=FAULTS[:2]))
    assert dlq.run(fake_aws, "redrive", "--rate", "0").returncode == 0
    wanted: dict[str, list[str]] = {}
    conversation = {event.event_id: event.conversation_id for event in result}
    for item in result:
        wanted.setdefault(item.conversation_id, []).append(item.event_id)
    order: dict[str, list[str]] = {}
    for put in dlq.on_stream(fake_aws):
        order.setdefault(conversation[put.event_id], []).append(put.event_id)
    assert order == wanted


def test_what_does_not_go_back_stays_and_is_said(fake_aws: FakeAwsProcess) -> None:
    """Masked, or it killed a process, came back five times, fits no record; another stream's letter too."""
    letters = Letters(fake_aws)
    back = "replay/cxone-event-router/r1/5"
    stay = {
        put_one(letters, masking="default 1"),
        put_one(letters, reason="crashed"),
        put_one(letters, resubmitted=back),
        *(event.event_id for event in letters.put(1, ("gzip",))),
    }
    (good,) = letters.put(1, ("base64",))
    done = dlq.run(fake_aws, "redrive")
    assert done.returncode == 0, done.stderr
    for why in (
        "stored masked: .* replay --since WHEN --id ID",
        "killed a process",
        "came back 5 times",
        "fits no record",
    ):
        assert re.search(rf"^ +1  {why}", done.stdout, re.MULTILINE), done.stdout
    assert [event.event_id for event in dlq.on_stream(fake_aws)] == [good.event_id]
    assert ids(fake_aws) == stay
    again = dlq.run(fake_aws, "redrive")
    assert again.returncode == 1, "something was to come back, and nothing did"
    other = dlq.run(fake_aws, "redrive", "--all", STREAM_ROUTER_STREAM="another")
    assert other.returncode == 1
    assert "of stream cxone-events: set STREAM_ROUTER_STREAM to it" in other.stdout
    assert len(dlq.on_stream(fake_aws)) == 1
    assert dlq.run(fake_aws, "redrive", "--all").returncode == 0
    assert dlq.run(fake_aws, "redrive", "--reason", "crashed").returncode == 0
    put = dlq.on_stream(fake_aws)
    # What was replayed before keeps its run: consumers drop repeats by the event's id and that.
    assert sorted(item.resubmitted.rpartition("/")[2] for item in put) == ["1", "1", "6"]
    assert "replay/cxone-event-router/r1/6" in {item.resubmitted for item in put}
    assert len(ids(fake_aws)) == 2


def test_those_that_killed_a_process_stand_alone_in_their_records(fake_aws: FakeAwsProcess) -> None:
    """What dies with its record takes no neighbour along."""
    letters = Letters(fake_aws)
    deadly = {put_one(letters, reason="crashed") for _ in range(3)}
    assert dlq.run(fake_aws, "redrive", "--reason", "crashed", "--rate", "0").returncode == 0
    result = dlq.on_stream(fake_aws)
    assert {event.event_id for event in result} == deadly
    assert len({item.record for item in result}) == 3


def test_a_dry_run_says_what_would_become_of_them(fake_aws: FakeAwsProcess) -> None:
    """By type and reason, by the settings of this shell; nothing is put, nothing deleted."""
    letters = Letters(fake_aws)
    letters.put(5, ("base64",))
    letters.put(3, ("base64",), eventType="of.others")
    letters.put(2, ("base64",), timestamp="no time")
    settings = {"EVENT_TYPES": "interaction.created,agent.status.changed", "DROP_TYPES": "conversation.updated"}
    done = dlq.run(
        fake_aws, "redrive", "--dry-run", **{f"STREAM_ROUTER_{name}": value for name, value in settings.items()}
    )
    assert done.returncode == 0, done.stderr
    assert re.search(r"^ +2  published  agent\.status\.changed$", done.stdout, re.MULTILINE), done.stdout
    assert re.search(
        r"^ +3  a dead letter.*: unroutable \(UnroutableEventType\)  of\.others$", done.stdout, re.MULTILINE
    )
    assert "schema_mismatch (" in done.stdout
    assert "dropped" in done.stdout
    assert dlq.on_stream(fake_aws) == []
    assert len(dlq.left(fake_aws)) == 10


def test_a_limit_and_filters_bound_it(fake_aws: FakeAwsProcess) -> None:
    """So many go back, of those that are meant; an id of which nothing is there is no success."""
    letters = Letters(fake_aws)
    letters.put(20, ("base64",))
    letters.put(5, ("base64",), eventType="of.others")
    assert dlq.run(fake_aws, "redrive", "--limit", "3", "--event-type", "of.others").returncode == 0
    assert len(dlq.on_stream(fake_aws)) == 3
    assert len(dlq.left(fake_aws)) == 22
    assert dlq.run(fake_aws, "redrive", "--since", "1h", "--until", "30m").returncode == 0
    assert dlq.run(fake_aws, "redrive", "--id", "f" * 32).returncode == 1
    assert len(dlq.left(fake_aws)) == 22


def test_a_letter_that_is_not_whole_stays(fake_aws: FakeAwsProcess) -> None:
    """A part of it is missing, its object in S3 is gone, its data are damaged: each is said, the others go, once."""
    letters = Letters(fake_aws)
    _, parts = letters._one("parts", {})
    letters.send(parts[1:])
    letters.send(letters._one("base64", {})[1] * 2)  # a process died before it knew that it was stored
    put_one(letters, record={"encoding": "s3", "data": "s3://bucket/gone"})
    put_one(letters, record={"encoding": "base64", "data": "%"})
    letters.put(2, ("base64",))
    done = dlq.run(fake_aws, "redrive")
    assert "resubmitted 3" in done.stdout
    for why in (
        "a part of it was not seen",
        "its object in S3 cannot be read (NoSuchKey): it was deleted",
        "its data are damaged",
    ):
        assert why in done.stdout
    assert len(dlq.left(fake_aws)) == len(parts) - 1 + 2


def test_what_came_since_it_began_is_left(fake_aws: FakeAwsProcess) -> None:
    """What fails again comes back while it runs: taken once more it would wear out its five times at once."""
    letters = Letters(fake_aws)
    letters.put(60, ("base64",))
    process = dlq.start(fake_aws, "redrive", "--rate", "10")
    until(lambda: len(fake_aws.lines("DeleteMessageBatch", "accepted")) > 0, process)
    time.sleep(2.1)  # SQS's date tells seconds
    late = letters.put(5, ("base64",))
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0, output
    assert ids(fake_aws) == {event.event_id for event in late}


def until(is_so: Any, process: Any) -> None:
    deadline = time.monotonic() + 100
    while not is_so():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_none_is_lost_whatever_happens(fake_aws: FakeAwsProcess) -> None:
    """600 letters of all forms under faults, a kill -9, a Ctrl-C and two redrives at once; then one more redrive."""
    result = Letters(fake_aws).put(600, ("base64", "s3", "minimal", "entry"))
    fake_aws.plan(plan(rules=FAULTS))
    for number in (signal.SIGKILL, signal.SIGINT):
        before = len(fake_aws.lines("DeleteMessageBatch", "accepted"))
        process = dlq.start(fake_aws, "redrive", "--rate", "150")
        until(lambda: len(fake_aws.lines("DeleteMessageBatch", "accepted")) > before + 75, process)  # noqa: B023
        process.send_signal(number)
        output, _ = process.communicate(timeout=100)
        if number == signal.SIGINT:
            assert process.returncode == 1
            assert re.search(r"^go on with: stream-router dlq redrive --run \S+ --rate 150$", output, re.MULTILINE)
        assert re.search(
            r"^run \S+; if it is killed, go on with: stream-router dlq redrive --run", output, re.MULTILINE
        )
        fake_aws.queues(show_all=number == signal.SIGKILL)
    for process in [dlq.start(fake_aws, "redrive", "--rate", "0") for _ in range(2)]:
        process.communicate(timeout=400)
    fake_aws.queues(show_all=True)
    fake_aws.plan(plan())
    done = dlq.run(fake_aws, "redrive", "--rate", "0")
    assert done.returncode == 0, done.stdout + done.stderr
    assert dlq.left(fake_aws) == []
    assert {event.event_id for event in dlq.on_stream(fake_aws)} == {event.event_id for event in result}, "lost"
    assert dlq.assert_stored_before_deleted(fake_aws) >= sum(item.messages for item in result)


def test_what_is_in_hand_stays_hidden_however_long_that_takes(fake_aws: FakeAwsProcess) -> None:
    """Another reader sees none of it, though SQS would have shown it again since."""
    Letters(fake_aws).put(100, ("base64",))
    item = dlq.start(fake_aws, "redrive", "--rate", "2", **with_constants({HIDE_S: 2, KEEP_EVERY_S: 0.25}))
    until(lambda: len(dlq.on_stream(fake_aws)) >= 8, item)
    assert "read 0 dead letters" in dlq.run(fake_aws, "list").stdout
    item.send_signal(signal.SIGINT)
    item.communicate(timeout=100)


def test_while_sqs_deletes_nothing_no_more_is_put(fake_aws: FakeAwsProcess) -> None:
    """What cannot be deleted would go back again with the next redrive. So the rest waits, and the cure is said."""
    Letters(fake_aws).put(400, ("base64",))
    fake_aws.plan(plan(rules=[fault("DeleteMessageBatch", "call_error", 1.0, "AccessDenied", status=403)]))
    done = dlq.run(fake_aws, "redrive", "--rate", "200")
    assert done.returncode == 1
    assert "allow sqs:DeleteMessage" in done.stdout
    assert 0 < len(dlq.on_stream(fake_aws)) < 400
    assert len(dlq.left(fake_aws)) == 400


def test_a_stream_that_takes_nothing_ends_it_and_all_stays(fake_aws: FakeAwsProcess) -> None:
    """It is one line with the cure, and the command that goes on."""
    result = Letters(fake_aws).put(10, ("base64",))
    fake_aws.plan(plan(missing=["cxone-events"]))
    done = dlq.run(fake_aws, "redrive", "--reason", "outage")
    assert done.returncode == 1
    assert "there is no stream cxone-events; see STREAM_ROUTER_STREAM" in done.stdout
    go_on = r"^go on with: stream-router dlq redrive --run \S+ --rate 100 --reason outage$"
    assert re.search(go_on, done.stdout, re.MULTILINE)
    assert ids(fake_aws) == {event.event_id for event in result}


def test_what_a_killed_redrive_held_is_told_by_the_next(fake_aws: FakeAwsProcess) -> None:
    """SQS lets nobody else show those messages earlier than after five minutes."""
    Letters(fake_aws).put(200, ("base64",))
    item = dlq.start(fake_aws, "redrive", "--rate", "20")
    until(lambda: len(fake_aws.lines("PutRecords", "accepted")) >= 2, item)
    item.kill()
    item.communicate(timeout=100)
    hidden = len(dlq.left(fake_aws))
    done = dlq.run(fake_aws, "redrive", "--rate", "0")
    assert f"{hidden} more are hidden, since another reader has them" in done.stdout
    assert f"about {hidden} messages of cxone-events-dead-letters not seen" in done.stdout
    assert done.returncode == 1


# --- export, and back by its file


def test_what_was_mended_by_hand_goes_back_as_edited_and_the_rest_as_it_was(
    fake_aws: FakeAwsProcess, tmp_path: Path
) -> None:
    """Of the letters of the file alone: the same id, way `edit`, a run by its bytes; a stranger in the queue stays."""
    letters, file = Letters(fake_aws), tmp_path / "letters.jsonl"
    created = letters.put(6, ("base64",), eventType="order.returned")
    assert dlq.run(fake_aws, "export", str(file)).returncode == 0
    assert file.stat().st_mode & 0o777 == 0o600
    assert len(dlq.left(fake_aws)) == 6, "they stay in the queue"
    assert dlq.run(fake_aws, "export", str(file)).returncode == 1, "a file is never written over"
    letters.put(2, ("base64",))
    lines = file.read_text("utf-8").splitlines(keepends=True)
    mended = {json.loads(line)["eventId"] for line in lines[:2]}
    file.write_text("".join([line.replace("order.returned", "order.created") for line in lines[:2]] + lines[2:]))
    done = dlq.run(fake_aws, "redrive", "--file", str(file))
    assert done.returncode == 0, done.stderr
    assert "resubmitted 6; run" in done.stdout
    assert "the file holds 6 dead letters, 2 edited" in done.stdout
    result = {event.event_id: event for event in dlq.on_stream(fake_aws)}
    assert result.keys() == {event.event_id for event in created}
    for identity, item in result.items():
        edited = identity in mended
        assert (b"order.created" in item.body) is edited
        assert item.resubmitted.startswith("edit/cxone-event-router/" if edited else "redrive/cxone-event-router/")
    assert len(dlq.left(fake_aws)) == 2
    gone = dlq.run(fake_aws, "redrive", "--file", str(file))
    assert gone.returncode == 1
    file.write_text(lines[0] + "{}\n")
    bad = dlq.run(fake_aws, "redrive", "--file", str(file))
    assert bad.returncode == 1
    assert "line 2 was not written by `dlq export`" in bad.stderr
    assert len(dlq.on_stream(fake_aws)) == 6


def test_what_is_no_json_is_edited_as_text(fake_aws: FakeAwsProcess, tmp_path: Path) -> None:
    """A line that nobody can parse can be mended; one that is not text goes back as it is."""
    letters, file = Letters(fake_aws), tmp_path / "letters.jsonl"
    put_one(letters, record={"encoding": "s3", "data": "s3://bucket/gone"})
    broken = {"encoding": "base64", "data": base64.b64encode(b'{"interactionId": "i"').decode()}
    binary = {"encoding": "base64", "data": base64.b64encode(b"\xff\x00").decode()}
    item, other = put_one(letters, record=broken), put_one(letters, record=binary)
    exported = dlq.run(fake_aws, "export", str(file))
    assert (exported.returncode, "(NoSuchKey): it was deleted" in exported.stdout) == (1, True), (
        "not all is in the file"
    )
    file.write_text(file.read_text().replace('\\"i\\"', '\\"i\\"}'))
    assert dlq.run(fake_aws, "redrive", "--file", str(file)).returncode == 0
    result = {put.event_id: put.body for put in dlq.on_stream(fake_aws)}
    assert result == {item: b'{"interactionId": "i"}', other: b"\xff\x00"}
