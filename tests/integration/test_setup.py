"""`setup` and `teardown` as commands, against the embedded stack: what is there afterwards, and what was said."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from botocore.client import BaseClient
from botocore.exceptions import ClientError

from stream_router.aws.clients import Clients
from stream_router.consumer import lease_table
from stream_router.errors import SettingsError
from stream_router.local.programs import ACCOUNT, REGION
from stream_router.operate import resources, setup
from stream_router.settings.operators import Setup
from stream_router.settings.reading import load

QUEUES = f"arn:aws:sqs:{REGION}:{ACCOUNT}"
FUNCTION = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:mine"
TYPES = ["interaction.created", "conversation.updated", "agent.status.changed"]
PATTERN: dict[str, Any] = {
    "source": ["nice.cxone.webhook"],
    "detail-type": TYPES,
    "detail": {"eventSource": [{"prefix": "cxone"}]},
}
NOTHING = "nothing to change"

Said = Callable[[], list[str]]


@pytest.fixture(autouse=True)
def _one_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """The emulator has one server, which knows its messages at once."""
    monkeypatch.setattr(resources, "QUEUE_WAIT_S", 0)


@pytest.fixture
def output(capsys: pytest.CaptureFixture[str]) -> Said:
    return lambda: capsys.readouterr().out.splitlines()  # noqa: PLW0108 - each time what was said since


def run(name: str, *, plan: bool = False, exit_code: bool = False, yes: bool = False, **values: Any) -> int:
    """`setup` of a deployment whose stream and rule have this name."""
    return setup.run(load(Setup, stream=name, rule=name, **values), plan=plan, exit_code=exit_code, yes=yes)


def teardown(name: str, *, yes: bool = False, force: bool = False, **values: Any) -> int:
    return setup.teardown(load(Setup, stream=name, rule=name, **values), yes=yes, force=force)


def rule_of(clients: Clients, name: str, bus: str = "default") -> dict[str, Any]:
    """Pattern, state and targets of a rule; empty where there is none."""
    try:
        has = clients.events.describe_rule(Name=name, EventBusName=bus)
    except clients.events.exceptions.ResourceNotFoundException:
        return {}
    targets = clients.events.list_targets_by_rule(Rule=name, EventBusName=bus)["Targets"]
    return {"pattern": json.loads(has["EventPattern"]), "state": has["State"], "targets": targets}


def queue_arn(clients: Clients, name: str) -> Any:
    url = clients.sqs.get_queue_url(QueueName=name)["QueueUrl"]
    return clients.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]


def present(clients: Clients, name: str) -> list[str]:
    """Streams, queues and rules of whose names this one is a part."""
    queues = [url.rsplit("/", 1)[-1] for url in clients.sqs.list_queues().get("QueueUrls", [])]
    rules = [rule["Name"] for rule in clients.events.list_rules()["Rules"]]
    return sorted(item for item in (*clients.kinesis.list_streams()["StreamNames"], *queues, *rules) if name in item)


def refusing(monkeypatch: pytest.MonkeyPatch, operation: str, error: Exception) -> None:
    """From now on this operation of AWS ends so, before it does anything."""
    make_call: Any = BaseClient._make_api_call  # type: ignore[attr-defined]

    def call(client: Any, name: str, arguments: Any) -> Any:
        if name == operation:
            raise error
        return make_call(client, name, arguments)

    monkeypatch.setattr(BaseClient, "_make_api_call", call)


def test_the_spill_queue_is_made_if_the_setting_names_it_and_teardown_takes_it_away(
    clients: Clients, output: Said
) -> None:
    """With 14 days of retention, encrypted, for messages of 1 MiB, under the setting's name."""
    value: dict[str, Any] = {"spill_queue": f"https://sqs.{REGION}.amazonaws.com/{ACCOUNT}/spilled-here"}
    assert run("spilling", **value) == 0
    has = queue_arn(clients, "spilled-here")
    assert (has["MessageRetentionPeriod"], has["SqsManagedSseEnabled"]) == ("1209600", "true")
    assert has["MaximumMessageSize"] == "1048576"
    output()
    assert run("spilling", **value) == 0
    assert any(line.startswith("= queue spilled-here") for line in output())


DENIED = ClientError({"Error": {"Code": "AccessDeniedException", "Message": "no"}}, "PutRule")


