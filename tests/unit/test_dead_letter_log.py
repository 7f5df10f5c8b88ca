"""The log of dead letters: which, why, where to look; never a flood, never a payload. And the cure of a hold."""

import logging
from types import SimpleNamespace
from typing import Any

import pytest

from stream_router.consumer.child.telling.dead_letter_log import DeadLetterLog
from stream_router.errors import CODES, Disposition, cure
from stream_router.model import DeadLetter, Reason


class Clock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def letter(identity: str) -> DeadLetter:
    event: Any = SimpleNamespace(event_id=identity, raw=b"c4n4ry", body={"secret": "c4n4ry"})
    return DeadLetter(event, Reason.UNROUTABLE, "UnroutableEventType", "no rule lets it through")


def test_each_is_a_line_with_what_it_was_and_where_to_look(caplog: pytest.LogCaptureFixture) -> None:
    """By the event's id; one without an id is to be found in the list."""
    log = DeadLetterLog("shardId-0", Clock())
    log.buried(letter("a" * 32))
    log.buried(letter(""))
    first, second = caplog.records
    assert first.getMessage() == (
        f"an event became a dead letter: unroutable (UnroutableEventType); see stream-router dlq show {'a' * 32}"
    )
    assert first.__dict__["shard"] == "shardId-0"
    assert second.getMessage().endswith("see stream-router dlq list")
    assert all(record.levelno == logging.WARNING for record in caplog.records)
    assert "c4n4ry" not in caplog.text


def test_more_than_ten_in_a_second_are_a_number(caplog: pytest.LogCaptureFixture) -> None:
    """Told when the second is over, whether or not another one comes."""
    clock = Clock()
    log = DeadLetterLog("shardId-0", clock)
    for number in range(90):
        log.buried(letter(str(number)))
    assert len(caplog.records) == 10
    log.tick()
    assert len(caplog.records) == 10
    clock.now_s = 1.0
    log.tick()
    assert caplog.records[-1].getMessage() == "80 events more became dead letters; see stream-router dlq list"
    log.tick()
    log.buried(letter("next"))
    assert len(caplog.records) == 12


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("AccessDeniedException", "grant it"),
        ("ExpiredTokenException", "renew the credentials"),
        ("RequestTimeTooSkewed", "check this host's clock"),
        ("AWS.SimpleQueueService.NonExistentQueue", "unset SQS_DLQ_URL, then stream-router setup"),
        ("ThrottlingException", "raise the quota"),
        ("KMSThrottlingException", "raise the quota of KMS"),
        ("KMSDisabledException", "enable the key"),
        ("KMSAccessDeniedException", "grant the use of the key"),
        ("NoAnswer", "check the network"),
        ("RequestTimeout", "check the network"),
        ("InvalidAccessKeyId", "renew the credentials"),
        ("NoSuchBucket", "name a bucket"),
        ("PermanentRedirect", "name a bucket"),
        ("Http503", "mends itself"),
        ("NeverHeardOf", "API reference"),
    ],
)
def test_a_hold_ends_with_what_to_do(code: str, words: str) -> None:
    """By AWS's code."""
    assert words in cure(code)


def test_what_a_setting_or_a_right_mends_is_never_said_to_mend_itself() -> None:
    """Of all codes that hold, only faults of the service's own do."""
    holds = [code for code, means in CODES.items() if means.disposition is Disposition.HOLD]
    alone = {code for code in holds if "mends itself" in cure(code)}
    assert alone == {
        *("ServiceUnavailable", "ServiceUnavailableException", "ResourceInUseException", "InvalidStateException"),
    }
