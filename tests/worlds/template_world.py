"""deploy/cloudformation in LocalStack's CloudFormation: create, judge by `doctor` and `setup`, update, delete."""

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.stack_account import RULE, StackAccount, load_template
from tests.system.world import until
from tests.worlds.environments import Environments
from tests.worlds.foreign import ForeignWorld, Steps

STACK, BUS, STREAM, BUCKET = "stream-router", "cxone", "cxone-events", "large-events"
END_WITHIN_S = 240.0
"""Time limit for each operation on the stack. It is not a promise: this machine may be busy."""

OWN = {
    *("EventStream", "DeadLetterQueue", "SpillQueue", "UndeliveredQueue", "UndeliveredQueuePolicy", "Bus", "EventRule"),
    *("Bucket", "ReceiverRole", "ConsumerRole", "ExecutionRole", "OperatorPolicy", "Logs", "Observability"),
}
"""Resources that the programs and their operators use. The others are the network and ECS around them."""

PASSED_OVER = {
    *("AWS::ApplicationAutoScaling::ScalableTarget", "AWS::ApplicationAutoScaling::ScalingPolicy"),
    *("AWS::CloudWatch::Dashboard", "AWS::ECS::Cluster", "AWS::ECS::Service", "AWS::ECS::TaskDefinition"),
    *("AWS::ElasticLoadBalancingV2::Listener", "AWS::ElasticLoadBalancingV2::LoadBalancer"),
    "AWS::ElasticLoadBalancingV2::TargetGroup",
}
"""Types that the community runtime reports as created without creating anything."""

FALLBACK = "is not supported but was deployed as a fallback"
"""End of LocalStack's reason for a resource of such a type."""

LEFT_OUT = f"~ stream {STREAM}: retention (hours) 24 -> 168, encryption none -> alias/aws/kinesis"
"""The one change of the plan on the new stack: LocalStack's engine ignores these two properties (results/README.md)."""

CREATED = {"OffloadBucket": BUCKET}
TYPES = ["interaction.created", "contact.ended"]
UPDATED = {**CREATED, "EventTypes": ",".join(TYPES), "RetentionHours": "240", "HeadroomSeconds": "432000"}
OTHER_RULE, OTHER_STREAM, OTHER_SHARDS = "other-rule", "other-events", 3
REPLACED = {**UPDATED, "Rule": OTHER_RULE, "Stream": OTHER_STREAM, "Shards": str(OTHER_SHARDS)}


def run(folder: Path, environments: Environments, steps: Steps) -> None:
    """Create the stack, judge it, update it in place and by replacement, delete it; record every step."""
    world = ForeignWorld(folder, environments)
    try:
        world.start_localstack()
        world.sqs.delete_queue(QueueUrl=world.target)  # `prepare` makes it again, open to the rule
        account = StackAccount(world.port, BUS)
        account.prepare()
        # The first call starts kinesis-local. If the engine makes that call, it may time out and be sent again, and the
        # second CreateStream finds the stream of the first.
        account.client("kinesis").list_streams()
        _create(account, steps)
        _judge(world, account, steps)
        _update_in_place(account, steps)
        _update_by_replacement(account, steps)
        _delete(account, steps)
    finally:
        world.close()


def _adapted_template() -> dict[str, Any]:
    """Return the template with two adaptations to LocalStack's engine, each a row in results/README.md."""
    template = load_template()
    (container,) = template["Resources"]["ConsumerTask"]["Properties"]["ContainerDefinitions"]
    # At an update the engine fails to join the earlier value of a list. It passes the task's type over anyway.
    container["Environment"] = [entry for entry in container["Environment"] if "Fn::Join" not in json.dumps(entry)]
    for resource in template["Resources"].values():
        if resource.get("DeletionPolicy") == "RetainExceptOnCreate":
            resource["DeletionPolicy"] = "Retain"  # the same for all operations but a creation that fails
    return template


# --- create


