"""`stream-router dlq list`, `show`, `export`, `import` as processes, against the fake AWS."""

import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from stream_router.envelope import seal
from stream_router.model import Reason, event_id
from tests import dead_letters as dlq
from tests.dead_letters import Letters
from tests.fakeaws.process import FakeAwsProcess


@pytest.fixture
def fake_aws(tmp_path: Path) -> Iterator[FakeAwsProcess]:
    with FakeAwsProcess(tmp_path / "ledger.jsonl", {"bus_rules": [dlq.RULE]}, 7, "--payloads") as made:
        yield made


@pytest.fixture
def letters(fake_aws: FakeAwsProcess) -> Letters:
    return Letters(fake_aws)


def _broken(letters: Letters, raw: bytes, identity: str) -> None:
    letter = letters.letter(raw, identity, "content", reason=Reason.MALFORMED_JSON, code="MalformedJson", attempts=0)
    letters.send(letters.write(letter))


def test_list_counts_by_reason_first_and_disturbs_nothing(fake_aws: FakeAwsProcess, letters: Letters) -> None:
    """Each message once, by id; what was looked at is visible again at once, and counted as looked at once."""
    letters.put(40, ("base64",))
    for number in range(3):
        _broken(letters, b"{", f"{number:032x}")
    done = dlq.run(fake_aws, "list")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == f"{dlq.QUEUE_NAME}: sampled 43 of about 43"
    assert lines[1:4] == ["by reason: 43", "       40  outage", "        3  malformed_json"]
    assert "       40  outage  ThrottlingException" in lines
    assert "       14  conversation.updated" in lines
    assert "        3  (not known)" in lines
    assert "       43  shardId-000000000000" in lines
    assert [line[:9] for line in lines[-2:]] == ["oldest 20", "newest 20"]
    assert max(map(len, lines)) <= 60
    assert {message["received"] for message in fake_aws.queues()[dlq.QUEUE_NAME]} == {1}
    again = dlq.run(fake_aws, "list", "--reason", "malformed_json")
    assert "3 of them are meant, 40 are not" in again.stdout
    typed = dlq.run(fake_aws, "list", "--event-type", "conversation.updated")
    assert "14 of them are meant, 29 are not" in typed.stdout, "whose type is not known, is not of this type"


def test_list_says_that_it_saw_a_sample(fake_aws: FakeAwsProcess, letters: Letters) -> None:
    """It does not read a whole queue to say what it is about."""
    letters.put(1_400, ("base64",))
    done = dlq.run(fake_aws, "list")
    assert "sampled 1,000 of about 1,400" in done.stdout


def test_a_queue_that_does_not_answer_is_told_with_its_endpoint(fake_aws: FakeAwsProcess) -> None:
    """An endpoint is left from a trial more often than a right is missing."""
    nobody = "http://127.0.0.1:1"
    done = dlq.run(fake_aws, "list", AWS_ENDPOINT_URL=nobody, SQS_DLQ_URL=f"{nobody}/1/q")
    assert done.returncode == 1
    assert "no answer at 127.0.0.1:1 (EndpointConnectionError); start what listens there" in done.stderr


def test_show_tells_all_but_the_payload(fake_aws: FakeAwsProcess, letters: Letters) -> None:
    """By the event's id or the message's; the payload only where it is asked for, masked where masking is on."""
    made = letters.put(5, ("base64",))
    done = dlq.run(fake_aws, "show", made[2].event_id)
    assert done.returncode == 0, done.stderr
    assert f"event       {made[2].event_id} (delivery)" in done.stdout
    assert "error       ThrottlingException: accepted nothing" in done.stdout
    assert "Zoë" not in done.stdout
    message = fake_aws.queues()[dlq.QUEUE_NAME][0]["id"]
    assert dlq.run(fake_aws, "show", message).returncode == 0
    assert '"name": "Zoë"' in dlq.run(fake_aws, "show", made[2].event_id, "--payload").stdout
    masked = dlq.run(fake_aws, "show", made[2].event_id, "--payload", STREAM_ROUTER_MASKING="default").stdout
    assert "masked by default" in masked
    assert "Zoë" not in masked
    missing = dlq.run(fake_aws, "show", "f" * 32)
    assert missing.returncode == 1
    assert "no dead letter" in missing.stderr
    assert len(dlq.left(fake_aws)) == 5


def test_show_joins_the_parts_for_the_payload(fake_aws: FakeAwsProcess, letters: Letters) -> None:
    """Of a letter in several messages."""
    (made,) = letters.put(1, ("parts",))
    done = dlq.run(fake_aws, "show", made.event_id, "--payload")
    assert '"name": "Zoë"' in done.stdout


