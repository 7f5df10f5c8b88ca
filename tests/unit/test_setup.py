"""What `setup` asks of AWS where no emulator shows it: v2 buses, keys, what a change keeps."""

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from stream_router.errors import SettingsError
from stream_router.operate import resources
from stream_router.operate.arns import Home
from stream_router.operate.resources import (
    Bus,
    Queue,
    Resource,
    Rule,
    SetupError,
    State,
    Stream,
    Target,
    buckets_for,
    covers,
    difference,
)
from stream_router.operate.setup import Deployment, Step, run
from stream_router.settings.operators import Setup
from stream_router.settings.reading import load
from tests.environment import given
from tests.scripted import ACCOUNT, REGION, Script

pytestmark = pytest.mark.usefixtures("empty_environment")

HOME = Home("aws", REGION, ACCOUNT)
TYPES = ("interaction.created",)
PATTERN = resources.pattern_text(TYPES)
RULE_ARN, TARGET = HOME.rule("cx", "r"), f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:f"
V2 = f"arn:aws:events:{REGION}:{ACCOUNT}:event-busv2/b/0123456789012345678901234"
V2_SUBSCRIBER = f"subscriber r of event bus {V2} (v2)"
SUBSCRIBER = f"arn:aws:events:{REGION}:{ACCOUNT}:subscriber/r/0123456789012345678901234"
KEY = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/1234abcd-12ab-34cd-56ef-1234567890ab"
OURS = {"stream-router-setup": "s"}
URL = f"https://sqs.{REGION}.amazonaws.com/{ACCOUNT}/q"


@pytest.fixture
def script() -> Script:
    return Script()


def step(resource: Resource) -> Step:
    """What `setup` finds out about a resource."""
    found = resource.found()
    changes = difference(resource.wanted(found), found)
    return Step(resource, found, changes, resource.stops(found, changes))


def made_right(resource: Resource) -> State:
    """Look at a resource, and apply what is not right; the changes."""
    found = step(resource)
    if not found.is_right:
        resource.apply(found.found, found.changes)
    return found.changes


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("ResourceNotFoundException", SettingsError),
        ("InvalidInputException", SettingsError),
        ("AccessDeniedException", ClientError),
        ("ThrottlingException", ClientError),
    ],
)
def test_only_a_v2_bus_that_is_not_there_is_a_wrong_setting(script: Script, code: str, expected: Any) -> None:
    """The ARN is right where AWS lets nobody look, or is asked too often: exit 78 would send its reader astray."""
    script.refuse("events_v2", "describe_event_bus", {"EventBusArn": V2}, code)
    with pytest.raises(expected):
        resources.Subscriber(script.clients, V2, "r", TYPES).found()


@pytest.mark.parametrize(
    ("has", "lines", "status"),
    [
        ({"State": "RUNNING", "OnFailureConfiguration": {"Arn": HOME.queue("u")}}, [f"= {V2_SUBSCRIBER}"], 0),
        (
            {"State": "STOPPED"},
            [f"! {V2_SUBSCRIBER}: state STOPPED -> RUNNING, has a dead-letter queue no -> yes"],
            1,
        ),
        (
            {"State": "RUNNING", "Revoked": True, "OnFailureConfiguration": {"Arn": HOME.queue("u")}},
            [f"! {V2_SUBSCRIBER}: state REVOKED -> RUNNING"],
            1,
        ),
        (None, [f"! {V2_SUBSCRIBER}: is not there"], 1),
    ],
)
def test_a_v2_bus_and_its_subscriber_are_verified_and_not_made(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    script: Script,
    has: dict[str, Any] | None,
    lines: list[str],
    status: int,
) -> None:
    """What its owner has to mend is said, with what its filters have to let through; and `setup` ends with 1."""
    given(monkeypatch, {"AWS_REGION": REGION, "STREAM_ROUTER_EVENT_BUS": V2, "STREAM_ROUTER_RULE": "r"})
    monkeypatch.setattr("stream_router.operate.setup.Clients", lambda _: script.clients)
    for name in ("Stream", "Queue"):
        monkeypatch.setattr(f"stream_router.operate.setup.{name}", _Right)
    script.expect("sts", "get_caller_identity", {}, {"Account": ACCOUNT})
    script.expect("events_v2", "describe_event_bus", {"EventBusArn": V2}, {"EventBusArn": V2})
    listed = {"Name": "r", "SubscriberArn": SUBSCRIBER, "State": "RUNNING"}
    asked = {"EventBusArn": V2, "NamePrefix": "r"}
    script.expect("events_v2", "list_subscribers", asked, {"Subscribers": [listed] * bool(has)})
    if has:
        script.expect("events_v2", "describe_subscriber", {"SubscriberArn": SUBSCRIBER}, has)
    assert run(load(Setup), plan=False) == status
    said = capsys.readouterr().out.splitlines()
    assert [line for line in said if "subscriber r" in line] == lines
    assert any("let through" in line and "interaction.created" in line for line in said)
    script.done()


