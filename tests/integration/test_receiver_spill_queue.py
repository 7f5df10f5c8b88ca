"""The real receiver with an SQS queue as its spill: an outage is 202, and all of it reaches the stream."""

import time
from pathlib import Path

import pytest

from stream_router.receiver.spill_queue import VISIBILITY_TIMEOUT_S
from tests.fakeaws.process import FakeAwsProcess
from tests.receiver_kit import event, eventually, receiver, stored_ids
from tests.receiver_load import post, send

UP = {"shard_limits": False}
DOWN = {"shard_limits": False, "rules": [{"fault": "outage", "operation": "PutRecords"}]}
BOTH_DOWN = {"shard_limits": False, "rules": [*DOWN["rules"], {"fault": "outage", "operation": "SendMessageBatch"}]}  # type: ignore[misc]


def settings_for(url: str) -> dict[str, str]:
    return {"HMAC_ID_HEADER": "x-delivery-id", "SPILL_QUEUE": f"{url}/000000000000/spill"}


def environment_for(url: str) -> list[str]:
    return ["env", f"AWS_ENDPOINT_URL_SQS={url}", f"SQS_DLQ_URL={url}/000000000000/dlq"]


def test_through_an_outage_the_queue_takes_events_and_a_second_receiver_drains_them(tmp_path: Path) -> None:
    """Every 202 is in the stream, hardly any event twice, though the receiver that took them is killed."""
    with FakeAwsProcess(tmp_path / "ledger", UP) as aws:
        around = environment_for(aws.url)
        folders = [tmp_path / name for name in ("first", "second")]
        for folder in folders:
            folder.mkdir()
        with receiver(aws.url, folders[0], around, **settings_for(aws.url)) as first:
            aws.plan(DOWN)
            posts = [post(event(number, number % 97), {"x-delivery-id": f"d{number}"}) for number in range(400)]
            answers = send(first.address, posts, 100, 100)
            first.kill()
        aws.plan(UP)
        with receiver(aws.url, folders[1], around, **settings_for(aws.url)) as second:
            promised = {answer.identity for answer in answers if answer.status == 202}
            assert len(promised) >= 0.9 * len(posts)
            aws_ids = eventually(lambda: promised <= set(ids := stored_ids(aws.lines("PutRecords"))) and ids, 90.0)
            assert len(aws_ids) <= 1.2 * len(posts)
            assert second.stop() == 0


def test_a_clean_stop_shows_the_messages_in_hand_at_once(tmp_path: Path) -> None:
    """Another receiver drains them long before they would be shown by themselves, and the stop keeps its time."""
    with FakeAwsProcess(tmp_path / "ledger", DOWN) as aws:
        around = environment_for(aws.url)
        folders = [tmp_path / name for name in ("first", "second")]
        for folder in folders:
            folder.mkdir()
        with receiver(aws.url, folders[0], around, **settings_for(aws.url)) as first:
            posts = [post(event(number), {"x-delivery-id": f"d{number}"}) for number in range(40)]
            answers = send(first.address, posts, 20, 40)
            promised = {answer.identity for answer in answers if answer.status == 202}
            assert promised
            eventually(lambda: aws.lines("ReceiveMessage", "accepted"))
            began_s = time.monotonic()
            assert first.stop() == 0
            assert time.monotonic() - began_s < 10.0
        aws.plan(UP)
        with receiver(aws.url, folders[1], around, **settings_for(aws.url)):
            eventually(lambda: promised <= set(stored_ids(aws.lines("PutRecords"))), VISIBILITY_TIMEOUT_S / 3)


def test_a_queue_that_does_not_exist_ends_the_start(tmp_path: Path) -> None:
    """One line with the check's code; an SQS that answers nothing does not end it (the other tests' outages)."""
    with FakeAwsProcess(tmp_path / "ledger", {**UP, "missing": ["spill"]}) as aws:
        around = environment_for(aws.url)
        with (
            pytest.raises(RuntimeError, match=r"STREAM_ROUTER_SPILL_QUEUE: there is no such queue; .*\(SR107\)"),
            receiver(aws.url, tmp_path, around, **settings_for(aws.url)),
        ):
            pass


def test_messages_that_are_nearly_full_are_drained(tmp_path: Path) -> None:
    """Ten of them are one answer of SQS's."""
    with FakeAwsProcess(tmp_path / "ledger", DOWN) as aws:
        around = environment_for(aws.url)
        with receiver(aws.url, tmp_path, around, **settings_for(aws.url)) as running:
            posts = [post(b'{"n":%d,"x":"%b"}' % (number, b'\\"' * 330_000)) for number in range(12)]
            answers = send(running.address, posts, 4, 12)
            promised = {answer.identity for answer in answers if answer.status == 202}
            assert len(promised) >= 10
            aws.plan(UP)
            eventually(lambda: promised <= set(stored_ids(aws.lines("PutRecords"))), 60.0)


def test_while_stream_and_queue_are_down_it_is_503(tmp_path: Path) -> None:
    """And the log says that the spill takes nothing."""
    with FakeAwsProcess(tmp_path / "ledger", BOTH_DOWN) as aws:
        around = environment_for(aws.url)
        with receiver(aws.url, tmp_path, around, **settings_for(aws.url)) as running:
            answers = send(running.address, [post(event(number)) for number in range(100)], 50, 50)
            assert {answer.status for answer in answers} == {503}
            eventually(lambda: "spill-down" in {line.get("event") for line in running.lines("WARNING")})


@pytest.mark.parametrize(
    ("setting", "reason"),
    [({"ORDERING": "conversation"}, "order"), ({"SPILL_DIR": "."}, "SPILL_DIR"), ({}, "SQS_DLQ_URL")],
)
def test_it_is_refused_with_the_reason(tmp_path: Path, setting: dict[str, str], reason: str) -> None:
    """With order, beside a folder, or without a dead-letter queue: one line."""
    if "SPILL_DIR" in setting:
        setting = {"SPILL_DIR": str(tmp_path)}
    with (
        pytest.raises(RuntimeError, match=rf"STREAM_ROUTER_SPILL_QUEUE: .*{reason}"),
        receiver(
            "http://127.0.0.1:1",
            tmp_path,
            environment_for("http://x") if setting else (),
            **(settings_for("http://127.0.0.1:1") | setting),
        ),
    ):
        pass
