"""`teardown` before it deletes: whatever AWS would refuse half way is known before the first thing is gone."""

from typing import Any

import pytest

from stream_router.control.setup import teardown
from stream_router.control.setup.marks import Marks
from stream_router.control.setup.teardown import Left, Thing
from stream_router.settings.operators import Setup
from stream_router.settings.reading import load
from tests.environment import given
from tests.scripted import ACCOUNT, REGION, Script

pytestmark = pytest.mark.usefixtures("empty_environment")

MARKS = Marks("s", {})
OURS, THEIRS = [{"Key": "stream-router-setup", "Value": "s"}], [{"Key": "team", "Value": "x"}]
OF_ANOTHER_STREAM = [{"Key": "stream-router-setup", "Value": "another"}]
STREAM_ARN = f"arn:aws:kinesis:{REGION}:{ACCOUNT}:stream/s"
URL = f"https://sqs.{REGION}.amazonaws.com/{ACCOUNT}/q"


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


def summary(status: str = "ACTIVE") -> dict[str, Any]:
    return {
        "StreamName": "s",
        "StreamARN": STREAM_ARN,
        "StreamStatus": status,
        "RetentionPeriodHours": 168,
        "StreamCreationTimestamp": 0,
        "EnhancedMonitoring": [],
        "OpenShardCount": 0,
    }


SHARD = {
    "ShardId": "shardId-1",
    "HashKeyRange": {"StartingHashKey": "0", "EndingHashKey": "1"},
    "SequenceNumberRange": {"StartingSequenceNumber": "1"},
}
RECORD = {"SequenceNumber": "2", "Data": b"{}", "PartitionKey": "p"}


def an_empty_stream(script: Script, *pages: list[dict[str, Any]]) -> None:
    """The stream is ours and holds no record; its consumers come in these pages."""
    script.expect("kinesis", "describe_stream_summary", {"StreamName": "s"}, {"StreamDescriptionSummary": summary()})
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


