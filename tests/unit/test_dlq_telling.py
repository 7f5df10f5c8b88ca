"""How the commands on dead letters talk: where nobody listens any more, and where S3 gives nothing."""

import os
import signal
import sys
from types import SimpleNamespace

import pytest
from botocore.exceptions import ClientError

from stream_router.control.dead_letters.desk import Depth, Desk
from stream_router.control.dead_letters.telling import PLAIN_EVERY_S, Bar, Interrupt, say, warn
from stream_router.pipeline.sinks.dead_letters.reader import UnavailableLetterError, UnreadableLetterError


@pytest.mark.parametrize("name", ["stdout", "stderr"])
def test_a_reader_that_went_stops_no_work(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """`dlq redrive 2>&1 | head -1`: the redrive goes on to its end, and deletes what it published."""
    reads, writes = os.pipe()
    os.close(reads)
    now = 0.0
    with os.fdopen(writes, "w") as nobody:
        monkeypatch.setattr(sys, name, nobody)
        bar = Bar("redriven", lambda: now)
        say("found")
        warn("trouble")
        now = PLAIN_EVERY_S
        bar.at(1, 2)
        say("found more")


def test_a_terminal_that_is_closed_is_a_first_ctrl_c() -> None:
    """An ssh session that breaks: what is in flight is finished, and the rest is given back."""
    asked = Interrupt()
    os.kill(os.getpid(), signal.SIGHUP)
    assert asked()


def test_only_a_second_ctrl_c_ends_at_once() -> None:
    """A closed terminal is told twice, by the kernel and by the shell: what is in flight is finished all the same."""
    asked = Interrupt()
    for number in (signal.SIGHUP, signal.SIGHUP, signal.SIGTERM):
        os.kill(os.getpid(), number)
        assert asked()
    with pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGINT)


def test_a_signal_that_is_ignored_stays_so() -> None:
    """`nohup stream-router dlq redrive` goes on without its terminal."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    asked = Interrupt()
    os.kill(os.getpid(), signal.SIGHUP)
    assert not asked()


@pytest.mark.parametrize(
    ("code", "kind", "cure"),
    [
        ("NoSuchKey", UnreadableLetterError, ""),
        ("AccessDenied", UnavailableLetterError, "s3:ListBucket, without which S3 denies what is gone too"),
        ("SlowDown", UnavailableLetterError, "allow s3:GetObject, or try again later"),
    ],
)
def test_an_object_that_s3_denies_may_be_gone(code: str, kind: type[UnreadableLetterError], cure: str) -> None:
    """Who may not list the bucket is denied what is not there: with GetObject alone the cure would be none."""

    def get_object(**_: str) -> None:
        raise ClientError({"Error": {"Code": code}}, "GetObject")

    desk = Desk.__new__(Desk)
    desk._s3 = SimpleNamespace(get_object=get_object)
    with pytest.raises(kind) as caught:
        desk.fetch("s3://bucket/key")
    assert type(caught.value) is kind
    assert str(caught.value).endswith(cure or f"({code})")


@pytest.mark.parametrize("policy", ["", '{"deadLetterTargetArn":"arn:aws:sqs:r:1:grave","maxReceiveCount":3}', "{"])
def test_a_queue_that_moves_away_what_was_looked_at_is_told_once(
    policy: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each command receives every message: the third `dlq list` would empty the queue into another."""
    counts = {"ApproximateNumberOfMessages": "7", "ApproximateNumberOfMessagesNotVisible": "1"}
    answer = {
        "ResponseMetadata": {"HTTPHeaders": {"date": "Tue, 24 Nov 2026 09:30:00 GMT"}},
        "Attributes": counts | ({"RedrivePolicy": policy} if policy else {}),
    }
    desk = Desk.__new__(Desk)
    desk._sqs = SimpleNamespace(get_queue_attributes=lambda **_: answer)
    desk.messages = SimpleNamespace(queue_url="https://sqs/1/q", name="q", begun_ms=0.0)  # type: ignore[assignment]
    assert desk.depth() == desk.depth() == Depth(7, 1)
    told = capsys.readouterr().err
    assert told.count("SQS moves a message of q away once it was received as often as its RedrivePolicy says") == bool(
        policy
    )
    assert ("to grave after 3 times" in told) == ("grave" in policy)
