"""`doctor` against ministack: a right world is well, and each broken one is named by its own check, with its cure."""

import datetime as dt
import json
import os
import threading
import time
from collections.abc import Callable
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import boto3
import pytest
import trustme
from botocore.exceptions import ClientError

from stream_router.aws import endpoints
from stream_router.aws.clients import Clients
from stream_router.checks import CheckVerdict, Finding
from stream_router.consumer.supervisor import jars, java
from stream_router.local.programs import ACCOUNT, REGION, clean_environment
from stream_router.local.stack import seed_leases
from stream_router.operate import setup
from stream_router.operate.doctor import bus, command, host, probe, stream, surroundings
from stream_router.operate.doctor.world import World
from stream_router.settings.operators import Setup
from stream_router.settings.reading import load
from tests import statuses
from tests.command import run as run_command
from tests.ports import free_port


class Place:
    """One deployment of its own on the shared stack, all of it right, and a consumer that renews its leases."""

    number = 0

    def __init__(self, endpoint: str, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
        Place.number += 1
        self.name = f"w{Place.number}"
        self.monkeypatch = monkeypatch
        self.folder = folder
        self.ahead_s = 0.0
        for key in os.environ:
            if key.startswith(("AWS_", "STREAM_ROUTER_", "SQS_", "CXONE_", "EVENTB")):
                monkeypatch.delenv(key)
        for key, value in clean_environment(endpoint).items():
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
            STREAM_ROUTER_SPILL_QUEUE=self.queue_url("spill"),
            STREAM_ROUTER_ADMIN_LISTEN=f"127.0.0.1:{free_port()}",
            STREAM_ROUTER_RECEIVER_ADMIN_LISTEN=f"127.0.0.1:{free_port()}",
        )
        self.set(SQS_DLQ_URL=setup.ensure(load(Setup), self.clients, lambda _: None))
        seed_leases(self.clients.kinesis, self.clients.dynamodb, self.name, f"{self.name}-app")
        self.renew(1.0, owner="worker-1")
        self.on: Any = {"EventBusName": self.name}

    def set(self, **variables: str) -> None:
        for variable, value in variables.items():
            self.monkeypatch.setenv(variable, value)

    def queue_arn(self, end: str) -> str:
        return f"arn:aws:sqs:{REGION}:{ACCOUNT}:{self.name}-{end}"

    def queue_url(self, end: str) -> str:
        return self.target.removesuffix("out") + end

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

    def target_of_rule(self) -> dict[str, Any]:
        (target,) = self.clients.events.list_targets_by_rule(Rule=self.name, **self.on)["Targets"]
        return dict(target)

    def answer(self, service: str, operation: str, answer: Callable[..., Any]) -> None:
        """What AWS says there that ministack cannot."""
        client = endpoints.create_client

        def with_answer(session: Any, asked: str, *more: Any, **further: Any) -> Any:
            result = client(session, asked, *more, **further)
            if asked == service:
                setattr(result, operation, answer)
            return result

        self.monkeypatch.setattr(endpoints, "create_client", with_answer)

    def look(self, *, java_too: bool = True) -> list[Finding]:
        """What `doctor` finds; Java, which takes seconds of a busy machine, only where a test is about it."""
        world = World(now_s=lambda: time.time() + self.ahead_s, wait=self.renew)
        return command.run_checks(
            world, [subject for subject in command.SUBJECTS if java_too or subject is not host.JAVA]
        )


