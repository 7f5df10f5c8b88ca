"""Whether events are masked is said at start and in every audit record."""

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from stream_router.consumer.child.assembly import Child
from stream_router.consumer.child.snapshot import ShardTelemetry
from stream_router.consumer.destinations import Destinations
from stream_router.consumer.transform_config import transform_config
from stream_router.model import Batch, DeadLetter, Reason
from stream_router.pipeline.masking import policy_file
from stream_router.pipeline.sinks.dead_letters.message import LetterWriter
from stream_router.pipeline.sinks.dead_letters.queue import DeadLetters
from stream_router.pipeline.transform import Transform
from tests.events import BODY, NOW_MS, consumer, event

VERSION = policy_file.load("default", None).version


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "a")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "b")
    yield
    signal.set_wakeup_fd(-1)


@pytest.mark.parametrize(
    ("masking", "said", "masked"), [("off", "off", None), ("default", f"default {VERSION}", {"redact": 1})]
)
def test_audit_record_says_which_policy_ran_and_how_often(masking: str, said: str, masked: Any, tmp_path: Path) -> None:
    """`off`, or the policy's id and version with the counts of what it did in this batch."""
    settings = consumer(masking=masking, audit_dir=tmp_path, state_dir=tmp_path)
    transform = Transform(transform_config(settings), lambda: NOW_MS)
    telemetry = ShardTelemetry("shardId-0", settings, transform)
    batch = Batch(1)
    transform(event({**BODY, "payload": {"email": "anna@example.com"}}))
    telemetry.routed(batch)
    telemetry.batch_closed(batch)
    (file,) = tmp_path.glob("*.jsonl")
    metrics = orjson.loads(file.read_bytes().splitlines()[0])["metrics"]
    assert metrics["masking"] == said
    assert metrics.get("masked") == masked
    assert b"anna" not in file.read_bytes()


@pytest.mark.parametrize("masked", [False, True])
def test_a_shard_s_dead_letters_say_it(masked: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each names the policy by which its record is masked, and nothing where the record is as it came."""
    writers: list[LetterWriter] = []
    made = Destinations.dead_letters

    def noted(self: Destinations, url: str, writer: LetterWriter) -> DeadLetters:
        writers.append(writer)
        return made(self, url, writer)

    monkeypatch.setattr(Destinations, "dead_letters", noted)
    policy = tmp_path / "policy.toml"
    policy.write_text(f'base = "default"\ndead_letters = {str(masked).lower()}\n')
    child = Child(consumer(masking=str(policy), state_dir=tmp_path))
    child.shard("shardId-0", "TRIM_HORIZON:0")
    (message,) = writers[0].write(DeadLetter(event(BODY), Reason.REFUSED, "C", "m", raw=b"x"))
    assert orjson.loads(message.body).get("masking", "") == (child._transform.masking if masked else "")
