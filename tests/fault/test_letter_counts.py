"""`dlq list` sees a whole queue: its counts equal those of a script that uses boto3 alone, and 100,000 letters fit."""

import random
import re
import resource
import subprocess
import time
from typing import NamedTuple

import pytest

from tests import dead_letters as dlq
from tests import queues
from tests.dead_letters import Letters
from tests.fakeaws.process import FakeAwsProcess

pytestmark = [pytest.mark.long, pytest.mark.timeout(1200)]

TYPES = tuple(f"of.kind.{number}" for number in range(8))
LETTERS, OVER_S = 5_000, 600
MANY, WITHIN_S, RSS_BYTES = 100_000, 240.0, 300 * 1024 * 1024
"""A minute or two, with slack for a machine that does other things as well."""


FAKE_AWS = ({"shards": 2, "shard_limits": False}, 7)


class Read(NamedTuple):
    """What boto3 reads of a letter: time of sending in milliseconds, the event's type and id."""

    sent_ms: int
    event_type: str
    event_id: str


def read_whole_queue(fake_aws: FakeAwsProcess) -> list[Read]:
    """Return all letters of the queue, and show them to other readers again."""
    return [
        Read(
            int(message["Attributes"]["SentTimestamp"]),
            message["MessageAttributes"]["eventType"]["StringValue"],
            message["MessageAttributes"]["eventId"]["StringValue"],
        )
        for message in queues.peek(dlq.client(fake_aws, "sqs"), dlq.QUEUE)
    ]


def matches(fake_aws: FakeAwsProcess, *filters: str) -> int:
    """Return the number of letters that `dlq list` with these filters says match, out of all."""
    listed = dlq.run(fake_aws, "list", *filters)
    assert listed.returncode == 0, listed.stdout + listed.stderr
    read = re.search(r"read ([\d,]+) dead letters(?:; ([\d,]+) of them match)?", listed.stdout)
    assert read is not None, listed.stdout
    assert int(read[1].replace(",", "")) == LETTERS
    return int((read[2] or read[1]).replace(",", ""))


def test_each_filters_count_equals_a_scripts(fake_aws: FakeAwsProcess) -> None:
    """5,000 letters of eight types, sent over ten minutes: by type, by time, by both, by id."""
    letters, dice, begun_s = Letters(fake_aws), random.Random(57), time.monotonic()
    for number in range(LETTERS // 10):
        time.sleep(max(0.0, begun_s + number * OVER_S / (LETTERS // 10) - time.monotonic()))
        letters.put(10, ("base64",), eventType=dice.choice(TYPES))
    whole_queue = read_whole_queue(fake_aws)
    assert len(whole_queue) == LETTERS
    for event_type in TYPES:
        assert matches(fake_aws, "--event-type", event_type) == sum(
            letter.event_type == event_type for letter in whole_queue
        )
    first_s = min(letter.sent_ms for letter in whole_queue) / 1000
    for minutes in (1, 4, 7):
        edge_s = int(first_s) + minutes * 60
        edge = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(edge_s))
        since = [letter.event_type for letter in whole_queue if letter.sent_ms >= edge_s * 1000]
        assert matches(fake_aws, "--since", edge) == len(since)
        assert matches(fake_aws, "--until", edge) == LETTERS - len(since)
        assert matches(fake_aws, "--since", edge, "--event-type", TYPES[3]) == since.count(TYPES[3])
    for letter in dice.sample(whole_queue, 3):
        assert matches(fake_aws, "--id", letter.event_id) == 1


def test_a_list_of_100_000_letters_takes_a_minute_or_two_and_bounded_memory(fake_aws: FakeAwsProcess) -> None:
    letters = Letters(fake_aws)
    letters.put(MANY, ("minimal",))
    begun_s = time.monotonic()
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    command = [dlq.PROGRAM, "dlq", "list"]
    listed = subprocess.run(
        command, env=dlq.environment(fake_aws), capture_output=True, text=True, timeout=600, check=False
    )
    took_s = time.monotonic() - begun_s
    rss_bytes = max(before, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss) * 1024
    print(f"{MANY:,} letters: {took_s:.0f} s, {rss_bytes / 2**20:.0f} MiB")  # noqa: T201 - the figures of the report
    assert listed.returncode == 0, listed.stdout + listed.stderr
    assert f"read {MANY:,} dead letters" in listed.stdout
    assert took_s <= WITHIN_S
    assert rss_bytes <= RSS_BYTES
