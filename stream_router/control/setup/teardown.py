"""`stream-router teardown`: takes away what `setup` made, known by its tag, and nothing that holds an event.

All or nothing: a rule that is gone while the consumer still publishes would lose events, so nothing is deleted while
anything holds some.
"""

import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from botocore.exceptions import BotoCoreError, ClientError

from stream_router import limits
from stream_router.aws.clients import Clients, shards_of
from stream_router.checks.finding import said
from stream_router.control import arns
from stream_router.control.arns import Home
from stream_router.control.setup import queues, quotas, rules, streams
from stream_router.control.setup.marks import TAG, Marks
from stream_router.control.setup.setup import dead_letters_name, marks_of, undelivered_name
from stream_router.settings.operators import Setup

if TYPE_CHECKING:
    from mypy_boto3_kinesis import KinesisClient

READS_A_SHARD = 20
"""An old shard may answer some reads without a record before it comes to one."""

LOOKS_S = 2
"""How long SQS looks for a message; more than 0 makes it ask all of its servers."""


class Thing(NamedTuple):
    """Something of ours: what it is, how it is deleted, and what it holds ("" where nothing)."""

    what: str
    delete: Callable[[], object]
    holds: str = ""


class Left(NamedTuple):
    """Something that stays, and why."""

    what: str
    why: str


def run(settings: Setup, *, yes: bool, force: bool) -> int:
    """The command: a line for each thing. 0, or 1 where something holds events, or AWS refuses."""
    clients = Clients(settings.aws_region)
    try:
        found = list(look(settings, clients))
        things = [one for one in found if isinstance(one, Thing)]
        for left in [one for one in found if isinstance(one, Left)]:
            _say(f"= {left.what} stays: {left.why}")
        holding = [thing for thing in things if thing.holds]
        for thing in things:
            _say(f"- {thing.what}" + (f": holds {thing.holds}" if thing.holds else ""))
        if not things:
            names = f"stream {settings.stream}, bus {settings.event_bus}, rule {settings.rule}"
            _say(f"nothing of setup's is here under the names that are set ({names}); earlier ones are not looked for")
        elif holding and not force:
            _say("nothing was deleted, since something holds events; `teardown --yes --force` deletes them too")
            return 1
        elif not yes:
            again = "stream-router teardown --yes" + " --force" * bool(holding)
            _say(f"nothing was deleted; end `receive` and `consume`, then run `{again}`")
        else:
            _delete(things, force=force)
    except (BotoCoreError, ClientError) as error:
        sys.stderr.write(f"stream-router teardown: {said(error, 'teardown')}\n")
        return 1
    return 0


def _delete(things: list[Thing], *, force: bool) -> None:
    """One after the other; where one fails, what is left is said."""
    for number, thing in enumerate(things):
        try:
            thing.delete()
        except BaseException:  # Ctrl-C too
            again = "stream-router teardown --yes" + " --force" * force
            left = f"{len(things) - number} of {len(things)} still there"
            _say(f"broken off at {thing.what}: {left}; run `{again}` again")
            raise
        _say(f"deleted {thing.what}")


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def look(settings: Setup, clients: Clients) -> Iterator[Thing | Left]:
    """Everything that these settings' `setup` makes, where it is there: rule first, stream last."""
    marks = marks_of(settings)
    home = Home(clients.partition, clients.region, clients.sts.get_caller_identity()["Account"])
    if not limits.is_v2_bus(settings.event_bus):
        yield from _routing(settings, clients, marks)
        yield from _undelivered(settings, clients, home, marks)
    name = settings.sqs_dlq_url.rsplit("/", 1)[-1] if settings.sqs_dlq_url else dead_letters_name(settings.stream)
    yield from _queue(clients, name, marks)
    yield from _stream(clients.kinesis, settings, marks)
    table = settings.application
    yield Left(
        f"lease table {table}", f"it is the KCL's; with the stream, `aws dynamodb delete-table --table-name {table}`"
    )


def _not_ours(what: str) -> Left:
    return Left(what, f"it does not carry the tag {TAG} of this stream")


def _routing(settings: Setup, clients: Clients, marks: Marks) -> Iterator[Thing | Left]:
    """The rule, and the bus where nothing is on it once the rule is gone: AWS deletes no bus that has a rule."""
    rule = list(_rule(settings, clients, marks))
    yield from rule
    yield from _bus(settings, clients, marks, settings.rule if any(isinstance(one, Thing) for one in rule) else "")


def _rule(settings: Setup, clients: Clients, marks: Marks) -> Iterator[Thing | Left]:
    events, bus, name = clients.events, settings.event_bus, settings.rule
    what = f"rule {name} on bus {bus}"
    try:
        arn = events.describe_rule(Name=name, EventBusName=bus)["Arn"]
    except events.exceptions.ResourceNotFoundException:
        return
    if not marks.ours(rules.tags_of(events, arn)):
        yield _not_ours(what)
        return
    targets = rules.targets_of(events, bus, name)
    others = [target for target in targets if not target["Id"].startswith(rules.OURS)]

    def delete() -> None:
        if targets:
            events.remove_targets(Rule=name, EventBusName=bus, Ids=[target["Id"] for target in targets])
        events.delete_rule(Name=name, EventBusName=bus)

    yield Thing(f"{what}, its {len(targets)} targets", delete, f"{len(others)} targets of others" if others else "")