def _create(account: StackAccount, steps: Steps) -> None:
    """Create the stack. No resource of ours may be among those that are passed over."""
    formation = account.client("cloudformation")
    formation.create_stack(**account.stack_request(STACK, _adapted_template(), **CREATED))
    status = account.await_stack(STACK, END_WITHIN_S)
    resources = account.read_resources(STACK)
    created = {name for name, resource in resources.items() if _is_created(resource)}
    missing = sorted(OWN - created)
    figure = f"{status}; {len(OWN & created)} of {len(OWN)} CREATE_COMPLETE; missing: {', '.join(missing) or 'none'}"
    steps.record("create: the product's own resources", held=not missing, figure=figure)
    alarms = account.read_resources(resources["Observability"]["PhysicalResourceId"])
    passed_over = [*resources.values(), *alarms.values()]
    counts = Counter(resource["ResourceType"] for resource in passed_over if not _is_created(resource))
    types = ", ".join(f"{count} {name.removeprefix('AWS::')}" for name, count in sorted(counts.items()))
    figure = f"{types}; {len(passed_over) - counts.total()} resources of other types were created"
    steps.record("types that LocalStack passes over", held=set(counts) == PASSED_OVER, figure=figure)


def _is_created(resource: dict[str, str]) -> bool:
    """Return whether the engine created the resource. It reports CREATE_COMPLETE also for what it passed over."""
    passed_over = resource.get("ResourceStatusReason", "").endswith(FALLBACK)
    return resource["ResourceStatus"] == "CREATE_COMPLETE" and not passed_over


# --- judge


def _judge(world: ForeignWorld, account: StackAccount, steps: Steps) -> None:
    """Run `setup --plan` and `doctor` against the stack, with the settings that the template gives to its tasks."""
    world.environment |= {
        "STREAM_ROUTER_EVENT_BUS": BUS,
        "SQS_DLQ_URL": account.read_outputs(STACK)["DeadLetterQueueUrl"],
        "STREAM_ROUTER_SPILL_QUEUE": account.read_resources(STACK)["SpillQueue"]["PhysicalResourceId"],
        "STREAM_ROUTER_OFFLOAD_BUCKET": BUCKET,
        "STREAM_ROUTER_WEBHOOK_SECRETS": f"secretsmanager:{account.parameters['WebhookSecretArn']}",
        "STREAM_ROUTER_MASKING": "default",
    }
    exit_code, changes = _plan(world)
    figure = f"exit {exit_code}: {'; '.join(changes) or 'nothing to change'}"
    steps.record("setup --plan: only what LocalStack left out", held=changes in ([LEFT_OUT], []), figure=figure)
    _set_left_out(account)
    exit_code, changes = _plan(world)
    figure = f"exit {exit_code}: {'; '.join(changes) or 'nothing to change'}"
    steps.record("these two properties set, setup --plan again", held=exit_code == 0 and not changes, figure=figure)
    doctor = world.command("doctor", "--json", timeout_s=200)
    checks = json.loads(doctor.stdout)["checks"]
    verdicts = Counter(check["verdict"] for check in checks)
    warnings = [f"{check['code']} {check['says']}" for check in checks if check["verdict"] not in ("well", "skipped")]
    held = doctor.returncode == 0 and [warning.split()[0] for warning in warnings] == ["SR160"]
    counts = ", ".join(f"{count} {name}" for name, count in sorted(verdicts.items()))
    figure = f"exit {doctor.returncode}: {counts} ({'; '.join(warnings)})"
    steps.record("doctor: well, but that no consumer has run", held=held, figure=figure)


def _plan(world: ForeignWorld) -> tuple[int, list[str]]:
    """Run `setup --plan --exit-code`. Return its exit status, and the lines of the resources that it would change."""
    plan = world.command("setup", "--plan", "--exit-code", timeout_s=200)
    return plan.returncode, [line for line in plan.stdout.splitlines() if line.startswith(("+", "~", "!"))]