@pytest.fixture
def place(endpoint: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Place:
    return Place(endpoint, monkeypatch, tmp_path)


def bad(outcome: list[Finding]) -> list[Finding]:
    """What is neither well nor passed over."""
    return [
        check_result for check_result in outcome if check_result.verdict not in (CheckVerdict.OK, CheckVerdict.SKIPPED)
    ]


def test_a_right_world_says_nothing_else(place: Place) -> None:
    """Every check that this world can be asked says ok; no program of ours runs, no bucket, no certificate is set."""
    result = place.look()
    assert not bad(result)
    assert {row.code for row in result} == command.CHECKS.keys() - {"SR201", "SR202", "SR203"}
    skipped = {check_result.code for check_result in result if check_result.verdict is CheckVerdict.SKIPPED}
    assert skipped == {"SR014", "SR020", "SR021", "SR102", "SR104"}
    assert command.status(result) == 0


# --- broken worlds: each is made, and named by its code, with words of problem and cure


class Broken(NamedTuple):
    """A world, how it is broken, and the finding: verdict, words of it; what else is not well for the same reason."""

    code: str
    breaks: Callable[[Place], object]
    verdict: CheckVerdict
    words: tuple[str, ...]
    too: frozenset[str] = frozenset()


WORLDS: dict[str, Broken] = {}
WRONG, WARNING, UNKNOWN = CheckVerdict.WRONG, CheckVerdict.WARNING, CheckVerdict.UNKNOWN


def world(
    code: str, verdict: CheckVerdict, breaks: Callable[[Place], object], *words: str, too: tuple[str, ...] = ()
) -> None:
    """A world that is broken so."""
    WORLDS[f"{code} {len(WORLDS)}"] = Broken(code, breaks, verdict, words, frozenset(too))


def setting(code: str, verdict: CheckVerdict, name: str, value: str, *words: str, too: tuple[str, ...] = ()) -> None:
    """A world that differs by a setting."""
    world(code, verdict, lambda place: place.set(**{name: value}), name, *words, too=too)


setting("SR004", WRONG, "STREAM_ROUTER_SPIL_DIR", "/tmp", "STREAM_ROUTER_SPILL_DIR")
setting("SR001", WRONG, "STREAM_ROUTER_WEBHOOK_SECRETS", "short", "16 bytes")
setting("SR002", WRONG, "STREAM_ROUTER_STATE_DIR", "/proc/none", "cannot be written", "name a writable folder")
setting("SR005", WARNING, "STREAM_ROUTER_MASKING", "off", "set default")
setting("SR106", WRONG, "STREAM_ROUTER_JVM_OPTIONS", "-Xmx1banana", "1banana")
setting("SR101", WRONG, "STREAM_ROUTER_STREAM", "nosuch", "no such stream", too=("SR003", "SR160"))
setting(
    "SR120", WRONG, "STREAM_ROUTER_EVENT_BUS", "nosuch", "the event bus nosuch does not exist", "setup", too=("SR003",)
)
setting("SR103", WRONG, "SQS_DLQ_URL", "http://127.0.0.1/000000000000/nosuch", "no such queue", too=("SR003",))
setting(
    "SR103",
    UNKNOWN,
    "AWS_ENDPOINT_URL_SQS",
    "http://127.0.0.1:9",
    "127.0.0.1:9",
    "unset",
    too=("SR003", "SR107", "SR143", "SR144"),
)
setting(
    "SR107",
    WRONG,
    "STREAM_ROUTER_SPILL_QUEUE",
    f"http://127.0.0.1/{ACCOUNT}/no-spill",
    "no such queue",
    "setup",
    too=("SR003",),
)
setting("SR104", WRONG, "STREAM_ROUTER_OFFLOAD_BUCKET", "no-such-bucket", "no such bucket")
setting("SR003", WARNING, "STREAM_ROUTER_BUCKETS", "4", "at least 8", "setup --plan")
setting("SR003", WRONG, "STREAM_ROUTER_TARGET_DLQ_ARN", f"arn:aws:sqs:{REGION}:{ACCOUNT}:q.fifo", "standard SQS queue")


def refusing(operation: str, code: str, message: str = "", **headers: str) -> Callable[..., Any]:
    def refuse(**_: Any) -> Any:
        response: Any = {"Error": {"Code": code, "Message": message}, "ResponseMetadata": {"HTTPHeaders": headers}}
        raise ClientError(response, operation)

    return refuse


def certificate_ended(place: Place) -> None:
    issued = trustme.CA().issue_cert("localhost", not_after=dt.datetime.now(dt.UTC) - dt.timedelta(1))
    cert, key = place.folder / "cert.pem", place.folder / "key.pem"
    issued.cert_chain_pems[0].write_to_path(str(cert))
    issued.private_key_pem.write_to_path(str(key))
    place.set(STREAM_ROUTER_TLS_CERT=str(cert), STREAM_ROUTER_TLS_KEY=str(key))


def served(place: Place, variable: str, **status: Any) -> None:
    """An admin port that tells this status."""

    class Answers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps({"schema": "stream-router.status/3", **status}).encode())

        def log_message(self, *_: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Answers)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    place.set(**{variable: f"127.0.0.1:{server.server_port}"})


