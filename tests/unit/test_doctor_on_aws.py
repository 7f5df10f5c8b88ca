"""The checks of `doctor` that only AWS itself can answer: each in a world where it is well, and where it is not."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from botocore.stub import Stubber

from stream_router.aws import endpoints
from stream_router.checks.finding import Finding, Verdict
from stream_router.control.doctor import catalogue, probe
from stream_router.control.doctor.checks import account, queue, rights, stream, target
from stream_router.control.doctor.checks.bus import may_match
from stream_router.control.doctor.checks.iam_policy import denial, lets_in
from stream_router.control.doctor.world import World
from tests.environment import given

pytestmark = pytest.mark.usefixtures("empty_environment")

REGION = "eu-west-1"
ACCOUNT = "123456789012"
QUEUE = f"https://sqs.{REGION}.amazonaws.com/{ACCOUNT}/dead"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/path/consumer"
RULE = f"arn:aws:events:{REGION}:{ACCOUNT}:rule/cx/r"
SETTINGS = {
    "AWS_REGION": REGION,
    "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
    "AWS_SECRET_ACCESS_KEY": "secret",
    "SQS_DLQ_URL": QUEUE,
    "STREAM_ROUTER_WEBHOOK_SCHEME": "hmac",
    "STREAM_ROUTER_WEBHOOK_SECRETS": "s" * 32,
}


class Aws:
    """A world whose clients follow a script, one of each service."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **settings: str) -> None:
        given(monkeypatch, {**SETTINGS, **settings})
        self.stubs: dict[str, Stubber] = {}
        self.world = World(offline=False)
        monkeypatch.setattr(endpoints, "client", lambda _session, service, _config=None: self.stub(service).client)

    def stub(self, service: str) -> Stubber:
        if service not in self.stubs:
            make: Any = boto3.Session("AKIDEXAMPLE", "secret", region_name=REGION).client
            self.stubs[service] = Stubber(make(service))
            self.stubs[service].activate()
        return self.stubs[service]

    def answer(
        self, service: str, operation: str, answer: dict[str, Any], wanted: dict[str, Any] | None = None
    ) -> None:
        self.stub(service).add_response(operation, answer, wanted)

    def refuse(self, service: str, operation: str, code: str) -> None:
        self.stub(service).add_client_error(operation, code)

    def stream(self, shards: int = 2) -> None:
        self.world.once("stream", lambda: {"OpenShardCount": shards, "RetentionPeriodHours": 168})

    def is_role(self) -> None:
        arn = f"arn:aws:sts::{ACCOUNT}:assumed-role/consumer/i-1"
        self.world.once("identity", lambda: {"Account": ACCOUNT, "Arn": arn})
        role = {"Path": "/path/", "RoleName": "consumer", "RoleId": "A" * 16, "Arn": ROLE, "CreateDate": 0}
        self.answer("iam", "get_role", {"Role": role}, {"RoleName": "consumer"})


Look = Callable[[World], Finding]


def judged(aws: Aws, look: Look) -> Verdict:
    found = look(aws.world)
    if found.verdict not in (Verdict.WELL, Verdict.SKIPPED):
        assert found.cure
    return found.verdict


@pytest.mark.parametrize(
    ("code", "verdict"),
    [
        ("DryRunOperationException", Verdict.WELL),
        ("AccessDeniedException", Verdict.WRONG),
        ("KMSDisabledException", Verdict.WRONG),
        ("ProvisionedThroughputExceededException", Verdict.UNKNOWN),
    ],
)
def test_reading_and_writing_are_tried_by_dry_run(monkeypatch: pytest.MonkeyPatch, code: str, verdict: Verdict) -> None:
    """SR102 and SR110: AWS itself says whether it would work."""
    aws = Aws(monkeypatch)
    aws.refuse("kinesis", "put_records", code)
    assert judged(aws, stream.writable) is verdict
    aws.answer("kinesis", "list_shards", {"Shards": [_shard()]})
    aws.answer("kinesis", "get_shard_iterator", {"ShardIterator": "it"})
    aws.refuse("kinesis", "get_records", code)
    assert judged(aws, stream.readable) is verdict