def _set_left_out(account: StackAccount) -> None:
    """Set what the template says of the stream and LocalStack's engine ignores."""
    template = load_template()
    properties = template["Resources"]["EventStream"]["Properties"]
    assert properties["RetentionPeriodHours"] == {"Ref": "RetentionHours"}
    hours = template["Parameters"]["RetentionHours"]["Default"]
    encryption = properties["StreamEncryption"]
    key = encryption["KeyId"]["Fn::If"][2]  # the value without the parameter KmsKeyArn
    kinesis = account.client("kinesis")
    kinesis.increase_stream_retention_period(StreamName=STREAM, RetentionPeriodHours=hours)
    _await_active(account)
    kinesis.start_stream_encryption(StreamName=STREAM, EncryptionType=encryption["EncryptionType"], KeyId=key)
    _await_active(account)


def _await_active(account: StackAccount) -> None:
    until(lambda: _summarise(account, STREAM)["StreamStatus"] == "ACTIVE", END_WITHIN_S, "the stream is ACTIVE")


# --- update


def _update_in_place(account: StackAccount, steps: Steps) -> None:
    """Change the event types and the retention. LocalStack computes the new values, and then applies none."""
    formation = account.client("cloudformation")
    change_set = {"StackName": STACK, "ChangeSetName": "values"}
    request = account.stack_request(STACK, _adapted_template(), **UPDATED)
    formation.create_change_set(**request, ChangeSetName=change_set["ChangeSetName"], ChangeSetType="UPDATE")

    def describe() -> dict[str, Any]:
        return dict(formation.describe_change_set(**change_set, IncludePropertyValues=True))

    until(
        lambda: not describe()["Status"].endswith(("IN_PROGRESS", "PENDING")), END_WITHIN_S, "the change set is there"
    )
    changes = {
        change["ResourceChange"]["LogicalResourceId"]: change["ResourceChange"] for change in describe()["Changes"]
    }
    rule, stream = (json.loads(changes[name]["AfterContext"])["Properties"] for name in ("EventRule", "EventStream"))
    types, hours = rule["EventPattern"]["detail-type"], int(stream["RetentionPeriodHours"])
    kept = {changes[name]["Replacement"] for name in ("EventRule", "EventStream")} == {"False"}
    figure = f"detail-type {', '.join(types)}, retention {hours} h, {'no ' if kept else ''}replacement"
    held = (types, hours, kept) == (TYPES, 240, True)
    steps.record("change set: new values of rule and stream", held=held, figure=figure)
    before = _read_values(account)
    status = _run_operation(account, lambda: formation.execute_change_set(**change_set))
    after = _read_values(account)
    held = status == "UPDATE_COMPLETE" and after in ((TYPES, 240), before)
    verdict = "LocalStack applied nothing" if after == before else "applied"
    figure = f"{status}, {verdict}: detail-type {', '.join(after[0])}, retention {after[1]} h"
    steps.record("update in place", held=held, figure=figure)


def _update_by_replacement(account: StackAccount, steps: Steps) -> None:
    """Change also the names of rule and stream, so that new ones are created. The old stream is retained."""
    formation = account.client("cloudformation")
    request = account.stack_request(STACK, _adapted_template(), **REPLACED)
    status = _run_operation(account, lambda: formation.update_stack(**request))
    events = account.client("events")
    rule = events.describe_rule(Name=OTHER_RULE, EventBusName=BUS)
    types = json.loads(rule["EventPattern"])["detail-type"]
    targets = [target["Arn"] for target in events.list_targets_by_rule(Rule=OTHER_RULE, EventBusName=BUS)["Targets"]]
    shards = _summarise(account, OTHER_STREAM)["OpenShardCount"]
    streams = set(account.client("kinesis").list_streams()["StreamNames"])
    held = (types, targets, shards) == (TYPES, [account.parameters["TargetArn"]], OTHER_SHARDS)
    figure = (
        f"{status}; detail-type {', '.join(types)}, {len(targets)} target; {shards} shards; streams: {_join(streams)}"
    )
    held = held and status == "UPDATE_COMPLETE" and streams == {STREAM, OTHER_STREAM}
    steps.record("update by replacement: rule and stream", held=held, figure=figure)