def its_consumer_holds(place: Place) -> None:
    verdict = {**statuses.verdict("holding"), "since": "2026-12-01T00:00:00.000Z", "reason": "2 of 2 shards: bus"}
    served(place, "STREAM_ROUTER_ADMIN_LISTEN", program="consume", **verdict)


def its_receiver_alone_lives(place: Place) -> None:
    served(place, "STREAM_ROUTER_RECEIVER_ADMIN_LISTEN", program="receive", **statuses.verdict("well"))


def no_credentials(place: Place) -> None:
    for variable in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        place.monkeypatch.delenv(variable)


def a_clock_so_wrong_that_the_call_is_refused_for_it(place: Place) -> None:
    at = formatdate(time.time() - 600, usegmt=True)
    place.answer("sts", "get_caller_identity", refusing("GetCallerIdentity", "RequestExpired", date=at))


def foreign_checkpoints(place: Place) -> None:
    for row in place.rows():
        place.put(row, checkpoint={"S": "495"})
    output = "StartingSequenceNumber 495 did not come from this stream."
    place.answer("kinesis", "get_shard_iterator", refusing("GetShardIterator", "InvalidArgumentException", output))


def a_shard_without_owner(place: Place) -> None:
    row = place.rows()[0]
    place.put({key: value for key, value in row.items() if key != "leaseOwner"})


def nobody_has_read_for_long(place: Place) -> None:
    place.clients.kinesis.put_record(StreamName=place.name, Data=b"{}", PartitionKey="x")
    place.monkeypatch.setattr(stream, "LAG_WARN_S", -1.0)


def nobody_has_read_beyond_a_checkpoint(place: Place) -> None:
    """The emulator's sequence numbers have leading zeros, and the checkpoint's row has them too."""
    put = [place.clients.kinesis.put_record(StreamName=place.name, Data=b"{}", PartitionKey="x") for _ in range(2)]
    (row,) = [row for row in place.rows() if row["leaseKey"]["S"] == put[0]["ShardId"]]
    place.put(row, checkpoint={"S": put[0]["SequenceNumber"]})
    place.ahead_s = 400.0


def the_key_of_the_bus_is_disabled(place: Place) -> None:
    kms = boto3.client("kms", REGION)
    key = kms.create_key()["KeyMetadata"]["KeyId"]
    kms.disable_key(KeyId=key)
    described = place.clients.events.describe_event_bus(Name=place.name)
    place.answer("events", "describe_event_bus", lambda **_: {**described, "KmsKeyIdentifier": key})


def the_bus_is_under_a_key(**more: Any) -> Callable[[Place], object]:
    """As `setup` with STREAM_ROUTER_KMS_KEY makes it, but for what `more` says; the key is there."""

    def breaks(place: Place) -> None:
        key = boto3.client("kms", REGION).create_key()["KeyMetadata"]["KeyId"]
        described = place.clients.events.describe_event_bus(Name=place.name)
        place.answer("events", "describe_event_bus", lambda **_: {**described, "KmsKeyIdentifier": key, **more})

    return breaks


def a_dead_letter_of_the_bus_waits(place: Place) -> None:
    url = place.clients.sqs.create_queue(QueueName=f"{place.name}-bus-undelivered")["QueueUrl"]
    place.clients.sqs.send_message(QueueUrl=url, MessageBody="{}")
    the_bus_is_under_a_key(DeadLetterConfig={"Arn": place.queue_arn("bus-undelivered")})(place)


def records_are_spread(ordering: str) -> Callable[[Place], object]:
    """By Kinesis itself, as an on-demand stream can be set."""

    def breaks(place: Place) -> None:
        place.set(STREAM_ROUTER_ORDERING=ordering)
        if ordering == "conversation":  # which takes no spill queue
            place.monkeypatch.delenv("STREAM_ROUTER_SPILL_QUEUE")
        summary = place.clients.kinesis.describe_stream_summary(StreamName=place.name)["StreamDescriptionSummary"]
        changed_summary = {**summary, "RecordDistributionStrategy": "AUTO"}
        place.answer("kinesis", "describe_stream_summary", lambda **_: {"StreamDescriptionSummary": changed_summary})

    return breaks


