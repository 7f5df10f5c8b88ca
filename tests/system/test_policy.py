"""`setup --policy` held against what the real programs do: a recorder stands before the embedded stack, all run whole.

Both ways: every call that a program made is granted by its policy, and everything that its policy grants was used.
"""

import fnmatch
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from stream_router.operate import policy as command
from stream_router.operate.arns import Home
from tests.constants import CALL_BYTES, METRICS_EVERY_S, with_constants
from tests.system.world import PROGRAM, REGION, World, until, webhook

pytestmark = [pytest.mark.system, pytest.mark.long, pytest.mark.timeout(300)]

ACCOUNT = "000000000000"
SETTINGS = {
    "STREAM_ROUTER_EVENT_BUS": "cx",
    "STREAM_ROUTER_TAGS": "team=cx",
    "STREAM_ROUTER_OFFLOAD_BUCKET": "claims",
    **with_constants({CALL_BYTES: 20_000, METRICS_EVERY_S: 1}),
}
FREE = {"sts:GetCallerIdentity"}
"""AWS asks for no right for these."""

Pair = tuple[str, str]

ONLY_ON_EMULATORS: dict[str, dict[str, str]] = {
    "receive": {"kinesis:DescribeStreamSummary": "on AWS the check at start is PutRecords' own dry run (SR102)"},
}
ONLY_ON_AWS: dict[str, dict[str, str]] = {
    "receive": {"kms:GenerateDataKey": "asked for by Kinesis itself"},
    "consume": {
        "dynamodb:UpdateTable": "called by the KCL alone, if an older KCL made the lease table without the index",
        "kms:Decrypt": "asked for by Kinesis itself",
        "kms:GenerateDataKey": "asked for by SQS itself",
    },
    "operate": {
        "kms:GenerateDataKey": "asked for by Kinesis itself where something is put back",
        "kms:Decrypt": "asked for by Kinesis itself",
        "s3:GetObject": "no dead letter of this run is so large that it lies in S3",
    },
    "setup": {
        "kms:DescribeKey": "asked for by Kinesis itself",
        "events:UpdateEventBus": "called if a bus under a key has no dead-letter queue, which none of this run lacks",
        **dict.fromkeys(
            (
                *("kms:Decrypt", "kms:Encrypt", "kms:GenerateDataKeyWithoutPlaintext"),
                *("kms:ReEncryptFrom", "kms:ReEncryptTo"),
            ),
            "asked for by EventBridge itself",
        ),
    },
    "teardown": {"kms:Decrypt": "asked for by Kinesis and SQS themselves"},
}
"""What one of the two worlds does not show, and why."""


def policy(name: str, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> set[Pair]:
    """Every action with each resource that the policy grants, for the settings with which the program ran."""
    for variable, value in environment.items():
        if variable.startswith(("AWS_", "STREAM_ROUTER_", "SQS_", "EVENTBRIDGE_")):
            monkeypatch.setenv(variable, value)
    statements = command.build_policy(name, Home("aws", REGION, ACCOUNT))
    result = set()
    for statement in statements["Statement"]:
        resources = statement["Resource"] if isinstance(statement["Resource"], list) else [statement["Resource"]]
        result |= {(action, resource) for action in statement["Action"] for resource in resources}
    return result


class Recorded(World):
    """A world whose stack notes each call, and whose programs each have a key of their own."""

    def start_stack(self, *_: str) -> None:
        self.calls_file = self.folder / "calls"
        super().start_stack("tests.recorder", str(self.calls_file))
        self._client("s3").create_bucket(Bucket="claims")
        grant = {
            "Effect": "Allow",
            "Principal": {"Service": "events.amazonaws.com"},
            "Action": "kms:*",
            "Resource": "*",
        }
        policy = json.dumps({"Version": "2012-10-17", "Statement": [grant]})
        self.key = self._client("kms").create_key(Policy=policy)["KeyMetadata"]["Arn"]
        self.environment["STREAM_ROUTER_KMS_KEY"] = self.key

    def as_(self, who: str) -> None:
        self.environment["AWS_ACCESS_KEY_ID"] = who

    def run(self, who: str, *arguments: str) -> None:
        self.as_(who)
        until(lambda: self.start(who, PROGRAM, *arguments).wait(60) == 0, 1, f"{who} ends with 0")

    def calls(self, who: str) -> set[Pair]:
        lines = [json.loads(line) for line in self.calls_file.read_text("utf-8").splitlines()]
        return {(line["action"], line["resource"]) for line in lines if line["who"] == who}


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Recorded]:
    """One whole life: set up, used, damaged and mended, taken away."""
    folder = tmp_path_factory.mktemp("policy")
    properties = folder / "kcl.properties"
    texts = [(Path("properties") / f"{name}.properties").read_text("utf-8") for name in ("consumer", "local")]
    properties.write_text("\n".join(texts) + "\nmetricsLevel = SUMMARY\n", "utf-8")
    world = Recorded(folder, **SETTINGS, STREAM_ROUTER_PROPERTIES=str(properties))
    try:
        world.start_stack()
        world.as_("setup")
        world.run_setup()
        _use(world)
        _damage(world)
        world.as_("setup")
        del world.environment["SQS_DLQ_URL"]
        world.run_setup()
        del world.environment["SQS_DLQ_URL"]
        world.run("teardown", "teardown", "--yes", "--force")
        yield world
    finally:
        world.close()


