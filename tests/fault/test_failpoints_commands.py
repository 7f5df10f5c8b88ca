"""`dlq redrive`, `export --take` and `import` at each of their failpoints: no letter is lost, copies are explained."""

import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import dead_letters as dlq
from tests.dead_letters import Letters
from tests.fakeaws.process import FakeAwsProcess

COUNT = 24
REFUSE = {"operation": "PutEvents", "fault": "entry_error", "code": "MalformedDetail"}
ACTIONS = ("kill@2", pytest.param("stall:2s@2", marks=pytest.mark.long))


@pytest.fixture
def fake_aws(tmp_path: Path) -> Iterator[FakeAwsProcess]:
    with FakeAwsProcess(tmp_path / "ledger.jsonl", {"bus_rules": [dlq.RULE]}, 7) as made:
        yield made


def run(
    fake_aws: FakeAwsProcess, place: str, action: str, *words: str, status: int = 0
) -> "subprocess.CompletedProcess[str]":
    """A command with a failpoint; it is killed there, or stalls and ends with `status`. What it held shows again."""
    done = dlq.run(fake_aws, *words, STREAM_ROUTER_FAILPOINTS=f"{place}={action}")
    assert f"failpoint {place}" in done.stderr
    assert done.returncode == (-signal.SIGKILL if "kill" in action else status), done.stderr
    fake_aws.queues(show_all=True)
    return done


def ids(bodies: list[dict[str, Any]]) -> set[str]:
    return {body["origin"]["eventId"] for body in bodies}


@pytest.mark.parametrize("action", ACTIONS)
def test_redrive_between_settled_and_deleted(fake_aws: FakeAwsProcess, action: str) -> None:
    """After a kill every event is accepted at least once, and again only where its message was still there."""
    made = {one.event_id for one in Letters(fake_aws).put(COUNT, ("base64",))}
    run(fake_aws, "redrive_settled_before_deleted", action, "redrive", "--rate", "0")
    before, waiting = dict(dlq.accepted(fake_aws)), ids(dlq.left(fake_aws))
    assert before.keys() | waiting == made
    assert bool(waiting) is ("kill" in action)
    if waiting:
        assert dlq.run(fake_aws, "redrive", "--rate", "0").returncode == 0
    assert dlq.left(fake_aws) == []
    after = dlq.accepted(fake_aws)
    assert after.keys() == made
    assert all(after[one] == before.get(one, 0) + (one in waiting) for one in made)
    dlq.assert_accepted_before_deleted(fake_aws)


@pytest.mark.parametrize("action", ACTIONS)
def test_redrive_between_the_next_generation_and_the_delete(fake_aws: FakeAwsProcess, action: str) -> None:
    """A letter that failed again is there in its old form or its new one, for a moment in both, never in none."""
    made = {one.event_id for one in Letters(fake_aws).put(COUNT, ("base64",))}
    fake_aws.plan({"bus_rules": [dlq.RULE], "rules": [REFUSE]})
    run(fake_aws, "failed_again_stored_before_deleted", action, "redrive", "--rate", "0", status=1)
    bodies = dlq.left(fake_aws)
    assert ids(bodies) == made
    if "kill" not in action:
        assert len(bodies) == COUNT
    fake_aws.plan({"bus_rules": [dlq.RULE]})
    assert dlq.run(fake_aws, "redrive", "--rate", "0").returncode == 0
    assert dlq.accepted(fake_aws).keys() == made
    assert dlq.left(fake_aws) == []


@pytest.mark.parametrize("action", ["kill", pytest.param("stall:2s", marks=pytest.mark.long)])
def test_export_between_the_sync_and_the_delete(fake_aws: FakeAwsProcess, tmp_path: Path, action: str) -> None:
    """What is not in the queue any more is in the file."""
    made = {one.event_id for one in Letters(fake_aws).put(COUNT, ("base64",))}
    file = tmp_path / "letters.jsonl"
    run(fake_aws, "exported_before_deleted", action, "export", str(file), "--take")
    text, waiting = file.read_text("utf-8"), ids(dlq.left(fake_aws))
    assert all(one in text or one in waiting for one in made)
    assert waiting == (made if "kill" in action else set())


@pytest.mark.parametrize("action", ACTIONS)
def test_import_before_it_counts(fake_aws: FakeAwsProcess, tmp_path: Path, action: str) -> None:
    """The same file again puts back what is missing and refuses what is there: each letter is there once."""
    made = {one.event_id for one in Letters(fake_aws).put(COUNT, ("base64",))}
    file = tmp_path / "letters.jsonl"
    assert dlq.run(fake_aws, "export", str(file), "--take").returncode == 0
    assert dlq.left(fake_aws) == []
    run(fake_aws, "imported_before_counted", action, "import", str(file))
    dlq.run(fake_aws, "import", str(file))
    fake_aws.queues(show_all=True)
    bodies = dlq.left(fake_aws)
    assert ids(bodies) == made
    assert len(bodies) == COUNT