class _Right(Resource):
    """Anything that is as it should be."""

    what, url = "it", None

    def __init__(self, *_: Any, **__: Any) -> None:
        pass

    def found(self) -> State:
        return {"shards": 2}

    def wanted(self, found: State | None) -> State:
        return found or {}


@pytest.mark.parametrize(
    ("wide", "narrow", "expected"),
    [
        ({}, {"source": ["a"]}, True),
        ({"source": ["a", "b"]}, {"source": ["a"]}, True),
        ({"source": ["a"]}, {"source": ["a", "b"]}, False),
        ({"source": ["a"]}, {}, False),
        ({"detail": {"x": [{"prefix": "cx"}]}}, {"detail": {"x": ["cxone", {"prefix": "cxone."}]}}, True),
        ({"detail": {"x": [{"prefix": "cxone"}]}}, {"detail": {"x": [{"prefix": "cx"}]}}, False),
        ({"detail": {"x": ["a"]}}, {"detail": ["a"]}, False),
        ({"detail": {"x": [{"exists": True}]}}, {"detail": {"x": ["a"]}}, False),
    ],
)
def test_a_pattern_covers_another_only_where_that_is_plain(wide: Any, narrow: Any, expected: bool) -> None:
    """What cannot be told counts as narrower, and asks for --yes."""
    assert covers(wide, narrow) is expected


def test_a_change_of_the_pattern_keeps_what_else_a_rule_has(script: Script) -> None:
    """PutRule replaces everything: what is not sent again would be gone. Its tags stay as they are."""
    at = {"Name": "r", "EventBusName": "cx"}
    kept = {"Description": "mine", "RoleArn": "arn:aws:iam::123456789012:role/x"}
    has = {"EventPattern": '{"source":["nice.cxone.webhook"],"detail-type":[]}', "State": "ENABLED", **kept}
    script.expect("events", "describe_rule", at, has)
    tags = [{"Key": "stream-router-setup", "Value": "s"}]
    script.expect("events", "list_tags_for_resource", {"ResourceARN": RULE_ARN}, {"Tags": tags})
    script.expect("events", "put_rule", {**at, **kept, "EventPattern": PATTERN, "State": "ENABLED"}, {})
    made_right(Rule(script.clients, "cx", "r", RULE_ARN, TYPES, {**OURS, "team": "cx"}))
    script.done()


def test_a_target_that_eventbridge_refuses_is_an_error(script: Script) -> None:
    """PutTargets answers 200 all the same."""
    asked = {"Rule": "r", "EventBusName": "cx"}
    script.expect("events", "list_targets_by_rule", asked, {})
    rule = Rule(script.clients, "cx", "r", RULE_ARN, TYPES, OURS)
    target = Target(script.clients, rule, {"Arn": TARGET}, HOME.queue("u"), named=False)
    found = step(target)
    refused = {"FailedEntryCount": 1, "FailedEntries": [{"TargetId": "x", "ErrorCode": "Odd", "ErrorMessage": "no"}]}
    script.expect("events", "put_targets", {**asked, "Targets": [found.changes]}, refused)
    with pytest.raises(SetupError, match=r"^EventBridge refused the target \(Odd: no\); correct EVENTBRIDGE_TARGET"):
        target.apply(found.found, found.changes)