def test_where_nothing_is_there_it_says_where_it_has_looked(
    settings: Setup, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A rule or a stream that an earlier setting named is there, and costs, and no name of today leads to it."""
    monkeypatch.setattr(teardown, "Clients", lambda _: None)
    monkeypatch.setattr(teardown, "look", lambda *_: iter(()))
    assert teardown.run(settings, yes=True, force=False) == 0
    told = capsys.readouterr().out
    assert told.startswith("nothing of setup's is here under the names that are set (stream s, bus cx, rule r); ")


def test_a_record_in_a_shard_of_the_second_page_is_seen(script: Script, settings: Setup) -> None:
    """A stream of more than 1,000 shards: its name beside a page's token is refused."""
    script.expect("kinesis", "describe_stream_summary", {"StreamName": "s"}, {"StreamDescriptionSummary": summary()})
    script.expect("kinesis", "list_tags_for_stream", {"StreamName": "s"}, {"Tags": OURS, "HasMoreTags": False})
    script.expect("kinesis", "list_stream_consumers", {"StreamARN": STREAM_ARN}, {"Consumers": []})
    script.expect("kinesis", "list_shards", {"StreamName": "s"}, {"Shards": [], "NextToken": "more"})
    script.expect("kinesis", "list_shards", {"NextToken": "more"}, {"Shards": [SHARD]})
    asked = {"StreamName": "s", "ShardId": "shardId-1", "ShardIteratorType": "TRIM_HORIZON"}
    script.expect("kinesis", "get_shard_iterator", asked, {"ShardIterator": "i"})
    script.expect("kinesis", "get_records", {"ShardIterator": "i", "Limit": 1}, {"Records": [RECORD]})
    assert the_stream(script, settings).holds == "events"


def test_a_stream_goes_with_the_consumer_that_the_kcl_registered(script: Script, settings: Setup) -> None:
    """The KCL's own with FANOUT: AWS refuses to delete it otherwise."""
    an_empty_stream(script, [consumer("app")])
    found = the_stream(script, settings)
    assert (found.what, found.holds) == ("stream s, its 1 consumers", "")
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


def test_a_stream_that_is_being_deleted_is_left_to_go(script: Script, settings: Setup) -> None:
    """A teardown that is run again asks nothing more of it: AWS refuses all but describing it."""
    described = {"StreamDescriptionSummary": summary("DELETING")}
    script.expect("kinesis", "describe_stream_summary", {"StreamName": "s"}, described)
    (found,) = teardown._stream(script.clients.kinesis, settings, MARKS)
    assert isinstance(found, Left)
    script.done()


def rule_and_bus(script: Script, settings: Setup, tags: list[dict[str, str]]) -> list[Thing | Left]:
    """The rule with these tags, alone on a bus of ours."""
    arns = {kind: f"arn:aws:events:{REGION}:{ACCOUNT}:{kind}" for kind in ("rule/cx/r", "event-bus/cx")}
    named = {"Name": "r", "EventBusName": "cx"}
    script.expect("events", "describe_rule", named, {"Name": "r", "Arn": arns["rule/cx/r"]})
    script.expect("events", "list_tags_for_resource", {"ResourceARN": arns["rule/cx/r"]}, {"Tags": tags})
    if tags is OURS:
        targets = {"Targets": [{"Id": "stream-router-1", "Arn": f"arn:aws:sqs:{REGION}:{ACCOUNT}:out"}]}
        script.expect("events", "list_targets_by_rule", {"Rule": "r", "EventBusName": "cx"}, targets)
    script.expect("events", "describe_event_bus", {"Name": "cx"}, {"Name": "cx", "Arn": arns["event-bus/cx"]})
    script.expect("events", "list_rules", {"EventBusName": "cx"}, {"Rules": [{"Name": "r"}]})
    script.expect("events", "list_tags_for_resource", {"ResourceARN": arns["event-bus/cx"]}, {"Tags": OURS})
    found = list(teardown._routing(settings, script.clients, MARKS))
    script.done()
    return found


@pytest.mark.parametrize("tags", [THEIRS, OF_ANOTHER_STREAM], ids=["by hand", "another stream's"])
def test_a_rule_that_stays_keeps_its_bus(script: Script, settings: Setup, tags: list[dict[str, str]]) -> None:
    """AWS deletes no bus that has a rule, so each `--yes` would end with its error, the queues and stream left."""
    rule, bus = rule_and_bus(script, settings, tags)
    assert isinstance(rule, Left)
    assert bus == Left("event bus cx", "it has rules of others (r)")


def test_a_rule_that_goes_takes_its_bus_along(script: Script, settings: Setup) -> None:
    """Both are ours."""
    assert [one.what for one in rule_and_bus(script, settings, OURS) if isinstance(one, Thing)] == [
        "rule r on bus cx, its 1 targets",
        "event bus cx",
    ]


@pytest.mark.parametrize(("messages", "holds"), [([{"MessageId": "1"}], "messages"), ([], "")])
def test_a_queue_is_asked_before_it_is_believed_empty(
    script: Script, messages: list[dict[str, Any]], holds: str
) -> None:
    """Its count of 0 may be a minute old. What is received for this is visible again at once."""
    script.expect("sqs", "get_queue_url", {"QueueName": "q"}, {"QueueUrl": URL})
    script.expect("sqs", "list_queue_tags", {"QueueUrl": URL}, {"Tags": {"stream-router-setup": "s"}})
    counted = {"ApproximateNumberOfMessages": "0"}
    script.expect("sqs", "get_queue_attributes", {"QueueUrl": URL, "AttributeNames": ["All"]}, {"Attributes": counted})
    asked = {"QueueUrl": URL, "VisibilityTimeout": 0, "WaitTimeSeconds": teardown.LOOKS_S}
    script.expect("sqs", "receive_message", asked, {"Messages": messages})
    (found,) = teardown._queue(script.clients, "q", MARKS)
    assert isinstance(found, Thing)
    assert found.holds == holds
    script.done()