def _shard() -> dict[str, Any]:
    keys = {"StartingHashKey": "0", "EndingHashKey": "1"}
    return {"ShardId": "shardId-0", "HashKeyRange": keys, "SequenceNumberRange": {"StartingSequenceNumber": "1"}}


def test_ended_leases_take_no_look_from_those_that_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """SR115: after a reshard the table begins with them, and a limited number of shards is read."""
    aws = Aws(monkeypatch)
    aws.stream()
    ended = [{"leaseKey": {"S": f"s{n}"}, "checkpoint": {"S": "SHARD_END"}} for n in range(stream.SHARDS_READ)]
    late = {"leaseKey": {"S": "late"}, "checkpoint": {"S": "TRIM_HORIZON"}}
    aws.world.once("leases 0", lambda: [*ended, late])
    aws.answer("kinesis", "get_shard_iterator", {"ShardIterator": "it"})
    aws.answer("kinesis", "get_records", {"Records": [], "MillisBehindLatest": 400_000})
    found = stream.lag(aws.world)
    assert (found.verdict, found.says) == (Verdict.WARNING, "400 s behind at late")


@pytest.mark.parametrize(("has", "verdict"), [("4096", Verdict.WELL), ("4000", Verdict.WARNING)])
def test_more_buckets_than_a_receiver_can_have_are_not_asked_for(
    monkeypatch: pytest.MonkeyPatch, has: str, verdict: Verdict
) -> None:
    """SR113: of 2,000 shards some have to do with two buckets."""
    aws = Aws(monkeypatch, STREAM_ROUTER_BUCKETS=has, STREAM_ROUTER_WEBHOOK_SCHEME="none")
    aws.stream(2_000)
    found = stream.buckets(aws.world)
    assert found.verdict is verdict
    assert found.cure in ("", "set 4096 in all receivers")


def test_of_many_shards_it_is_said_of_how_many_the_lag_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """SR115: of a thousand shards twenty are read, and nothing is claimed of the others."""
    aws = Aws(monkeypatch)
    aws.stream()
    rows = [{"leaseKey": {"S": f"s{n}"}, "checkpoint": {"S": "TRIM_HORIZON"}} for n in range(1_000)]
    aws.world.once("leases 0", lambda: rows)
    for _ in range(stream.SHARDS_READ):
        aws.answer("kinesis", "get_shard_iterator", {"ShardIterator": "it"})
        aws.answer("kinesis", "get_records", {"Records": [], "MillisBehindLatest": 0})
    found = stream.lag(aws.world)
    assert (found.verdict, found.says) == (
        Verdict.WELL,
        "0 s behind at s0, of the 20 of 1000 shards that were looked at",
    )


