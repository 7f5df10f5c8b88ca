"""What `setup` asks of AWS where no emulator shows it: v2 buses, keys, what a change keeps."""

import json
from typing import Any

import pytest

from stream_router.errors import SettingsError
from stream_router.operate import resources, subscriber
from stream_router.operate.arns import Home
from stream_router.operate.resources import (
    Bus,
    BusQueue,
    QueueResource,
    Resource,
    Rule,
    SetupError,
    StreamResource,
    Target,
)
from stream_router.operate.setup import run
from stream_router.settings.operators import Setup
from stream_router.settings.reading import load
from tests.environment import set_environment
from tests.scripted import ACCOUNT, REGION, Script

pytestmark = pytest.mark.usefixtures("empty_environment")

HOME = Home("aws", REGION, ACCOUNT)
RULE_ARN = HOME.rule("cx", "r")
V2 = f"arn:aws:events:{REGION}:{ACCOUNT}:event-busv2/b/0123456789012345678901234"
V2_SUBSCRIBER = f"subscriber r of event bus {V2} (v2)"
SUBSCRIBER = f"arn:aws:events:{REGION}:{ACCOUNT}:subscriber/r/0123456789012345678901234"
KEY = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/1234abcd-12ab-34cd-56ef-1234567890ab"
OURS = {"stream-router-setup": "s"}
URL = f"https://sqs.{REGION}.amazonaws.com/{ACCOUNT}/q"


@pytest.fixture
def script() -> Script:
    return Script()


def made_right(resource: Resource) -> dict[str, Any]:
    """Look at a resource, and apply what is not right; the changes."""
    resource.refresh()
    if not resource.is_right:
        resource.apply()
    return resource.changes


INVOKES = {"TargetArn": HOME.queue("t"), "RoleArn": f"arn:aws:iam::{ACCOUNT}:role/r"}
RUNS: dict[str, Any] = {
    "State": "RUNNING",
    "OnFailureConfiguration": {"Arn": HOME.queue("u")},
    "InvokeConfiguration": INVOKES,
}
NEVER_MATCHES = "has a METADATA filter, which no event of PutEvents matches: use DATA or SYSTEM_METADATA"
METADATA = {"Filters": [{"Scope": "METADATA", "Pattern": '{"source":["nice.cxone.webhook"]}'}]}


@pytest.mark.parametrize(
    ("has", "line", "status"),
    [
        (RUNS, f"= {V2_SUBSCRIBER}", 0),
        (
            {"State": "STOPPED", "InvokeConfiguration": INVOKES},
            f"! {V2_SUBSCRIBER}: is STOPPED, has no dead-letter queue",
            1,
        ),
        (
            {**RUNS, "FilterConfiguration": METADATA},
            f"! {V2_SUBSCRIBER}: {NEVER_MATCHES}",
            1,
        ),
        ({**RUNS, "Revoked": True}, f"! {V2_SUBSCRIBER}: is REVOKED", 1),
        (None, f"! {V2_SUBSCRIBER}: is not there", 1),
        ("ResourceNotFoundException", "", 78),
        ("AccessDeniedException", "", 1),
    ],
)
def test_a_v2_bus_and_its_subscriber_are_verified_and_not_made(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    script: Script,
    has: Any,
    line: str,
    status: int,
) -> None:
    """What its owner has to mend is said, with what its filters have to let through; and `setup` ends with 1."""
    set_environment(monkeypatch, {"AWS_REGION": REGION, "STREAM_ROUTER_EVENT_BUS": V2, "STREAM_ROUTER_RULE": "r"})
    monkeypatch.setattr("stream_router.operate.setup.Clients", lambda _: script.clients)
    for kind in (StreamResource, QueueResource):  # which are as they should be
        monkeypatch.setattr(kind, "read_state", lambda _: {"shards": 2})
        monkeypatch.setattr(kind, "wanted_state", lambda _: {"shards": 2})
    script.expect("sts", "get_caller_identity", {}, {"Account": ACCOUNT})
    script.refuse("dynamodb", "describe_table", {"TableName": "cxone-event-router"}, "ResourceNotFoundException")
    if isinstance(has, str):
        script.refuse("events_v2", "describe_event_bus", {"EventBusArn": V2}, has)
    else:
        script.expect("events_v2", "describe_event_bus", {"EventBusArn": V2}, {"EventBusArn": V2})
        listed = {"Name": "r", "SubscriberArn": SUBSCRIBER, "State": "RUNNING"}
        asked = {"EventBusArn": V2, "NamePrefix": "r"}
        script.expect("events_v2", "list_subscribers", asked, {"Subscribers": [listed] * bool(has)})
    if isinstance(has, dict):
        script.expect("events_v2", "describe_subscriber", {"SubscriberArn": SUBSCRIBER}, has)
    if status == 78:
        with pytest.raises(SettingsError, match="STREAM_ROUTER_EVENT_BUS: there is no such v2 bus"):
            run(load(Setup), plan=False)
        return
    assert run(load(Setup), plan=False) == status
    output = capsys.readouterr()
    assert line in output.out.splitlines() or "grant what `stream-router setup --policy setup` prints" in output.err
    assert ("let through" in output.out and "interaction.created" in output.out) is bool(line)
    script.done()