def test_all_is_made_as_the_contract_says_and_a_second_run_changes_nothing(clients: Clients, output: Said) -> None:
    """Stream, both queues, bus, rule and target; tags on all; the target keeps AWS's own retry policy."""
    clients.sqs.create_queue(QueueName="out")
    value: dict[str, Any] = {"event_bus": "cx", "target_arn": f"{QUEUES}:out", "tags": "team=cx"}
    assert run("whole", **value) == 0
    lines = output()
    assert lines[-1] == f"export SQS_DLQ_URL={clients.sqs.get_queue_url(QueueName='whole-dead-letters')['QueueUrl']}"
    assert any("TestEventPattern" in line for line in lines)

    stream = clients.kinesis.describe_stream_summary(StreamName="whole")["StreamDescriptionSummary"]
    assert (stream["OpenShardCount"], stream["RetentionPeriodHours"], stream["EncryptionType"]) == (2, 168, "KMS")
    for name in ("whole-dead-letters", "whole-undelivered"):
        has = queue_arn(clients, name)
        assert (has["MessageRetentionPeriod"], has["SqsManagedSseEnabled"]) == ("1209600", "true")
    rule_arn = f"arn:aws:events:{REGION}:{ACCOUNT}:rule/cx/whole"
    for name in ("whole-undelivered", "out"):
        (statement,) = json.loads(queue_arn(clients, name)["Policy"])["Statement"]
        assert statement["Principal"] == {"Service": "events.amazonaws.com"}
        assert statement["Condition"] == {"ArnEquals": {"aws:SourceArn": rule_arn}}
    rule = rule_of(clients, "whole", "cx")
    assert (rule["pattern"], rule["state"]) == (PATTERN, "ENABLED")
    (target,) = rule["targets"]
    assert target.keys() == {"Id", "Arn", "DeadLetterConfig"}
    assert target["DeadLetterConfig"] == {"Arn": f"{QUEUES}:whole-undelivered"}
    tags = [{"Key": "stream-router-setup", "Value": "whole"}, {"Key": "team", "Value": "cx"}]
    for arn in (rule_arn, f"arn:aws:events:{REGION}:{ACCOUNT}:event-bus/cx"):
        listed = clients.events.list_tags_for_resource(ResourceARN=arn)["Tags"]
        assert sorted(listed, key=lambda tag: tag["Key"]) == tags

    assert run("whole", **value) == run("whole", **value, plan=True, exit_code=True) == 0
    assert output().count(NOTHING) == 2
    assert rule_of(clients, "whole", "cx") == rule


