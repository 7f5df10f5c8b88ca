"""Resources of a deployment in AWS: for each its present state, its wanted state, and the calls that establish it.

The state of a resource is a mapping: each field that `setup` compares, and its value. `read_state` returns the present
state, `wanted_state` the state that the resource should have. The fields that differ are the changes; `apply` makes the
calls for them. The wanted state depends on the present one, because `setup` keeps what others chose: a longer
retention, another key, a rule's further filters, a target's retry policy. Tags and a customer's key are set when a
resource is made, and never changed afterwards.
"""

import hashlib
import json
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

from botocore.exceptions import ClientError

from stream_router import limits
from stream_router.aws.clients import Clients
from stream_router.aws_error_codes import ABSENT, DENIED, code_of
from stream_router.consumer.lease_table import OWNER_INDEX, TableState, parse_table_state
from stream_router.errors import SettingsError
from stream_router.leases import list_shards
from stream_router.model import SOURCE
from stream_router.process import iso
from stream_router.settings.common import SETUP_TAG

State = dict[str, Any]
"""State of a resource by field.

The fields `tags` and `holds` are for `teardown`, never part of a wanted state.
"""

TAG = SETUP_TAG

TARGET_ID_PREFIX = "stream-router"
"""Prefix of the ids that `setup` gives to targets."""

RETENTION_HOURS = 168
"""Retention of the stream: events survive outages of the consumer of up to a week."""

QUEUE_RETENTION_S = 14 * 24 * 3600
"""SQS's longest retention of a message (the default is 4 days).

Source: API of SetQueueAttributes, 2026-11.
"""

AWS_OWNED_KEY = "AWS's own"
"""Encryption of a bus without a customer's key."""

NONE = "none"
"""Value of `dead letters` for a bus without a dead-letter queue."""

AUTO_DISTRIBUTION = "AUTO"
"""A stream's record distribution that ignores partition and hash keys. Source: API of
UpdateStreamRecordDistributionStrategy, 2026-10."""

AWS_KINESIS_KEY = "alias/aws/kinesis"
"""AWS's managed key for Kinesis."""

SSE_SQS = "SSE-SQS"
"""Value of `encryption` for SQS's own encryption; otherwise the value is a key's ARN."""

STATUS_POLL_INTERVAL_S, STATUS_POLL_LIMIT_S = 3.0, 180.0
"""Seconds between two looks at a stream that was made or changed, and seconds after which it should be ACTIVE."""

QUEUE_WAIT_S = 2
"""Wait time of ReceiveMessage in seconds.

With more than 0 (long polling) SQS asks all of its servers for messages, not only some of them.
"""

BUCKETS_PER_SHARD, MAX_BUCKETS = 4, 4096
"""STREAM_ROUTER_BUCKETS per shard that fills all shards, and the setting's maximum (docs/scale.md)."""


class SetupError(Exception):
    """`setup` or `teardown` cannot continue.

    The text is the one line that the operator sees, with the cure.
    """


class Resource(ABC):
    """A resource in AWS that `setup` shows, makes or verifies, and `teardown` may delete.

    `label` is its name in the output. `tags` are set when the resource is made; None if others made it or it cannot
    have tags, so that `teardown` leaves it. Every method that calls AWS may raise botocore's errors.
    """

    label: str
    tags: dict[str, str] | None = None
    current: State | None = None
    """State at the last `refresh`; None if the resource does not exist."""
    changes: State
    """Fields of the wanted state that differ from the present one; all if the resource does not exist."""

    def refresh(self) -> None:
        """Read the state, and compute the changes.

        Raises SettingsError if a setting contradicts the state.
        """
        self.current = self.read_state()
        current = self.current or {}
        self.changes = {
            name: value for name, value in self.wanted_state().items() if name not in current or current[name] != value
        }

    @property
    def is_right(self) -> bool:
        """Whether the resource exists and needs no change."""
        return self.current is not None and not self.changes

    def status_line(self) -> str:
        """Return the line of the plan: `+` will be made, `~` will be changed, `=` needs no change."""
        if self.current is None:
            sign = "+"
            differences = [f"{name} {_format_value(value)}" for name, value in self.changes.items()]
        else:
            sign = "~" if self.changes else "="
            differences = [
                f"{name} {_format_value(self.current.get(name))} -> {_format_value(value)}"
                for name, value in self.changes.items()
            ]
        return f"{sign} {self.label}" + (f": {', '.join(differences)}" if differences else "")

    @abstractmethod
    def read_state(self) -> State | None:
        """Return the present state; None if the resource does not exist."""

    @abstractmethod
    def wanted_state(self) -> State:
        """Return the state that the resource should have, given the present one in `current`.

        A field that it leaves out is never changed. Raises SettingsError if a setting contradicts the present state.
        """

    @abstractmethod
    def apply(self) -> None:
        """Make the resource, or change it as `changes` says.

        Raises SetupError if AWS reports a failure in an answer that is no error.
        """

    def describe_risk(self) -> str:
        """Return why the changes need --yes: they would stop events, or undo a decision; "" if they do neither."""
        return ""

    def notes(self) -> list[str]:
        """Return notes for the operator on problems that no call can repair."""
        return []

    def describe_contents(self) -> str:
        """Return what would be lost if the resource were deleted; "" for nothing."""
        return ""

    def explain_keeping(self) -> str:
        """Return why `teardown` keeps the resource; "" if `setup` of this deployment made it and it can be deleted."""
        ours = self.current is not None and self.tags is not None and self.current["tags"].get(TAG) == self.tags[TAG]
        return "" if ours else f"it does not carry the tag {TAG} of this stream"

    def delete(self) -> None:  # noqa: B027 - a target is deleted with its rule
        """Delete the resource, whose state was read before.

        Do nothing if it is deleted with another resource.
        """