TYPES = ("interaction.created", "conversation.updated")


@pytest.mark.parametrize(
    ("changes", "outcome"),
    [
        ({}, []),
        ({"InvokeConfiguration": {"TargetArn": "t"}}, ["has no role to reach its target with"]),
        ({"Type": "FIFO"}, []),
        (("DATA", {"source": ["nice.cxone.webhook"], "detail-type": [*TYPES]}), []),
        (("DATA", {"detail": {"eventSource": [{"prefix": "cxone"}]}}), []),
        (("DATA", {"source": [{"prefix": "nice."}], "detail-type": [{"anything-but": "x"}]}), []),
        (("DATA", {"source": ["other"]}), ["has a DATA filter that does not take the source nice.cxone.webhook"]),
        (("DATA", {"detail-type": [TYPES[0]]}), ["has a DATA filter that does not take conversation.updated"]),
        (("SYSTEM_METADATA", {"aws:Source": ["nice.cxone.webhook"], "aws:DetailType": [*TYPES]}), []),
        (
            ("SYSTEM_METADATA", {"aws:DetailType": ["x"]}),
            ["has a SYSTEM_METADATA filter that does not take interaction.created, conversation.updated"],
        ),
    ],
)
def test_a_subscriber_is_judged_by_role_state_queue_and_filters(changes: Any, outcome: list[str]) -> None:
    """Only plain values of a filter: whether an operator takes an event nothing here can ask AWS."""
    if isinstance(changes, tuple):
        scope, pattern = changes
        changes = {"FilterConfiguration": {"Filters": [{"Scope": scope, "Pattern": json.dumps(pattern)}]}}
    assert subscriber.find_problems({**RUNS, **changes}, TYPES, ordered=False) == outcome


@pytest.mark.parametrize(("kind", "is_well"), [("FIFO", True), ("UNORDERED", False), (None, False)])
def test_order_wants_a_subscriber_that_keeps_it(kind: str | None, is_well: bool) -> None:
    """Order is a property of the subscriber, not of the bus."""
    has = {**RUNS, **({"Type": kind} if kind else {})}
    assert (subscriber.find_problems(has, TYPES, ordered=True) == []) is is_well


def rule(script: Script) -> Rule:
    return Rule(script.clients, "cx", "r", RULE_ARN, ("interaction.created",), {**OURS, "team": "cx"})


def test_a_change_of_the_pattern_keeps_what_else_a_rule_has(script: Script) -> None:
    """PutRule replaces everything: what is not sent again would be gone. Its tags stay as they are."""
    at = {"Name": "r", "EventBusName": "cx"}
    kept = {"Description": "mine", "RoleArn": "arn:aws:iam::123456789012:role/x"}
    has = {"EventPattern": '{"source":["nice.cxone.webhook"],"detail-type":[]}', "State": "ENABLED", **kept}
    script.expect("events", "describe_rule", at, has)
    tags = [{"Key": "stream-router-setup", "Value": "s"}]
    script.expect("events", "list_tags_for_resource", {"ResourceARN": RULE_ARN}, {"Tags": tags})
    wanted = {"EventPattern": resources.pattern_text(("interaction.created",)), "State": "ENABLED"}
    script.expect("events", "put_rule", {**at, **kept, **wanted}, {})
    made_right(rule(script))
    script.done()


def test_a_target_that_eventbridge_refuses_is_an_error(script: Script) -> None:
    """PutTargets answers 200 all the same."""
    asked = {"Rule": "r", "EventBusName": "cx"}
    script.expect("events", "list_targets_by_rule", asked, {})
    arn = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:f"
    target = Target(script.clients, rule(script), {"Arn": arn}, HOME.queue("u"), named=False)
    target.refresh()
    refused = {"FailedEntryCount": 1, "FailedEntries": [{"TargetId": "x", "ErrorCode": "Odd", "ErrorMessage": "no"}]}
    script.expect("events", "put_targets", {**asked, "Targets": [target.changes]}, refused)
    with pytest.raises(SetupError, match=r"^EventBridge refused the target \(Odd: no\); "):
        target.apply()