def test_what_others_have_is_completed_and_what_they_chose_stays(clients: Clients) -> None:
    """A queue that keeps messages for 4 days, a policy with a statement of theirs, a stream of theirs."""
    theirs = {"Sid": "theirs", "Effect": "Deny", "Principal": "*", "Action": "sqs:*", "Resource": "*"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": theirs})
    attributes: Any = {"MessageRetentionPeriod": "345600", "Policy": policy}
    url = clients.sqs.create_queue(QueueName="theirs-undelivered", Attributes=attributes)["QueueUrl"]
    clients.kinesis.create_stream(StreamName="theirs", ShardCount=1)
    assert run("theirs", tags="team=cx") == 0
    has = queue_arn(clients, "theirs-undelivered")
    assert has["MessageRetentionPeriod"] == "1209600"
    assert [statement["Sid"].split("-")[0] for statement in json.loads(has["Policy"])["Statement"]] == [
        "theirs",
        "EventBridge",
    ]
    stream = clients.kinesis.describe_stream_summary(StreamName="theirs")["StreamDescriptionSummary"]
    assert (stream["OpenShardCount"], stream["RetentionPeriodHours"]) == (1, 168)
    assert not clients.sqs.list_queue_tags(QueueUrl=url).get("Tags"), "what is not ours gets no tags of ours"


def articles_rule(clients: Clients, name: str, **more: Any) -> None:
    """What the script of the article leaves: a rule with a Lambda target that has HttpParameters, and one beside it."""
    clients.events.put_rule(Name=name, EventPattern=json.dumps({**PATTERN, **more}), State="ENABLED")
    target: Any = {
        "Id": "1",
        "Arn": FUNCTION,
        "HttpParameters": {"HeaderParameters": {"x-correlation": "a"}},
        "RetryPolicy": {"MaximumRetryAttempts": 3, "MaximumEventAgeInSeconds": 3600},
    }
    beside: Any = {"Id": "2", "Arn": f"{QUEUES}:billing"}
    clients.events.put_targets(Rule=name, Targets=[target, beside])


def test_the_articles_rule_is_taken_over_as_it_is(clients: Clients, output: Said) -> None:
    """Its targets stay, with what was chosen on ours; only the dead-letter queue that was missing is added.

    A further filter stays too: a team may let less through to its own target.
    """
    articles_rule(clients, "article", detail={**PATTERN["detail"], "payload": {"queue": ["sales"]}})
    before = rule_of(clients, "article")
    assert run("article", target_arn=FUNCTION) == 0
    after = rule_of(clients, "article")
    ours, beside = sorted(after["targets"], key=lambda target: target["Id"])
    was, also = sorted(before["targets"], key=lambda target: target["Id"])
    assert ours == {**was, "DeadLetterConfig": {"Arn": f"{QUEUES}:article-undelivered"}}
    assert (beside, after["pattern"]) == (also, before["pattern"])
    permission = (
        f"aws lambda add-permission --function-name {FUNCTION} --statement-id stream-router-article "
        "--action lambda:InvokeFunction --principal events.amazonaws.com "
        f"--source-arn arn:aws:events:{REGION}:{ACCOUNT}:rule/article"
    )
    assert any(line.endswith(permission) for line in output())
    assert run("article", target_arn=FUNCTION) == 0
    assert NOTHING in output()
    assert teardown("article", yes=True, target_arn=FUNCTION) == 0
    assert rule_of(clients, "article") == after, "it is not ours to take away"


def test_no_live_rule_is_narrowed_or_enabled_without_a_word(clients: Clients, output: Said) -> None:
    """Without --yes the difference is said, and nothing at all is changed; more types need no word.

    That somebody disabled it may have been meant.
    """
    wide = ",".join([*TYPES, "order.created"])
    assert run("live", event_types=wide, target_arn=FUNCTION) == 0
    before = rule_of(clients, "live")
    output()
    clients.sqs.create_queue(QueueName="new")
    assert run("live", target_arn=f"{QUEUES}:new") == 1
    lines = output()
    assert any(line.startswith("~ rule live on bus default: pattern ") for line in lines)
    assert any(line.startswith("  needs --yes: the pattern changes by more than further event types") for line in lines)
    assert (
        lines[-1] == "nothing was changed; if the changes that need --yes are intended, run `stream-router setup --yes`"
    )
    assert rule_of(clients, "live") == before
    assert run("live", target_arn=FUNCTION, plan=True, exit_code=True) == 2
    assert run("live", target_arn=FUNCTION, yes=True) == 0
    assert rule_of(clients, "live")["pattern"] == PATTERN
    assert run("live", event_types=wide, target_arn=FUNCTION) == 0
    clients.events.disable_rule(Name="live")
    assert run("live", event_types=wide) == 1
    assert any(line.startswith("  needs --yes: somebody disabled it") for line in output())
    assert rule_of(clients, "live")["state"] == "DISABLED"
    assert run("live", event_types=wide, yes=True) == 0
    assert rule_of(clients, "live")["state"] == "ENABLED"


def test_the_target_file_says_every_field(clients: Clients, tmp_path: Path) -> None:
    """It wins over what is there, a null takes a field away, and what it does not name stays."""
    articles_rule(clients, "filed")
    retry = {"MaximumRetryAttempts": 20, "MaximumEventAgeInSeconds": 7200}
    file = tmp_path / "target.json"
    file.write_text(json.dumps({"RetryPolicy": retry, "HttpParameters": None, "InputPath": "$.detail"}))
    assert run("filed", target_arn=FUNCTION, target_file=file) == 0
    (target,) = [item for item in rule_of(clients, "filed")["targets"] if item["Arn"] == FUNCTION]
    dead_letters = {"Arn": f"{QUEUES}:filed-undelivered"}
    wanted = {"Id": "1", "Arn": FUNCTION, "RetryPolicy": retry, "InputPath": "$.detail"}
    assert target == {**wanted, "DeadLetterConfig": dead_letters}


def test_an_id_of_the_file_takes_no_target_away_unasked(clients: Clients, tmp_path: Path, output: Said) -> None:
    """PutTargets replaces what has the same id: the events of another target would end."""
    articles_rule(clients, "stolen")
    clients.sqs.create_queue(QueueName="stolen-out")
    before = rule_of(clients, "stolen")
    file = tmp_path / "target.json"
    file.write_text(json.dumps({"Id": "2", "Arn": f"{QUEUES}:stolen-out"}))
    assert run("stolen", target_file=file) == 1
    assert any(f"target {QUEUES}:billing has the id 2 " in line for line in output())
    assert rule_of(clients, "stolen") == before
    assert run("stolen", target_file=file, yes=True) == 0
    assert [target["Arn"] for target in rule_of(clients, "stolen")["targets"]] == [FUNCTION, f"{QUEUES}:stolen-out"]


def test_a_second_target_stands_beside_the_first_and_is_told_of(clients: Clients, output: Said) -> None:
    """Both get every event; the command that ends the first is said, and not run."""
    for name in ("one", "two"):
        clients.sqs.create_queue(QueueName=name)
        assert run("both", target_arn=f"{QUEUES}:{name}") == 0
    assert {target["Arn"] for target in rule_of(clients, "both")["targets"]} == {f"{QUEUES}:one", f"{QUEUES}:two"}
    assert any(
        "of an earlier setup gets every event too; to end that: aws events remove-t" in line for line in output()
    )


def test_a_plan_shows_the_difference_and_makes_nothing(clients: Clients, output: Said) -> None:
    """`+`, `~` and `=`, from what to what; 2 with --exit-code, 0 without."""
    clients.sqs.create_queue(QueueName="planned-dead-letters", Attributes={"MessageRetentionPeriod": "345600"})
    assert run("planned", plan=True, exit_code=True, application="planned-app") == 2
    lines = output()
    assert lines[0] == "  lease table planned-app: `consume` makes it at its first start"
    assert lines[1].startswith("+ stream planned: shards 2, retention (hours) 168, ")
    assert lines[2].startswith("~ queue planned-dead-letters: retention (s) 345600 -> 1209600")
    assert "= event bus default" in lines
    assert "plan: 3 to make, 1 to change; run `stream-router setup` to do it" in lines
    assert run("planned", plan=True) == 0
    assert present(clients, "planned") == ["planned-dead-letters"]


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("EVENTBRIDGE_TARGET_ARN", {"target_arn": "arn:x"}),
        ("EVENTBRIDGE_TARGET_ARN", {"target_arn": f"{QUEUES}:nowhere"}),
        ("EVENTBRIDGE_TARGET_ARN", {"target_arn": f"arn:aws:kinesis:{REGION}:{ACCOUNT}:stream/untouched"}),
        ("EVENTBRIDGE_TARGET_ARN", {"target_arn": f"arn:aws:events:{REGION}:{ACCOUNT}:event-bus/default"}),
        ("EVENTBRIDGE_TARGET_ARN", {"target_arn": f"{QUEUES}:untouched-dead-letters"}),
        ("EVENTBRIDGE_TARGET_ARN", {"target_arn": f"{QUEUES}:untouched-undelivered"}),
        ("EVENTBRIDGE_TARGET_FILE", {"target_file": "nowhere"}),
        ("EVENTBRIDGE_TARGET_FILE", {"target_file": "[]"}),
        ("EVENTBRIDGE_TARGET_FILE", {"target_file": "{"}),
        ("EVENTBRIDGE_TARGET_FILE", {"target_file": "{}"}),
        ("EVENTBRIDGE_TARGET_FILE", {"target_file": '{"Arn": "arn:aws:sqs:x:1:a"}', "target_arn": FUNCTION}),
        ("EVENTBRIDGE_TARGET_FILE", {"target_file": '{"RetryPolicies": {}}', "target_arn": FUNCTION}),
        ("STREAM_ROUTER_TARGET_DLQ_ARN", {"target_dlq_arn": f"{QUEUES}:q.fifo"}),
        ("STREAM_ROUTER_TARGET_DLQ_ARN", {"target_dlq_arn": f"{QUEUES}:nowhere"}),
        (
            "STREAM_ROUTER_TARGET_DLQ_ARN",
            {"target_arn": FUNCTION, "target_dlq_arn": f"{QUEUES}:untouched-dead-letters"},
        ),
        ("SQS_DLQ_URL", {"sqs_dlq_url": f"http://127.0.0.1/{ACCOUNT}/nowhere"}),
        ("STREAM_ROUTER_TAGS", {"tags": "stream-router-setup=mine"}),
        ("STREAM_ROUTER_EVENT_BUS", {"event_bus": f"arn:aws:events:{REGION}:{ACCOUNT}:event-bus/nowhere"}),
        ("STREAM_ROUTER_EVENT_TYPES", {"event_types": ",".join(f"type.number.{n}" for n in range(400))}),
    ],
)
def test_a_setting_at_fault_is_78_and_nothing_was_made(
    clients: Clients, tmp_path: Path, output: Said, name: str, values: dict[str, Any]
) -> None:
    """The line names the setting and the cure; the stream, which would be made first, is not there."""
    if text := values.get("target_file"):
        file = tmp_path / "target.json"
        if text != "nowhere":
            file.write_text(text)
        values = {**values, "target_file": file}
    with pytest.raises(SettingsError, match=f"^{name}: .*; "):
        setup.run(load(Setup, **{"stream": "untouched", "rule": "untouched", **values}), plan=False)
    assert present(clients, "untouched") == []
    assert output() == []


