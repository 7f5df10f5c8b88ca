"""docs/dead-letters.md, docs/doctor.md and docs/find-and-replay.md, tried line by line: their terminals as shells."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

from tests import queues
from tests.system.test_tutorial import SHELL_BLOCK, Reader, Terminal, event_of

pytestmark = [pytest.mark.system, pytest.mark.long, pytest.mark.timeout(300)]


@pytest.fixture
def reader(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Reader]:
    """Someone who types a page's blocks; its stack is there, its receiver and its consumer work."""
    page = (Path(__file__).parents[2] / "docs" / f"{request.param}.md").read_text("utf-8")
    created = Reader(tmp_path)
    created.blocks = [(result[1], result[2].splitlines()) for result in SHELL_BLOCK.finditer(page)]
    stack = created.type_next()
    created.env_file = stack.wait_for(r"in each other terminal, first: \. (\S+)$")[1]
    created.type_next().wait_for("The receiver serves")
    created.type_next().wait_for("shard taken up")
    yield created
    for terminal in reversed(created.terminals.values()):
        terminal.close()


def arrived(reader: Reader, count: int) -> list[dict[str, Any]]:
    """The Details of so many events at the target."""
    session: Any = boto3.session.Session("test", "test", region_name="us-east-1")
    sqs = session.client("sqs", endpoint_url=reader.stack_url)
    url = sqs.get_queue_url(QueueName="local-target")["QueueUrl"]
    details: list[dict[str, Any]] = []
    while len(details) < count:
        details += [body["detail"] for body in queues.drain(sqs, url)]
    return details


@pytest.mark.parametrize("reader", ["dead-letters"], indirect=True)
def test_dead_letters_from_the_first_command_to_the_last(reader: Reader, tmp_path: Path) -> None:
    """They are counted, mended by a setting and by hand, and redriven."""
    hand = reader.type_next()
    hand.wait_for("202 accepted")
    listing = reader.blocks[0]
    reader.type_next()
    while "5" not in hand.wait_for(r"read \d+")[0]:  # the page's reader looks again
        reader.blocks.insert(0, listing)
        reader.type_next()
    for pattern in ("5  unroutable  UnroutableEventType", "5  a dead letter: unroutable"):
        hand.wait_for(pattern)
        reader.type_next()
    hand.wait_for("5  published  order.created")
    reader.terminals["terminal 3"].interrupt()
    reader.type_next().wait_for("shard taken up")
    reader.type_next()
    hand.wait_for("^resubmitted 5;")
    events = arrived(reader, 5)
    reader.type_next()
    hand.wait_for("202 accepted")
    hand.type("until stream-router dlq list | grep 'read 2'; do sleep 1; done")
    hand.wait_for("read 2")
    reader.type_next()
    for pattern in ("exported 2 dead letters to letters.jsonl", "2 edited", "^resubmitted 2;"):
        hand.wait_for(pattern)
    events += arrived(reader, 2)
    reader.type_next()
    hand.wait_for("read 0")
    assert not reader.blocks
    assert (tmp_path / "letters.jsonl").stat().st_mode & 0o777 == 0o600
    assert [event["eventType"] for event in events] == ["order.created"] * 7
    assert len({event["eventId"] for event in events}) == 7
    assert sum("replayed" in event["metadata"] for event in events) == 2


@pytest.mark.parametrize("reader", ["doctor"], indirect=True)
def test_doctor_from_the_first_command_to_the_last(reader: Reader) -> None:
    """Masking off is a warning; then all is well; then an event of our own goes the whole way, and is timed."""
    operator = reader.type_next()
    operator.wait_for(r"^warning +SR005 +masking ")
    operator.wait_for(r"^well: 1 warning, \d+ ok, \d+ not asked$")
    operator.wait_for(r"^well: \d+ ok, \d+ not asked$")
    assert all(int(operator.wait_for(rf"^ok +SR20{number} .* (\d+) ms ?")[1]) < 60_000 for number in (1, 2, 3))
    operator.wait_for(r"^well: \d+ ok, \d+ not asked$")
    assert not reader.blocks


def fate(terminal: Terminal, identity: str) -> str:
    """The verdict of `find` on an event."""
    terminal.wait_for(f"^{identity}")
    return terminal.wait_for(r"^  verdict +(.*)$")[1]


@pytest.mark.parametrize("reader", ["find-and-replay"], indirect=True)
def test_find_and_replay_from_the_first_command_to_the_last(reader: Reader) -> None:
    """One event was accepted, one is a dead letter, one was never received; the good one comes out again."""
    stack, hand = reader.terminals["terminal 1"], reader.type_next()
    good, bad = (hand.wait_for(r"^eventId: (\w{32})$")[1] for _ in range(2))
    first = event_of(stack, good)
    for name, identity in (("EVENT-ID-1", good), ("EVENT-ID-2", bad)):
        reader.blocks = [(block, [line.replace(name, identity) for line in lines]) for block, lines in reader.blocks]
        hand.type(f"until stream-router find {identity} | grep -q 'past the\\|dead-letter'; do sleep 1; done")
    reader.type_next()
    assert fate(hand, good) == "past the checkpoint and in no queue: accepted by EventBridge, or its letter is gone"
    assert fate(hand, bad) == "in the dead-letter queue"
    assert fate(hand, "0" * 32).startswith("not in the stream since ")
    reader.type_next()
    hand.wait_for("^would resubmit 1;")
    run = hand.wait_for("^resubmitted 1; run (.*)$")[1]
    again = event_of(stack, good)
    assert again["detail"]["metadata"].pop("replayed") == run
    for event in (first, again):
        del event["detail"]["processedAt"]
    assert again["detail"] == first["detail"]
    assert not reader.blocks