def queue(script: Script, attributes: dict[str, str]) -> QueueResource:
    """A queue that is there."""
    asked = {"QueueUrl": URL, "AttributeNames": ["All"]}
    script.expect("sqs", "get_queue_attributes", asked, {"Attributes": attributes})
    script.expect("sqs", "list_queue_tags", {"QueueUrl": URL}, {"Tags": OURS})
    return QueueResource(script.clients, HOME.queue("q"), OURS, url=URL, key=KEY)


def test_a_queue_is_asked_before_it_is_believed_empty(script: Script) -> None:
    """Its count of 0 may be a minute old. What is received for this is visible again at once."""
    ours = queue(script, {"ApproximateNumberOfMessages": "0"})
    ours.refresh()
    asked = {"QueueUrl": URL, "VisibilityTimeout": 0, "WaitTimeSeconds": resources.QUEUE_WAIT_S}
    script.expect("sqs", "receive_message", asked, {"Messages": [{"MessageId": "1"}]})
    assert ours.describe_contents() == "messages"


def test_rules_that_share_a_queue_both_keep_their_statement() -> None:
    """Bus cxone-prod with rule router and bus cxone with rule prod-router have names that look alike."""
    policy: dict[str, Any] = {}
    for path in ("cxone-prod/router", "cxone/prod-router") * 2:
        policy = resources.merge_statement(
            policy, resources.eventbridge_statement(HOME.queue("q"), HOME.arn("events", f"rule/{path}"))
        )
    assert len({statement["Sid"] for statement in policy["Statement"]}) == len(policy["Statement"]) == 2


@pytest.mark.parametrize(
    "changes",
    [
        {"Condition": {"ArnEquals": {"aws:SourceArn": [RULE_ARN]}}},
        {"Condition": {"ArnEquals": {"aws:SourceArn": [f"{RULE_ARN}-other", RULE_ARN]}}},
        {"Action": ["sqs:GetQueueUrl", "sqs:SendMessage"], "Principal": {"Service": ["events.amazonaws.com"]}},
    ],
    ids=["a list of one rule", "a list of rules", "a list of actions"],
)
def test_a_statement_with_lists_that_hold_ours_is_enough(changes: dict[str, Any]) -> None:
    """An element of IAM's grammar is a value or a list of values, any of which matches."""
    ours = resources.eventbridge_statement(HOME.queue("q"), RULE_ARN)
    policy = {"Version": "2012-10-17", "Statement": [{**ours, "Sid": "theirs", **changes}]}
    assert resources.merge_statement(policy, ours) == policy


@pytest.mark.parametrize(
    "changes",
    [
        {"Condition": {"ArnEquals": {"aws:SourceArn": [f"{RULE_ARN}-other"]}}},
        {"Condition": {"ArnEquals": {"aws:SourceArn": RULE_ARN}, "Bool": {"aws:SecureTransport": "false"}}},
        {"Effect": "Deny"},
        {"Principal": {"AWS": "events.amazonaws.com"}},
    ],
    ids=["another rule", "a further condition", "a Deny", "another principal"],
)
def test_a_statement_that_does_not_grant_ours_is_not_enough(changes: dict[str, Any]) -> None:
    """Theirs stays, and ours is added."""
    ours = resources.eventbridge_statement(HOME.queue("q"), RULE_ARN)
    theirs = {**ours, "Sid": "theirs", **changes}
    policy = {"Version": "2012-10-17", "Statement": [theirs]}
    assert resources.merge_statement(policy, ours)["Statement"] == [theirs, ours]


def stream(script: Script, tags: dict[str, str] | None, **has: Any) -> None:
    """The stream is described, and its tags are asked for."""
    summary = {
        "StreamName": "s",
        "StreamARN": HOME.stream("s"),
        "StreamStatus": "ACTIVE",
        "RetentionPeriodHours": 24,
        "StreamCreationTimestamp": 0,
        "EnhancedMonitoring": [],
        "OpenShardCount": 2,
        **has,
    }
    script.expect("kinesis", "describe_stream_summary", {"StreamName": "s"}, {"StreamDescriptionSummary": summary})
    if tags is not None:
        listed = {"Tags": [{"Key": key, "Value": value} for key, value in tags.items()], "HasMoreTags": False}
        script.expect("kinesis", "list_tags_for_stream", {"StreamName": "s", "Limit": 50}, listed)


