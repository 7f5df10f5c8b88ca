"""What `setup` asks of Kinesis and SQS, call by call."""

import json
from typing import Any

import pytest

from stream_router.control.arns import Home, parse
from stream_router.control.setup import queues, setup, streams
from stream_router.control.setup.marks import Marks
from stream_router.control.setup.steps import Steps
from stream_router.control.setup.streams import ensure_stream, tell_buckets
from stream_router.control.setup_error import SetupError
from stream_router.settings.operators import Setup
from stream_router.settings.reading import load
from tests.scripted import ACCOUNT, REGION, Script

NAME = {"StreamName": "events"}
FOURTEEN_DAYS = str(14 * 24 * 3600)
URL = "https://sqs.eu-west-1.amazonaws.com/123456789012/q"
RULE = "arn:aws:events:eu-west-1:123456789012:rule/r"
QUEUE = "arn:aws:sqs:eu-west-1:123456789012:q"
HOME = Home("aws", REGION, ACCOUNT)
KEY = "arn:aws:kms:eu-west-1:123456789012:key/1234abcd"
MARKS = Marks("events", {"team": "cx"})
TAGS = {"stream-router-setup": "events", "team": "cx"}
AS_LIST = [{"Key": key, "Value": value} for key, value in TAGS.items()]


def _summary(hours: int = 168, encryption: str = "KMS", shards: int = 2, status: str = "ACTIVE") -> dict[str, Any]:
    return {
        "StreamDescriptionSummary": {
            "StreamName": "events",
            "StreamARN": "arn:aws:kinesis:eu-west-1:123456789012:stream/events",
            "StreamStatus": status,
            "RetentionPeriodHours": hours,
            "StreamCreationTimestamp": 0,
            "EnhancedMonitoring": [],
            "EncryptionType": encryption,
            "OpenShardCount": shards,
        }
    }


@pytest.fixture
def script() -> Script:
    return Script()


def _describe_active(script: Script) -> None:
    script.expect("kinesis", "describe_stream_summary", NAME, _summary())


def test_a_new_stream_keeps_a_week_and_is_encrypted(script: Script) -> None:
    """Create, then 168 hours, then KMS, each after the stream is active again."""
    said: list[str] = []
    script.refuse("kinesis", "describe_stream_summary", NAME, "ResourceNotFoundException")
    script.expect(
        "kinesis",
        "create_stream",
        {**NAME, "ShardCount": 4, "StreamModeDetails": {"StreamMode": "PROVISIONED"}, "Tags": TAGS},
    )
    _describe_active(script)
    script.expect("kinesis", "list_tags_for_stream", NAME, {"Tags": AS_LIST, "HasMoreTags": False})
    script.expect("kinesis", "describe_stream_summary", NAME, _summary(24, "NONE", 4))
    script.expect("kinesis", "increase_stream_retention_period", {**NAME, "RetentionPeriodHours": 168})
    _describe_active(script)
    script.expect("kinesis", "start_stream_encryption", {**NAME, "EncryptionType": "KMS", "KeyId": "alias/aws/kinesis"})
    _describe_active(script)
    steps = Steps(said.append, apply=True)
    ensure_stream(script.clients.kinesis, "events", 4, steps, MARKS)
    script.done()
    assert (steps.created, steps.changed) == (1, 2)
    assert [line[0] for line in said] == ["+", "~", "~"]


def test_a_stream_that_is_right_is_left_alone(script: Script) -> None:
    """A longer retention and another key of the owner's count as right."""
    script.expect("kinesis", "describe_stream_summary", NAME, _summary(8760))
    script.expect("kinesis", "list_tags_for_stream", NAME, {"Tags": [], "HasMoreTags": False})
    steps = Steps(lambda _: None, apply=True)
    ensure_stream(script.clients.kinesis, "events", 4, steps, MARKS._replace(key=KEY))
    script.done()
    assert steps.changes == 0


def test_a_plan_changes_nothing(script: Script) -> None:
    """--plan only reads, and says what it would do."""
    said: list[str] = []
    script.refuse("kinesis", "describe_stream_summary", NAME, "ResourceNotFoundException")
    script.refuse("kinesis", "describe_stream_summary", NAME, "ResourceNotFoundException")
    ensure_stream(script.clients.kinesis, "events", 4, Steps(said.append, apply=False), MARKS)
    script.done()
    assert said == [
        "+ stream events: 4 shards (stream-router-setup=events, team=cx)",
        "~ stream events: retention 24 -> 168 hours",
        "~ stream events: no encryption -> encrypted with alias/aws/kinesis",
    ]


