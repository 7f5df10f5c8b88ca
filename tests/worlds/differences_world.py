"""The same calls to the fake AWS and to the emulators that others wrote: each answer compared with the fake's."""

import datetime as dt
import json
import time
from collections.abc import Callable, Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, NamedTuple

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from tests.fakeaws.process import FakeAwsProcess
from tests.system.world import REGION, until
from tests.worlds.differences_calls import (
    ABSENT,
    BUCKET,
    BUS,
    PATTERN,
    QUEUE,
    REQUESTS,
    RULE,
    SCRAP,
    STREAM,
    TABLE,
    Request,
)
from tests.worlds.differences_listed import LISTED, MENDED, Listed
from tests.worlds.environments import Environments
from tests.worlds.foreign import START_WITHIN_S, ForeignWorld, Steps

SHARDS = 2
ACCOUNTS = {"moto": "123456789012"}
"""The account of each place, if it is not 000000000000."""

COMPARED_WITH = {
    "localstack": ("kinesis", "sqs", "events", "cloudwatch", "s3"),
    "kinesis-local": ("kinesis",),
    "moto": ("kinesis", "sqs", "events", "cloudwatch", "s3", "dynamodb"),
}
"""The services of each emulator. LocalStack's free runtime has no DynamoDB."""

KEPT = {
    "ErrorCode", "Code", "SenderFault", "FailedRecordCount", "FailedEntryCount", "Count", "ScannedCount", "Result",
    "Id", "Body", "MD5OfBody", "MD5OfMessageBody", "MD5OfMessageAttributes", "Data", "PartitionKey", "ShardId",
    "StreamName", "StreamStatus", "StreamMode", "OpenShardCount", "RetentionPeriodHours", "EncryptionType", "Name",
    "State", "EventPattern", "StringValue", "DataType", "StartingHashKey", "EndingHashKey", "ParentShardId",
    "AdjacentParentShardId", "ParentShards", "ETag", "S", "N", "ApproximateReceiveCount",
    "ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible", "ApproximateNumberOfMessagesDelayed",
}  # fmt: skip
"""Members whose values are compared. Of the others only the type is: they are ids, times, ARNs and texts."""

SORTED = {"Messages": "Body", "Successful": "Id", "Failed": "Id", "Items": "leaseKey", "Shards": "ShardId"}
"""Lists whose order means nothing, with the member that they are sorted by."""

WAIT_KNOWN_S = 0.5
"""Slack of the comparison of waiting times: an answer within it counts as given at once."""

EQUAL, LISTED_VERDICT, OPEN = "equal", "listed", "not listed"
"""Verdicts on an answer."""

Outcome = dict[str, Any]


class Difference(NamedTuple):
    """One member that a place answers differently from the fake AWS."""

    place: str
    request: str
    path: str
    fake: str
    theirs: str


class Place:
    """One AWS that is called: its clients, and the names that its calls use."""

    def __init__(self, endpoint: Callable[[str], str], account: str) -> None:
        self._endpoint, self._clients = endpoint, dict[str, Any]()
        now = dt.datetime.now(dt.UTC)
        self.names: dict[str, Any] = {
            "stream": STREAM,
            "bus": BUS,
            "long_ago": now - dt.timedelta(days=21),
            "ahead": now + dt.timedelta(hours=3),
            "absent_queue": f"http://127.0.0.1/{account}/{ABSENT}",
        }

    def client(self, service: Any) -> Any:
        """Return a client that sends every call once, and checks no argument itself."""
        if service not in self._clients:
            config = Config(
                retries={"total_max_attempts": 1},
                parameter_validation=False,
                read_timeout=60,
                s3={"addressing_style": "path"},
            )
            session = boto3.Session("test", "test", region_name=REGION)
            self._clients[service] = session.client(service, endpoint_url=self._endpoint(service), config=config)
        return self._clients[service]

    def ask(self, request: Request) -> Outcome:
        """Send a request, and return its outcome without what differs from call to call."""
        time.sleep(request.wait_s)
        try:
            arguments = {name: self._fill(value) for name, value in request.arguments.items() if value is not None}
        except LookupError as error:
            return {"result": f"not sent: an earlier call gave no {error.args[0]}"}
        begun = time.monotonic()
        try:
            answer = getattr(self.client(request.service), request.operation)(**arguments)
        except ClientError as error:
            response = error.response
            return {"result": f"{response['ResponseMetadata']['HTTPStatusCode']} {response['Error']['Code']}"}
        except BotoCoreError as error:
            return {"result": type(error).__name__}
        took_s = time.monotonic() - begun
        for name, path in request.keep.items():
            self.names.pop(name, None)
            self._keep(name, path, answer)
        outcome = {"result": str(answer.pop("ResponseMetadata")["HTTPStatusCode"]), "answer": normalise(answer)}
        if wait_s := float(arguments.get("WaitTimeSeconds", 0)):
            outcome["waited"] = took_s > wait_s - WAIT_KNOWN_S
        return outcome

    def _keep(self, name: str, path: tuple[str | int, ...], answer: Any) -> None:
        value = answer
        for part in path:
            try:
                value = value[part]
            except (LookupError, TypeError):
                return
        self.names[name] = value

    def _fill(self, value: Any) -> Any:
        """Put the place's names into an argument. Raises LookupError if one is not known."""
        if isinstance(value, dict):
            return {name: self._fill(member) for name, member in value.items()}
        if isinstance(value, list):
            return [self._fill(member) for member in value]
        if isinstance(value, str) and value[:1] == "{" and value[1:-1].isidentifier():
            return self.names[value[1:-1]]
        return value