def the_bus_has_rules(count: int) -> Callable[[Place], object]:
    """As many rules, of whomever."""

    def breaks(place: Place) -> None:
        class Pages:
            def paginate(self, **_: object) -> list[dict[str, Any]]:
                return [{"Rules": [{}] * 100}, {"Rules": [{}] * (count - 100)}]

        place.answer("events", "get_paginator", lambda _: Pages())

    return breaks


def its_bus_is_another_account_s(place: Place) -> None:
    place.set(STREAM_ROUTER_EVENT_BUS=f"arn:aws:events:{REGION}:999999999999:event-bus/{place.name}")


def the_rule_may_not_be_looked_at(place: Place) -> None:
    place.answer("events", "describe_rule", refusing("DescribeRule", "AccessDeniedException"))


def the_target_has_no_dead_letter_queue(place: Place) -> None:
    target = {key: value for key, value in place.target_of_rule().items() if key != "DeadLetterConfig"}
    place.clients.events.put_targets(Rule=place.name, Targets=[target], **place.on)  # type: ignore[list-item]


def a_queue_has(end: str, **attributes: str) -> Callable[[Place], object]:
    return lambda place: place.clients.sqs.set_queue_attributes(
        QueueUrl=place.queue_url(end),
        Attributes=attributes,  # type: ignore[arg-type]
    )


def a_message_waits(end: str) -> Callable[[Place], object]:
    return lambda place: place.clients.sqs.send_message(QueueUrl=place.queue_url(end), MessageBody="{}")


def a_disk_has(**changes: int) -> Callable[[Place], object]:
    """The state folder's disk as statvfs would tell it."""

    def breaks(place: Place) -> None:
        place.set(STREAM_ROUTER_STATE_DIR=str(place.folder))
        has = os.statvfs(place.folder)
        names = ("f_bavail", "f_blocks", "f_frsize", "f_files", "f_favail")
        changed = SimpleNamespace(**{name: getattr(has, name) for name in names} | changes)
        place.monkeypatch.setattr(os, "statvfs", lambda _: changed)

    return breaks


