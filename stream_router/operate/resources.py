"""What a deployment has in AWS: of each resource what is there, what should be there, and the calls that make it so.

A resource's state maps each field that `setup` judges to its value (`read_state`). `wanted_state` returns the same
mapping as it should be. It starts from the present state, because choices of others stay: a longer retention, another
key, a rule's further filters, a target's retry policy. The fields that differ are the changes; `apply` makes the calls
for them. Tags and a customer's key are set when a resource is made, and never changed afterwards.
"""

import hashlib
import json
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

from botocore.exceptions import ClientError

from stream_router import limits
from stream_router.aws.clients import Clients, shards_of
from stream_router.aws_error_codes import ABSENT, DENIED, code_of
from stream_router.consumer.lease_table import OWNER_INDEX, TableState, state_of
from stream_router.errors import SettingsError
from stream_router.model import SOURCE
from stream_router.process import iso
from stream_router.settings.common import SETUP_TAG

State = dict[str, Any]
"""A resource, field by field; `tags` and `describe_contents` are for `teardown`, and never part of what is wanted."""

TAG = SETUP_TAG

TARGET_ID_PREFIX = "stream-router"
"""What the ids of our targets begin with."""

RETENTION_HOURS = 168
"""How long the stream keeps what the consumer has not taken: the product holds through outages of up to a week."""

QUEUE_RETENTION_S = 14 * 24 * 3600
"""The longest that SQS keeps a message (its default is 4 days). Source: API of SetQueueAttributes, 2026-11."""

AWS_OWNED_KEY = "AWS's own"
"""Encryption of a bus that nobody gave a key."""

NONE = "none"
"""The dead-letter queue of a bus that has none."""

SPREAD = "AUTO"
"""A stream's record distribution that ignores partition and hash keys. Source: API of
UpdateStreamRecordDistributionStrategy, 2026-10."""

AWS_KINESIS_KEY = "alias/aws/kinesis"
"""The key that AWS keeps for Kinesis."""

SSE_SQS = "SSE-SQS"
"""How we call SQS's own encryption, beside a key's ARN."""

STATUS_POLL_INTERVAL_S, STATUS_POLL_LIMIT_S = 3.0, 180.0
"""How often, and how long, a stream that is made or changed is looked at."""

QUEUE_WAIT_S = 2
"""How long SQS looks for a message; more than 0 makes it ask all of its servers."""

BUCKETS_A_SHARD, MOST_BUCKETS = 4, 4096
"""How many STREAM_ROUTER_BUCKETS fill all shards, and the most that a receiver has (docs/scale.md)."""


class SetupError(Exception):
    """`setup` or `teardown` cannot go on; its text is the one line that the operator sees, the cure in it."""


class Resource(ABC):
    """One thing in AWS. `label` is its name in every line. All that it asks or does may raise botocore's errors.

    `tags` are what it is given when it is made, and None where it is not ours to take away.
    """

    label: str
    tags: dict[str, str] | None = None
    has: State | None = None
    """Its state at the last `refresh`; None where it is not there."""
    changes: State
    """The fields of what is wanted that are not so yet; all where nothing is there."""

    def refresh(self) -> None:
        """Ask for it. Raises SettingsError where a setting is against it."""
        self.has = self.read_state()
        has = self.has or {}
        self.changes = {
            name: value for name, value in self.wanted_state().items() if name not in has or has[name] != value
        }

    @property
    def is_right(self) -> bool:
        """Whether nothing has to be done."""
        return self.has is not None and not self.changes

    def status_line(self) -> str:
        """`+` is made, `~` changed, `=` right as it is."""
        sign = "=" if self.is_right else "+" if self.has is None else "~"
        differences = [
            f"{name} {_format_value(value)}"
            if self.has is None
            else f"{name} {_format_value(self.has.get(name))} -> {_format_value(value)}"
            for name, value in self.changes.items()
        ]
        return f"{sign} {self.label}" + (f": {', '.join(differences)}" if differences else "")

    @abstractmethod
    def read_state(self) -> State | None:
        """Its state, None where it is not there."""

    @abstractmethod
    def wanted_state(self) -> State:
        """Return the state that it should have, given the present one. Raise SettingsError if a setting forbids it."""

    @abstractmethod
    def apply(self) -> None:
        """Make the resource, or the changes. Raises SetupError where AWS says no."""

    def describe_risk(self) -> str:
        """Why the changes would stop events, or undo what somebody meant; "" where they do neither."""
        return ""

    def notes(self) -> list[str]:
        """Return what the operator should know of it that no call can set right."""
        return []

    def describe_contents(self) -> str:
        """Return what would be lost with it; "" where nothing would."""
        return ""

    def explain_keeping(self) -> str:
        """Why `teardown` leaves it; "" where `setup` of this deployment made it, and nothing speaks against it."""
        ours = self.has is not None and self.tags is not None and self.has["tags"].get(TAG) == self.tags[TAG]
        return "" if ours else f"it does not carry the tag {TAG} of this stream"

    def delete(self) -> None:  # noqa: B027 - a target goes with its rule
        """Take it away, once it was looked at; nothing where it goes with another resource."""