def _format_value(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return {None: "none", True: "yes", False: "no"}[value]
    return json.dumps(value, separators=(",", ":")) if isinstance(value, dict | list) else str(value)


def buckets_for(shards: int) -> int:
    """Return the least number of partition groups (STREAM_ROUTER_BUCKETS) that fills this number of shards.

    Above 1,024 shards it is the setting's maximum, which is then less than BUCKETS_PER_SHARD for each shard.
    """
    return min(MAX_BUCKETS, BUCKETS_PER_SHARD * shards)


def _as_mapping(listed: Any) -> dict[str, str]:
    """Return tags, which EventBridge and Kinesis list as Key and Value, as a mapping."""
    return {tag["Key"]: tag.get("Value", "") for tag in listed}


def _as_list(tags: dict[str, str] | None) -> Any:
    """Return tags in the form in which EventBridge takes them; [] for None."""
    return [{"Key": key, "Value": value} for key, value in (tags or {}).items()]


class StreamResource(Resource):
    """The Kinesis stream: a week's retention, encrypted at rest.

    Its number of shards is set when it is made, not later.

    `ordered`: whether conversations keep their order, for which Kinesis has to distribute records
    by their hash keys.
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
        self._distribution_problem: tuple[str, str] | None = None
        """Problem of the record distribution, and the cure."""

    def read_state(self) -> State | None:
        """Return shards, retention, encryption and tags; None if there is no stream.

        Raises SetupError while it is deleted.
        """
        if not (summary := self._summary()):
            return None
        if summary["StreamStatus"] == "DELETING":
            raise SetupError(f"{self.label} is being deleted; run the command again in a minute")
        self._distribution_problem = None
        if summary.get("RecordDistributionStrategy") == AUTO_DISTRIBUTION:
            self._distribution_problem = describe_auto_distribution(self._name, summary["StreamARN"])
            if self._ordered:
                raise SettingsError("STREAM_ROUTER_ORDERING", *self._distribution_problem)
        key = summary.get("KeyId") or AWS_KINESIS_KEY
        return {
            "shards": summary["OpenShardCount"],
            "retention (hours)": summary["RetentionPeriodHours"],
            "encryption": key if summary.get("EncryptionType") == "KMS" else "none",
            "tags": self._tags(),
        }

    def wanted_state(self) -> State:
        """Return the wanted state, keeping a longer retention and another key."""
        current = self.current or {
            "shards": self._new_shards,
            "retention (hours)": 0,
            "encryption": self._key or "none",
        }
        return {
            "shards": current["shards"],
            "retention (hours)": max(RETENTION_HOURS, current["retention (hours)"]),
            "encryption": AWS_KINESIS_KEY if current["encryption"] == "none" else current["encryption"],
        }

    def notes(self) -> list[str]:
        """Return a note if Kinesis ignores the hash keys that keep the events of a conversation on one shard."""
        return ["; ".join(self._distribution_problem)] if self._distribution_problem else []

    def apply(self) -> None:
        """Make the stream or its changes, one at a time."""
        # Kinesis accepts the next change only when the stream is ACTIVE again.
        kinesis, name, tags = self._kinesis, self._name, self.tags or {}
        if self.current is None:
            mode: Any = {"ShardCount": self.changes["shards"], "StreamModeDetails": {"StreamMode": "PROVISIONED"}}
            kinesis.create_stream(StreamName=name, Tags=tags, **mode)
        self._until_active()
        if self.current is None and tags.items() - self._tags().items():  # an emulator may ignore Tags of CreateStream
            kinesis.add_tags_to_stream(StreamName=name, Tags=tags)
        if hours := self.changes.get("retention (hours)"):
            kinesis.increase_stream_retention_period(StreamName=name, RetentionPeriodHours=hours)
            self._until_active()
        if key := self.changes.get("encryption"):
            kinesis.start_stream_encryption(StreamName=name, EncryptionType="KMS", KeyId=key)
            self._until_active()

    def describe_contents(self) -> str:
        """Return since when the stream has events, read or not; "" if it is empty.

        Read events are needed for a replay.
        """
        # A read may return no records although later ones exist, so each shard is read up to its tip.
        for shard in list_shards(self._kinesis, self._name):
            start: Any = {"ShardId": shard.shard_id, "ShardIteratorType": "TRIM_HORIZON"}
            iterator: Any = self._kinesis.get_shard_iterator(StreamName=self._name, **start).get("ShardIterator")
            while iterator:
                answer: Any = self._kinesis.get_records(ShardIterator=iterator, Limit=1)
                for record in answer["Records"]:
                    return f"events since {iso(record['ApproximateArrivalTimestamp'].timestamp() * 1000)} at least"
                iterator = answer.get("NextShardIterator") if answer.get("MillisBehindLatest") else None
        return ""

    def delete(self) -> None:
        """Delete the stream and its registered consumers (fan-out): AWS refuses to delete a stream that has some."""
        self._kinesis.delete_stream(StreamName=self._name, EnforceConsumerDeletion=True)

    def _summary(self) -> Any:
        try:
            return self._kinesis.describe_stream_summary(StreamName=self._name)["StreamDescriptionSummary"]
        except self._kinesis.exceptions.ResourceNotFoundException:
            return None

    def _tags(self) -> dict[str, str]:
        """Return all tags: a stream has at most 50, which fit one answer (API of ListTagsForStream, 2026-11)."""
        return _as_mapping(self._kinesis.list_tags_for_stream(StreamName=self._name, Limit=50)["Tags"])

    def _until_active(self) -> None:
        """Wait until the stream is ACTIVE. Raises SetupError after STATUS_POLL_LIMIT_S."""
        # botocore's waiter needs another right, and has one text for a refusal and for a time-out.
        until = time.monotonic() + STATUS_POLL_LIMIT_S
        while (status := (self._summary() or {}).get("StreamStatus", "not to be seen")) != "ACTIVE":
            if time.monotonic() >= until:
                raise SetupError(f"{self.label} is still {status}; when it is ACTIVE, run `stream-router setup` again")
            time.sleep(STATUS_POLL_INTERVAL_S)


def describe_auto_distribution(name: str, arn: str) -> tuple[str, str]:
    """Return the problem of a stream whose record distribution is AUTO, and the cure."""
    problem = (
        f"the record distribution of stream {name} is {AUTO_DISTRIBUTION}: Kinesis ignores hash keys, so a "
        "conversation's events go to any shard and lose their order"
    )
    cure = (
        f"run aws kinesis update-stream-record-distribution-strategy --stream-arn {arn} "
        "--record-distribution-strategy USER_PARTITION_KEY"
    )
    return problem, cure


OPEN_TO_EVENTBRIDGE = "open to EventBridge"
"""Field of a queue's state: whether its policy lets EventBridge send to it for our rule or bus."""


class LeaseTable(Resource):
    """The KCL's lease table.

    `consume` makes it, `setup` only shows it, and `teardown` deletes it after its stream.
    """

    def __init__(self, clients: Clients, name: str, tags: dict[str, str], stream: "StreamResource") -> None:
        self._clients, self._name, self.tags, self._stream = clients, name, tags, stream
        self.label = f"lease table {name}"

    @property
    def is_right(self) -> bool:
        """Always true: `setup` never changes the table."""
        return True

    def status_line(self) -> str:
        """Return the line of the plan. A missing table is made by `consume`."""
        if self.current is None:
            return f"  {self.label}: `consume` makes it at its first start"
        return f"= {self.label}"

    def read_state(self) -> State | None:
        """Return state, deletion protection and tags; None if there is no such table."""
        try:
            table = self._clients.dynamodb.describe_table(TableName=self._name)["Table"]
        except ClientError as error:
            if code_of(error) in ABSENT:
                return None
            raise
        pages = self._clients.dynamodb.get_paginator("list_tags_of_resource").paginate(ResourceArn=table["TableArn"])
        tags = _as_mapping(tag for page in pages for tag in page["Tags"])
        return {
            "state": parse_table_state(table),
            "protected": table.get("DeletionProtectionEnabled", False),
            "tags": tags,
        }

    def wanted_state(self) -> State:
        """Return no fields: `consume` and the KCL make and complete the table."""
        return {}

    def apply(self) -> None:
        """Do nothing: `consume` makes the table."""

    def notes(self) -> list[str]:
        """Report a missing or unfinished index: no shard is read before it is active."""
        if self.current and self.current["state"] in (TableState.WITHOUT_INDEX, TableState.INDEX_NOT_ACTIVE):
            return [
                f"its index {OWNER_INDEX} is not there yet; AWS builds it in up to 20 minutes after `consume` starts"
            ]
        return []

    def explain_keeping(self) -> str:
        """Return why the table stays; "" if it can be deleted."""
        # If the stream stays, its checkpoints must stay too: without them all of its events would be published again.
        if why := super().explain_keeping():
            return f"{why}; later `aws dynamodb delete-table --table-name {self._name}`"
        if self._stream.current and self._stream.explain_keeping():
            return "it has the checkpoints of a stream that stays"
        return "it is protected from deletion" if self.current and self.current["protected"] else ""

    def delete(self) -> None:
        """Delete the table."""
        self._clients.dynamodb.delete_table(TableName=self._name)


class QueueResource(Resource):
    """An SQS queue: encrypted, keeps messages of up to 1 MiB for 14 days, and open to EventBridge if it is to send.

    EventBridge may send for the rule or bus `source_arn`; "" if it sends nothing to this queue. `variable` is the
    setting that names the queue, "" if it is named after the stream and made by `setup`. Without `tags` the queue is a
    rule's target that others own, and only its policy is checked.
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
        """Return retention, message size, encryption, policy, tags and messages; None if there is no such queue."""
        try:
            self.url = self.url or self._sqs.get_queue_url(QueueName=self.name)["QueueUrl"]
            attributes: Any = self._sqs.get_queue_attributes(QueueUrl=self.url, AttributeNames=["All"])["Attributes"]
            tags = {} if self.tags is None else self._sqs.list_queue_tags(QueueUrl=self.url).get("Tags", {})
        except self._sqs.exceptions.QueueDoesNotExist:
            return None
        self._policy = json.loads(attributes.get("Policy") or "{}")
        encryption = SSE_SQS if attributes.get("SqsManagedSseEnabled") == "true" else "none"
        return {
            "retention (s)": int(attributes.get("MessageRetentionPeriod", 0)),
            "largest message (bytes)": int(attributes.get("MaximumMessageSize", 0)),
            "encryption": attributes.get("KmsMasterKeyId") or encryption,
            OPEN_TO_EVENTBRIDGE: self._statement is not None
            and merge_statement(self._policy, self._statement) == self._policy,
            "tags": tags,
            "holds": count_messages(attributes),
        }

    def wanted_state(self) -> State:
        """Return the wanted state: longer retention, larger messages and another encryption of a queue stay.

        Raises SettingsError if a setting names a queue that does not exist.
        """
        if self.current is None and self._variable:
            cure = "make it, or correct the setting" if self._statement else "unset it, and setup makes one"
            raise SettingsError(self._variable, f"queue {self.name} does not exist", cure)
        wanted_policy = {OPEN_TO_EVENTBRIDGE: True} if self._statement else {}
        if self.tags is None:
            return wanted_policy
        current = self.current or {"retention (s)": 0, "largest message (bytes)": 0, "encryption": self._key or "none"}
        return {
            "retention (s)": max(QUEUE_RETENTION_S, current["retention (s)"]),
            "largest message (bytes)": max(limits.SQS_MESSAGE_BYTES, current["largest message (bytes)"]),
            "encryption": SSE_SQS if current["encryption"] == "none" else current["encryption"],
            **wanted_policy,
        }

    def apply(self) -> None:
        """Make the queue, or set all changed attributes in one call."""
        attributes: Any = {}
        if retention := self.changes.get("retention (s)"):
            attributes["MessageRetentionPeriod"] = str(retention)
        if size := self.changes.get("largest message (bytes)"):
            attributes["MaximumMessageSize"] = str(size)
        if key := self.changes.get("encryption"):
            attributes |= {"SqsManagedSseEnabled": "true"} if key == SSE_SQS else {"KmsMasterKeyId": key}
        if OPEN_TO_EVENTBRIDGE in self.changes and self._statement:
            attributes["Policy"] = json.dumps(merge_statement(self._policy, self._statement))
        if self.current is None:
            tags = self.tags or {}
            self.url = self._sqs.create_queue(QueueName=self.name, Attributes=attributes, tags=tags)["QueueUrl"]
        else:
            self._sqs.set_queue_attributes(QueueUrl=str(self.url), Attributes=attributes)

    def describe_contents(self) -> str:
        """Return the messages in the queue, hidden and delayed ones included; "" for none."""
        if self.current and self.current["holds"]:
            return f"{self.current['holds']} messages"
        # The counts may be a minute old, so a count of 0 is confirmed by a receive, which hides nothing (timeout 0).
        options: Any = {"VisibilityTimeout": 0, "WaitTimeSeconds": QUEUE_WAIT_S}
        answer = self._sqs.receive_message(QueueUrl=str(self.url), **options)
        return "messages" if answer.get("Messages") else ""

    def delete(self) -> None:
        """Delete the queue, with what it holds."""
        self._sqs.delete_queue(QueueUrl=str(self.url))


def count_messages(attributes: Mapping[str, str]) -> int:
    """Return the number of messages by a queue's attributes: visible, hidden and delayed ones."""
    return sum(int(count) for name, count in attributes.items() if name.startswith("ApproximateNumberOfMessages"))


def eventbridge_statement(queue_arn: str, source_arn: str) -> dict[str, Any]:
    """Return the policy statement that lets EventBridge send to a queue, for this rule or bus alone.

    A queue may have a statement for each of several rules. The hash in the Sid distinguishes rules
    whose names differ only in characters that the Sid replaces by "-".
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
    """Return a queue's policy with our statement, unless it has an equal or wider one: then return `policy` itself.

    Other statements stay unchanged. An earlier statement with the Sid of ours is replaced.
    """
    present = policy.get("Statement") or []
    listed = present if isinstance(present, list) else [present]  # IAM accepts a single statement without a list
    # A statement of somebody else that grants the same is enough, whatever its Sid is.
    if any(_covers({**listed_statement, "Sid": statement["Sid"]}, statement) for listed_statement in listed):
        return policy
    kept = [listed_statement for listed_statement in listed if listed_statement.get("Sid") != statement["Sid"]]
    return {"Version": "2012-10-17", **policy, "Statement": [*kept, statement]}


def _covers(element: Any, ours: Any) -> bool:
    """Return whether an element of a policy grants what ours grants.

    An object grants it if it has the same names as ours and each value grants what our value does. Any other element is
    a value, or a list of values of which any may match: it grants ours if our value is among them ("Grammar of the IAM
    JSON policy language", IAM user guide, 2026-12).
    """
    if isinstance(ours, dict):
        same_names = isinstance(element, dict) and element.keys() == ours.keys()
        return same_names and all(_covers(element[name], value) for name, value in ours.items())
    return ours in (element if isinstance(element, list) else [element])


class Bus(Resource):
    """The classic event bus. The default bus and a bus that is named by its ARN are not made.

    `dead_letters` is the ARN of the queue for events that the bus cannot encrypt under a customer's
    key, "" for none. `account` is this account's number.
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
        """Return key, dead-letter queue and tags; None if there is no bus.

        Raises SetupError if its owner denies access.
        """
        try:
            self._described = dict(self._events.describe_event_bus(Name=self._bus))
        except self._events.exceptions.ResourceNotFoundException:
            return None
        except ClientError as error:
            owner = (self._bus.split(":") + [""] * 5)[4]  # the account in the bus's ARN; "" for a bare name
            if code_of(error) in DENIED and owner not in ("", self._account):
                raise SetupError(
                    f"{self.label} is of account {owner}, which does not let this account read it; "
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
        """Return the wanted key and dead-letter queue.

        Raises SettingsError if there is no bus and none can be made.
        """
        if self.current is None and (self._bus.startswith("arn:") or self._bus == "default"):
            raise SettingsError("STREAM_ROUTER_EVENT_BUS", f"{self._bus} does not exist", "name a bus of this account")
        wanted_queue = {"dead letters": self._dead_letters} if self.wants_queue(self._dead_letters) else {}
        return {"encryption": self._key or AWS_OWNED_KEY, **wanted_queue} if self.current is None else wanted_queue

    def wants_queue(self, queue_arn: str) -> bool:
        """Return whether the bus should have this dead-letter queue: it has a customer's key, and no other queue."""
        current = self.current or {"encryption": self._key or AWS_OWNED_KEY, "dead letters": NONE}
        return (
            bool(queue_arn) and current["encryption"] != AWS_OWNED_KEY and current["dead letters"] in (NONE, queue_arn)
        )

    def apply(self) -> None:
        """Make the bus, or give it the dead-letter queue."""
        own: Any = {"DeadLetterConfig": {"Arn": self._dead_letters}} if "dead letters" in self.changes else {}
        if self.current is not None:
            # UpdateEventBus replaces all properties of a bus, so the others are sent again.
            kept = ("KmsKeyIdentifier", "Description", "LogConfig")
            own |= {name: self._described[name] for name in kept if self._described.get(name)}
            self._events.update_event_bus(Name=self._bus, **own)
            return
        own |= {"KmsKeyIdentifier": self._key} if self._key else {}
        self._events.create_event_bus(Name=self._bus, Tags=_as_list(self.tags), **own)

    def explain_keeping(self) -> str:
        """Return why `teardown` keeps the bus; "" if it can be deleted.

        AWS deletes no bus that has a rule. Our own rule does not count if `teardown` deletes it, which it does before.
        """
        pages = self._events.get_paginator("list_rules").paginate(EventBusName=self._bus)
        named = [rule["Name"] for page in pages for rule in page.get("Rules", [])]
        others = [name for name in named if name != self._rule.name or self._rule.explain_keeping()]
        return super().explain_keeping() or (f"it has rules that stay ({', '.join(others[:3])})" if others else "")

    def delete(self) -> None:
        """Delete the bus, once its rules are gone."""
        self._events.delete_event_bus(Name=self._bus)


class BusQueue(QueueResource):
    """The dead-letter queue of a bus under a customer's key.

    The queue uses SQS's own key, because it gets the events for which the bus's key failed. A bus that has another such
    queue, or no customer's key, does not need it.
    """

    def __init__(self, clients: Clients, arn: str, tags: dict[str, str], bus: Bus, bus_arn: str) -> None:
        super().__init__(clients, arn, tags, source_arn=bus_arn)
        self._arn, self._bus = arn, bus

    def refresh(self) -> None:
        """Read the bus first, since its state decides whether it needs the queue, then the queue."""
        self._bus.refresh()
        super().refresh()

    @property
    def is_right(self) -> bool:
        """Whether the queue needs no change, or is not needed."""
        return not self._bus.wants_queue(self._arn) or super().is_right

    def status_line(self) -> str:
        """Return the line of the plan, or that the queue is not needed."""
        return (
            super().status_line()
            if self._bus.wants_queue(self._arn)
            else f"  {self.label}: not needed by {self._bus.label}"
        )


def event_pattern(event_types: Any) -> dict[str, Any]:
    """Return the rule's event pattern (docs/contract.md, "The rule")."""
    return {
        "source": [SOURCE],
        "detail-type": list(event_types),
        "detail": {"eventSource": [{"prefix": "cxone"}]},
    }


def describe_pattern_excess(event_types: Any) -> tuple[str, str] | None:
    """Return problem and cure if the pattern is longer than EventBridge accepts, else None."""
    length = len(_serialize_pattern(event_types))
    if length <= limits.EVENT_PATTERN_MAX_CHARS:
        return None
    problem = f"the pattern has {length} characters, {limits.EVENT_PATTERN_MAX_CHARS} are allowed"
    return problem, "name fewer event types, or make a second rule"


def _serialize_pattern(event_types: Any) -> str:
    return json.dumps(event_pattern(event_types), separators=(",", ":"))


def pattern_text(event_types: Any) -> str:
    """Return the rule's event pattern as the text that is sent to EventBridge.

    Raises SettingsError if it is longer than EventBridge accepts.
    """
    if excess := describe_pattern_excess(event_types):
        problem, cure = excess
        raise SettingsError("STREAM_ROUTER_EVENT_TYPES", problem, cure)
    return _serialize_pattern(event_types)


class Rule(Resource):
    """The rule with our pattern.

    A rule that others made for our events keeps its further filters and targets.
    """

    tags: dict[str, str]

    def __init__(self, clients: Clients, bus: str, name: str, arn: str, event_types: Any, tags: dict[str, str]) -> None:
        self._events = clients.events
        self.label, self.tags = f"rule {name} on bus {bus}", tags
        self.name, self.bus, self.arn = name, bus, arn
        self._types = event_types
        self._described: dict[str, Any] = {}

    def read_state(self) -> State | None:
        """Return pattern, state and tags; None if there is no such rule."""
        try:
            self._described = dict(self._events.describe_rule(Name=self.name, EventBusName=self.bus))
        except self._events.exceptions.ResourceNotFoundException:
            return None
        tags = _as_mapping(self._events.list_tags_for_resource(ResourceARN=self.arn).get("Tags", []))
        pattern = json.loads(self._described.get("EventPattern") or "{}")
        return {"pattern": pattern, "state": self._described.get("State", "ENABLED"), "tags": tags}

    def wanted_state(self) -> State:
        """Return our pattern, with the further filters of an existing rule for our events.

        Raises SettingsError if the rule has the tag of another stream: this setup would overwrite the pattern and the
        dead-letter queue of that deployment.
        """
        ours = event_pattern(self._types)
        if self.current is None:
            return {"pattern": ours, "state": "ENABLED"}
        if (stream := self.current["tags"].get(TAG, self.tags[TAG])) != self.tags[TAG]:
            raise SettingsError(
                "STREAM_ROUTER_RULE",
                f"{self.label} belongs to stream {stream}",
                (
                    "name another rule, or hand it over: aws events tag-resource --resource-arn "
                    f"{self.arn} --tags Key={TAG},Value={self.tags[TAG]}"
                ),
            )
        pattern = self.current["pattern"]
        if SOURCE in pattern.get("source", ()):
            ours = {**pattern, **ours, "detail": {**pattern.get("detail", {}), **ours["detail"]}}
        return {"pattern": ours, "state": "ENABLED" if self.current["state"] == "DISABLED" else self.current["state"]}

    def describe_risk(self) -> str:
        """Return why the change may stop events, or that it enables a rule that somebody disabled; "" if neither."""
        why = []
        if self.current and self.current["pattern"] and "pattern" in self.changes:
            old, new = self.current["pattern"], self.changes["pattern"]
            # The change is harmless only if nothing but `detail-type` differs, and no type is removed from it.
            widened = {**old, "detail-type": [*new["detail-type"]]}
            if widened != new or not {*old.get("detail-type", ())} <= {*new["detail-type"]}:
                why.append("the pattern changes by more than further event types (see STREAM_ROUTER_EVENT_TYPES)")
        if self.current and "state" in self.changes:
            why.append("somebody disabled it, so nothing is delivered")
        return "; ".join(why)

    def apply(self) -> None:
        """Make or change the rule."""
        properties: Any = {"Description": "CXone events, routed by stream_router", "Tags": _as_list(self.tags)}
        if self.current is not None:
            # PutRule replaces all properties of a rule, so the others are sent again.
            kept = ("Description", "RoleArn", "ScheduleExpression")
            properties = {name: self._described[name] for name in kept if self._described.get(name)}
        state = {**(self.current or {}), **self.changes}
        text = json.dumps(state["pattern"], separators=(",", ":"))
        self._events.put_rule(
            Name=self.name, EventBusName=self.bus, EventPattern=text, State=state["state"], **properties
        )

    def notes(self) -> list[str]:
        """Return a note for each default quota of AWS that this rule breaks.

        The quotas are of the pattern's length and, if the rule is new, of the bus's number of rules.
        """
        length = len(pattern_text(self._types))
        notes = []
        if length > limits.EVENT_PATTERN_QUOTA_CHARS:
            notes.append(
                f"its pattern has {length:,} characters; AWS's default quota is {limits.EVENT_PATTERN_QUOTA_CHARS:,}, "
                "and above it PutRule fails until AWS raises it (Service Quotas, EventBridge)"
            )
        quota = limits.rules_of_a_bus(self.arn.split(":")[3])
        if self.current is None and (count := count_rules(self._events, self.bus)) >= quota:
            notes.append(
                f"the bus has {count} rules; AWS's default quota is {quota}, and above it PutRule fails until AWS "
                "raises it"
            )
        return notes

    def targets(self) -> list[dict[str, Any]]:
        """Return all targets of the rule; [] if there is no such rule."""
        try:
            pages = self._events.get_paginator("list_targets_by_rule").paginate(Rule=self.name, EventBusName=self.bus)
            return [dict(target) for page in pages for target in page.get("Targets", [])]
        except self._events.exceptions.ResourceNotFoundException:
            return []

    def describe_contents(self) -> str:
        """Return how many targets of others would no longer get events; "" for none."""
        others = [target for target in self.targets() if not target["Id"].startswith(TARGET_ID_PREFIX)]
        return f"{len(others)} targets of others" if others else ""

    def delete(self) -> None:
        """Delete the rule with all of its targets."""
        if ids := [target["Id"] for target in self.targets()]:
            self._events.remove_targets(Rule=self.name, EventBusName=self.bus, Ids=ids)
        self._events.delete_rule(Name=self.name, EventBusName=self.bus)


def count_rules(events: Any, bus: str) -> int:
    """Return the number of all rules on a bus; 0 if there is no such bus yet.

    Raises botocore's errors.
    """
    try:
        return sum(len(page.get("Rules", ())) for page in events.get_paginator("list_rules").paginate(EventBusName=bus))
    except ClientError as error:
        if code_of(error) not in ABSENT:
            raise
        return 0


class Target(Resource):
    """The rule's target. Its state is the fields of PutTargets.

    `fields` are those of EVENTBRIDGE_TARGET_FILE with the ARN. A field that is not given stays as it is, or has AWS's
    default; a null removes a field. `undelivered` is the ARN of the queue for events that the target does not take,
    and `named` whether a setting names that queue. A target is deleted with its rule.
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
        """Return the target of this ARN under any id; None if there is none.

        An existing target is used whatever its id is: a second one with this ARN would deliver events twice.
        """
        self._targets = self._rule.targets()
        return next((target for target in self._targets if target["Arn"] == self._arn), None)

    def wanted_state(self) -> State:
        """Return the wanted fields. Without a RetryPolicy AWS retries 185 times in 24 hours."""
        own_id = f"{TARGET_ID_PREFIX}-{hashlib.sha256(self._arn.encode()).hexdigest()[:16]}"
        fields = {"Id": own_id, **(self.current or {}), **self._given}
        if self.current:
            fields["Id"] = self.current["Id"]
        if not self._given.get("DeadLetterConfig") and (self._named or not fields.get("DeadLetterConfig")):
            fields["DeadLetterConfig"] = {"Arn": self._undelivered}
        self._queue = fields["DeadLetterConfig"].get("Arn")
        return fields

    def describe_risk(self) -> str:
        """Return which other target would be replaced: PutTargets replaces by id, whatever the ARN."""
        identity = {**(self.current or {}), **self.changes}["Id"]
        replaced_arn = next(
            (target["Arn"] for target in self._targets if target["Id"] == identity and target["Arn"] != self._arn), ""
        )
        risk = f"target {replaced_arn} has the id {identity} of EVENTBRIDGE_TARGET_FILE, and would be replaced"
        return risk if replaced_arn else ""

    def apply(self) -> None:
        """Attach the target. Raises SetupError if EventBridge refuses it."""
        fields = {**(self.current or {}), **self.changes}
        target: Any = {name: value for name, value in fields.items() if value is not None}
        answer = self._events.put_targets(Rule=self._rule.name, EventBusName=self._rule.bus, Targets=[target])
        if answer.get("FailedEntryCount"):  # PutTargets answers 200 even if it attached nothing
            failed = answer["FailedEntries"][0]
            raise SetupError(
                f"EventBridge refused the target ({failed.get('ErrorCode')}: {failed.get('ErrorMessage')}); correct "
                "EVENTBRIDGE_TARGET_ARN or EVENTBRIDGE_TARGET_FILE"
            )

    def notes(self) -> list[str]:
        """Return notes on a second target of ours, another queue of undelivered events, and permissions."""
        rule = self._rule
        notes = [
            f"target {other['Arn']} of an earlier setup gets every event too; to end that: aws events "
            f"remove-targets --rule {rule.name} --event-bus-name {rule.bus} --ids {other['Id']}"
            for other in self._targets
            if other["Arn"] != self._arn and other["Id"].startswith(TARGET_ID_PREFIX)
        ]
        if self._queue != self._undelivered:
            notes.append(
                f"events that the target does not take go to {self._queue}: set STREAM_ROUTER_TARGET_DLQ_ARN to it"
            )
        service = self._arn.split(":")[2]
        if service in ("sns", "logs"):
            notes.append("its policy must allow events.amazonaws.com, with this rule as aws:SourceArn")
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