@pytest.mark.parametrize(("named", "queue"), [(True, "u"), (False, "theirs")])
def test_another_queue_of_the_target_stays_unless_a_setting_names_ours(script: Script, named: bool, queue: str) -> None:
    """Who chose it keeps it, and is told that `dlq --undelivered` looks elsewhere."""
    has = {"Id": "1", "Arn": TARGET, "DeadLetterConfig": {"Arn": HOME.queue("theirs")}}
    script.expect("events", "list_targets_by_rule", {"Rule": "r", "EventBusName": "cx"}, {"Targets": [has]})
    rule = Rule(script.clients, "cx", "r", RULE_ARN, TYPES, OURS)
    target = Target(script.clients, rule, {"Arn": TARGET}, HOME.queue("u"), named=named)
    assert target.wanted(target.found())["DeadLetterConfig"] == {"Arn": HOME.queue(queue)}
    assert any("set STREAM_ROUTER_TARGET_DLQ_ARN" in note for note in target.notes()) is not named


def queue(script: Script, attributes: dict[str, str], tags: dict[str, str] | None, **more: Any) -> Queue:
    """A queue that is there; `tags` None where nobody may see them."""
    asked = {"QueueUrl": URL, "AttributeNames": ["All"]}
    script.expect("sqs", "get_queue_attributes", asked, {"Attributes": attributes})
    if tags is not None:
        script.expect("sqs", "list_queue_tags", {"QueueUrl": URL}, {"Tags": tags})
    return Queue(script.clients, HOME.queue("q"), OURS, url=URL, **more)


def test_queues_of_another_account_are_left_to_their_owner(monkeypatch: pytest.MonkeyPatch, script: Script) -> None:
    """SQS lets its owner alone see tags and set anything: they are not looked at, and that is said."""
    theirs = f"https://sqs.{REGION}.amazonaws.com/999999999999/letters"
    given(monkeypatch, {"AWS_REGION": REGION, "SQS_DLQ_URL": theirs})
    script.expect("sts", "get_caller_identity", {}, {"Account": ACCOUNT})
    deployment = Deployment(load(Setup), script.clients)
    assert [one.what for one in deployment.resources if isinstance(one, Queue)] == ["queue cxone-events-undelivered"]
    assert any("999999999999:letters is another account's, and not looked at" in note for note in deployment.further)


@pytest.mark.parametrize(("messages", "holds"), [([{"MessageId": "1"}], "messages"), ([], "")])
def test_a_queue_is_asked_before_it_is_believed_empty(script: Script, messages: list[Any], holds: str) -> None:
    """Its count of 0 may be a minute old. What is received for this is visible again at once."""
    ours = queue(script, {"ApproximateNumberOfMessages": "0"}, OURS)
    found = ours.found()
    assert found is not None
    asked = {"QueueUrl": URL, "VisibilityTimeout": 0, "WaitTimeSeconds": resources.QUEUE_LOOK_S}
    script.expect("sqs", "receive_message", asked, {"Messages": messages})
    assert ours.holds(found) == holds
    script.done()


def test_rules_that_share_a_queue_both_keep_their_statement() -> None:
    """Bus cxone-prod with rule router and bus cxone with rule prod-router have names that look alike."""
    policy: dict[str, Any] = {}
    for path in ("cxone-prod/router", "cxone/prod-router") * 2:
        policy = resources.merged(policy, resources.let_in(HOME.queue("q"), HOME.arn("events", f"rule/{path}")))
    assert len({statement["Sid"] for statement in policy["Statement"]}) == len(policy["Statement"]) == 2