def test_a_key_is_given_to_what_is_made_and_changed_on_nothing(monkeypatch: pytest.MonkeyPatch, script: Script) -> None:
    """Queue, stream and bus."""
    monkeypatch.setattr(resources, "STATUS_POLL_INTERVAL_S", 0)
    attributes = {"MessageRetentionPeriod": "1209600", "MaximumMessageSize": "1048576", "KmsMasterKeyId": KEY}
    script.refuse("sqs", "get_queue_url", {"QueueName": "q"}, "QueueDoesNotExist")
    asked = {"QueueName": "q", "Attributes": attributes, "tags": OURS}
    script.expect("sqs", "create_queue", asked, {"QueueUrl": URL})
    made_right(QueueResource(script.clients, HOME.queue("q"), OURS, key=KEY))
    made_right(queue(script, {**attributes, "KmsMasterKeyId": "theirs"}))

    script.refuse("kinesis", "describe_stream_summary", {"StreamName": "s"}, "ResourceNotFoundException")
    mode = {"ShardCount": 2, "StreamModeDetails": {"StreamMode": "PROVISIONED"}, "Tags": OURS}
    script.expect("kinesis", "create_stream", {"StreamName": "s", **mode})
    stream(script, OURS)
    script.expect("kinesis", "increase_stream_retention_period", {"StreamName": "s", "RetentionPeriodHours": 168})
    stream(script, None)
    script.expect("kinesis", "start_stream_encryption", {"StreamName": "s", "EncryptionType": "KMS", "KeyId": KEY})
    stream(script, None)
    made_right(StreamResource(script.clients, "s", 2, KEY, OURS))
    stream(script, OURS, RetentionPeriodHours=8760, EncryptionType="KMS", KeyId="theirs")
    assert made_right(StreamResource(script.clients, "s", 2, KEY, OURS)) == {}

    script.refuse("events", "describe_event_bus", {"Name": "cx"}, "ResourceNotFoundException")
    tags = [{"Key": "stream-router-setup", "Value": "s"}]
    of_key = {"KmsKeyIdentifier": KEY, "DeadLetterConfig": {"Arn": BUS_QUEUE}}
    script.expect("events", "create_event_bus", {"Name": "cx", "Tags": tags, **of_key})
    made_right(bus(script))
    script.done()


BUS_QUEUE = HOME.queue("s-bus-undelivered")
BUS_ARN = HOME.bus("cx")


def bus(script: Script, has: dict[str, Any] | None = None, times: int = 1) -> Bus:
    """A bus whose dead letters go to BUS_QUEUE, if it is under a key; `has` is what AWS answers, `times` times."""
    for _ in range(times if has is not None else 0):
        script.expect("events", "describe_event_bus", {"Name": "cx"}, {"Name": "cx", "Arn": BUS_ARN, **(has or {})})
        script.expect("events", "list_tags_for_resource", {"ResourceARN": BUS_ARN}, {"Tags": []})
    return Bus(script.clients, "cx", KEY, OURS, rule(script), dead_letters=BUS_QUEUE)


def test_a_bus_under_a_key_gets_dead_letters_and_keeps_what_else_it_has(script: Script) -> None:
    """PutEvents succeeds while the key cannot be used. UpdateEventBus takes away what is not sent again."""
    kept = {"KmsKeyIdentifier": "theirs", "Description": "mine", "LogConfig": {"Level": "INFO"}}
    wanted = {"Name": "cx", **kept, "DeadLetterConfig": {"Arn": BUS_QUEUE}}
    script.expect("events", "describe_event_bus", {"Name": "cx"}, {"Name": "cx", "Arn": BUS_ARN, **kept})
    script.expect("events", "list_tags_for_resource", {"ResourceARN": BUS_ARN}, {"Tags": []})
    script.expect("events", "update_event_bus", wanted, {})
    made_right(bus(script))
    for has in ({}, {**kept, "DeadLetterConfig": {"Arn": HOME.queue("theirs")}}):
        assert made_right(bus(script, has)) == {}, "no key, or another queue"
    script.done()