def normalise(value: Any, name: str = "") -> Any:
    """Return an answer's shape: its members, their types, and the values of KEPT."""
    if hasattr(value, "read"):
        value = value.read().decode("utf-8", "replace")
        return {"content": value}
    if isinstance(value, dict):
        return {key: normalise(member, key) for key, member in value.items()}
    if isinstance(value, list):
        members = [normalise(member, name) for member in value]
        if name in SORTED:
            members.sort(key=lambda member: json.dumps(member.get(SORTED[name], ""), default=str))
        return members
    if name == "EventPattern":
        return json.loads(value)
    if name in KEPT:
        return value.decode("utf-8", "replace")[:40] if isinstance(value, bytes) else value
    return "text" if isinstance(value, str) else type(value).__name__


def compare_outcomes(fake: Outcome, theirs: Outcome) -> Iterator[tuple[str, str, str]]:
    """Yield how the results differ, or, if they do not, each path at which the answers differ."""
    if fake["result"] != theirs["result"]:
        yield "result", fake["result"], theirs["result"]
    else:
        yield from compare(fake, theirs)


def compare(fake: Any, theirs: Any, path: str = "") -> Iterator[tuple[str, str, str]]:
    """Yield each path at which two answers differ, with both values."""
    if isinstance(fake, dict) and isinstance(theirs, dict):
        for name in sorted(fake.keys() | theirs.keys()):
            yield from compare(fake.get(name, "-"), theirs.get(name, "-"), f"{path}.{name}" if path else name)
    elif isinstance(fake, list) and isinstance(theirs, list) and len(fake) == len(theirs):
        for number, pair in enumerate(zip(fake, theirs, strict=True)):
            yield from compare(*pair, f"{path}[{number}]")
    elif fake != theirs:
        yield path, json.dumps(fake, default=str)[:200], json.dumps(theirs, default=str)[:200]


def run(folder: Path, environments: Environments, steps: Steps) -> None:
    """Send every request to every place that has its service, and compare the answers with the fake's."""
    world = ForeignWorld(folder, environments)
    plan = {
        "missing": [ABSENT],
        "made": [BUS],
        "shards": SHARDS,
        "shard_limits": False,
        "keep_records": True,
        "bus_rules": [{"Name": RULE, "EventPattern": PATTERN, "EventBusName": BUS, "Targets": [_target("0" * 12)]}],
    }
    try:
        world.start_localstack()
        world.start_kinesis_local()
        endpoints = {
            "localstack": world.environment["AWS_ENDPOINT_URL"],
            "kinesis-local": world.environment["AWS_ENDPOINT_URL_KINESIS"],
            "moto": world.environment["AWS_ENDPOINT_URL_DYNAMODB"],
        }
        places = {name: _place(url, ACCOUNTS.get(name, "0" * 12)) for name, url in endpoints.items()}
        for name, place in places.items():
            _make_resources(place, COMPARED_WITH[name], ACCOUNTS.get(name, "0" * 12))
        steps.record("the emulators", held=True, figure=", ".join(places))
        with FakeAwsProcess(None, plan) as fake_aws:
            differences, compared = _ask_all(_place(fake_aws.url, "0" * 12), places, folder)
        _judge(differences, compared, steps)
    finally:
        world.close()


def _place(url: str, account: str) -> Place:
    return Place(lambda _: url, account)


def _target(account: str) -> str:
    return f"arn:aws:sqs:{REGION}:{account}:{QUEUE}"