world("SR015", WRONG, a_disk_has(f_bavail=0), "is full (0.0 MiB free)", "STREAM_ROUTER_STATE_DIR", "make room")
world("SR015", WRONG, a_disk_has(f_favail=3), "3 free inodes left")
world("SR015", WARNING, a_disk_has(f_bavail=50 * 256, f_frsize=4096), "has 50 MiB free, less than the 100 MiB")
world("SR014", WRONG, certificate_ended, "the certificate ended", "renew it")
world("SR006", WRONG, lambda place: place.monkeypatch.setattr(java, "_candidates", lambda: iter([])), "Java")
world(
    "SR007", WRONG, lambda place: place.monkeypatch.setattr(jars, "folder", lambda: place.folder), "is missing", "jars"
)
world(
    "SR021",
    WRONG,
    its_consumer_holds,
    "a shard holds (holding) since 2026-12-01T00:00:00.000Z: 2 of 2 shards: bus",
    "docs/runbooks/holding.md",
    too=("SR020",),
)
world(
    "SR021", WARNING, its_receiver_alone_lives, "connection refused", "start `stream-router consume`", "doctor receive"
)
world("SR010", WRONG, no_credentials, "none found", "AWS_PROFILE")
world("SR010", WRONG, a_clock_so_wrong_that_the_call_is_refused_for_it, "RequestExpired", "clock", too=("SR013",))
world("SR013", WARNING, lambda place: setattr(place, "ahead_s", 100), "ahead of AWS", "chrony")
world("SR105", WRONG, foreign_checkpoints, "of another stream", "delete its lease table")
world("SR160", WRONG, a_shard_without_owner, "shards are read by nobody", "no owner", "start `stream-router consume`")
world(
    "SR160",
    WARNING,
    lambda place: place.clients.dynamodb.delete_table(TableName=f"{place.name}-app"),
    *("there is no lease table", "was deleted", "has to be restarted"),
)
world("SR115", WARNING, nobody_has_read_for_long, "s behind at shardId-", "SR160")
world("SR115", WARNING, nobody_has_read_beyond_a_checkpoint, "s behind at shardId-", too=("SR013",))
world("SR121", WRONG, the_key_of_the_bus_is_disabled, "its key is Disabled", "enable the key", too=("SR122",))
world(
    "SR130",
    WRONG,
    lambda place: place.clients.events.disable_rule(Name=place.name, **place.on),
    *("is disabled", "events go nowhere", "aws events enable-rule"),
    too=("SR003",),
)
world("SR130", WARNING, the_rule_may_not_be_looked_at, "DescribeRule could not be called (Access", "--policy operate")
world("SR143", WRONG, the_target_has_no_dead_letter_queue, "has no dead-letter queue", "lost", "setup", too=("SR003",))
world("SR122", WARNING, the_bus_is_under_a_key(), "has no dead-letter queue", "STREAM_ROUTER_KMS_KEY")
world(
    "SR122",
    WRONG,
    the_bus_is_under_a_key(DeadLetterConfig={"Arn": f"arn:aws:sqs:{REGION}:{ACCOUNT}:nosuch"}),
    "queue nosuch does not exist",
    "setup",
)
world("SR122", WARNING, a_dead_letter_of_the_bus_waits, "1 events", "its key", "replay")
world(
    "SR123",
    WARNING,
    its_bus_is_another_account_s,
    "is of account 999999999999",
    "a bus of your own",
    too=("SR003", "SR120"),
)
world("SR108", WRONG, records_are_spread("conversation"), "AUTO", "USER_PARTITION_KEY")
world("SR108", WARNING, records_are_spread("none"), "AUTO", "USER_PARTITION_KEY")
world("SR131", WARNING, the_bus_has_rules(290), "290 of 300", "Service Quotas")
setting(
    "SR131",
    WARNING,
    "STREAM_ROUTER_EVENT_TYPES",
    ",".join(f"a.very.long.type.of.event.{number}" for number in range(70)),
    "the pattern has ",
    "2,048",
    too=("SR003", "SR130"),
)
world("SR145", WARNING, a_message_waits("undelivered"), "1 events in", "dlq list --undelivered")
world("SR153", WARNING, a_message_waits("dead-letters"), "1 wait", "dlq list")
world("SR103", WARNING, a_queue_has("dead-letters", MessageRetentionPeriod="86400"), "24 hours only", too=("SR003",))
world("SR107", WARNING, a_queue_has("spill", MessageRetentionPeriod="86400"), "24 hours only", too=("SR003",))
world("SR154", WARNING, a_message_waits("spill"), "1 messages of accepted events", "start a receiver")
world("SR144", WRONG, a_queue_has("out", Policy=""), "-out does not let EventBridge in", "setup", too=("SR003",))

ALONE = {"SR001", "SR002", "SR003", "SR010", "SR101", "SR120", *surroundings.SURROUNDINGS.checks}
"""Where one of these is wrong, others wait for it, or say another thing."""


def _groups() -> list[list[str]]:
    """Broken worlds that can be one: at most one of each subject, within which one waits for another."""
    groups: list[tuple[set[int], list[str]]] = []
    for name, broken in WORLDS.items():
        codes = {broken.code, *broken.too} - {"SR003"}
        subjects = {n for n, item in enumerate(command.SUBJECTS) if codes & item.checks.keys()}
        if broken.code in ALONE:
            groups.append((set(range(len(command.SUBJECTS))), [name]))
            continue
        for seen, group in groups:
            if not subjects & seen:
                seen.update(subjects)
                group.append(name)
                break
        else:
            groups.append((subjects, [name]))
    return [group for _, group in groups]


@pytest.mark.parametrize("names", _groups(), ids=lambda names: f"{len(names)} of {names[0][:5]}")
def test_a_broken_world_is_named_with_its_cure(place: Place, names: list[str]) -> None:
    """By its own check, and by those that look at the same thing; what depends on it is passed over."""
    all_broken = [WORLDS[name] for name in names]
    for broken in all_broken:
        broken.breaks(place)
    result = place.look(java_too=any(broken.code in host.JAVA.checks for broken in all_broken))
    trouble = bad(result)
    for broken in all_broken:
        (own, *_) = [row for row in trouble if row.code == broken.code]
        assert own.verdict is broken.verdict, own
        line = f"{own.setting}: {own.observation}; {own.cure}"
        assert not [word for word in broken.words if word not in line], line
        assert own.cure
    assert {row.code for row in trouble} == {code for row in all_broken for code in (row.code, *row.too)}, trouble
    verdicts = {check_result.verdict for check_result in trouble}
    assert command.status(result) == (1 if WRONG in verdicts else 2 if UNKNOWN in verdicts else 0)