def _bus(settings: Setup, clients: Clients, marks: Marks, goes: str) -> Iterator[Thing | Left]:
    """The bus; `goes` is the name of the rule that is deleted before it, "" where none is."""
    events, bus = clients.events, settings.event_bus
    try:
        found = events.describe_event_bus(Name=bus)
    except events.exceptions.ResourceNotFoundException:
        return
    if found.get("Name", bus) == "default":
        return
    what = f"event bus {bus}"
    others = [rule["Name"] for rule in quotas.rules_on(events, bus) if rule["Name"] != goes]
    if not marks.ours(rules.tags_of(events, found["Arn"])):
        yield _not_ours(what)
    elif others:
        yield Left(what, f"it has rules of others ({', '.join(others[:3])})")
    else:
        yield Thing(what, lambda: events.delete_event_bus(Name=found["Name"]))


def _undelivered(settings: Setup, clients: Clients, home: Home, marks: Marks) -> Iterator[Thing | Left]:
    if not settings.target_dlq_arn:
        yield from _queue(clients, undelivered_name(settings.stream), marks)
        return
    given = arns.parse(settings.target_dlq_arn, "STREAM_ROUTER_TARGET_DLQ_ARN")
    if home.owns(given):
        yield from _queue(clients, given.resource, marks)


def _queue(clients: Clients, name: str, marks: Marks) -> Iterator[Thing | Left]:
    url = queues.find_queue(clients.sqs, name)
    if url is None:
        return
    what = f"queue {name}"
    if not marks.ours(queues.tags_of(clients.sqs, url)):
        yield _not_ours(what)
        return
    yield Thing(what, lambda: clients.sqs.delete_queue(QueueUrl=url), _messages(clients, url))


def _messages(clients: Clients, url: str) -> str:
    """What the queue holds. Its counts may be a minute old, so that one is looked for before none is believed."""
    if count := queues.held(queues.attributes_of(clients.sqs, url)):
        return f"{count} messages"
    answer = clients.sqs.receive_message(QueueUrl=url, VisibilityTimeout=0, WaitTimeSeconds=LOOKS_S)
    return "messages" if answer.get("Messages") else ""


def _stream(kinesis: "KinesisClient", settings: Setup, marks: Marks) -> Iterator[Thing | Left]:
    name = settings.stream
    if (summary := streams.describe(kinesis, name)) is None:
        return
    what = f"stream {name}"
    if summary["StreamStatus"] == streams.DELETING:
        yield Left(what, "it is being deleted already, and is gone in a minute")
        return
    if not marks.ours(streams.tags_of(kinesis, name)):
        yield _not_ours(what)
        return
    consumers = _consumers(kinesis, summary["StreamARN"])  # with FANOUT the KCL registers one by the application's name
    others = [one for one, status in consumers if status != "DELETING" and one != settings.application]
    held = [_held(kinesis, name), f"{len(others)} consumers of others ({', '.join(others[:3])})" if others else ""]
    # A stream with registered consumers is deleted together with them, or not at all.
    along: Any = {"EnforceConsumerDeletion": True} if consumers else {}
    what += f", its {len(consumers)} consumers" if consumers else ""
    yield Thing(what, lambda: kinesis.delete_stream(StreamName=name, **along), " and ".join(filter(None, held)))


def _consumers(kinesis: "KinesisClient", arn: str) -> list[tuple[str, str]]:
    """Name and status of each fan-out consumer that is registered on the stream."""
    pages = kinesis.get_paginator("list_stream_consumers").paginate(StreamARN=arn)
    return [(one["ConsumerName"], one["ConsumerStatus"]) for page in pages for one in page["Consumers"]]


def _held(kinesis: "KinesisClient", name: str) -> str:
    """Whether any shard still has a record, read or not: they are what `replay` needs."""
    doubt = ""
    for shard in shards_of(kinesis, name):
        start = kinesis.get_shard_iterator(StreamName=name, ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON")
        found = _first(kinesis, start.get("ShardIterator"))
        if found:
            return "events"
        doubt = doubt or ("perhaps events" if found is None else "")
    return doubt


def _first(kinesis: "KinesisClient", iterator: str | None) -> bool | None:
    """Whether there is a record from here on, None where so many reads did not tell."""
    for _ in range(READS_A_SHARD):
        if not iterator:
            return False
        answer: Any = kinesis.get_records(ShardIterator=iterator, Limit=1)
        if answer["Records"]:
            return True
        if not answer.get("MillisBehindLatest"):
            return False
        iterator = answer.get("NextShardIterator")
    return None