def test_a_rule_of_another_stream_is_not_taken_over(clients: Clients) -> None:
    """A second deployment that names its own stream alone: the first one's rule stays as it is."""
    assert run("first", event_types="order.created") == 0
    before = rule_of(clients, "first")
    second = load(Setup, stream="second", rule="first")
    with pytest.raises(
        SettingsError, match="STREAM_ROUTER_RULE: rule first on bus default belongs to stream first; "
    ) as no:
        setup.run(second, plan=False)
    assert rule_of(clients, "first") == before
    assert present(clients, "second") == []
    assert "--tags Key=stream-router-setup,Value=second" in str(no.value)
    assert setup.teardown(second, yes=True, force=True) == 0
    assert rule_of(clients, "first") == before


def test_a_run_that_is_broken_off_is_gone_on_with(
    clients: Clients, output: Said, capsys: pytest.CaptureFixture[str]
) -> None:
    """Stream and queues are there and said, the rule is not; the next run makes it.

    A right that is missing to look is told before anything is made, with the policy to print.
    """
    with pytest.MonkeyPatch.context() as monkeypatch:
        refusing(monkeypatch, "DescribeRule", DENIED)
        assert run("half") == 1
    captured = capsys.readouterr()
    assert (captured.out, "setup --policy setup" in captured.err, present(clients, "half")) == ("", True, [])
    with pytest.MonkeyPatch.context() as monkeypatch:
        refusing(monkeypatch, "PutRule", DENIED)
        assert run("half") == 1
    lines = output()
    assert any(line.startswith("+ queue half-dead-letters") for line in lines)
    assert not any(line.startswith("+ rule") for line in lines)
    assert run("half") == run("half", plan=True) == 0
    assert NOTHING in output()


