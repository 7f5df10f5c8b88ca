"""`stream-router setup` and `teardown`: make or verify the resources of a deployment in order, delete them in reverse.

`setup` reads the state of all resources before it changes one, and a second run changes nothing. A change that would
stop events (a narrower pattern, a replaced target) needs `--yes`. `teardown` deletes all resources with the
deployment's tag, or none: if it deleted only the rule, for example, a consumer that still publishes would lose events.
"""

import json
import sys
import time
from collections.abc import Callable
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from botocore.loaders import Loader
from botocore.model import ListShape, ServiceModel, Shape, StructureShape
from botocore.validate import ParamValidator

from stream_router import limits
from stream_router.aws.clients import Clients
from stream_router.aws_error_codes import ABSENT, UNSUPPORTED_OPERATION, code_of
from stream_router.checks import describe_call_error
from stream_router.errors import SettingsError
from stream_router.operate import arns, subscriber
from stream_router.operate.arns import Home, bus_undelivered_name, dead_letters_name, undelivered_name
from stream_router.operate.resources import (
    TAG,
    Bus,
    BusQueue,
    LeaseTable,
    QueueResource,
    Resource,
    Rule,
    SetupError,
    StreamResource,
    Target,
    buckets_for,
    pattern_text,
)
from stream_router.pipeline.sample_events import as_delivered, sample_entries
from stream_router.settings.operators import Setup

TARGET, FILE, UNDELIVERED = "EVENTBRIDGE_TARGET_ARN", "EVENTBRIDGE_TARGET_FILE", "STREAM_ROUTER_TARGET_DLQ_ARN"

WOULD_CHANGE = 2
"""Exit status of `--plan --exit-code` if something would be made or changed."""


def run(settings: Setup, *, plan: bool, exit_code: bool = False, yes: bool = False) -> int:
    """Make and change the resources, or with `plan` only show what would be done. Print one line for each resource.

    The last line is the setting SQS_DLQ_URL to export. Return 1 if something needs the operator: AWS refuses, a change
    needs `--yes`, or a v2 bus has no right subscriber. Return WOULD_CHANGE if `plan` and `exit_code` are given and
    something would be made or changed. Return 0 otherwise. Raises SettingsError if a setting is wrong.
    """
    try:
        deployment = Deployment(settings, Clients(settings.aws_region))
        deployment.refresh()
        unfinished = [resource for resource in deployment.resources if not resource.is_right]
        needs_yes = any(resource.describe_risk() for resource in unfinished)
        command = "stream-router setup --yes" if needs_yes else "stream-router setup"
        deployment.apply_changes(_print_line, dry_run=plan or (needs_yes and not yes))
    except (SetupError, BotoCoreError, ClientError) as error:
        sys.stderr.write(f"stream-router setup: {describe_call_error(error, 'setup')}\n")
        return 1
    if needs_yes and not plan and not yes:
        _print_line(f"nothing was changed; if the changes that need --yes are intended, run `{command}`")
        return 1
    if not unfinished:
        _print_line("nothing to change")
    elif plan:
        to_make = sum(resource.current is None for resource in unfinished)
        _print_line(f"plan: {to_make} to make, {len(unfinished) - to_make} to change; run `{command}` to do it")
    if url := deployment.dead_letters.url:
        _print_line(f"export SQS_DLQ_URL={url}")
    if deployment.problem:
        return 1
    return WOULD_CHANGE if plan and exit_code and unfinished else 0


def ensure(settings: Setup, clients: Clients, print_line: Callable[[str], None]) -> str:
    """Make or complete all resources, for callers in code. Return the dead-letter queue's URL.

    No change needs `--yes` here. `print_line` gets each line of the output. Raises SetupError, SettingsError and
    botocore's errors.
    """
    deployment = Deployment(settings, clients)
    deployment.refresh()
    deployment.apply_changes(print_line)
    return str(deployment.dead_letters.url)