@pytest.mark.parametrize("theirs", [None, "theirs"])
def test_a_bus_s_queue_is_under_sqs_s_own_key_open_to_the_bus_and_made_only_if_needed(
    script: Script, theirs: str | None
) -> None:
    """Under the bus's key the queue could take nothing that the key failed. A queue of somebody else's is enough."""
    has: dict[str, Any] = {"KmsKeyIdentifier": KEY}
    if theirs:
        has["DeadLetterConfig"] = {"Arn": HOME.queue(theirs)}
    bus_queue = BusQueue(script.clients, BUS_QUEUE, OURS, bus(script, has), BUS_ARN)
    script.refuse("sqs", "get_queue_url", {"QueueName": "s-bus-undelivered"}, "QueueDoesNotExist")
    if not theirs:
        attributes = {"MessageRetentionPeriod": "1209600", "MaximumMessageSize": "1048576"}
        policy = {"Version": "2012-10-17", "Statement": [resources.eventbridge_statement(BUS_QUEUE, BUS_ARN)]}
        attributes |= {"SqsManagedSseEnabled": "true", "Policy": json.dumps(policy)}
        asked = {"QueueName": "s-bus-undelivered", "Attributes": attributes, "tags": OURS}
        script.expect("sqs", "create_queue", asked, {"QueueUrl": URL})
    made_right(bus_queue)
    script.done()
    assert bus_queue.status_line().startswith(
        "  queue s-bus-undelivered: not needed" if theirs else "+ queue s-bus-undelivered: "
    )


def test_a_bus_of_another_account_that_may_not_be_looked_at_is_named(script: Script) -> None:
    """A policy of this account cannot help: only the bus's owner can let us look."""
    theirs = f"arn:aws:events:{REGION}:999999999999:event-bus/cx"
    script.refuse("events", "describe_event_bus", {"Name": theirs}, "AccessDeniedException")
    result = Bus(script.clients, theirs, None, OURS, rule(script), account=ACCOUNT)
    with pytest.raises(SetupError, match=r"is of account 999999999999, .*A bus of another account"):
        result.refresh()


def test_order_is_refused_on_a_stream_that_ignores_hash_keys(script: Script) -> None:
    """AUTO spreads records over the shards as it likes. Without a promised order it is a note."""
    stream(script, None, RecordDistributionStrategy="AUTO", StreamModeDetails={"StreamMode": "ON_DEMAND"})
    with pytest.raises(SettingsError, match=r"STREAM_ROUTER_ORDERING: .*AUTO.*USER_PARTITION_KEY"):
        StreamResource(script.clients, "s", 2, None, OURS, ordered=True).refresh()
    stream(script, OURS, RecordDistributionStrategy="AUTO", StreamModeDetails={"StreamMode": "ON_DEMAND"})
    loose = StreamResource(script.clients, "s", 2, None, OURS)
    loose.refresh()
    assert "AUTO" in loose.notes()[0]
    stream(script, OURS, RecordDistributionStrategy="USER_PARTITION_KEY")
    keyed = StreamResource(script.clients, "s", 2, None, OURS, ordered=True)
    keyed.refresh()
    assert keyed.notes() == []
    script.done()


def test_a_rule_beyond_aws_s_default_quotas_is_noted(script: Script) -> None:
    """Patterns of more than 2,048 characters, 300 rules a bus: AWS raises both, so it is not a refusal."""
    types = tuple(f"a.very.long.type.of.event.{number}" for number in range(70))
    result = Rule(script.clients, "cx", "r", RULE_ARN, types, OURS)
    script.refuse("events", "describe_rule", {"Name": "r", "EventBusName": "cx"}, "ResourceNotFoundException")
    script.expect("events", "list_rules", {"EventBusName": "cx"}, {"Rules": [{"Name": str(n)} for n in range(300)]})
    result.refresh()
    length = len(resources.pattern_text(types))
    assert 2048 < length < 4096
    of_pattern, of_rules = result.notes()
    assert of_pattern.startswith(f"its pattern has {length:,} characters; AWS's default quota is 2,048, and above it ")
    assert of_rules.startswith("the bus has 300 rules; AWS's default quota is 300, and above it PutRule fails until ")
    script.done()


def test_a_stream_in_the_making_is_waited_for_and_one_that_goes_is_not(
    script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A `setup` that was broken off may have left it so."""
    monkeypatch.setattr(resources, "STATUS_POLL_LIMIT_S", 0)
    stream(script, OURS, StreamStatus="CREATING")
    stream(script, None, StreamStatus="CREATING")
    stream(script, None, StreamStatus="DELETING")
    for words in ("stream s is still CREATING; ", "stream s is being deleted; "):
        with pytest.raises(SetupError, match=words):
            made_right(StreamResource(script.clients, "s", 2, None, OURS))