def _read_values(account: StackAccount) -> tuple[list[str], int]:
    """Return the event types that the rule routes, and the stream's retention in hours."""
    rule = account.client("events").describe_rule(Name=RULE, EventBusName=BUS)
    return json.loads(rule["EventPattern"])["detail-type"], _summarise(account, STREAM)["RetentionPeriodHours"]


def _summarise(account: StackAccount, stream: str) -> dict[str, Any]:
    """Return Kinesis's summary of a stream."""
    return dict(account.client("kinesis").describe_stream_summary(StreamName=stream)["StreamDescriptionSummary"])


def _run_operation(account: StackAccount, start: Callable[[], object]) -> str:
    """Start an operation on the stack, and wait for its last event. Return the stack's status then."""
    stack_id = account.describe_stack(STACK)["StackId"]
    formation = account.client("cloudformation")

    def read_events() -> list[dict[str, Any]]:
        events = formation.describe_stack_events(StackName=stack_id)["StackEvents"]
        return [event for event in events if event["LogicalResourceId"] == STACK]

    known = {event["EventId"] for event in read_events()}

    def new_ends() -> list[str]:
        statuses = [event["ResourceStatus"] for event in read_events() if event["EventId"] not in known]
        return [status for status in statuses if not status.endswith("IN_PROGRESS")]

    start()
    until(lambda: bool(new_ends()), END_WITHIN_S, "the operation on the stack ends")
    account.await_stack(stack_id, END_WITHIN_S)
    return str(account.describe_stack(stack_id)["StackStatus"])


# --- delete


def _delete(account: StackAccount, steps: Steps) -> None:
    """Delete the stack. Streams, queues and the bucket stay, as their DeletionPolicy says; the rest is deleted."""
    formation = account.client("cloudformation")
    status = _run_operation(account, lambda: formation.delete_stack(StackName=STACK))
    queues = {f"{STREAM}-{name}" for name in ("dead-letters", "spill", "undelivered")}
    retained = {STREAM, OTHER_STREAM, BUCKET} | queues
    kept = _list_holders_of_events(account)
    figure = f"{status}; stay: {_join(kept)}"
    steps.record(
        "delete: what may hold events stays", held=(status, kept) == ("DELETE_COMPLETE", retained), figure=figure
    )
    others = _list_other_resources(account)
    figure = f"left: {_join(others) or 'none'}"
    steps.record("delete: bus, roles, logs, groups, alarms", held=not others, figure=figure)


def _list_holders_of_events(account: StackAccount) -> set[str]:
    """Return the names of all streams, queues and buckets that existed not before the stack."""
    streams = account.client("kinesis").list_streams()["StreamNames"]
    queues = [url.rpartition("/")[2] for url in account.client("sqs").list_queues()["QueueUrls"]]
    buckets = [bucket["Name"] for bucket in account.client("s3").list_buckets()["Buckets"]]
    return {*streams, *queues, *buckets} - {"out", "templates"}


def _list_other_resources(account: StackAccount) -> set[str]:
    """Return the names of the other resources of the stack's types that the engine creates."""
    iam = account.client("iam")
    buses = {bus["Name"] for bus in account.client("events").list_event_buses()["EventBuses"]} - {"default"}
    roles = {role["RoleName"] for role in iam.list_roles()["Roles"]}
    policies = {policy["PolicyName"] for policy in iam.list_policies(Scope="Local")["Policies"]}
    logs = {group["logGroupName"] for group in account.client("logs").describe_log_groups()["logGroups"]}
    groups = account.client("ec2").describe_security_groups()["SecurityGroups"]
    ours = {group["GroupId"] for group in groups if group["Description"].startswith("stream_router:")}
    alarms = {alarm["AlarmName"] for alarm in account.client("cloudwatch").describe_alarms()["MetricAlarms"]}
    return buses | roles | policies | logs | ours | alarms


def _join(names: set[str]) -> str:
    return ", ".join(sorted(names))