def test_every_check_has_its_broken_world() -> None:
    """But for those of a probe, and SR102, which AWS alone can answer (unit/test_checks.py)."""
    broken = {code for value in WORLDS.values() for code in (value.code, *value.too)}
    assert broken == command.CHECKS.keys() - {"SR102", "SR201", "SR202", "SR203"}


def run_doctor(*arguments: str, **variables: str) -> tuple[int, list[dict[str, Any]]]:
    """The command itself with no settings but these: its exit status, and what each check says."""
    keys = {"PATH": os.environ["PATH"], "AWS_EC2_METADATA_DISABLED": "true", **variables}
    done = run_command(keys, "doctor", "--offline", "--json", *arguments, timeout_s=60)
    return done.returncode, json.loads(done.stdout)["checks"]


def test_bad_settings_are_findings_and_never_78() -> None:
    """All that is wrong is said at once, each once, with the page that goes on where the cure ends."""
    status, findings = run_doctor(STREAM_ROUTER_SPILL_MAX_BYTES="-1", STREAM_ROUTER_CHECKPOINT_S="never")
    wrong = [
        (check_result["code"], check_result["setting"])
        for check_result in findings
        if check_result["verdict"] == "wrong"
    ]
    assert (status, wrong[:2]) == (1, [("SR001", "AWS_REGION"), ("SR001", "STREAM_ROUTER_SPILL_MAX_BYTES")])
    assert ("SR002", "STREAM_ROUTER_CHECKPOINT_S") in wrong
    assert ("SR002", "AWS_REGION") not in wrong
    secret = {"AWS_REGION": REGION, "STREAM_ROUTER_WEBHOOK_SCHEME": "hmac", "STREAM_ROUTER_WEBHOOK_SECRETS": "s" * 32}
    status, findings = run_doctor("receive", **secret)
    assert (status, "SR002" in {row["code"] for row in findings}) == (0, False)


@pytest.mark.parametrize(
    ("service", "operation", "verdicts", "says"),
    [
        ("sqs", "create_queue", "unknown skipped skipped", "AccessDeniedException"),
        ("events", "put_rule", "unknown skipped skipped", "AccessDeniedException"),
        ("events", "delete_rule", "wrong unknown skipped", "may be left: delete them"),
    ],
)
def test_whatever_breaks_on_the_probes_way_is_a_finding(
    place: Place, service: str, operation: str, verdicts: str, says: str
) -> None:
    """The report of the other checks is not lost, and of a rule that cannot be taken away it is told to look."""
    place.answer(service, operation, refusing(operation, "AccessDeniedException"))
    completed = probe.run(World(), f"http://127.0.0.1:{free_port()}/")
    assert [row.code for row in completed] == [*probe.CHECKS]
    assert " ".join(check_result.verdict.value for check_result in completed) == verdicts
    assert any(says in item.observation for item in completed)


def test_offline_asks_no_network(place: Place) -> None:
    """Nothing of AWS is among its checks, and they end although there is no AWS."""
    place.set(AWS_ENDPOINT_URL="http://127.0.0.1:9")
    result = command.run_checks(World(offline=True))
    assert {row.code for row in result} == {*host.SETTINGS.checks, *host.JAVA.checks}
    assert command.status(result) == 0


def test_no_rule_of_ours_is_no_trouble(place: Place) -> None:
    """With STREAM_ROUTER_RULE=none the bus alone is looked at."""
    place.set(STREAM_ROUTER_RULE="none")
    result = place.look()
    assert not bad(result)
    skipped = {
        check_result.code: check_result.observation
        for check_result in result
        if check_result.verdict is CheckVerdict.SKIPPED
    }
    assert skipped.keys() >= {"SR003", *bus.BUS_AND_RULE.checks} - {"SR120", "SR121"}
    assert skipped["SR143"] == skipped["SR130"]