def test_a_key_is_given_to_what_is_made_and_changed_on_nothing(monkeypatch: pytest.MonkeyPatch, script: Script) -> None:
    """Queue, stream and bus."""
    monkeypatch.setattr(resources, "LOOK_EVERY_S", 0)
    tags = resources._as_list(OURS)
    attributes = {"MessageRetentionPeriod": "1209600", "MaximumMessageSize": "1048576", "KmsMasterKeyId": KEY}
    script.refuse("sqs", "get_queue_url", {"QueueName": "q"}, "QueueDoesNotExist")
    asked = {"QueueName": "q", "Attributes": attributes, "tags": OURS}
    script.expect("sqs", "create_queue", asked, {"QueueUrl": URL})
    made_right(Queue(script.clients, HOME.queue("q"), OURS, key=KEY))
    made_right(queue(script, {**attributes, "KmsMasterKeyId": "theirs"}, OURS, key=KEY))

    script.refuse("kinesis", "describe_stream_summary", {"StreamName": "s"}, "ResourceNotFoundException")
    how = {"ShardCount": 2, "StreamModeDetails": {"StreamMode": "PROVISIONED"}, "Tags": OURS}
    script.expect("kinesis", "create_stream", {"StreamName": "s", **how})
    stream(script, SUMMARY, OURS)
    script.expect("kinesis", "increase_stream_retention_period", {"StreamName": "s", "RetentionPeriodHours": 168})
    stream(script, SUMMARY, None)
    script.expect("kinesis", "start_stream_encryption", {"StreamName": "s", "EncryptionType": "KMS", "KeyId": KEY})
    stream(script, SUMMARY, None)
    made_right(Stream(script.clients, "s", 2, KEY, OURS))
    stream(script, {**SUMMARY, "RetentionPeriodHours": 8760, "EncryptionType": "KMS", "KeyId": "theirs"}, OURS)
    assert made_right(Stream(script.clients, "s", 2, KEY, OURS)) == {}

    rule: Any = None
    script.refuse("events", "describe_event_bus", {"Name": "cx"}, "ResourceNotFoundException")
    script.expect("events", "create_event_bus", {"Name": "cx", "Tags": tags, "KmsKeyIdentifier": KEY})
    made_right(Bus(script.clients, "cx", KEY, OURS, rule))
    script.expect("events", "describe_event_bus", {"Name": "cx"}, {"Name": "cx", "Arn": HOME.bus("cx")})
    script.expect("events", "list_tags_for_resource", {"ResourceARN": HOME.bus("cx")}, {"Tags": tags})
    assert made_right(Bus(script.clients, "cx", KEY, OURS, rule)) == {}
    script.done()


SUMMARY = {
    "StreamName": "s",
    "StreamARN": HOME.stream("s"),
    "StreamStatus": "ACTIVE",
    "RetentionPeriodHours": 24,
    "StreamCreationTimestamp": 0,
    "EnhancedMonitoring": [],
    "OpenShardCount": 2,
}


def stream(script: Script, summary: dict[str, Any], tags: dict[str, str] | None) -> None:
    """The stream is described, and its tags are asked for."""
    script.expect("kinesis", "describe_stream_summary", {"StreamName": "s"}, {"StreamDescriptionSummary": summary})
    if tags is not None:
        listed = {"Tags": resources._as_list(tags), "HasMoreTags": False}
        script.expect("kinesis", "list_tags_for_stream", {"StreamName": "s", "Limit": 50}, listed)