def test_shards_and_leases_are_asked_for_to_the_last_page(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stream that is resharded daily lists over ten thousand shards: what is not listed would be called foreign."""
    aws = Aws(monkeypatch)
    pages = 12
    for n in range(pages):
        more = {"NextToken": "more"} if n < pages - 1 else {}
        aws.answer("kinesis", "list_shards", {"Shards": [_shard()], **more})
        key = {"LastEvaluatedKey": {"leaseKey": {"S": f"s{n}"}}} if n < pages - 1 else {}
        row = {"leaseKey": {"S": f"s{n}"}, "checkpoint": {"S": "1"}}
        aws.answer("dynamodb", "scan", {"Items": [row], **key})
    assert (len(aws.world.shards()), len(aws.world.leases())) == (pages, pages)


@pytest.mark.parametrize(
    ("code", "verdict"),
    [
        ("ProvisionedThroughputExceededException", Verdict.UNKNOWN),
        ("AccessDeniedException", Verdict.WARNING),
        ("ResourceNotFoundException", Verdict.WELL),
    ],
)
def test_a_shard_whose_lag_cannot_be_read_is_not_called_well(
    monkeypatch: pytest.MonkeyPatch, code: str, verdict: Verdict
) -> None:
    """SR115: the other shard's lag says nothing of this one; a shard that is gone has none."""
    aws = Aws(monkeypatch)
    aws.stream()
    rows = [{"leaseKey": {"S": name}, "checkpoint": {"S": "TRIM_HORIZON"}} for name in ("a", "b")]
    aws.world.once("leases 0", lambda: rows)
    aws.refuse("kinesis", "get_shard_iterator", code)
    aws.answer("kinesis", "get_shard_iterator", {"ShardIterator": "it"})
    aws.answer("kinesis", "get_records", {"Records": [], "MillisBehindLatest": 0})
    assert judged(aws, stream.lag) is verdict


def test_a_late_shard_is_told_before_one_that_cannot_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """SR115: what is known to be wrong goes first."""
    aws = Aws(monkeypatch)
    aws.stream()
    rows = [{"leaseKey": {"S": name}, "checkpoint": {"S": "TRIM_HORIZON"}} for name in ("a", "b")]
    aws.world.once("leases 0", lambda: rows)
    aws.refuse("kinesis", "get_shard_iterator", "ProvisionedThroughputExceededException")
    aws.answer("kinesis", "get_shard_iterator", {"ShardIterator": "it"})
    aws.answer("kinesis", "get_records", {"Records": [], "MillisBehindLatest": 400_000})
    assert stream.lag(aws.world).says == "400 s behind at b"


@pytest.mark.parametrize(("quota", "verdict"), [(10_000, Verdict.WELL), (100, Verdict.WARNING)])
def test_the_quota_of_calls_is_held_against_the_shards(
    monkeypatch: pytest.MonkeyPatch, quota: int, verdict: Verdict
) -> None:
    """SR180: two full shards are 2,000 events a second, 200 calls of ten."""
    aws = Aws(monkeypatch)
    aws.stream()
    aws.answer("service-quotas", "get_service_quota", {"Quota": {"Value": float(quota)}})
    assert judged(aws, rights.put_events) is verdict


def _evaluated(decision: str, name: str = "kinesis:PutRecords") -> dict[str, Any]:
    return {"EvaluationResults": [{"EvalActionName": name, "EvalDecision": decision}]}


def test_rights_are_simulated_with_region_and_resource(monkeypatch: pytest.MonkeyPatch) -> None:
    """SR170: the role behind the session, its path included; the region, on which conditions of many firms hang."""
    aws = Aws(monkeypatch)
    aws.is_role()
    wanted = {
        "PolicySourceArn": ROLE,
        "ActionNames": ["kinesis:PutRecords"],
        "ResourceArns": [f"arn:aws:kinesis:{REGION}:{ACCOUNT}:stream/cxone-events"],
        "ContextEntries": [
            {"ContextKeyName": "aws:RequestedRegion", "ContextKeyValues": [REGION], "ContextKeyType": "string"}
        ],
    }
    aws.answer("iam", "simulate_principal_policy", _evaluated("allowed"), wanted)
    aws.answer("iam", "simulate_principal_policy", _evaluated("allowed", "cloudwatch:PutMetricData"))
    assert judged(aws, rights.receive) is Verdict.WELL


@pytest.mark.parametrize(("own", "said"), [("implicitDeny", "kinesis:PutRecords;"), ("allowed", "organisation's")])
def test_what_a_simulation_denies_could_not_be_proved(monkeypatch: pytest.MonkeyPatch, own: str, said: str) -> None:
    """A warning, and which layer denies: asked again without the organisation's policies."""
    aws = Aws(monkeypatch)
    aws.is_role()
    aws.answer("iam", "simulate_principal_policy", _evaluated("implicitDeny"))
    aws.answer("iam", "simulate_principal_policy", _evaluated(own))
    aws.answer("iam", "simulate_principal_policy", _evaluated("allowed", "cloudwatch:PutMetricData"))
    found = rights.receive(aws.world)
    assert found.verdict is Verdict.WARNING
    assert "could not be proved" in found.says
    assert said in f"{found.says};"


def test_a_consumer_s_rights_are_all_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """SR171: a call for each statement of `setup --policy consume`; one that is denied is named."""
    aws = Aws(monkeypatch)
    aws.is_role()
    for _ in range(7):
        aws.answer("iam", "simulate_principal_policy", _evaluated("allowed"))
    aws.stub("iam")
    for _ in range(2):
        aws.answer("iam", "simulate_principal_policy", _evaluated("explicitDeny", "sqs:SendMessage"))
    for _ in range(3):
        aws.answer("iam", "simulate_principal_policy", _evaluated("allowed"))
    found = rights.consume(aws.world)
    assert found.verdict is Verdict.WARNING
    assert "sqs:SendMessage" in found.says


def test_on_a_v2_bus_under_a_key_the_right_to_decrypt_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """SR171: without it every PutEvents is refused."""
    bus = f"arn:aws:events:{REGION}:{ACCOUNT}:event-busv2/b"
    aws = Aws(monkeypatch, STREAM_ROUTER_EVENT_BUS=bus)
    aws.is_role()
    aws.world.once("v2 bus", lambda: {"EncryptionConfiguration": {"KmsKeyIdentifier": "arn:key"}})
    asked: list[Any] = []

    def simulate(**call: Any) -> Any:
        asked.append(call)
        denied = call["ActionNames"] == ["kms:Decrypt"]
        return _evaluated("implicitDeny" if denied else "allowed", call["ActionNames"][0])

    client: Any = aws.stub("iam").client
    client.simulate_principal_policy = simulate
    found = rights.consume(aws.world)
    assert found.verdict is Verdict.WARNING
    assert found.says == "could not be proved: kms:Decrypt"
    assert next(call["ResourceArns"] for call in asked if call["ActionNames"] == ["kms:Decrypt"]) == ["arn:key"]


def test_without_the_right_to_simulate_nothing_is_said_of_rights(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its absence proves nothing."""
    aws = Aws(monkeypatch)
    aws.is_role()
    aws.refuse("iam", "simulate_principal_policy", "AccessDenied")
    found = rights.receive(aws.world)
    assert found.verdict is Verdict.SKIPPED
    assert "iam:SimulatePrincipalPolicy" in found.says


def test_a_simulation_is_read_to_its_last_page(monkeypatch: pytest.MonkeyPatch) -> None:
    """SR170: IAM may stop at any result, and says so."""
    aws = Aws(monkeypatch)
    aws.is_role()
    aws.answer("iam", "simulate_principal_policy", {**_evaluated("allowed"), "IsTruncated": True, "Marker": "further"})
    for _ in range(2):
        aws.answer("iam", "simulate_principal_policy", _evaluated("implicitDeny", "kinesis:Later"))
    aws.answer("iam", "simulate_principal_policy", _evaluated("allowed", "cloudwatch:PutMetricData"))
    found = rights.receive(aws.world)
    assert (found.verdict, found.says) == (Verdict.WARNING, "could not be proved: kinesis:Later")
    aws.stub("iam").assert_no_pending_responses()


def test_the_right_that_a_simulation_lacks_is_the_one_that_was_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The role behind a session is looked up before."""
    aws = Aws(monkeypatch)
    arn = f"arn:aws:sts::{ACCOUNT}:assumed-role/consumer/i-1"
    aws.world.once("identity", lambda: {"Account": ACCOUNT, "Arn": arn})
    aws.refuse("iam", "get_role", "AccessDenied")
    found = rights.receive(aws.world)
    assert (found.verdict, found.says) == (Verdict.SKIPPED, "not asked: it needs iam:GetRole")


@pytest.mark.parametrize(("age_s", "verdict"), [(3600.0, Verdict.WARNING), (13.5 * 24 * 3600, Verdict.WRONG)])
def test_the_oldest_letter_s_age_is_cloudwatch_s(
    monkeypatch: pytest.MonkeyPatch, age_s: float, verdict: Verdict
) -> None:
    """SR153: reading a queue shows some of its messages only; the metric knows the oldest."""
    aws = Aws(monkeypatch)
    has = {"ApproximateNumberOfMessages": "3", "MessageRetentionPeriod": str(14 * 24 * 3600)}
    aws.world.once(f"queue {QUEUE}", lambda: has)
    aws.answer("cloudwatch", "get_metric_data", {"MetricDataResults": [{"Id": "age", "Values": [age_s]}]})
    assert judged(aws, queue.letters) is verdict


def test_the_oldest_letter_may_be_older_than_its_metric_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """SR153: SQS leaves out what was received three times, and each look at the queue receives all of it."""
    aws = Aws(monkeypatch)
    aws.world.once(f"queue {QUEUE}", lambda: {"ApproximateNumberOfMessages": "3"})
    answer = {"MetricDataResults": [{"Id": "age", "Values": [7_200.0]}]}
    aws.answer("cloudwatch", "get_metric_data", answer)
    assert queue.letters(aws.world).says == "3 wait, the oldest for 2.0 hours or more"


HIDDEN = {"ApproximateNumberOfMessages": "0", "ApproximateNumberOfMessagesNotVisible": "3"}


def test_letters_that_someone_holds_wait_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """SR153: a message that was received is hidden for a while, and comes back if it is not deleted."""
    aws = Aws(monkeypatch)
    aws.world.once(f"queue {QUEUE}", lambda: HIDDEN)
    aws.answer("cloudwatch", "get_metric_data", {"MetricDataResults": []})
    found = queue.letters(aws.world)
    assert (found.verdict, found.says) == (Verdict.WARNING, "3 wait (3 hidden, since somebody reads them)")


def test_undelivered_events_that_someone_holds_wait_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """SR145: as with our own dead letters."""
    aws = Aws(monkeypatch)
    _with_target(aws, FUNCTION, DeadLetterConfig={"Arn": f"arn:aws:sqs:{REGION}:{ACCOUNT}:undelivered"})
    aws.world.once(f"url {ACCOUNT} undelivered", lambda: "url")
    aws.world.once("queue url", lambda: {**HIDDEN, "ApproximateNumberOfMessages": "1"})
    found = target.waiting(aws.world)
    assert (found.verdict, found.says.partition(" in ")[0]) == (Verdict.WARNING, "4 events")


@pytest.mark.parametrize(
    ("queue", "settings", "verdict"),
    [
        ("cxone-events-undelivered", {}, Verdict.WELL),
        ("mine", {}, Verdict.WARNING),
        ("mine", {"STREAM_ROUTER_TARGET_DLQ_ARN": f"arn:aws:sqs:{REGION}:{ACCOUNT}:mine"}, Verdict.WELL),
        ("cxone-events-undelivered", {"STREAM_ROUTER_TARGET_DLQ_ARN": f"arn:aws:sqs:{REGION}:1:q"}, Verdict.WARNING),
        ("mine", {"EVENTBRIDGE_TARGET_FILE": "/nonexistent"}, Verdict.WELL),
    ],
)
def test_undelivered_events_are_where_the_commands_look(
    monkeypatch: pytest.MonkeyPatch, queue: str, settings: dict[str, str], verdict: Verdict
) -> None:
    """SR143: `find` would say that it was accepted; what wrong settings mean is another check's."""
    aws = Aws(monkeypatch, **settings)
    aws.is_role()
    aws.stream()
    _with_target(aws, FUNCTION, DeadLetterConfig={"Arn": f"arn:aws:sqs:{REGION}:{ACCOUNT}:{queue}"})
    assert judged(aws, target.dead_letters) is verdict


@pytest.mark.parametrize(
    ("code", "verdict"),
    [("InvalidClientTokenId", Verdict.WRONG), ("ExpiredToken", Verdict.WRONG), ("Throttling", Verdict.UNKNOWN)],
)
def test_credentials_that_aws_does_not_know(monkeypatch: pytest.MonkeyPatch, code: str, verdict: Verdict) -> None:
    """SR011; and then nothing else of AWS is asked, since each call would be refused for the same."""
    aws = Aws(monkeypatch)
    aws.refuse("sts", "get_caller_identity", code)
    assert judged(aws, account.identity) is verdict
    assert account.stands_in_the_way(aws.world) == ("SR011" if verdict is Verdict.WRONG else "")


@pytest.mark.parametrize("code", ["InvalidClientTokenId", "UnrecognizedClientException", "RegionDisabledException"])
def test_a_region_that_the_account_has_not_enabled_is_no_fault_of_the_credentials(
    monkeypatch: pytest.MonkeyPatch, code: str
) -> None:
    """SR011: a region that is opt-in refuses good credentials with the same words as bad ones."""
    aws = Aws(monkeypatch)
    aws.refuse("sts", "get_caller_identity", code)
    found = account.identity(aws.world)
    assert found.verdict is Verdict.WRONG
    assert "enable it for the account" in found.cure


def _with_target(aws: Aws, arn: str, **more: Any) -> None:
    aws.world.once("rule", lambda: {"Arn": RULE})
    aws.world.once("targets cxone-webhook-router", lambda: [{"Id": "x", "Arn": arn, **more}])


FUNCTION = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:f"


def _statement(source: str) -> str:
    one = {
        "Effect": "Allow",
        "Principal": {"Service": "events.amazonaws.com"},
        "Action": "lambda:InvokeFunction",
        "Condition": {"ArnLike": {"AWS:SourceArn": source}},
    }
    return json.dumps({"Statement": [one]})


@pytest.mark.parametrize(("source", "verdict"), [(RULE, Verdict.WELL), (f"{RULE}2", Verdict.WRONG)])
def test_a_function_must_let_this_rule_in(monkeypatch: pytest.MonkeyPatch, source: str, verdict: Verdict) -> None:
    """SR140: the command that `setup` prints was run, for this rule."""
    aws = Aws(monkeypatch)
    _with_target(aws, FUNCTION)
    aws.answer("lambda", "get_policy", {"Policy": _statement(source)})
    assert judged(aws, target.lets_eventbridge_in) is verdict


OTHER = "999999999999"


@pytest.mark.parametrize(("allowed", "verdict"), [(ACCOUNT, Verdict.WELL), (OTHER, Verdict.WRONG)])
def test_the_source_account_is_the_rule_s(monkeypatch: pytest.MonkeyPatch, allowed: str, verdict: Verdict) -> None:
    """SR140: a target in another account lets in the account of the rule, not its own."""
    aws = Aws(monkeypatch)
    _with_target(aws, FUNCTION.replace(ACCOUNT, OTHER))
    policy = json.loads(_statement(RULE))
    policy["Statement"][0]["Condition"] = {"StringEquals": {"aws:SourceAccount": allowed}}
    aws.answer("lambda", "get_policy", {"Policy": json.dumps(policy)})
    assert judged(aws, target.lets_eventbridge_in) is verdict


def test_a_function_without_any_policy_lets_nobody_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lambda says not found to both: no function, and no policy."""
    aws = Aws(monkeypatch)
    _with_target(aws, FUNCTION)
    aws.refuse("lambda", "get_policy", "ResourceNotFoundException")
    assert judged(aws, target.lets_eventbridge_in) is Verdict.WRONG


def test_a_target_that_may_not_be_looked_at_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    """It may be right."""
    aws = Aws(monkeypatch)
    _with_target(aws, FUNCTION)
    aws.refuse("lambda", "get_policy", "AccessDeniedException")
    assert judged(aws, target.lets_eventbridge_in) is Verdict.WARNING


def test_the_policies_of_logs_are_read_to_the_last_page(monkeypatch: pytest.MonkeyPatch) -> None:
    """SR140: an account has several, and ours may stand on any page."""
    aws = Aws(monkeypatch)
    _with_target(aws, f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:/events/cx")
    ours = _statement(RULE).replace("lambda:InvokeFunction", "logs:PutLogEvents")
    aws.answer("logs", "describe_resource_policies", {"resourcePolicies": [], "nextToken": "further"})
    aws.answer("logs", "describe_resource_policies", {"resourcePolicies": [{"policyDocument": ours}]})
    assert judged(aws, target.lets_eventbridge_in) is Verdict.WELL


def test_a_topic_that_may_not_be_looked_at_is_a_warning_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """SNS has a word of its own for a right that is lacking (model `sns`, AuthorizationErrorException)."""
    aws = Aws(monkeypatch)
    _with_target(aws, f"arn:aws:sns:{REGION}:{ACCOUNT}:t")
    aws.refuse("sns", "get_topic_attributes", "AuthorizationError")
    assert judged(aws, target.lets_eventbridge_in) is Verdict.WARNING


def test_a_queue_under_aws_s_own_key_takes_nothing_from_eventbridge(monkeypatch: pytest.MonkeyPatch) -> None:
    """SR144: EventBridge may not use alias/aws/sqs, and says so nowhere."""
    aws = Aws(monkeypatch)
    dead = f"arn:aws:sqs:{REGION}:{ACCOUNT}:undelivered"
    _with_target(aws, FUNCTION, DeadLetterConfig={"Arn": dead})
    aws.world.once(f"url {ACCOUNT} undelivered", lambda: "url")
    policy = _statement(RULE).replace("lambda:InvokeFunction", "sqs:SendMessage")
    aws.world.once("queue url", lambda: {"Policy": policy, "KmsMasterKeyId": "alias/aws/sqs"})
    assert judged(aws, target.takes_dead_letters) is Verdict.WRONG


_VPC = {"StringNotEquals": {"aws:SourceVpce": "vpce-1"}}


@pytest.mark.parametrize(
    ("condition", "denied"),
    [
        ({"Bool": {"aws:SecureTransport": "false"}}, False),
        ({"Bool": {"aws:SecureTransport": False}}, False),
        (_VPC, True),
        ({"StringNotEqualsIfExists": {"aws:SourceVpce": "vpce-1"}}, True),
        ({"StringEquals": {"aws:SourceVpce": "vpce-1"}}, False),
        ({**_VPC, "Bool": {"aws:PrincipalIsAWSService": "false"}}, False),
        ({**_VPC, "Null": {"aws:SourceVpce": "false"}}, False),
        ({"StringNotEquals": {"aws:PrincipalOrgID": "o-1"}}, True),
        ({"StringNotEquals": {"aws:SourceAccount": ACCOUNT}}, False),
        ({"StringNotEquals": {"aws:SourceAccount": "999999999999"}}, True),
        ({"ArnNotLike": {"aws:SourceArn": "arn:aws:events:*"}}, False),
        ({"StringNotEquals": {"aws:SourceOrgID": "o-1"}}, False),
        ({}, True),
    ],
)
def test_a_deny_counts_where_it_is_about_eventbridge(condition: dict[str, Any], denied: bool) -> None:
    """By IAM's rules for keys that a service's call bears or does not; what nobody can tell is no denial."""
    deny = {"Sid": "No", "Effect": "Deny", "Principal": "*", "Action": "sqs:*", "Condition": condition}
    allow = {"Effect": "Allow", "Principal": {"Service": "events.amazonaws.com"}, "Action": "sqs:SendMessage"}
    policy = {"Statement": [allow, deny]}
    assert denial(policy, "sqs:SendMessage", RULE) == ("No" if denied else None)
    assert lets_in(policy, "sqs:SendMessage", RULE) is not denied


def test_an_allow_for_the_organisation_lets_no_service_in() -> None:
    """A service's call bears no organisation of its own."""
    condition = {"StringEquals": {"aws:PrincipalOrgID": "o-1"}}
    allow = {"Effect": "Allow", "Principal": "*", "Action": "sqs:SendMessage", "Condition": condition}
    assert not lets_in({"Statement": [allow]}, "sqs:SendMessage", RULE)


def test_a_target_that_denies_eventbridge_is_said_by_its_statement(monkeypatch: pytest.MonkeyPatch) -> None:
    """SR140: `setup` cannot mend it, so the cure is another one."""
    aws = Aws(monkeypatch)
    _with_target(aws, FUNCTION)
    deny = {"Sid": "Locked", "Effect": "Deny", "Principal": "*", "Action": "lambda:*"}
    policy = json.loads(_statement(RULE))
    policy["Statement"].append(deny)
    aws.answer("lambda", "get_policy", {"Policy": json.dumps(policy)})
    found = target.lets_eventbridge_in(aws.world)
    assert found.verdict is Verdict.WRONG
    assert "Locked" in found.says
    assert "take it out" in found.cure


@pytest.mark.parametrize(
    ("principal", "verdict"),
    [
        ({"Service": "events.amazonaws.com"}, Verdict.WELL),
        ({"AWS": f"arn:aws:iam::{ACCOUNT}:root"}, Verdict.WRONG),
    ],
)
def test_a_customer_s_key_must_be_open_to_eventbridge(
    monkeypatch: pytest.MonkeyPatch, principal: dict[str, str], verdict: Verdict
) -> None:
    """SR144: with STREAM_ROUTER_KMS_KEY the queue is under a key whose policy `setup` does not touch."""
    aws = Aws(monkeypatch)
    _with_target(aws, FUNCTION, DeadLetterConfig={"Arn": f"arn:aws:sqs:{REGION}:{ACCOUNT}:undelivered"})
    aws.world.once(f"url {ACCOUNT} undelivered", lambda: "url")
    policy = _statement(RULE).replace("lambda:InvokeFunction", "sqs:SendMessage")
    aws.world.once("queue url", lambda: {"Policy": policy, "KmsMasterKeyId": "key-1"})
    grant = {"Effect": "Allow", "Principal": principal, "Action": "kms:*", "Resource": "*"}
    aws.answer("kms", "get_key_policy", {"Policy": json.dumps({"Statement": [grant]})})
    assert judged(aws, target.takes_dead_letters) is verdict


@pytest.mark.parametrize(
    ("pattern", "may"),
    [
        ('{"source":["aws.ec2"]}', False),
        ('{"source":["aws.ec2","nice.cxone.webhook"]}', True),
        ('{"source":[{"prefix":"nice"}]}', True),
        ('{"detail-type":["x"]}', True),
        ("no json", True),
    ],
)
def test_a_rule_that_names_another_source_is_not_asked_about(pattern: str, may: bool) -> None:
    """All of an account share some 50 calls a second of the control plane."""
    assert may_match(pattern) is may


ALLOW = {"Effect": "Allow", "Principal": {"Service": "events.amazonaws.com"}, "Action": "sqs:SendMessage"}


@pytest.mark.parametrize(
    ("statements", "is_in"),
    [
        ([ALLOW], True),
        ([{**ALLOW, "Action": "SQS:*"}], True),
        ([{**ALLOW, "Principal": "*"}], True),
        ([{**ALLOW, "Principal": {"Service": ["x", "events.amazonaws.com"]}}], True),
        ([{**ALLOW, "Principal": {"Service": "sns.amazonaws.com"}}], False),
        ([{**ALLOW, "Action": "sqs:ReceiveMessage"}], False),
        ([{**ALLOW, "Condition": {"ArnEquals": {"aws:SourceArn": RULE}}}], True),
        ([{**ALLOW, "Condition": {"ArnEquals": {"aws:SourceArn": RULE + "x"}}}], False),
        ([{**ALLOW, "Condition": {"ArnLike": {"aws:SourceArn": [RULE[:-1] + "*"]}}}], True),
        ([{**ALLOW, "Condition": {"StringEquals": {"aws:SourceAccount": "999999999999"}}}], False),
        ([{**ALLOW, "Condition": {"StringNotEquals": {"aws:SourceAccount": "999999999999"}}}], True),
        ([ALLOW, {**ALLOW, "Effect": "Deny"}], False),
        ([], False),
    ],
)
def test_a_policy_is_read_as_iam_reads_it(statements: list[dict[str, Any]], is_in: bool) -> None:
    """As far as it speaks of EventBridge and of our rule."""
    assert lets_in({"Statement": statements}, "sqs:SendMessage", RULE) is is_in
    assert not lets_in(None, "sqs:SendMessage", RULE)


def test_a_refusal_s_time_tells_the_clock_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """SR013: a clock so wrong that the call is refused for it."""
    aws = Aws(monkeypatch)

    def refuse() -> Any:
        meta = {"HTTPHeaders": {"date": "Wed, 25 Nov 2026 10:00:00 GMT"}}
        raise ClientError({"Error": {"Code": "RequestExpired"}, "ResponseMetadata": meta}, "GetCallerIdentity")  # type: ignore[typeddict-item]

    with pytest.raises(ClientError):
        aws.world.once("identity", refuse)
    aws.world.now_s = lambda: 1_795_600_800.0 + 600
    found = account.clock(aws.world)
    assert found.verdict is Verdict.WRONG
    assert found.says.startswith("600 s ahead of AWS")


def test_the_page_has_every_check_and_no_other() -> None:
    """By its code and by what it looks at, in the order in which they are shown."""
    page = (Path(__file__).parents[2] / "docs" / "doctor.md").read_text("utf-8")
    rows = re.findall(r"^\| (SR\d+) \| ([^|]+) \|", page, re.MULTILINE)
    told = [(code, about.replace("`", "").replace("settings of", "settings:")) for code, about in rows]
    shown = [(check.code, check.about) for check in catalogue.CHECKS]
    assert [row for row in told if row[0] not in probe.CODES] == shown
    assert tuple(code for code, _ in told if code in probe.CODES) == probe.CODES
    assert len({code for code, _ in told}) == len(told)
