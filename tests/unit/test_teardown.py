"""`teardown` before it deletes: whatever AWS would refuse half way is known before the first thing is gone."""

from typing import Any

import pytest

from stream_router.control.setup import teardown
from stream_router.control.setup.marks import Marks
from stream_router.control.setup.teardown import Thing
from stream_router.settings.reading import load
from stream_router.settings.setup import Setup
from tests.scripted import ACCOUNT, REGION, Script
from tests.unit import test_settings
from tests.unit.test_settings import given

empty_environment = test_settings.empty_environment

MARKS = Marks("s", {})
OURS = [{"Key": "stream-router-setup", "Value": "s"}]
STREAM_ARN = f"arn:aws:kinesis:{REGION}:{ACCOUNT}:stream/s"


@pytest.fixture
def script() -> Script:
    return Script()


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch) -> Setup:
    given(monkeypatch, {"AWS_REGION": REGION})
    return load(Setup, stream="s", rule="r", event_bus="cx", application="app")


def consumer(name: str, status: str = "ACTIVE") -> dict[str, Any]:
    arn = f"{STREAM_ARN}/consumer/{name}:1"
    return {"ConsumerName": name, "ConsumerARN": arn, "ConsumerStatus": status, "ConsumerCreationTimestamp": 0}


def an_empty_stream(script: Script, *pages: list[dict[str, Any]]) -> None:
    """The stream is ours and holds no record; its consumers come in these pages."""
    summary: dict[str, Any] = {
        "StreamName": "s",
        "StreamARN": STREAM_ARN,
        "StreamStatus": "ACTIVE",
        "RetentionPeriodHours": 168,
        "StreamCreationTimestamp": 0,
        "EnhancedMonitoring": [],
        "OpenShardCount": 0,
    }
    script.expect("kinesis", "describe_stream_summary", {"StreamName": "s"}, {"StreamDescriptionSummary": summary})
    script.expect("kinesis", "list_tags_for_stream", {"StreamName": "s"}, {"Tags": OURS, "HasMoreTags": False})
    for number, page in enumerate(pages):
        token = {"NextToken": str(number)} if number else {}
        more = {"NextToken": str(number + 1)} if number + 1 < len(pages) else {}
        answer = {"Consumers": page, **more}
        script.expect("kinesis", "list_stream_consumers", {"StreamARN": STREAM_ARN, **token}, answer)
    script.expect("kinesis", "list_shards", {"StreamName": "s"}, {"Shards": []})


def the_stream(script: Script, settings: Setup) -> Thing:
    (found,) = teardown._stream(script.clients.kinesis, settings, MARKS)
    assert isinstance(found, Thing)
    return found


def test_a_stream_goes_with_the_consumers_that_we_registered(script: Script, settings: Setup) -> None:
    """The KCL's own with FANOUT, and what a `--fan-out` that was killed left: AWS refuses to delete it otherwise."""
    an_empty_stream(script, [consumer("app")], [consumer("stream-router-read-1764000000000")])
    found = the_stream(script, settings)
    assert (found.what, found.holds) == ("stream s, its 2 consumers", "")
    script.expect("kinesis", "delete_stream", {"StreamName": "s", "EnforceConsumerDeletion": True})
    found.delete()
    script.done()


def test_consumers_of_others_hold_the_stream(script: Script, settings: Setup) -> None:
    """Somebody else reads it; one that is being taken away holds nothing."""
    an_empty_stream(script, [consumer("app"), consumer("gone", "DELETING")], [consumer("billing")])
    found = the_stream(script, settings)
    assert found.holds == "1 consumers of others (billing)"


def test_a_stream_without_consumers_is_deleted_as_it_is(script: Script, settings: Setup) -> None:
    """One that somebody registers meanwhile is not taken away unseen: then AWS refuses."""
    an_empty_stream(script, [])
    found = the_stream(script, settings)
    assert (found.what, found.holds) == ("stream s", "")
    script.expect("kinesis", "delete_stream", {"StreamName": "s"})
    found.delete()
    script.done()