def test_a_stream_in_the_making_is_waited_for(script: Script, monkeypatch: pytest.MonkeyPatch) -> None:
    """A `setup` that was broken off may have left it so; and a wait that ends in vain names the cure."""
    monkeypatch.setattr(resources, "LOOK_EVERY_S", 0)
    making = {**SUMMARY, "StreamStatus": "CREATING"}
    stream(script, making, OURS)
    one = Stream(script.clients, "s", 2, None, OURS)
    found = step(one)
    monkeypatch.setattr(resources, "LOOK_FOR_S", 0)
    stream(script, making, None)
    with pytest.raises(SetupError, match="stream s is CREATING still; when it is ACTIVE, run `stream-router setup`"):
        one.apply(found.found, found.changes)


def test_a_stream_that_is_being_deleted_is_left_to_go(script: Script) -> None:
    """`setup` says to wait; `teardown` finds nothing more to do."""
    stream(script, {**SUMMARY, "StreamStatus": "DELETING"}, None)
    one = Stream(script.clients, "s", 2, None, OURS)
    assert one.found() is None
    with pytest.raises(SetupError, match="stream s is being deleted; in a minute it is gone"):
        one.wanted(None)


class _Events:
    """EventBridge's answers to TestEventPattern, in turn; an answer without `Result` is an emulator's."""

    def __init__(self, *answers: dict[str, Any] | ClientError) -> None:
        self._answers = iter(answers)
        self.asked: list[str] = []

    def test_event_pattern(self, **asked: str) -> Any:
        self.asked.append(json.loads(asked["Event"])["detail-type"])
        if isinstance(answer := next(self._answers), ClientError):
            raise answer
        return answer


UNKNOWN = ClientError({"Error": {"Code": "UnknownOperationException", "Message": ""}}, "TestEventPattern")


@pytest.mark.parametrize(
    ("answers", "says"),
    [
        (({"Result": True}, {"Result": True}), "an event of each of our 2 types matches the rule"),
        ((UNKNOWN,), "was not proved: this endpoint has no TestEventPattern"),
        (({},), "was not proved: this endpoint has no TestEventPattern"),
        (({"Result": True}, {"Result": False}), None),
    ],
)
def test_the_rule_is_proved_by_a_real_event_of_each_type(
    monkeypatch: pytest.MonkeyPatch, script: Script, answers: Any, says: str | None
) -> None:
    """Before anything is made: one that does not match ends the command. An emulator that says nothing proves none."""
    given(monkeypatch, {"AWS_REGION": REGION, "STREAM_ROUTER_EVENT_TYPES": "a.b,c.d"})
    script.expect("sts", "get_caller_identity", {}, {"Account": ACCOUNT})
    deployment = Deployment(load(Setup), script.clients)
    script.clients.events = events = _Events(*answers)  # type: ignore[assignment]
    if says is None:
        with pytest.raises(SetupError, match=r"would not match our own event of type c\.d"):
            deployment.proved()
    else:
        assert says in deployment.proved()
    assert events.asked == ["a.b", "c.d"][: len(answers)]


@pytest.mark.parametrize(("shards", "buckets"), [(2, 8), (3, 12), (2_000, 4_096)])
@pytest.mark.parametrize("too_few", [True, False])
def test_too_few_buckets_for_the_shards_are_told(
    monkeypatch: pytest.MonkeyPatch, script: Script, shards: int, buckets: int, too_few: bool
) -> None:
    """Four for each shard; a note, for no call can set it."""
    given(monkeypatch, {"AWS_REGION": REGION})
    assert buckets_for(shards) == buckets
    script.expect("sts", "get_caller_identity", {}, {"Account": ACCOUNT})
    deployment = Deployment(load(Setup, buckets=buckets - too_few), script.clients)
    new = Step(deployment.resources[0], None, {"shards": shards}, "")
    assert bool(list(deployment.too_few_buckets(new))) is too_few


def test_a_rule_is_in_the_account_of_its_bus() -> None:
    """Where that is shared with us."""
    theirs = f"arn:aws:events:{REGION}:999999999999:event-bus/cx"
    assert HOME.rule(theirs, "r") == f"arn:aws:events:{REGION}:999999999999:rule/cx/r"