def _file(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def test_export_keeps_and_takes(fake_aws: FakeAwsProcess, letters: Letters, tmp_path: Path) -> None:
    """A copy first; with --take they leave the queue, after the file is on disk, and come back by import."""
    made = letters.put(24)
    copy, taken = tmp_path / "copy.jsonl", tmp_path / "taken.jsonl"
    assert dlq.run(fake_aws, "export", str(copy)).returncode == 0
    before = len(dlq.left(fake_aws))
    assert before == sum(one.messages for one in made)
    assert {line["letter"]["origin"]["eventId"] for line in _file(copy)} == {one.event_id for one in made}
    assert copy.stat().st_mode & 0o777 == 0o600
    again = dlq.run(fake_aws, "export", str(copy))
    assert again.returncode == 1
    assert "File exists" in again.stderr
    refused = dlq.run(fake_aws, "import", str(copy))
    assert refused.returncode == 1
    assert "imported 0 dead letters" in refused.stdout
    assert "refused 24: still in the queue" in refused.stdout
    assert dlq.run(fake_aws, "export", str(taken), "--take").returncode == 0
    assert dlq.left(fake_aws) == []
    assert dlq.run(fake_aws, "import", str(taken)).returncode == 0
    assert dlq.run(fake_aws, "redrive", "--rate", "0").returncode == 0
    assert dlq.accepted(fake_aws) == dict.fromkeys([one.event_id for one in made], 1)
    assert not [line for line in fake_aws.lines("PutEvents") if "replayed" in line["payload"]]


def test_what_was_mended_by_hand_keeps_its_id_and_says_so(
    fake_aws: FakeAwsProcess, letters: Letters, tmp_path: Path
) -> None:
    """An event whose time was wrong, and a line that was no JSON: edited, imported, redriven, marked.

    A copy of it that comes back by another import is marked as the first was: it is a repeat, by the pair.
    """
    body = {"interactionId": "i", "eventType": "interaction.created", "timestamp": "no time", "payload": {"n": 1.10}}
    raw_body = json.dumps(body).encode()
    identity = event_id("hmac", "d", 0, raw_body)
    wrong = seal(identity, "delivery", dlq.BEGUN_MS, raw_body)
    letters.send(letters.write(letters.letter(wrong, identity, reason=Reason.SCHEMA_MISMATCH, code="BadTimestamp")))
    good = json.dumps({**body, "timestamp": "2026-11-24T10:30:00Z"})
    _broken(letters, good[:-1].encode(), "b" * 32)
    file = tmp_path / "letters.jsonl"
    assert "skipped 2" in dlq.run(fake_aws, "redrive").stdout
    assert dlq.run(fake_aws, "export", str(file), "--take").returncode == 0
    lines = _file(file)
    for line in lines:
        if "event" in line:
            line["event"]["body"]["timestamp"] = "2026-11-24T10:30:00Z"
        else:
            line["line"] += "}"
    file.write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")
    done = dlq.run(fake_aws, "import", str(file))
    assert "imported 2 dead letters, 2 of them edited" in done.stdout
    assert {body["edited"] for body in dlq.left(fake_aws)} == {True}
    assert dlq.run(fake_aws, "redrive").returncode == 0
    assert dlq.run(fake_aws, "import", str(file)).returncode == 0
    assert dlq.run(fake_aws, "redrive").returncode == 0
    published = [json.loads(line["payload"]) for line in fake_aws.lines("PutEvents", "accepted")]
    pairs = Counter((detail["eventId"], detail["metadata"]["replayed"]) for detail in published)
    assert sorted((event, times) for (event, _), times in pairs.items()) == sorted([(identity, 2), ("b" * 32, 2)])
    assert all(re.fullmatch(r"redrive/[0-9a-f]{16}", mark) for _, mark in pairs)
    assert len({mark for _, mark in pairs}) == 2
    assert dlq.left(fake_aws) == []


@pytest.mark.parametrize("text", ["no json", "[]", '{"schema":"x"}', '{"schema":"stream-router.dead-letter-export/1"}'])
def test_a_file_that_is_none_is_refused_whole(fake_aws: FakeAwsProcess, tmp_path: Path, text: str) -> None:
    """By the line's number, quoting nothing."""
    file = tmp_path / "x.jsonl"
    file.write_text("\n" + text + "\n", "utf-8")
    done = dlq.run(fake_aws, "import", str(file))
    assert done.returncode == 1
    assert "line 2 is none that `export` wrote" in done.stderr
    assert fake_aws.queues() == {}


def test_an_export_that_cannot_write_takes_nothing(fake_aws: FakeAwsProcess, letters: Letters) -> None:
    """A full disk: everything stays in the queue."""
    letters.put(3, ("base64",))
    done = dlq.run(fake_aws, "export", "/dev/full", "--take")
    assert done.returncode == 1
    assert len(dlq.left(fake_aws)) == 3


def test_what_an_export_cannot_read_it_does_not_take(
    fake_aws: FakeAwsProcess, letters: Letters, tmp_path: Path
) -> None:
    """A letter whose bytes are in S3 and cannot be had now is skipped, said, and stays in the queue."""
    made = letters.put(2, ("base64",))
    gone = letters.letter(b"{}", "c" * 32)
    letters.send(letters._writer.write_reference(gone, "s3://bucket/dead-letters/gone"))
    file = tmp_path / "letters.jsonl"
    done = dlq.run(fake_aws, "export", str(file), "--take")
    assert done.returncode == 1
    assert "its object in S3 cannot be had" in done.stdout
    assert {line["letter"]["origin"]["eventId"] for line in _file(file)} == {one.event_id for one in made}
    assert [body["origin"]["eventId"] for body in dlq.left(fake_aws)] == ["c" * 32]