def test_a_stream_in_the_making_is_waited_for(script: Script) -> None:
    """A `setup` that was broken off left it so, and Kinesis changes only a stream that is active."""
    script.expect("kinesis", "describe_stream_summary", NAME, _summary(24, "NONE", status="CREATING"))
    _describe_active(script)
    script.expect("kinesis", "describe_stream_summary", NAME, _summary())
    script.expect("kinesis", "list_tags_for_stream", NAME, {"Tags": AS_LIST, "HasMoreTags": False})
    steps = Steps(lambda _: None, apply=True)
    ensure_stream(script.clients.kinesis, "events", 2, steps, MARKS)
    script.done()
    assert steps.changes == 0


def test_a_stream_that_does_not_become_active_is_said_to_be_what_it_is(
    script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reshard of many shards lasts longer than anybody waits here: that is no missing answer."""
    monkeypatch.setattr(streams, "LOOK_EVERY_S", 0.0)
    monkeypatch.setattr(streams, "LOOK_FOR_S", 0.0)
    script.expect("kinesis", "describe_stream_summary", NAME, _summary(status="UPDATING"))
    script.expect("kinesis", "describe_stream_summary", NAME, _summary(status="UPDATING"))
    with pytest.raises(SetupError, match=r"^stream events is UPDATING still; .* again"):
        ensure_stream(script.clients.kinesis, "events", 2, Steps(lambda _: None, apply=True), MARKS)
    script.done()


@pytest.mark.parametrize("apply", [True, False])
def test_a_stream_that_is_being_deleted_is_not_built_upon(script: Script, apply: bool) -> None:
    """It is still described for a minute, but what `setup` would say of it is over when it is gone."""
    script.expect("kinesis", "describe_stream_summary", NAME, _summary(status="DELETING"))
    with pytest.raises(SetupError, match=r"^stream events is being deleted; .* again"):
        ensure_stream(script.clients.kinesis, "events", 2, Steps(lambda _: None, apply=apply), MARKS)
    script.done()


def test_a_stream_of_ours_gets_the_tags_and_the_key_that_it_lacks(script: Script) -> None:
    """What an earlier setup made follows the settings; a tag of someone else's on it stays."""
    said: list[str] = []
    has = [{"Key": "stream-router-setup", "Value": "events"}, {"Key": "theirs", "Value": "x"}]
    script.expect("kinesis", "describe_stream_summary", NAME, _summary())
    script.expect("kinesis", "list_tags_for_stream", NAME, {"Tags": has, "HasMoreTags": False})
    script.expect("kinesis", "add_tags_to_stream", {**NAME, "Tags": {"team": "cx"}})
    script.expect("kinesis", "start_stream_encryption", {**NAME, "EncryptionType": "KMS", "KeyId": KEY})
    _describe_active(script)
    ensure_stream(script.clients.kinesis, "events", 4, Steps(said.append, apply=True), MARKS._replace(key=KEY))
    script.done()
    assert [line for line in said if line[0] == "~"] == [
        "~ stream events: tags + team=cx",
        f"~ stream events: alias/aws/kinesis -> encrypted with {KEY}",
    ]


def test_a_stream_s_tags_are_read_to_the_last_page(script: Script) -> None:
    """How many one answer holds AWS does not say; ours may come after those of a company that tags much."""
    theirs = [{"Key": f"a{n}", "Value": "x"} for n in range(10)]
    script.expect("kinesis", "list_tags_for_stream", NAME, {"Tags": theirs, "HasMoreTags": True})
    further = {**NAME, "ExclusiveStartTagKey": "a9"}
    script.expect("kinesis", "list_tags_for_stream", further, {"Tags": AS_LIST, "HasMoreTags": False})
    assert MARKS.ours(streams.tags_of(script.clients.kinesis, "events"))
    script.done()


def test_a_new_dead_letter_queue_keeps_14_days_encrypted(script: Script) -> None:
    """The default of 4 days would lose dead letters over a long weekend."""
    script.refuse("sqs", "get_queue_url", {"QueueName": "q"}, "QueueDoesNotExist")
    attributes = {
        "MessageRetentionPeriod": FOURTEEN_DAYS,
        "MaximumMessageSize": "1048576",
        "SqsManagedSseEnabled": "true",
    }
    wanted = {"QueueName": "q", "Attributes": attributes, "tags": TAGS}
    script.expect("sqs", "create_queue", wanted, {"QueueUrl": URL})
    assert queues.ensure_queue(script.clients.sqs, "q", None, Steps(lambda _: None, apply=True), MARKS) == URL
    script.done()


@pytest.mark.parametrize(("tags", "key"), [({}, None), ({"stream-router-setup": "events"}, KEY)])
def test_a_key_is_for_queues_of_ours_only(script: Script, tags: dict[str, str], key: str | None) -> None:
    """Someone else's queue keeps the encryption that it has; ours follows the setting."""
    has = {"MessageRetentionPeriod": FOURTEEN_DAYS, "MaximumMessageSize": "1048576", "SqsManagedSseEnabled": "true"}
    script.expect("sqs", "get_queue_url", {"QueueName": "q"}, {"QueueUrl": URL})
    script.expect("sqs", "get_queue_attributes", {"QueueUrl": URL, "AttributeNames": ["All"]}, {"Attributes": has})
    script.expect("sqs", "list_queue_tags", {"QueueUrl": URL}, {"Tags": tags})
    if key:
        script.expect("sqs", "set_queue_attributes", {"QueueUrl": URL, "Attributes": {"KmsMasterKeyId": key}})
    marks = Marks("events", {}, KEY)
    queues.ensure_queue(script.clients.sqs, "q", None, Steps(lambda _: None, apply=True), marks)
    script.done()


def test_an_older_queue_gets_what_it_lacks_and_no_more(script: Script) -> None:
    """A queue left at 256 KiB and 4 days is raised; its own KMS key stays."""
    has = {"MessageRetentionPeriod": "345600", "MaximumMessageSize": "262144", "KmsMasterKeyId": "alias/mine"}
    script.expect("sqs", "get_queue_url", {"QueueName": "q"}, {"QueueUrl": URL})
    script.expect("sqs", "get_queue_attributes", {"QueueUrl": URL, "AttributeNames": ["All"]}, {"Attributes": has})
    script.expect("sqs", "list_queue_tags", {"QueueUrl": URL}, {})
    wanted = {"MessageRetentionPeriod": FOURTEEN_DAYS, "MaximumMessageSize": "1048576"}
    script.expect("sqs", "set_queue_attributes", {"QueueUrl": URL, "Attributes": wanted})
    queues.ensure_queue(script.clients.sqs, "q", None, Steps(lambda _: None, apply=True), MARKS)
    script.done()


@pytest.mark.parametrize(("kept", "problems"), [(FOURTEEN_DAYS, 0), ("345600", 1)])
def test_a_queue_of_another_account_is_looked_at_only(script: Script, kept: str, problems: int) -> None:
    """SQS takes tags and attributes from its owner alone, whatever the queue's policy says."""
    said: list[str] = []
    theirs = URL.replace(ACCOUNT, "999999999999")
    has = {"MessageRetentionPeriod": kept, "MaximumMessageSize": "1048576", "SqsManagedSseEnabled": "true"}
    wanted = {"QueueUrl": theirs, "AttributeNames": ["All"]}
    script.expect("sqs", "get_queue_attributes", wanted, {"Attributes": has})
    steps = Steps(said.append, apply=True)
    given = load(Setup, aws_region=REGION, stream="events", sqs_dlq_url=theirs)
    assert setup.ensure_dead_letters(given, script.clients.sqs, HOME, steps, MARKS) == theirs
    script.done()
    assert steps.problems == problems
    assert ("MessageRetentionPeriod 345600 -> 1209600" in said[0]) is bool(problems)


def test_the_policy_names_eventbridge_and_this_rule_only() -> None:
    """Nobody else's rule can fill the queue."""
    (statement,) = queues.eventbridge_policy(QUEUE, RULE)["Statement"]
    assert statement["Principal"] == {"Service": "events.amazonaws.com"}
    assert statement["Action"] == "sqs:SendMessage"
    assert statement["Resource"] == QUEUE
    assert statement["Condition"] == {"ArnEquals": {"aws:SourceArn": RULE}}


def test_other_statements_of_a_policy_stay() -> None:
    """Ours is added beside theirs, or takes the place of an older one of ours; a second time changes nothing."""
    theirs = {"Sid": "theirs", "Effect": "Deny", "Principal": "*", "Action": "sqs:*", "Resource": QUEUE}
    current = {"Version": "2012-10-17", "Id": "x", "Statement": [theirs]}
    ours = queues.eventbridge_policy(QUEUE, RULE)
    merged = queues.merge(current, ours)
    assert merged["Statement"] == [theirs, *ours["Statement"]]
    assert merged["Id"] == "x"
    assert queues.merge(merged, ours) == merged
    assert queues.merge({}, ours) == ours


def test_rules_whose_names_look_alike_both_keep_their_statement() -> None:
    """Bus cxone-prod with rule router and bus cxone with rule prod-router may share a queue."""
    rules = [
        f"arn:aws:events:eu-west-1:123456789012:rule/{path}" for path in ("cxone-prod/router", "cxone/prod-router")
    ]
    policy: dict[str, Any] = {}
    for rule in (*rules, *rules):
        policy = queues.merge(policy, queues.eventbridge_policy(QUEUE, rule))
    assert [statement["Condition"]["ArnEquals"]["aws:SourceArn"] for statement in policy["Statement"]] == rules
    assert len({statement["Sid"] for statement in policy["Statement"]}) == 2


def test_an_older_statement_of_ours_for_the_rule_is_replaced() -> None:
    """Earlier versions wrote it under a Sid without the hash; what that Sid says of another rule stays."""
    ours = queues.eventbridge_policy(QUEUE, RULE)
    older = {**ours["Statement"][0], "Sid": "EventBridge-rule-r"}
    assert queues.merge({"Version": "2012-10-17", "Statement": [older]}, ours) == ours
    others = {**older, "Condition": {"ArnEquals": {"aws:SourceArn": RULE + "2"}}}
    assert queues.merge({"Statement": [others]}, ours)["Statement"] == [others, *ours["Statement"]]


def test_a_policy_of_one_bare_statement_is_understood() -> None:
    """IAM allows a single statement without a list around it."""
    theirs = {"Sid": "theirs", "Effect": "Allow"}
    merged = queues.merge({"Version": "2012-10-17", "Statement": theirs}, queues.eventbridge_policy(QUEUE, RULE))
    assert merged["Statement"][0] == theirs


def test_the_policy_is_written_as_json(script: Script) -> None:
    """What goes to SQS is the policy's text."""
    policy = queues.eventbridge_policy(QUEUE, RULE)
    script.expect("sqs", "get_queue_attributes", {"QueueUrl": URL, "AttributeNames": ["All"]}, {"Attributes": {}})
    script.expect("sqs", "set_queue_attributes", {"QueueUrl": URL, "Attributes": {"Policy": json.dumps(policy)}})
    queues.ensure_policy(script.clients.sqs, URL, "q", policy, Steps(lambda _: None, apply=True))
    script.done()


@pytest.mark.parametrize(
    ("shards", "buckets", "told"), [(2, 8, False), (3, 8, True), (3, 12, False), (2_000, 4_096, False)]
)
def test_too_few_buckets_for_the_shards_are_told(shards: int, buckets: int, told: bool) -> None:
    """Four for each shard, as `shards`, `plan` and `doctor` want them; a note, for no call can set it."""
    said: list[str] = []
    steps = Steps(said.append, apply=True)
    tell_buckets(shards, buckets, steps)
    assert [f"want STREAM_ROUTER_BUCKETS of at least {4 * shards}" in line for line in said] == [True] * told
    assert (steps.changes, steps.problems) == (0, 0)


def test_who_must_be_let_into_a_queue_of_another_account_is_said(script: Script) -> None:
    """Nobody but its owner can write the policy without which what the target refuses is lost."""
    said: list[str] = []
    steps = Steps(said.append, apply=True)
    theirs = parse(QUEUE.replace(ACCOUNT, "999999999999"), "STREAM_ROUTER_TARGET_DLQ_ARN")
    queues.open_to_eventbridge(script.clients.sqs, theirs, "STREAM_ROUTER_TARGET_DLQ_ARN", RULE, steps, HOME)
    script.done()
    assert said == [f"  note: queue q is account 999999999999's: its policy must let EventBridge in for {RULE}"]