def _make_resources(place: Place, services: tuple[str, ...], account: str) -> None:
    """Make what the fake AWS has from its plan, or as soon as it is named."""
    if "kinesis" in services:
        kinesis = place.client("kinesis")
        kinesis.create_stream(StreamName=STREAM, ShardCount=SHARDS)

        def is_active() -> bool:
            summary = kinesis.describe_stream_summary(StreamName=STREAM)["StreamDescriptionSummary"]
            return bool(summary["StreamStatus"] == "ACTIVE")

        until(is_active, START_WITHIN_S, "the stream is active")
        kinesis.increase_stream_retention_period(StreamName=STREAM, RetentionPeriodHours=168)
        until(is_active, START_WITHIN_S, "the stream is active")
        kinesis.start_stream_encryption(StreamName=STREAM, EncryptionType="KMS", KeyId="alias/aws/kinesis")
        until(is_active, START_WITHIN_S, "the stream is active")
    if "sqs" in services:
        for queue in (QUEUE, SCRAP):
            place.client("sqs").create_queue(QueueName=queue)
    if "events" in services:
        events = place.client("events")
        events.create_event_bus(Name=BUS)
        events.put_rule(Name=RULE, EventBusName=BUS, EventPattern=json.dumps(PATTERN), State="ENABLED")
        events.put_targets(Rule=RULE, EventBusName=BUS, Targets=[{"Id": "0", "Arn": _target(account)}])
    if "s3" in services:
        place.client("s3").create_bucket(Bucket=BUCKET)
    if "dynamodb" in services:
        key = {"AttributeName": "leaseKey"}
        place.client("dynamodb").create_table(
            TableName=TABLE,
            KeySchema=[{**key, "KeyType": "HASH"}],
            AttributeDefinitions=[{**key, "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )


def _ask_all(fake: Place, places: dict[str, Place], folder: Path) -> tuple[list[Difference], dict[str, list[str]]]:
    """Return the differences, and by request the places whose answers were compared with the fake's."""
    differences, compared = list[Difference](), dict[str, list[str]]()
    with (folder / "answers.jsonl").open("w", encoding="utf-8") as log:
        for request in REQUESTS:
            outcome = fake.ask(request)
            log.write(json.dumps({"request": request.name, "place": "fake", **outcome}, default=str) + "\n")
            for name in (name for name in places if request.service in COMPARED_WITH[name]):
                theirs = places[name].ask(request)
                log.write(json.dumps({"request": request.name, "place": name, **theirs}, default=str) + "\n")
                differences += [Difference(name, request.name, *rest) for rest in compare_outcomes(outcome, theirs)]
                compared.setdefault(request.name, []).append(name)
    return differences, compared


def _judge(differences: list[Difference], compared: dict[str, list[str]], steps: Steps) -> None:
    """Record the table: a step for each call, then what is stale in the lists, and the totals."""
    used = {(row, difference.place) for difference in differences for row in LISTED if _covers(row, difference)}
    verdicts = list[str]()
    for request, places in compared.items():
        texts, held = list[str](), True
        for place in places:
            here = [
                difference for difference in differences if (difference.request, difference.place) == (request, place)
            ]
            verdicts.append(_verdict(here))
            held = held and verdicts[-1] != OPEN
            texts.append(f"{place} {_describe(here)}")
        mended = f"; mended: {MENDED[request]}" if request in MENDED else ""
        steps.record(request, held=held, figure="; ".join(texts) + mended)
    stale = [
        f"{place}: {row.request}: {row.path}"
        for row in LISTED
        for place in row.places.split()
        if (row, place) not in used
    ]
    steps.record("listed differences that no longer exist", held=not stale, figure="; ".join(stale) or "none")
    unknown = [name for name in MENDED if name not in compared]
    steps.record("mended calls that are not called", held=not unknown, figure=", ".join(unknown) or "none")
    figure = f"calls {len(compared)}, of them mended {len(MENDED)}, answers compared {len(verdicts)}"
    for verdict in (EQUAL, LISTED_VERDICT, OPEN):
        figure += f", {verdict} {verdicts.count(verdict)}"
    steps.record("the table", held=OPEN not in verdicts, figure=figure)


def _verdict(differences: list[Difference]) -> str:
    """Return the verdict on one answer, from its differences."""
    if not differences:
        return EQUAL
    return LISTED_VERDICT if all(_reason(difference) for difference in differences) else OPEN


def _describe(differences: list[Difference]) -> str:
    """Return the verdict on one answer with the reasons, or with the differences that have none."""
    reasons = {_reason(difference): None for difference in differences}
    without = [
        f"{difference.path}: {difference.fake} here, {difference.theirs} there"
        for difference in differences
        if not _reason(difference)
    ]
    details = without or [*reasons]
    return _verdict(differences) + (f" ({', '.join(details)})" if details else "")


def _reason(difference: Difference) -> str:
    return next((row.reason for row in LISTED if _covers(row, difference)), "")


def _covers(row: Listed, difference: Difference) -> bool:
    return (
        difference.place in row.places.split()
        and fnmatchcase(difference.request, row.request)
        and all(
            fnmatchcase(text, pattern.replace("[", "[[]"))
            for text, pattern in (
                (difference.path, row.path),
                (difference.fake, row.fake),
                (difference.theirs, row.theirs),
            )
        )
    )