def _use(world: Recorded) -> None:
    """Each way that an event can go: to the bus, to the dead letters, by claim check."""
    world.as_("consume")
    consumer = world.start("consume", PROGRAM, "consume")
    world.as_("receive")
    receiver = world.start("receive", PROGRAM, "receive")
    until(world.is_ready, 30, "the receiver is ready")
    until(lambda: len(world.children()) >= 2, 90, "two children run")
    world.post("a", webhook(0))
    world.post("b", webhook(1, eventType="of.my.own"))
    world.post("c", webhook(0, payload={"text": "x" * 30_000}))
    world.as_("operate")
    foreign: Any = world._client("events")
    foreign.put_rule(Name="theirs", EventBusName="cx", EventPattern=json.dumps({"source": ["nice.cxone.webhook"]}))
    done = world.start("doctor", PROGRAM, "doctor", "--end-to-end")
    assert done.wait(90) == 0, (world.folder / "doctor.log").read_text("utf-8")
    _mend(world)
    _read_the_stream(world)
    foreign.delete_rule(Name="theirs", EventBusName="cx")
    wanted = {"sqs:SendMessage", "s3:PutObject", "events:PutEvents", "cloudwatch:PutMetricData"}
    until(lambda: wanted <= {action for action, _ in world.calls("consume")}, 60, "every event went its way")
    until(lambda: _letters(world) > 0, 60, "what was put back without its cure is a dead letter again")
    for program in (receiver, consumer):
        program.terminate()
        assert program.wait(60) == 0
    for url in (world.dead_letters, _bus_queue(world)):
        world.sqs.purge_queue(QueueUrl=url)  # `teardown` looks into a queue only where none is counted
    world.environment["STREAM_ROUTER_BUCKETS"] = "16"
    world.run("operate", "shards", "--to", "4")


def _letters(world: Recorded) -> int:
    asked = ["ApproximateNumberOfMessages"]
    attributes = world.sqs.get_queue_attributes(QueueUrl=world.dead_letters, AttributeNames=asked)["Attributes"]
    return int(attributes[asked[0]])


def _bus_queue(world: Recorded) -> str:
    return str(world.sqs.get_queue_url(QueueName="cxone-events-bus-undelivered")["QueueUrl"])


def _mend(world: Recorded) -> None:
    """Dead letters looked at, and back on the stream; then an event that the target did not take."""
    until(lambda: "sqs:SendMessage" in {action for action, _ in world.calls("consume")}, 60, "a dead letter")
    file = str(world.folder / "letters")
    for words in (["export", file], ["list"], ["redrive"]):
        world.run("operate", "dlq", *words)
    body = {
        "id": "1",
        "source": "nice.cxone.webhook",
        "detail-type": "interaction.created",
        "time": "2026-11-25T10:00:00Z",
    }
    url = world.sqs.get_queue_url(QueueName="cxone-events-undelivered")["QueueUrl"]
    world.sqs.send_message(QueueUrl=url, MessageBody=json.dumps({**body, "detail": {"eventId": "e"}}))
    world.sqs.send_message(QueueUrl=_bus_queue(world), MessageBody=json.dumps({**body, "detail": {}}))
    for words in (["list"], ["redrive"]):
        world.run("operate", "dlq", *words, "--undelivered")


def _read_the_stream(world: Recorded) -> None:
    """Every command that reads it. Whether they agree is another test's matter: here it is who is called."""
    for words in (["find", "0" * 32, "--since", "10m"], ["find", "0" * 32], ["shards"]):
        world.as_("operate")
        assert world.start("stream", PROGRAM, *words).wait(60) in (0, 1)
    types = ["--event-type", "interaction.created"]
    world.run("operate", "replay", "--since", "10m", *types)


def _damage(world: Recorded) -> None:
    """What only a second `setup` does: it completes what someone changed. Done by the test, under its own key."""
    queue: Any = world.sqs
    for name in ("cxone-events-dead-letters", "cxone-events-undelivered", "cxone-events-bus-undelivered"):
        url = queue.get_queue_url(QueueName=name)["QueueUrl"]
        queue.set_queue_attributes(QueueUrl=url, Attributes={"MessageRetentionPeriod": "3600"})


@pytest.mark.parametrize("name", command.NAMES)
def test_a_policy_grants_what_its_program_does_and_no_more(
    ran: Recorded, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Action and resource; what only the one or the other world shows is listed above with its reason."""
    granted = policy(name, ran.environment, monkeypatch)
    called = {pair for pair in ran.calls(name) if pair[0] not in FREE | ONLY_ON_EMULATORS.get(name, {}).keys()}
    assert called
    missing = {pair for pair in called if not any(_covers(grant, pair) for grant in granted)}
    assert not missing, "done, and not granted"
    unused = {grant for grant in granted if not any(_covers(grant, pair) for pair in called)}
    unshown = ONLY_ON_AWS.get(name, {}).keys()
    assert {grant for grant in unused if grant[0] not in unshown} == set(), "granted, and not used"
    assert {action for action, _ in unused} >= unshown, "shown after all: take it out of ONLY_ON_AWS"


def _covers(grant: Pair, call: Pair) -> bool:
    return grant[0] == call[0] and fnmatch.fnmatchcase(call[1], grant[1])