def test_teardown_shows_and_with_yes_takes_away_what_setup_made_and_nothing_else(
    clients: Clients, output: Said
) -> None:
    """Backwards, the rule first; the target's queue was there before, and another deployment's things are another's."""
    clients.sqs.create_queue(QueueName="torn-out")
    value: dict[str, Any] = {"event_bus": "torn-bus", "target_arn": f"{QUEUES}:torn-out"}
    assert run("torn", **value) == run("torn-other") == 0
    others = [item for item in present(clients, "torn") if item.startswith("torn-other")]
    before = present(clients, "torn")
    output()
    assert teardown("torn", **value) == 0
    lines = output()
    assert [line for line in lines if line.startswith("- ")] == [
        "- rule torn on bus torn-bus",
        "- event bus torn-bus",
        "- queue torn-undelivered",
        "- queue torn-dead-letters",
        "- stream torn",
    ]
    assert lines[-1].endswith("then run it again with --yes")
    assert present(clients, "torn") == before
    with pytest.MonkeyPatch.context() as monkeypatch:
        refusing(monkeypatch, "DeleteQueue", DENIED)
        assert teardown("torn", yes=True, **value) == 1
    assert output()[-2:] == ["deleted rule torn on bus torn-bus", "deleted event bus torn-bus"]
    assert teardown("torn", yes=True, **value) == teardown("torn", yes=True, **value) == 0
    assert output()[-1].startswith("no resource of `setup` exists under the current names (stream torn, ")
    assert present(clients, "torn") == sorted([*others, "torn-out"])