def _format_value(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return {None: "none", True: "yes", False: "no"}[value]
    return json.dumps(value, separators=(",", ":")) if isinstance(value, dict | list) else str(value)


def buckets_for(shards: int) -> int:
    """STREAM_ROUTER_BUCKETS for so many shards; beyond 1,024 of them some have to do with fewer than four."""
    return min(MOST_BUCKETS, BUCKETS_A_SHARD * shards)


def _as_mapping(listed: Any) -> dict[str, str]:
    """Tags as EventBridge and Kinesis list them."""
    return {tag["Key"]: tag.get("Value", "") for tag in listed}


def _as_list(tags: dict[str, str] | None) -> Any:
    return [{"Key": key, "Value": value} for key, value in (tags or {}).items()]


class StreamResource(Resource):
    """The Kinesis stream: a week's retention, encrypted at rest. Shards are set when it is made, and never after.

    `ordered`: whether conversations keep their order, for which records have to go to shards by their hash keys.
    """

    def __init__(
        self,
        clients: Clients,
        name: str,
        shards: int,
        key: str | None,
        tags: dict[str, str],
        *,
        ordered: bool = False,
    ) -> None:
        self.label, self.tags = f"stream {name}", tags
        self._kinesis = clients.kinesis
        self._name, self._new_shards, self._key = name, shards, key
        self._ordered = ordered
        self._spread = ""
        """What is wrong with its record distribution, and the cure; "" if nothing is."""

    def read_state(self) -> State | None:
        """One that is in the making is waited for by `apply`. Raises SetupError while it is being deleted."""
        if not (summary := self._summary()):
            return None
        if summary["StreamStatus"] == "DELETING":
            raise SetupError(f"{self.label} is being deleted; in a minute it is gone: run the command again then")
        self._spread = ""
        if summary.get("RecordDistributionStrategy") == SPREAD:
            self._spread = "; ".join(describe_auto_distribution(self._name, summary["StreamARN"]))
            if self._ordered:
                raise SettingsError(f"STREAM_ROUTER_ORDERING: {self._spread}")
        key = summary.get("KeyId") or AWS_KINESIS_KEY
        return {
            "shards": summary["OpenShardCount"],
            "retention (hours)": summary["RetentionPeriodHours"],
            "encryption": key if summary.get("EncryptionType") == "KMS" else "none",
            "tags": self._tags(),
        }

    def wanted_state(self) -> State:
        """Return the wanted state, keeping a longer retention and another key."""
        has = self.has or {"shards": self._new_shards, "retention (hours)": 0, "encryption": self._key or "none"}
        return {
            "shards": has["shards"],
            "retention (hours)": max(RETENTION_HOURS, has["retention (hours)"]),
            "encryption": AWS_KINESIS_KEY if has["encryption"] == "none" else has["encryption"],
        }

    def notes(self) -> list[str]:
        """Say that Kinesis ignores the hash keys by which conversations are grouped."""
        return [self._spread] if self._spread else []

    def apply(self) -> None:
        """One change after the other: Kinesis takes the next only when the stream is ACTIVE again."""
        kinesis, name, tags = self._kinesis, self._name, self.tags or {}
        if self.has is None:
            mode: Any = {"ShardCount": self.changes["shards"], "StreamModeDetails": {"StreamMode": "PROVISIONED"}}
            kinesis.create_stream(StreamName=name, Tags=tags, **mode)
        self._until_active()
        if self.has is None and tags.items() - self._tags().items():  # an emulator may pass over them
            kinesis.add_tags_to_stream(StreamName=name, Tags=tags)
        if hours := self.changes.get("retention (hours)"):
            kinesis.increase_stream_retention_period(StreamName=name, RetentionPeriodHours=hours)
            self._until_active()
        if key := self.changes.get("encryption"):
            kinesis.start_stream_encryption(StreamName=name, EncryptionType="KMS", KeyId=key)
            self._until_active()

    def describe_contents(self) -> str:
        """Whether there are events in it, read or not: a replay needs them. An old shard answers some reads empty."""
        for shard in shards_of(self._kinesis, self._name):
            start: Any = {"ShardId": shard["ShardId"], "ShardIteratorType": "TRIM_HORIZON"}
            iterator: Any = self._kinesis.get_shard_iterator(StreamName=self._name, **start).get("ShardIterator")
            while iterator:
                answer: Any = self._kinesis.get_records(ShardIterator=iterator, Limit=1)
                for record in answer["Records"]:
                    return f"events since {iso(record['ApproximateArrivalTimestamp'].timestamp() * 1000)} at least"
                iterator = answer.get("NextShardIterator") if answer.get("MillisBehindLatest") else None
        return ""

    def delete(self) -> None:
        """With the consumers that are registered on it (fan-out): AWS refuses it else."""
        self._kinesis.delete_stream(StreamName=self._name, EnforceConsumerDeletion=True)

    def _summary(self) -> Any:
        try:
            return self._kinesis.describe_stream_summary(StreamName=self._name)["StreamDescriptionSummary"]
        except self._kinesis.exceptions.ResourceNotFoundException:
            return None

    def _tags(self) -> dict[str, str]:
        """All: a stream has at most 50, as many as one answer holds (API of ListTagsForStream, 2026-11)."""
        return _as_mapping(self._kinesis.list_tags_for_stream(StreamName=self._name, Limit=50)["Tags"])

    def _until_active(self) -> None:
        """Not with botocore's waiter: it asks with another right, and says the same of a refusal and of a time-out."""
        until = time.monotonic() + STATUS_POLL_LIMIT_S
        while (status := (self._summary() or {}).get("StreamStatus", "not to be seen")) != "ACTIVE":
            if time.monotonic() >= until:
                raise SetupError(f"{self.label} is {status} still; when it is ACTIVE, run `stream-router setup` again")
            time.sleep(STATUS_POLL_INTERVAL_S)


def describe_auto_distribution(name: str, arn: str) -> tuple[str, str]:
    """Return what a stream's record distribution AUTO breaks, and the cure."""
    problem = (
        f"the record distribution of stream {name} is {SPREAD}: Kinesis ignores hash keys, so a conversation's events "
        "go to any shard and lose their order"
    )
    cure = (
        f"run aws kinesis update-stream-record-distribution-strategy --stream-arn {arn} "
        "--record-distribution-strategy USER_PARTITION_KEY"
    )
    return problem, cure


LETS_IN = "open to EventBridge"


class LeaseTable(Resource):
    """The KCL's lease table. `consume` makes it, `setup` only shows it, and `teardown` deletes it after its stream."""

    def __init__(self, clients: Clients, name: str, tags: dict[str, str], stream: "StreamResource") -> None:
        self._clients, self._name, self.tags, self._stream = clients, name, tags, stream
        self.label = f"lease table {name}"

    @property
    def is_right(self) -> bool:
        """Nothing here is for `setup` to do."""
        return True

    def status_line(self) -> str:
        """`=` if it is there; what makes it if it is not."""
        if self.has is None:
            return f"  {self.label}: `consume` makes it at its first start"
        return f"= {self.label}"

    def read_state(self) -> State | None:
        """Its state and tags; None if there is no such table."""
        try:
            table = self._clients.dynamodb.describe_table(TableName=self._name)["Table"]
        except ClientError as error:
            if code_of(error) in ABSENT:
                return None
            raise
        pages = self._clients.dynamodb.get_paginator("list_tags_of_resource").paginate(ResourceArn=table["TableArn"])
        tags = _as_mapping(tag for page in pages for tag in page["Tags"])
        return {"state": state_of(table), "protected": table.get("DeletionProtectionEnabled", False), "tags": tags}

    def wanted_state(self) -> State:
        """Nothing: the table is made and completed by `consume` and the KCL."""
        return {}

    def apply(self) -> None:
        """Do nothing."""

    def notes(self) -> list[str]:
        """Report an index that is missing or being built: no shard is read before it is there."""
        if self.has and self.has["state"] in (TableState.WITHOUT_INDEX, TableState.INDEX_NOT_ACTIVE):
            return [
                f"its index {OWNER_INDEX} is not there yet; AWS builds it in up to 20 minutes after `consume` starts"
            ]
        return []

    def explain_keeping(self) -> str:
        """Explain why the table stays: without its checkpoints all that its stream holds would come again."""
        if why := super().explain_keeping():
            return f"{why}; later `aws dynamodb delete-table --table-name {self._name}`"
        if self._stream.has and self._stream.explain_keeping():
            return "it has the checkpoints of a stream that stays"
        return "it is protected from deletion" if self.has and self.has["protected"] else ""

    def delete(self) -> None:
        """Delete the table."""
        self._clients.dynamodb.delete_table(TableName=self._name)


class QueueResource(Resource):
    """An SQS queue: 14 days, encrypted, messages up to 1 MiB, and open to EventBridge if `source_arn` may send to it.

    `variable` is the setting that names it, "" where it is called after the stream, and made. Of a rule's target, which
    has no `tags` of ours, only the policy is looked at.
    """

    def __init__(
        self,
        clients: Clients,
        arn: str,
        tags: dict[str, str] | None,
        *,
        key: str | None = None,
        variable: str = "",
        url: str | None = None,
        source_arn: str = "",
    ) -> None:
        self._sqs = clients.sqs
        self._key, self._variable = key, variable
        self.name = arn.rsplit(":", 1)[-1]
        self.label, self.tags, self.url = f"queue {self.name}", tags, url
        self._statement = eventbridge_statement(arn, source_arn) if source_arn else None
        self._policy: dict[str, Any] = {}

    def read_state(self) -> State | None:
        """Retention, size, encryption, policy, tags, and how many messages it has."""
        try:
            self.url = self.url or self._sqs.get_queue_url(QueueName=self.name)["QueueUrl"]
            has: Any = self._sqs.get_queue_attributes(QueueUrl=self.url, AttributeNames=["All"])["Attributes"]
            tags = {} if self.tags is None else self._sqs.list_queue_tags(QueueUrl=self.url).get("Tags", {})
        except self._sqs.exceptions.QueueDoesNotExist:
            return None
        self._policy = json.loads(has.get("Policy") or "{}")
        encryption = SSE_SQS if has.get("SqsManagedSseEnabled") == "true" else "none"
        return {
            "retention (s)": int(has.get("MessageRetentionPeriod", 0)),
            "largest message (bytes)": int(has.get("MaximumMessageSize", 0)),
            "encryption": has.get("KmsMasterKeyId") or encryption,
            LETS_IN: self._statement is not None and merge_statement(self._policy, self._statement) == self._policy,
            "tags": tags,
            "holds": count_messages(has),
        }

    def wanted_state(self) -> State:
        """At least what the contract says. Raises SettingsError where a setting names it, and it is not there."""
        if self.has is None and self._variable:
            cure = "make it, or correct the setting" if self._statement else "unset it, and setup makes one"
            raise SettingsError(f"{self._variable}: queue {self.name} does not exist; {cure}")
        lets_in = {LETS_IN: True} if self._statement else {}
        if self.tags is None:
            return lets_in
        has = self.has or {"retention (s)": 0, "largest message (bytes)": 0, "encryption": self._key or "none"}
        return {
            "retention (s)": max(QUEUE_RETENTION_S, has["retention (s)"]),
            "largest message (bytes)": max(limits.SQS_MESSAGE_BYTES, has["largest message (bytes)"]),
            "encryption": SSE_SQS if has["encryption"] == "none" else has["encryption"],
            **lets_in,
        }

    def apply(self) -> None:
        """All attributes in one call."""
        attributes: Any = {}
        if retention := self.changes.get("retention (s)"):
            attributes["MessageRetentionPeriod"] = str(retention)
        if size := self.changes.get("largest message (bytes)"):
            attributes["MaximumMessageSize"] = str(size)
        if key := self.changes.get("encryption"):
            attributes |= {"SqsManagedSseEnabled": "true"} if key == SSE_SQS else {"KmsMasterKeyId": key}
        if LETS_IN in self.changes and self._statement:
            attributes["Policy"] = json.dumps(merge_statement(self._policy, self._statement))
        if self.has is None:
            tags = self.tags or {}
            self.url = self._sqs.create_queue(QueueName=self.name, Attributes=attributes, tags=tags)["QueueUrl"]
        else:
            self._sqs.set_queue_attributes(QueueUrl=str(self.url), Attributes=attributes)

    def describe_contents(self) -> str:
        """Its messages, hidden and delayed ones as well. The counts may be a minute old, so none is looked for too."""
        if self.has and self.has["holds"]:
            return f"{self.has['holds']} messages"
        look: Any = {"VisibilityTimeout": 0, "WaitTimeSeconds": QUEUE_WAIT_S}
        return "messages" if self._sqs.receive_message(QueueUrl=str(self.url), **look).get("Messages") else ""

    def delete(self) -> None:
        """Delete the queue, with what it holds."""
        self._sqs.delete_queue(QueueUrl=str(self.url))


def count_messages(attributes: Mapping[str, str]) -> int:
    """How many messages a queue has by its attributes: those that somebody reads, or that are delayed, as well."""
    return sum(int(count) for name, count in attributes.items() if name.startswith("ApproximateNumberOfMessages"))


def eventbridge_statement(queue_arn: str, source_arn: str) -> dict[str, Any]:
    """Return the statement that lets EventBridge send to a queue, for this rule or bus only.

    The Sid's hash keeps apart rules whose names look alike, and a queue may have a statement for each.
    """
    name = "".join(c if c.isalnum() else "-" for c in source_arn.rsplit(":", 1)[-1])
    return {
        "Sid": f"EventBridge-{name}-{hashlib.sha256(source_arn.encode()).hexdigest()[:8]}",
        "Effect": "Allow",
        "Principal": {"Service": "events.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": queue_arn,
        "Condition": {"ArnEquals": {"aws:SourceArn": source_arn}},
    }


def merge_statement(policy: dict[str, Any], statement: dict[str, Any]) -> dict[str, Any]:
    """Return a queue's policy with our statement in it, once; what others wrote stays as it is."""
    has = policy.get("Statement") or []
    listed = has if isinstance(has, list) else [has]  # IAM allows a single statement without a list around it
    if any(
        {**listed_statement, "Sid": statement["Sid"]} == statement for listed_statement in listed
    ):  # whoever wrote it, under whatever name
        return policy
    kept = [listed_statement for listed_statement in listed if listed_statement.get("Sid") != statement["Sid"]]
    return {"Version": "2012-10-17", **policy, "Statement": [*kept, statement]}


class Bus(Resource):
    """The classic event bus. The default bus is everybody's, and a bus that is named by its ARN is not made.

    `dead_letters` is the queue (ARN) for events that the bus cannot encrypt under a customer's key, "" for none.
    `account` is ours.
    """

    def __init__(
        self,
        clients: Clients,
        bus: str,
        key: str | None,
        tags: dict[str, str],
        rule: "Rule",
        *,
        dead_letters: str = "",
        account: str = "",
    ) -> None:
        self._events = clients.events
        self._bus, self._key, self._rule = bus, key, rule
        self._dead_letters, self._account = dead_letters, account
        self.label = f"event bus {bus}"
        self.tags = None if f"/{bus}".endswith("/default") else tags
        self._described: dict[str, Any] = {}

    def read_state(self) -> State | None:
        """Its key, its own dead-letter queue and its tags. Raises SetupError if its owner does not let us look."""
        try:
            self._described = dict(self._events.describe_event_bus(Name=self._bus))
        except self._events.exceptions.ResourceNotFoundException:
            return None
        except ClientError as error:
            owner = (self._bus.split(":") + [""] * 5)[4]
            if code_of(error) in DENIED and owner not in ("", self._account):
                raise SetupError(
                    f"{self.label} is of account {owner}, which does not let this account look at it; "
                    'docs/operations.md says under "A bus of another account" what works there'
                ) from None
            raise
        arn = self._described["Arn"]
        tags = [] if self.tags is None else self._events.list_tags_for_resource(ResourceARN=arn).get("Tags", [])
        return {
            "encryption": self._described.get("KmsKeyIdentifier") or AWS_OWNED_KEY,
            "dead letters": self._described.get("DeadLetterConfig", {}).get("Arn") or NONE,
            "tags": _as_mapping(tags),
        }

    def wanted_state(self) -> State:
        """Return what is missing. Raises SettingsError if there is no bus, and none can be made."""
        if self.has is None and (self._bus.startswith("arn:") or self._bus == "default"):
            raise SettingsError(f"STREAM_ROUTER_EVENT_BUS: {self._bus} does not exist; name a bus of this account")
        of_bus = {"dead letters": self._dead_letters} if self.takes(self._dead_letters) else {}
        return {"encryption": self._key or AWS_OWNED_KEY, **of_bus} if self.has is None else of_bus

    def takes(self, queue_arn: str) -> bool:
        """Return whether the bus should have this dead-letter queue: it is under a customer's key, and has no other."""
        has = self.has or {"encryption": self._key or AWS_OWNED_KEY, "dead letters": NONE}
        return bool(queue_arn) and has["encryption"] != AWS_OWNED_KEY and has["dead letters"] in (NONE, queue_arn)

    def apply(self) -> None:
        """Make it, or give it the queue. UpdateEventBus replaces all of a bus: what else it has is sent again."""
        own: Any = {"DeadLetterConfig": {"Arn": self._dead_letters}} if "dead letters" in self.changes else {}
        if self.has is not None:
            kept = ("KmsKeyIdentifier", "Description", "LogConfig")
            own |= {name: self._described[name] for name in kept if self._described.get(name)}
            self._events.update_event_bus(Name=self._bus, **own)
            return
        own |= {"KmsKeyIdentifier": self._key} if self._key else {}
        self._events.create_event_bus(Name=self._bus, Tags=_as_list(self.tags), **own)

    def explain_keeping(self) -> str:
        """AWS deletes no bus that has a rule; ours, which was looked at before, goes first."""
        pages = self._events.get_paginator("list_rules").paginate(EventBusName=self._bus)
        named = [rule["Name"] for page in pages for rule in page.get("Rules", [])]
        others = [name for name in named if name != self._rule.name or self._rule.explain_keeping()]
        return super().explain_keeping() or (f"it has rules that stay ({', '.join(others[:3])})" if others else "")

    def delete(self) -> None:
        """Delete the bus, once its rules are gone."""
        self._events.delete_event_bus(Name=self._bus)


class BusQueue(QueueResource):
    """The dead-letter queue of a bus under a customer's key. It is under SQS's own key: the bus's may be what fails.

    A bus that has another such queue, or no customer's key, needs none.
    """

    def __init__(self, clients: Clients, arn: str, tags: dict[str, str], bus: Bus, bus_arn: str) -> None:
        super().__init__(clients, arn, tags, source_arn=bus_arn)
        self._arn, self._bus = arn, bus

    def refresh(self) -> None:
        """Ask for the bus first, which may need no queue."""
        self._bus.refresh()
        super().refresh()

    @property
    def is_right(self) -> bool:
        """Whether nothing has to be done: the queue is as it should be, or is not needed."""
        return not self._bus.takes(self._arn) or super().is_right

    def status_line(self) -> str:
        """As of every resource; or that it is not needed."""
        return (
            super().status_line() if self._bus.takes(self._arn) else f"  {self.label}: not needed by {self._bus.label}"
        )


def event_pattern(event_types: Any) -> dict[str, Any]:
    """Return the rule's event pattern, as docs/contract.md, "The rule", has it."""
    return {
        "source": [SOURCE],
        "detail-type": list(event_types),
        "detail": {"eventSource": [{"prefix": "cxone"}]},
    }


def pattern_text(event_types: Any) -> str:
    """Return the pattern as it is sent. Raise SettingsError where it is longer than EventBridge takes."""
    text = json.dumps(event_pattern(event_types), separators=(",", ":"))
    if len(text) > limits.EVENT_PATTERN_MAX_CHARS:
        raise SettingsError(
            f"STREAM_ROUTER_EVENT_TYPES: the pattern has {len(text)} characters, {limits.EVENT_PATTERN_MAX_CHARS} are "
            "allowed; name fewer event types, or make a second rule"
        )
    return text


class Rule(Resource):
    """The rule with our pattern. One that somebody else made for our events keeps its further filters and targets."""

    tags: dict[str, str]

    def __init__(self, clients: Clients, bus: str, name: str, arn: str, event_types: Any, tags: dict[str, str]) -> None:
        self._events = clients.events
        self.label, self.tags = f"rule {name} on bus {bus}", tags
        self.name, self.bus, self.arn = name, bus, arn
        self._types = event_types
        self._described: dict[str, Any] = {}

    def read_state(self) -> State | None:
        """Pattern, state and tags."""
        try:
            self._described = dict(self._events.describe_rule(Name=self.name, EventBusName=self.bus))
        except self._events.exceptions.ResourceNotFoundException:
            return None
        tags = _as_mapping(self._events.list_tags_for_resource(ResourceARN=self.arn).get("Tags", []))
        has = json.loads(self._described.get("EventPattern") or "{}")
        return {"pattern": has, "state": self._described.get("State", "ENABLED"), "tags": tags}

    def wanted_state(self) -> State:
        """Ours for source, detail-type and eventSource; a filter beside them on a rule for our events stays.

        Raises SettingsError where it is another stream's: pattern and dead-letter queue would change their owner.
        """
        ours = event_pattern(self._types)
        if self.has is None:
            return {"pattern": ours, "state": "ENABLED"}
        if (stream := self.has["tags"].get(TAG, self.tags[TAG])) != self.tags[TAG]:
            raise SettingsError(
                f"STREAM_ROUTER_RULE: {self.label} is of stream {stream}; name another rule, or hand it over: aws "
                f"events tag-resource --resource-arn {self.arn} --tags Key={TAG},Value={self.tags[TAG]}"
            )
        has = self.has["pattern"]
        if SOURCE in has.get("source", ()):
            ours = {**has, **ours, "detail": {**has.get("detail", {}), **ours["detail"]}}
        return {"pattern": ours, "state": "ENABLED" if self.has["state"] == "DISABLED" else self.has["state"]}

    def describe_risk(self) -> str:
        """Say why the change may stop events, or would enable a rule that somebody disabled; "" if neither."""
        why = []
        if self.has and self.has["pattern"] and "pattern" in self.changes:
            old, new = self.has["pattern"], self.changes["pattern"]
            widened = {**old, "detail-type": [*new["detail-type"]]}
            if widened != new or not {*old.get("detail-type", ())} <= {*new["detail-type"]}:
                why.append("the pattern changes by more than further event types (see STREAM_ROUTER_EVENT_TYPES)")
        if self.has and "state" in self.changes:
            why.append("somebody disabled it, so nothing is delivered")
        return "; ".join(why)

    def apply(self) -> None:
        """PutRule replaces all of a rule: what else it has is sent again."""
        keep: Any = {"Description": "CXone events, routed by stream_router", "Tags": _as_list(self.tags)}
        if self.has is not None:
            kept = ("Description", "RoleArn", "ScheduleExpression")
            keep = {name: self._described[name] for name in kept if self._described.get(name)}
        state = {**(self.has or {}), **self.changes}
        text = json.dumps(state["pattern"], separators=(",", ":"))
        self._events.put_rule(Name=self.name, EventBusName=self.bus, EventPattern=text, State=state["state"], **keep)

    def notes(self) -> list[str]:
        """Return which of AWS's default quotas the pattern, or the number of rules if this one is new, is beyond."""
        length = len(pattern_text(self._types))
        notes = []
        if length > limits.EVENT_PATTERN_QUOTA_CHARS:
            notes.append(
                f"its pattern has {length:,} characters; AWS's default quota is {limits.EVENT_PATTERN_QUOTA_CHARS:,}, "
                "and above it PutRule fails until AWS raises it (Service Quotas, EventBridge)"
            )
        most = limits.rules_of_a_bus(self.arn.split(":")[3])
        if self.has is None and (count := count_rules(self._events, self.bus)) >= most:
            notes.append(
                f"the bus has {count} rules; AWS's default quota is {most}, and above it PutRule fails until AWS "
                "raises it"
            )
        return notes

    def targets(self) -> list[dict[str, Any]]:
        """All of its targets; none where there is no such rule."""
        try:
            pages = self._events.get_paginator("list_targets_by_rule").paginate(Rule=self.name, EventBusName=self.bus)
            return [dict(target) for page in pages for target in page.get("Targets", [])]
        except self._events.exceptions.ResourceNotFoundException:
            return []

    def describe_contents(self) -> str:
        """Targets of others, whose events would end."""
        others = [target for target in self.targets() if not target["Id"].startswith(TARGET_ID_PREFIX)]
        return f"{len(others)} targets of others" if others else ""

    def delete(self) -> None:
        """Delete the rule with all of its targets."""
        if ids := [target["Id"] for target in self.targets()]:
            self._events.remove_targets(Rule=self.name, EventBusName=self.bus, Ids=ids)
        self._events.delete_rule(Name=self.name, EventBusName=self.bus)


def count_rules(events: Any, bus: str) -> int:
    """Return how many rules a bus has, of whomever; 0 if there is no such bus yet. Raises botocore's errors."""
    try:
        return sum(len(page.get("Rules", ())) for page in events.get_paginator("list_rules").paginate(EventBusName=bus))
    except ClientError as error:
        if code_of(error) not in ABSENT:
            raise
        return 0


class Target(Resource):
    """The rule's target, in the fields of PutTargets: those that are given, else what is there, else AWS's defaults.

    `given` are the fields of EVENTBRIDGE_TARGET_FILE with the ARN; a null takes a field away. `undelivered` is the
    queue for what the target does not take; `named` whether a setting names that queue. A target goes with its rule.
    """

    def __init__(self, clients: Clients, rule: Rule, fields: dict[str, Any], undelivered: str, *, named: bool) -> None:
        self._events = clients.events
        self._rule = rule
        self._given, self._arn = fields, str(fields["Arn"])
        self.label = f"target {self._arn}"
        self._undelivered, self._named = undelivered, named
        self._queue = undelivered
        self._targets: list[dict[str, Any]] = []

    def read_state(self) -> State | None:
        """Return the target of this ARN, under whatever id: a second one would deliver every event twice."""
        self._targets = self._rule.targets()
        return next((target for target in self._targets if target["Arn"] == self._arn), None)

    def wanted_state(self) -> State:
        """AWS's own retry policy (185 tries in 24 hours) where nobody chose another."""
        own_id = f"{TARGET_ID_PREFIX}-{hashlib.sha256(self._arn.encode()).hexdigest()[:16]}"
        fields = {"Id": own_id, **(self.has or {}), **self._given}
        if self.has:
            fields["Id"] = self.has["Id"]
        if not self._given.get("DeadLetterConfig") and (self._named or not fields.get("DeadLetterConfig")):
            fields["DeadLetterConfig"] = {"Arn": self._undelivered}
        self._queue = fields["DeadLetterConfig"].get("Arn")
        return fields

    def describe_risk(self) -> str:
        """PutTargets replaces the target that has the same id, whatever its ARN is."""
        identity = {**(self.has or {}), **self.changes}["Id"]
        gone = next(
            (target["Arn"] for target in self._targets if target["Id"] == identity and target["Arn"] != self._arn), ""
        )
        taken = f"target {gone} has the id {identity} of EVENTBRIDGE_TARGET_FILE, and would be taken away"
        return taken if gone else ""

    def apply(self) -> None:
        """PutTargets answers 200 also where it attached nothing: what failed stands in the answer."""
        fields = {**(self.has or {}), **self.changes}
        target: Any = {name: value for name, value in fields.items() if value is not None}
        answer = self._events.put_targets(Rule=self._rule.name, EventBusName=self._rule.bus, Targets=[target])
        if answer.get("FailedEntryCount"):
            failed = answer["FailedEntries"][0]
            raise SetupError(
                f"EventBridge refused the target ({failed.get('ErrorCode')}: {failed.get('ErrorMessage')}); correct "
                "EVENTBRIDGE_TARGET_ARN or EVENTBRIDGE_TARGET_FILE"
            )

    def notes(self) -> list[str]:
        """Who has to let EventBridge in, a second target of ours, another queue for what the target does not take."""
        rule = self._rule
        notes = [
            f"target {other['Arn']} of an earlier setup gets every event too; to end that: aws events "
            f"remove-targets --rule {rule.name} --event-bus-name {rule.bus} --ids {other['Id']}"
            for other in self._targets
            if other["Arn"] != self._arn and other["Id"].startswith(TARGET_ID_PREFIX)
        ]
        if self._queue != self._undelivered:
            notes.append(f"what the target does not take goes to {self._queue}: set STREAM_ROUTER_TARGET_DLQ_ARN to it")
        service = self._arn.split(":")[2]
        if service in ("sns", "logs"):
            notes.append("its policy must let events.amazonaws.com in, with this rule as aws:SourceArn")
        if service == "lambda":
            notes.append(
                f"unless it lets EventBridge in already, run: aws lambda add-permission --function-name {self._arn} "
                f"--statement-id {TARGET_ID_PREFIX}-{rule.name.replace('.', '-')} --action lambda:InvokeFunction "
                f"--principal events.amazonaws.com --source-arn {rule.arn}"
            )
            notes.append(
                "Lambda tries an event that its code fails twice more and then drops it, and no queue of ours gets it: "
                "give the function an on-failure destination (docs/tutorial.md)"
            )
        return notes