def _print_line(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def find_home(clients: Clients) -> Home:
    """Return partition, region and account. Asks STS for the account; raises botocore's errors."""
    return Home(clients.partition, clients.region, clients.sts.get_caller_identity()["Account"])


class Deployment:
    """All resources that `setup` shows, makes or verifies with these settings: the stream first, the target last."""

    def __init__(self, settings: Setup, clients: Clients) -> None:
        check_settings(settings)
        self.settings = settings
        self._clients = clients
        home = self._home = find_home(clients)
        tags = {TAG: settings.stream, **settings.tag_map}
        key, bus = settings.kms_key, settings.event_bus
        rule_arn = home.rule(bus, settings.rule)
        dead_letters_arn = home.queue_arn(settings.sqs_dlq_url or dead_letters_name(settings.stream))
        undelivered = settings.target_dlq_arn or home.queue(undelivered_name(settings.stream))
        self.extra_lines: list[str] = []
        """Lines that belong to no resource."""
        self.problem = ""
        """Problem of a v2 bus's subscriber, which the bus's owner makes (docs/operations.md); "" if there is none."""
        ordered = settings.ordering == "conversation"
        self._stream = StreamResource(clients, settings.stream, settings.shards, key, tags, ordered=ordered)
        table = LeaseTable(clients, settings.application, tags, self._stream)
        self.resources: list[Resource] = [table, self._stream]  # `teardown` goes backwards: the table after its stream
        variable = "SQS_DLQ_URL" if settings.sqs_dlq_url else ""
        self.dead_letters = QueueResource(
            clients, dead_letters_arn, tags, key=key, variable=variable, url=settings.sqs_dlq_url
        )
        self.resources.append(self.dead_letters)
        if settings.spill_queue:
            self.resources.append(QueueResource(clients, home.queue_arn(settings.spill_queue), tags, key=key))
        if limits.is_v2_bus(bus):
            return
        named = bool(settings.target_dlq_arn)
        variable = UNDELIVERED if named else ""
        self.resources.append(
            QueueResource(clients, undelivered, tags, key=key, variable=variable, source_arn=rule_arn)
        )
        rule = Rule(clients, bus, settings.rule, rule_arn, settings.event_type_list, tags)
        bus_queue_arn = home.queue(bus_undelivered_name(settings.stream)) if key and arns.is_made_by_setup(bus) else ""
        bus_resource = Bus(clients, bus, key, tags, rule, dead_letters=bus_queue_arn, account=home.account)
        if bus_queue_arn:
            self.resources.append(BusQueue(clients, bus_queue_arn, tags, bus_resource, home.bus(bus)))
        self.resources += [bus_resource, rule]
        if not (target := read_target(settings)):
            self._add_note(f"neither {TARGET} nor {FILE} is set: no target is attached to the rule")
            return
        if dead_letters_arn == undelivered:
            name = UNDELIVERED if named else "SQS_DLQ_URL"
            problem = "is one queue for dead letters and for what the target does not take"
            raise SettingsError(name, problem, "unset it, and setup makes two")
        loops = {
            home.stream(settings.stream): "the stream itself",
            home.bus(bus): "the rule's own bus",
            dead_letters_arn: "our dead-letter queue",
            undelivered: "its own dead-letter queue",
        }
        if loop := loops.get(target["Arn"], ""):
            raise SettingsError(TARGET, f"is {loop}", "name another target")
        if home.contains(to := arns.parse(target["Arn"], TARGET)) and to.service == "sqs":
            self.resources.append(QueueResource(clients, target["Arn"], None, variable=TARGET, source_arn=rule_arn))
        self.resources.append(Target(clients, rule, target, undelivered, named=named))

    def _add_note(self, text: str) -> None:
        self.extra_lines.append(f"  note: {text}")

    def refresh(self) -> None:
        """Read the state of each resource, and test that the rule's wanted pattern matches our events.

        Changes nothing in AWS. Raises SettingsError, SetupError and botocore's errors.
        """
        settings = self.settings
        for resource in self.resources:
            resource.refresh()
        if limits.is_v2_bus(settings.event_bus):
            name = f"subscriber {settings.rule} of event bus {settings.event_bus} (v2)"
            self.problem = subscriber_problem(self._clients, settings)
            self.extra_lines.append(f"! {name}: {self.problem}" if self.problem else f"= {name}")
            text = pattern_text(settings.event_type_list)
            self._add_note(f"its filters have to let through {text} (docs/operations.md makes it)")
        else:
            self._add_note(self.verify_pattern())
        if settings.kms_key:
            rights = "kms:GenerateDataKey and kms:Decrypt, for a bus of ours kms:DescribeKey too"
            self._add_note(f"the policy of {settings.kms_key} must let the service events.amazonaws.com use {rights}")
        if note := self.describe_too_few_groups():
            self._add_note(note)

    def apply_changes(self, print_line: Callable[[str], None], *, dry_run: bool = False) -> None:
        """Apply the changes in order, and print each resource's line once its changes are made.

        With `dry_run` change nothing, and print the lines and why a change needs `--yes`. After an interruption a later
        run makes the remaining changes.
        """
        for resource in self.resources:
            if not dry_run and not resource.is_right:
                resource.apply()
            print_line(resource.status_line())
            if dry_run and (why := resource.describe_risk()):
                print_line(f"  needs --yes: {why}")
            for note in resource.notes():
                print_line(f"  note: {note}")
        for line in self.extra_lines:
            print_line(line)

    def describe_too_few_groups(self) -> str:
        """Return a note if the partition groups (`STREAM_ROUTER_BUCKETS`) are too few to fill the shards, else ""."""
        shards = {**(self._stream.current or {}), **self._stream.changes}["shards"]
        least = buckets_for(shards)
        if self.settings.buckets >= least:
            return ""
        return (
            f"{shards} shards want STREAM_ROUTER_BUCKETS of at least {least} (here it is {self.settings.buckets}): "
            "set it in all receivers, or shards stay empty"
        )

    def verify_pattern(self) -> str:
        """Let EventBridge test the rule's pattern with an event of each type, as the pipeline makes it.

        Return a note with the result. Raises SetupError if an event would not match.
        """
        settings, home = self.settings, self._home
        text = pattern_text(settings.event_type_list)
        for entry in sample_entries(home.region, settings.event_type_list, int(time.time() * 1000)):
            event = json.dumps(as_delivered(entry, home.account, home.region))
            try:
                answer: Any = self._clients.events.test_event_pattern(EventPattern=text, Event=event)
            except ClientError as error:
                if code_of(error) not in UNSUPPORTED_OPERATION:
                    raise
                answer = {}
            if "Result" not in answer:  # an emulator may answer 200 to an operation that it does not know
                return "it was not tested whether our events match the rule: this endpoint has no TestEventPattern"
            if not answer["Result"]:
                raise SetupError(f"the rule's pattern would not match our own event of type {entry.detail_type}")
        return f"an event of each of our {len(settings.event_type_list)} types matches the rule (TestEventPattern)"


def subscriber_problem(clients: Clients, settings: Setup) -> str:
    """Return the problems of a v2 bus's subscriber, which is rule and target in one; "" if it runs and loses nothing.

    Raises SettingsError if there is no such bus, and botocore's errors for any other refusal.
    """
    events, bus, name = clients.events_v2, settings.event_bus, settings.rule
    try:
        events.describe_event_bus(EventBusArn=bus)
    except ClientError as error:
        if code_of(error) not in ABSENT | {"InvalidInputException", "ValidationException"}:
            raise
        problem = f"there is no such v2 bus ({code_of(error)})"
        raise SettingsError("STREAM_ROUTER_EVENT_BUS", problem, "correct the ARN, or make the bus") from None
    request, subscribers = {"EventBusArn": bus, "NamePrefix": name}, list[Any]()
    while True:
        page = events.list_subscribers(**request)
        subscribers += page["Subscribers"]
        if not page.get("NextToken"):
            break
        request["NextToken"] = page["NextToken"]
    arn = next((item["SubscriberArn"] for item in subscribers if item["Name"] == name), None)
    if arn is None:
        return "is not there"
    description = events.describe_subscriber(SubscriberArn=arn)
    ordered = settings.ordering == "conversation"
    return ", ".join(subscriber.find_problems(description, settings.event_type_list, ordered=ordered))


def check_settings(settings: Setup) -> None:
    """Check the settings against each other without a call to AWS. Raises SettingsError."""
    pattern_text(settings.event_type_list)
    sample_entries(settings.aws_region, settings.event_type_list, 0)
    if TAG in settings.tag_map:
        raise SettingsError(
            "STREAM_ROUTER_TAGS", f"has {TAG}, by which `teardown` recognises its resources", "remove it"
        )
    read_target(settings)
    if settings.target_dlq_arn:
        queue = arns.parse(settings.target_dlq_arn, UNDELIVERED)
        if queue.service != "sqs" or queue.resource.endswith(".fifo") or queue.region != settings.aws_region:
            raise SettingsError(UNDELIVERED, "must be a standard SQS queue in AWS_REGION", "give one, or unset it")


def read_target(settings: Setup) -> dict[str, Any]:
    """Return the fields of PutTargets that the settings give, with the ARN; {} if there is to be no target.

    Raises SettingsError if the file cannot be read, or if PutTargets would refuse its fields.
    """
    from_file: dict[str, Any] = {}
    if settings.target_file:
        try:
            from_file = json.loads(settings.target_file.read_text("utf-8"))
        except OSError as error:
            raise SettingsError(FILE, f"cannot be read ({error.strerror})", "name a readable file") from None
        except ValueError as error:
            raise SettingsError(FILE, f"is not JSON ({error})", _EXAMPLE) from None
        if not isinstance(from_file, dict):
            raise SettingsError(FILE, "is not a JSON object", _EXAMPLE)
        # The check requires Id and Arn, which the file may leave out. It knows no null, which removes a field.
        fields = {
            "Id": "id",
            "Arn": "arn:aws:",
            **{name: field for name, field in from_file.items() if field is not None},
        }
        model = ServiceModel(Loader().load_service_model("events", "service-2"))
        shape = model.shape_for("Target")
        report = ParamValidator().validate(fields, shape)
        if report.has_errors():
            why = report.generate_report().splitlines()[0].rstrip(":")
            raise SettingsError(FILE, f"has fields that PutTargets refuses ({why})", _EXAMPLE)
        if why := find_value_above_max(shape, fields):
            raise SettingsError(FILE, why, _EXAMPLE)
    if (arn := from_file.get("Arn") or settings.target_arn) is None:
        if settings.target_file:
            raise SettingsError(FILE, "has no Arn", f"put it there, or set {TARGET}")
        return {}
    if settings.target_arn not in (None, arn):
        raise SettingsError(FILE, f"has another Arn than {TARGET}", "remove one of the two")
    _check_target_arn(arn, settings.aws_region, TARGET if settings.target_arn else FILE)
    return {**from_file, "Arn": arn}


def find_value_above_max(shape: Shape, value: Any, path: str = "") -> str:
    """Return in words which number, text or list in `value` is above the maximum of AWS's model; "" if none is.

    `shape` is the model of the value, `path` the value's place in the request. This is needed because botocore's own
    validation checks minimums only.
    """
    parts: list[tuple[Shape, Any, str]] = []
    if isinstance(shape, StructureShape):
        parts = [(member, value.get(name), f"{path}.{name}") for name, member in shape.members.items()]
    elif isinstance(shape, ListShape):
        parts = [(shape.member, item, f"{path}[{at}]") for at, item in enumerate(value)]
    most = shape.metadata.get("max")
    size = len(value) if isinstance(value, str | list | dict) else value
    if most is not None and size > most:
        return f"{path.lstrip('.')} is {size}, and AWS takes {most} at most"
    for member, inner, inner_path in parts:
        if inner is None:
            continue
        if excess := find_value_above_max(member, inner, inner_path):
            return excess
    return ""


def _check_target_arn(arn: str, region: str, variable: str) -> None:
    """Raise SettingsError if EventBridge could not reach a target of this ARN from a rule in this region."""
    target = arns.parse(arn, variable)
    is_bus = target.service == "events" and target.resource.startswith("event-bus/")
    if target.region != region and not is_bus:
        where = f"in {target.region}" if target.region else "in no region"
        raise SettingsError(
            variable,
            f"is {where}, and the rule is in {region}",
            "only an event bus can be a target elsewhere: name a target of this region",
        )
    if target.service == "lambda" and not target.resource.startswith("function:"):
        example = f"arn:{target.partition}:lambda:{region}:{target.account}:function:NAME"
        raise SettingsError(variable, "is not the ARN of a Lambda function", f"write {example}")


_EXAMPLE = 'a file may be {"RetryPolicy": {"MaximumRetryAttempts": 20, "MaximumEventAgeInSeconds": 7200}}'


def teardown(settings: Setup, *, yes: bool, force: bool) -> int:
    """Print a line for each resource, and with `yes` delete those that `setup` of this deployment made.

    If events would be lost, delete nothing unless `force` is given too, and return 1. Return 1 also if AWS refuses, 0
    otherwise. Raises SettingsError.
    """
    try:
        return _teardown(settings, yes=yes, force=force)
    except (SetupError, BotoCoreError, ClientError) as error:
        sys.stderr.write(f"stream-router teardown: {describe_call_error(error, 'teardown')}\n")
        return 1


def _teardown(settings: Setup, *, yes: bool, force: bool) -> int:
    resources = reversed(Deployment(settings, Clients(settings.aws_region)).resources)
    to_delete: list[Resource] = []
    losses: list[str] = []
    for resource in resources:
        # A resource without tags is not ours, or is deleted with another one, so it is not even read.
        resource.current = None if resource.tags is None else resource.read_state()
        if resource.current is None:
            continue
        if why := resource.explain_keeping():
            _print_line(f"= {resource.label} stays: {why}")
            continue
        to_delete.append(resource)
        holds = resource.describe_contents()
        _print_line(f"- {resource.label}" + (f": holds {holds}" if holds else ""))
        if holds:
            losses.append(f"{resource.label}: {holds}")
    if not to_delete:
        names = f"stream {settings.stream}, bus {settings.event_bus}, rule {settings.rule}"
        _print_line(f"no resource of `setup` exists under the current names ({names}); earlier names are not searched")
    elif losses and not force:
        _print_line(f"nothing was deleted, since this would be lost for good: {'; '.join(losses)}")
        _print_line(
            "save dead letters with `stream-router dlq export FILE` (EventBridge's own with --undelivered); let "
            "`consume` read the stream to its end (`stream-router top`); nothing of it can be replayed afterwards. "
            "See `stream-router teardown --help` on --force"
        )
        return 1
    elif not yes:
        _print_line(f"with --yes this is lost for good: {'; '.join(losses)}" if losses else "no event would be lost")
        _print_line("nothing was deleted; stop `receive` and `consume`, then run it again with --yes")
    else:
        for resource in to_delete:
            resource.delete()
            _print_line(f"deleted {resource.label}")
    return 0