@pytest.mark.parametrize("holder", ["stream", "dead letters", "targets of others"])
def test_while_something_holds_events_nothing_is_deleted_and_the_loss_is_said(
    clients: Clients, output: Said, holder: str
) -> None:
    """A record that was read counts too: replay needs it. Nobody is told to add --force (FINDINGS F22)."""
    name = f"full-{holder.partition(' ')[0]}"
    assert run(name) == 0
    if holder == "stream":
        clients.kinesis.put_record(StreamName=name, Data=b"{}", PartitionKey="x")
    elif holder == "dead letters":
        url = clients.sqs.get_queue_url(QueueName=f"{name}-dead-letters")["QueueUrl"]
        clients.sqs.send_message(QueueUrl=url, MessageBody="{}")
    else:
        clients.events.put_targets(Rule=name, Targets=[{"Id": "theirs", "Arn": f"{QUEUES}:billing"}])
    before = present(clients, name)
    output()
    assert teardown(name, yes=True) == 1
    lines = output()
    lost = {
        "stream": f"stream {name}: events since ",
        "dead letters": f"queue {name}-dead-letters: 1 messages",
        "targets of others": f"rule {name} on bus default: 1 targets of others",
    }
    assert any(
        line.startswith(f"nothing was deleted, since this would be lost for good: {lost[holder]}") for line in lines
    )
    assert not any("--yes --force" in line for line in lines)
    assert teardown(name, force=True) == 0
    assert any(line.startswith(f"with --yes this is lost for good: {lost[holder]}") for line in output())
    assert present(clients, name) == before
    assert teardown(name, yes=True, force=True) == 0
    assert present(clients, name) == []


def tables(clients: Clients) -> list[str]:
    return clients.dynamodb.list_tables()["TableNames"]


def test_the_lease_table_is_shown_and_goes_after_its_stream(clients: Clients, output: Said) -> None:
    """With `consume`'s tag it is deleted, and a plan says nothing else of it than that it is there."""
    own: dict[str, Any] = {"application": "leased-app"}
    lease_table.create_table(clients.dynamodb, "leased-app", {"stream-router-setup": "leased"})
    assert run("leased", **own) == 0
    assert output()[0] == "= lease table leased-app"
    assert run("leased", plan=True, exit_code=True, **own) == 0
    assert teardown("leased", yes=True, force=True, **own) == 0
    deleted = [line for line in output() if line.startswith("deleted")]
    assert deleted[-2:] == ["deleted stream leased", "deleted lease table leased-app"]
    assert "leased-app" not in tables(clients)


@pytest.mark.parametrize(
    ("tags", "why"),
    [
        (None, "it does not carry the tag stream-router-setup of this stream; later `aws dynamodb delete-table"),
        ({"stream-router-setup": "stays"}, "it has the checkpoints of a stream that stays"),
    ],
)
def test_a_lease_table_stays(clients: Clients, output: Said, tags: dict[str, str] | None, why: str) -> None:
    """One that the KCL made, or one whose stream stays: without it all of the stream would come again."""
    name = f"stays-{len(tags or {})}"
    assert run("stays", application=name) == 0
    clients.kinesis.remove_tags_from_stream(StreamName="stays", TagKeys=["stream-router-setup"])
    lease_table.create_table(clients.dynamodb, name, tags)
    assert teardown("stays", yes=True, force=True, application=name) == 0
    assert any(line.startswith(f"= lease table {name} stays: {why}") for line in output())
    assert name in tables(clients)


def test_the_index_of_a_lease_table_that_is_not_there_is_noted(clients: Clients, output: Said) -> None:
    """An older KCL made the table: the first start of `consume` takes up to 20 minutes."""
    clients.dynamodb.create_table(
        TableName="old-app",
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": "leaseKey", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "leaseKey", "KeyType": "HASH"}],
    )
    assert run("old", plan=True, application="old-app") == 0
    assert any("its index LeaseOwnerToLeaseKeyIndex is not there yet" in line for line in output())


def test_what_is_not_ours_stays_and_keeps_its_bus(clients: Clients, output: Said) -> None:
    """Somebody made the stream by hand, or put a rule of his own on the bus."""
    assert run("kept", event_bus="kept-bus") == 0
    clients.kinesis.remove_tags_from_stream(StreamName="kept", TagKeys=["stream-router-setup"])
    clients.events.put_rule(Name="theirs", EventBusName="kept-bus", EventPattern='{"source":["x"]}')
    assert teardown("kept", yes=True, force=True, event_bus="kept-bus") == 0
    lines = output()
    assert "= stream kept stays: it does not carry the tag stream-router-setup of this stream" in lines
    assert "= event bus kept-bus stays: it has rules that stay (theirs)" in lines
    assert "kept" in clients.kinesis.list_streams()["StreamNames"]
    assert clients.events.describe_event_bus(Name="kept-bus")
