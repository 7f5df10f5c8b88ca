"""`doctor` against ministack: in a right world all is well; each damage is found by its own check, and by no other."""

import datetime as dt
import json
import os
import resource
import shutil
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
import trustme
from botocore.exceptions import ClientError

from stream_router.aws.clients import Clients
from stream_router.checks import jvm
from stream_router.checks.finding import Finding, Verdict
from stream_router.consumer.supervisor.daemon import jars, java
from stream_router.control.doctor import catalogue, report, runner
from stream_router.control.doctor.checks import rights as quotas
from stream_router.control.doctor.checks import stream
from stream_router.control.doctor.world import World
from stream_router.local.programs import ACCOUNT, REGION, clean
from stream_router.local.stack import seed_leases
from stream_router.operate import setup
from stream_router.settings.operators import Setup
from stream_router.settings.reading import load

JAVA = {"SR006", "SR007", "SR106"}
OF_AWS = {"SR102", "SR110", "SR170", "SR171", "SR180"}
"""Asked of AWS alone: test_doctor_on_aws has their worlds."""


class Place:
    """One deployment of its own on the shared stack, all of it right, and a consumer that renews its leases."""

    number = 0

    def __init__(self, endpoint: str, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
        Place.number += 1
        self.name = f"w{Place.number}"
        self.monkeypatch = monkeypatch
        self.folder = folder
        for key in [
            key for key in os.environ if key.startswith(("AWS_", "STREAM_ROUTER_", "SQS_", "CXONE_", "EVENTB"))
        ]:
            monkeypatch.delenv(key)
        for key, value in clean(endpoint).items():
            monkeypatch.setenv(key, value)
        self.clients = Clients(REGION)
        self.target = self.clients.sqs.create_queue(QueueName=f"{self.name}-out")["QueueUrl"]
        self.set(
            EVENTBRIDGE_TARGET_ARN=self.queue_arn("out"),
            STREAM_ROUTER_STREAM=self.name,
            STREAM_ROUTER_APPLICATION=f"{self.name}-app",
            STREAM_ROUTER_EVENT_BUS=self.name,
            STREAM_ROUTER_RULE=self.name,
            STREAM_ROUTER_MASKING="default",
            STREAM_ROUTER_WEBHOOK_SCHEME="hmac",
            STREAM_ROUTER_WEBHOOK_SECRETS="s" * 32,
        )
        dead_letters_url = setup.ensure(load(Setup), self.clients, lambda _: None)
        self.set(SQS_DLQ_URL=dead_letters_url)
        seed_leases(self.clients.kinesis, self.clients.dynamodb, self.name, f"{self.name}-app")
        self.renew(1.0, owner="worker-1")
        self.on: Any = {"EventBusName": self.name}

    def set(self, **variables: str) -> None:
        for variable, value in variables.items():
            self.monkeypatch.setenv(variable, value)

    def bucket_that_forgets(self, prefix: str, days: int) -> None:
        """An offload bucket with a rule that deletes what begins with `prefix` after so many days."""
        s3: Any = boto3.client("s3", REGION)
        name = f"{self.name}-bucket"
        s3.create_bucket(Bucket=name)
        rule = {"ID": "tidy", "Status": "Enabled", "Filter": {"Prefix": prefix}, "Expiration": {"Days": days}}
        s3.put_bucket_lifecycle_configuration(Bucket=name, LifecycleConfiguration={"Rules": [rule]})
        self.set(STREAM_ROUTER_OFFLOAD_BUCKET=name)

    def queue_arn(self, end: str) -> str:
        return f"arn:aws:sqs:{REGION}:{ACCOUNT}:{self.name}-{end}"

    def queue_url(self, end: str) -> str:
        return self.clients.sqs.get_queue_url(QueueName=f"{self.name}-{end}")["QueueUrl"]

    def rows(self) -> list[Any]:
        return list(self.clients.dynamodb.scan(TableName=f"{self.name}-app")["Items"])

    def put(self, row: Any, **changes: Any) -> None:
        self.clients.dynamodb.put_item(TableName=f"{self.name}-app", Item={**row, **changes})

    def renew(self, _: float, owner: str = "") -> None:
        """What the KCL does every few seconds."""
        for row in self.rows():
            counter = int(row["leaseCounter"]["N"]) + 1
            changes = {"leaseOwner": {"S": owner}} if owner else {}
            self.put(row, leaseCounter={"N": str(counter)}, **changes)

    def put_target(self, **changes: Any) -> None:
        (target,) = self.clients.events.list_targets_by_rule(Rule=self.name, **self.on)["Targets"]
        made = {key: value for key, value in {**target, **changes}.items() if value is not None}
        self.clients.events.put_targets(Rule=self.name, Targets=[made], **self.on)  # type: ignore[list-item]

    def world(self) -> World:
        return World(offline=False, wait=self.renew)

    def look(self, world: World | None = None, *, java_too: bool = False) -> dict[str, Finding]:
        """What `doctor` finds; Java only where a test is about it, for it takes seconds."""
        checks = [check for check in catalogue.CHECKS if java_too or check.code not in JAVA]
        return {result.check.code: result.finding for result in runner.run(checks, world or self.world())}


@pytest.fixture
def place(endpoint: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Place:
    return Place(endpoint, monkeypatch, tmp_path)


def bad(found: dict[str, Finding]) -> dict[str, Verdict]:
    """What is neither well nor passed over."""
    return {code: one.verdict for code, one in found.items() if one.verdict not in (Verdict.WELL, Verdict.SKIPPED)}


def test_in_a_right_world_all_is_well(place: Place) -> None:
    """Every check that this world can be asked says ok, and none fails of itself."""
    found = place.look(java_too=True)
    assert not bad(found), found
    skipped = {code for code, one in found.items() if one.verdict is Verdict.SKIPPED}
    assert skipped == OF_AWS | {"SR104", "SR155", "SR190", "SR014"}


Damage = Callable[[Place], World | None]
WORLDS: dict[str, tuple[Verdict, Damage]] = {}


def world(code: str, verdict: Verdict) -> Callable[[Damage], Damage]:
    """The world in which only this check is not ok."""

    def add(damage: Damage) -> Damage:
        WORLDS[code] = (verdict, damage)
        return damage

    return add


def setting(code: str, verdict: Verdict, **variables: str) -> None:
    """A world that differs by a setting."""

    @world(code, verdict)
    def _(place: Place) -> None:
        place.set(**variables)


setting("SR004", Verdict.WRONG, STREAM_ROUTER_SPIL_DIR="/tmp")
setting("SR001", Verdict.WRONG, STREAM_ROUTER_WEBHOOK_SECRETS="short")
setting("SR002", Verdict.WRONG, STREAM_ROUTER_MASKING="/nonexistent.toml")
setting("SR003", Verdict.WRONG, STREAM_ROUTER_TARGET_DLQ_ARN=f"arn:aws:sqs:{REGION}:{ACCOUNT}:q.fifo")
setting("SR005", Verdict.WARNING, STREAM_ROUTER_MASKING="off")
setting("SR106", Verdict.WRONG, STREAM_ROUTER_JVM_OPTIONS="-Xmx1banana")
setting("SR015", Verdict.WARNING, STREAM_ROUTER_DROP_TYPES="interaction.created")
setting("SR101", Verdict.WRONG, STREAM_ROUTER_STREAM="nosuch")
setting("SR113", Verdict.WARNING, STREAM_ROUTER_BUCKETS="7")
setting("SR120", Verdict.WRONG, STREAM_ROUTER_EVENT_BUS="nosuch")
setting("SR103", Verdict.WRONG, SQS_DLQ_URL="http://127.0.0.1/000000000000/nosuch")
setting("SR104", Verdict.WRONG, STREAM_ROUTER_OFFLOAD_BUCKET="no-such-bucket")


@world("SR006", Verdict.WRONG)
def _no_java(place: Place) -> None:
    place.monkeypatch.setattr(java, "_candidates", lambda: iter([]))


@world("SR007", Verdict.WRONG)
def _jar_missing(place: Place) -> None:
    place.monkeypatch.setattr(jars, "folder", lambda: place.folder)
    place.monkeypatch.setattr(jvm, "starts", lambda *_: Finding("SR106", "", Verdict.WELL, ""))


@world("SR008", Verdict.WARNING)
def _disk_nearly_full(place: Place) -> None:
    usage = SimpleNamespace(free=500 * 1024 * 1024)
    place.monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)


@world("SR009", Verdict.WARNING)
def _few_files(place: Place) -> None:
    place.monkeypatch.setattr(resource, "getrlimit", lambda _: (1024, 4096))


@world("SR010", Verdict.WRONG)
def _no_credentials(place: Place) -> None:
    for variable in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        place.monkeypatch.delenv(variable)


@world("SR011", Verdict.WRONG)
def _expired(place: Place) -> World:
    made = place.world()
    made.client("sts").get_caller_identity = _refusing("GetCallerIdentity", "ExpiredToken")
    return made


def _refusing(operation: str, code: str, message: str = "") -> Callable[..., Any]:
    def refuse(**_: Any) -> Any:
        raise ClientError({"Error": {"Code": code, "Message": message}}, operation)

    return refuse


@world("SR012", Verdict.WARNING)
def _unknown_region(place: Place) -> World:
    made = place.world()
    made.session.get_available_regions = lambda *_, **__: []  # type: ignore[method-assign]
    return made


@world("SR013", Verdict.WARNING)
def _clock_off(place: Place) -> World:
    import time

    return World(offline=False, now_s=lambda: time.time() + 100, wait=place.renew)


@world("SR111", Verdict.WARNING)
def _short_retention(place: Place) -> None:
    place.clients.kinesis.decrease_stream_retention_period(StreamName=place.name, RetentionPeriodHours=24)


@world("SR112", Verdict.WARNING)
def _plain_stream(place: Place) -> None:
    place.clients.kinesis.stop_stream_encryption(StreamName=place.name, EncryptionType="KMS", KeyId="alias/aws/kinesis")


@world("SR114", Verdict.WARNING)
def _order_lost(place: Place) -> World:
    made = place.world()
    summary = place.clients.kinesis.describe_stream_summary(StreamName=place.name)["StreamDescriptionSummary"]
    made.once("stream", lambda: {**summary, "RecordDistributionStrategy": "AUTO"})
    return made


@world("SR115", Verdict.WARNING)
def _unread(place: Place) -> None:
    place.clients.kinesis.put_record(StreamName=place.name, Data=b"{}", PartitionKey="x")
    place.monkeypatch.setattr(stream, "LATE_S", -1.0)


@world("SR105", Verdict.WRONG)
def _foreign_checkpoints(place: Place) -> World:
    for row in place.rows():
        place.put(row, checkpoint={"S": "495"})
    made = place.world()
    said = "StartingSequenceNumber 495 did not come from this stream."
    made.client("kinesis").get_shard_iterator = _refusing("GetShardIterator", "InvalidArgumentException", said)
    return made


@world("SR160", Verdict.WRONG)
def _ownerless(place: Place) -> None:
    row = place.rows()[0]
    place.put({key: value for key, value in row.items() if key != "leaseOwner"})


@world("SR161", Verdict.WRONG)
def _dead_worker(place: Place) -> World:
    return World(offline=False, wait=lambda _: None)


@world("SR121", Verdict.WRONG)
def _key_disabled(place: Place) -> World:
    kms = boto3.client("kms", REGION)
    key = kms.create_key()["KeyMetadata"]["KeyId"]
    kms.disable_key(KeyId=key)
    made = place.world()
    described = place.clients.events.describe_event_bus(Name=place.name)
    made.once("bus", lambda: {**described, "KmsKeyIdentifier": key})
    return made


@world("SR130", Verdict.WRONG)
def _rule_disabled(place: Place) -> None:
    place.clients.events.disable_rule(Name=place.name, **place.on)


@world("SR131", Verdict.WRONG)
def _pattern_too_narrow(place: Place) -> None:
    pattern = json.dumps({"source": ["nice.cxone.webhook"], "detail-type": ["agent.status.changed"]})
    place.clients.events.put_rule(Name=place.name, EventPattern=pattern, **place.on)


@world("SR132", Verdict.WRONG)
def _no_target(place: Place) -> None:
    (target,) = place.clients.events.list_targets_by_rule(Rule=place.name, **place.on)["Targets"]
    place.clients.events.remove_targets(Rule=place.name, Ids=[target["Id"]], **place.on)


@world("SR133", Verdict.WARNING)
def _delivered_twice(place: Place) -> None:
    place.clients.events.put_rule(Name="too", EventPattern='{"source":["nice.cxone.webhook"]}', **place.on)
    place.clients.events.put_targets(Rule="too", Targets=[{"Id": "x", "Arn": place.queue_arn("out")}], **place.on)


@world("SR134", Verdict.WRONG)
def _loop(place: Place) -> None:
    summary = place.clients.kinesis.describe_stream_summary(StreamName=place.name)["StreamDescriptionSummary"]
    place.clients.events.put_rule(Name="back", EventPattern='{"source":["nice.cxone.webhook"]}', **place.on)
    place.clients.events.put_targets(Rule="back", Targets=[{"Id": "s", "Arn": summary["StreamARN"]}], **place.on)


@world("SR140", Verdict.WRONG)
def _target_closed(place: Place) -> None:
    place.clients.sqs.set_queue_attributes(QueueUrl=place.target, Attributes={"Policy": ""})


@world("SR141", Verdict.WRONG)
def _role_not_ours(place: Place) -> None:
    trust = {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
    text = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
    role = boto3.client("iam", REGION).create_role(RoleName=f"{place.name}-role", AssumeRolePolicyDocument=text)
    place.put_target(RoleArn=role["Role"]["Arn"])


@world("SR143", Verdict.WRONG)
def _no_dead_letter_queue(place: Place) -> None:
    place.put_target(DeadLetterConfig=None)


@world("SR144", Verdict.WRONG)
def _undelivered_closed(place: Place) -> None:
    place.clients.sqs.set_queue_attributes(QueueUrl=place.queue_url("undelivered"), Attributes={"Policy": ""})


@world("SR145", Verdict.WARNING)
def _undelivered(place: Place) -> None:
    place.clients.sqs.send_message(QueueUrl=place.queue_url("undelivered"), MessageBody="{}")


def attribute(code: str, name: str, value: str) -> None:
    """A world whose dead-letter queue differs by an attribute."""

    @world(code, Verdict.WARNING)
    def _(place: Place) -> None:
        place.clients.sqs.set_queue_attributes(QueueUrl=place.queue_url("dead-letters"), Attributes={name: value})  # type: ignore[dict-item]


attribute("SR150", "MessageRetentionPeriod", str(5 * 24 * 3600))
attribute("SR151", "MaximumMessageSize", "262144")
attribute("SR152", "SqsManagedSseEnabled", "false")


@world("SR154", Verdict.WARNING)
def _letters_go_away(place: Place) -> None:
    policy = json.dumps({"deadLetterTargetArn": place.queue_arn("undelivered"), "maxReceiveCount": 3})
    url = place.queue_url("dead-letters")
    place.clients.sqs.set_queue_attributes(QueueUrl=url, Attributes={"RedrivePolicy": policy})


@world("SR153", Verdict.WARNING)
def _dead_letter(place: Place) -> None:
    place.clients.sqs.send_message(QueueUrl=place.queue_url("dead-letters"), MessageBody="{}")


@world("SR155", Verdict.WARNING)
def _bucket_forgets(place: Place) -> None:
    place.bucket_that_forgets("dead-letters/", days=13)


@world("SR014", Verdict.WRONG)
def _certificate_ended(place: Place) -> World:
    import time

    issued = trustme.CA().issue_cert("localhost", not_after=dt.datetime.now(dt.UTC) + dt.timedelta(1))
    cert, key = place.folder / "cert.pem", place.folder / "key.pem"
    issued.cert_chain_pems[0].write_to_path(str(cert))
    issued.private_key_pem.write_to_path(str(key))
    place.set(STREAM_ROUTER_TLS_CERT=str(cert), STREAM_ROUTER_TLS_KEY=str(key))
    made = World(offline=False, now_s=lambda: time.time() + 25 * 3600, wait=place.renew)
    made.once("clock", time.time)
    return made


@world("SR181", Verdict.WARNING)
def _bus_full(place: Place) -> None:
    place.monkeypatch.setattr(quotas, "RULES_A_BUS", quotas.RULES_A_BUS._replace(default=1))


@world("SR182", Verdict.WARNING)
def _pattern_long(place: Place) -> None:
    place.monkeypatch.setattr(quotas, "PATTERN_CHARS", quotas.PATTERN_CHARS._replace(default=170))


class _Refusing(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        self.send_response(401)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


@world("SR190", Verdict.WRONG)
def _cxone_refuses(place: Place) -> None:
    server = HTTPServer(("127.0.0.1", 0), _Refusing)

    def serve_once() -> None:
        with server:
            server.handle_request()

    threading.Thread(target=serve_once, daemon=True).start()
    place.set(
        CXONE_CLIENT_ID="id",
        CXONE_CLIENT_SECRET="secret",
        CXONE_AUTH_URL=f"http://127.0.0.1:{server.server_port}/token",
    )


@pytest.mark.parametrize("code", sorted(WORLDS))
def test_each_check_has_a_world_in_which_it_alone_is_not_ok(place: Place, code: str) -> None:
    """And it says what to do; what depends on it is passed over."""
    verdict, damage = WORLDS[code]
    found = place.look(damage(place), java_too=code in JAVA)
    assert bad(found) == {code: verdict}, {code: found[code] for code in bad(found)}
    assert found[code].cure
    assert found[code].setting


def test_every_check_has_its_world() -> None:
    """Here, or among those of AWS."""
    assert {check.code for check in catalogue.CHECKS} == WORLDS.keys() | OF_AWS


def test_a_letter_that_sqs_will_soon_delete_is_a_failure(place: Place) -> None:
    """A queue that keeps letters for 4 days, and one that has waited for 3."""
    import time

    url = place.queue_url("dead-letters")
    place.clients.sqs.set_queue_attributes(QueueUrl=url, Attributes={"MessageRetentionPeriod": str(4 * 24 * 3600)})
    place.clients.sqs.send_message(QueueUrl=url, MessageBody="{}")
    found = place.look(World(offline=False, now_s=lambda: time.time() + 3 * 24 * 3600, wait=place.renew))
    assert found["SR153"].verdict is Verdict.WRONG
    assert "the oldest for 3.0 days; SQS deletes it in 24.0 hours" in found["SR153"].says


def test_offline_asks_no_network(place: Place) -> None:
    """Nothing of AWS is among its checks, and they end although there is no AWS."""
    place.set(AWS_ENDPOINT_URL="http://127.0.0.1:9")
    checks = catalogue.chosen(None, offline=True)
    assert {check.code for check in checks} == {
        *("SR001", "SR002", "SR003", "SR004", "SR005", "SR006", "SR007", "SR008", "SR009", "SR106", "SR014", "SR015"),
    }
    results = runner.run(checks, World(offline=True))
    assert report.status(results) == 0


def test_a_target_s_dead_letter_queue_that_is_gone_is_said_once(place: Place) -> None:
    """By its own name, and not as if the target were gone."""
    place.clients.sqs.delete_queue(QueueUrl=place.queue_url("undelivered"))
    found = place.look()
    assert bad(found) == {"SR144": Verdict.WRONG}
    assert found["SR144"].says.startswith(f"queue {place.name}-undelivered is not there")


@pytest.mark.parametrize("end", ["out", "undelivered"])
def test_dead_letters_and_events_in_one_queue_are_told(place: Place, end: str) -> None:
    """The setting names the target's queue, or EventBridge's own dead letters."""
    place.set(SQS_DLQ_URL=place.queue_url(end))
    found = place.look()
    assert found["SR103"].verdict is Verdict.WARNING
    assert "lie in one queue" in found["SR103"].says
