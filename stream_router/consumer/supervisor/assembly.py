"""Construction of `stream-router consume`: the check that the settings can work, the supervisor, and its watches."""

import contextlib
import logging
import platform
import queue
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

from botocore.exceptions import BotoCoreError, ClientError
from botocore.session import Session

from stream_router import checks, limits
from stream_router.aws import credentials, endpoints
from stream_router.aws.clients import Clients
from stream_router.aws_error_codes import code_of
from stream_router.checks import Finding, run_start_checks
from stream_router.consumer import lease_table, state_dir
from stream_router.consumer.destinations import DestinationEndpoints
from stream_router.consumer.lease_table import LeaseTablePreparation
from stream_router.consumer.state_dir import DAEMON_PROPERTIES, HEARTBEATS, RETENTION, StateDir
from stream_router.consumer.supervisor import (
    hang_watch,
    jars,
    java,
    properties,
    stream_watch,
)
from stream_router.consumer.supervisor.daemon_refusals import DaemonRefusals
from stream_router.consumer.supervisor.hang_watch import HangWatch
from stream_router.consumer.supervisor.status import VERDICT_INTERVAL_S, ConsumerStatus, admin_port, sends_zeros
from stream_router.consumer.supervisor.stuck_watch import StuckWatch
from stream_router.consumer.supervisor.supervisor import DaemonSupervisor, SupervisorEvent
from stream_router.consumer.supervisor.vitals import Vitals
from stream_router.consumer.target_check import (
    RULE_UNCHECKED,
    TARGET_UNCHECKED,
    TargetChecker,
    active_interval_s,
    build_target_check,
)
from stream_router.consumer.transform_config import transform_config
from stream_router.errors import unwritable_folder_error
from stream_router.leases import Shard, list_shards
from stream_router.log import start_logging
from stream_router.pipeline.mapping import config_file
from stream_router.pipeline.transform import Transform, load_masking_policy
from stream_router.process import leave_no_core_file, use_one_heap
from stream_router.settings import files
from stream_router.settings.common import NO_RULE
from stream_router.settings.consumer import Consumer
from stream_router.settings.reading import list_aws_settings, list_settings, warn
from stream_router.telemetry import audit, cloudwatch
from stream_router.telemetry.disks import CHECK_INTERVAL_S, Disks
from stream_router.telemetry.metrics_catalogue import CONSUMER_IN_CLOUDWATCH
from stream_router.telemetry.sampler import Sampler
from stream_router.telemetry.silence import Answers
from stream_router.telemetry.status import RECENT_S, SAMPLE_INTERVAL_S

log = logging.getLogger(__name__)


def run(settings: Consumer) -> int:
    """Run until SIGTERM or SIGINT, then drain, and return 0. Raises SettingsError if the settings cannot work.

    A second signal ends the process at once. The JVM and its children never outlive this process.
    """
    use_one_heap()
    leave_no_core_file()
    start_logging(settings.log_level, settings.log_format)
    warn(settings)
    with StateDir(settings.state_dir) as state:
        return _run(settings, state)


HOST_CHECKS: tuple[Callable[[Consumer], object], ...] = (
    lambda settings: config_file.load(settings.config),
    lambda settings: load_masking_policy(settings.masking, None),
    lambda settings: files.check_parent(settings.state_dir, state_dir.SETTING),
    lambda settings: files.check_parent(settings.audit_dir, audit.VARIABLE),
)
"""Checks of the files that the settings name on this host, for `load`, which reports all errors at once."""


def _run(settings: Consumer, state: StateDir) -> int:
    """Check settings and AWS, build the supervisor and its watches, run them, and return the exit code."""
    rendered = _checked(settings, state)
    session = endpoints.create_session(settings.aws_region)
    credentials.retry_until_found(lambda: credentials.find_in_chain(session))
    java.check_credentials(session, rendered)
    events: queue.SimpleQueue[SupervisorEvent] = queue.SimpleQueue()
    vitals, answers = Vitals(), Answers()
    stream = stream_watch.build_watch(settings, rendered.failover_s, answers)
    target_checker = TargetChecker(
        state.path,
        build_target_check(settings, answers),
        lambda: active_interval_s(settings.checkpoint_s, stream.known.workers),
        events.put,
    )
    table = LeaseTablePreparation(
        endpoints.create_client(session, "dynamodb", checks.NO_RETRIES_CONFIG),
        settings.application,
        settings.lease_table_tags,
        protected=rendered.protects_lease_table,
        first_shards=_first_shards(session, settings.stream) if rendered.begins_at_trim_horizon else None,
    )
    disks, refusals = Disks(_folders(settings, state)), DaemonRefusals()
    status = ConsumerStatus(
        settings,
        state,
        vitals,
        target_checker.target_state,
        lambda: stream.known,
        table_waits_for=lambda: table.wait_reason,
        silences=answers.silent_services,
        disk_problem=lambda: disks.condition,
        refusals=refusals.current,
    )
    token = settings.strong_secret("admin_token") or None
    admin = admin_port(settings.admin_listen, token, settings.admin_hosts, vitals, status)
    metrics = cloudwatch.Sender(
        cloudwatch.client(session),
        cloudwatch.MetricDimensions(settings.aws_region, settings.application),
        status.snapshot,
        CONSUMER_IN_CLOUDWATCH,
        sends_zeros,
    )
    hangs = HangWatch(state.path / HEARTBEATS, vitals, lambda: status.observe().shards, lambda: stream.services_answer)
    jvm = _find_usable_java(settings, rendered)
    if settings.audit_dir:
        state.write(RETENTION, _retention(settings))
    supervisor = _supervisor(settings, state, jvm, rendered, target_checker, events, vitals, table, refusals)
    worker = rendered.properties["workerId"]
    stuck = StuckWatch(
        stream,
        vitals,
        supervisor.request_restart,
        worker,
        rendered.max_leases,
        is_index_being_built=lambda: table.is_index_being_built,
    )
    fields = {**_in_force(settings, jvm, rendered), "admin": admin.address}
    log.info("The consumer starts.", extra={"event": "consumer-starts", **fields})
    if settings.bus_proof == "trust":
        log.warning(TARGET_UNCHECKED, extra={"event": "bus-trusted", "bus": settings.event_bus})
    elif settings.rule == NO_RULE:
        log.info(RULE_UNCHECKED, extra={"event": "rule-not-asked", "bus": settings.event_bus})
    with contextlib.ExitStack() as stack:
        stack.callback(metrics.last)
        # Each has threads of its own, so that a slow call delays no other watch.
        for component in (
            admin,
            Sampler(RECENT_S, [status.log_work], "consumer-runs"),
            Sampler(SAMPLE_INTERVAL_S, [status.observe], "sampler"),
            Sampler(VERDICT_INTERVAL_S, [status.log_change], "verdict"),
            Sampler(CHECK_INTERVAL_S, [disks.check], "disks"),
            Sampler(hang_watch.CHECK_INTERVAL_S, [hangs.check], "hang-watch"),
            Sampler(stream_watch.CHECK_INTERVAL_S, [stream.check, stuck.check], "stream-watch", spread=0.1),
            Sampler(lease_table.INDEX_CHECK_INTERVAL_S, [table.check_index], "lease-table"),
            Sampler(cloudwatch.PUBLISH_INTERVAL_S, [metrics], "worker-metrics"),
        ):
            component.start()
            stack.callback(component.close)
        return supervisor.run()


def _supervisor(
    settings: Consumer,
    state: StateDir,
    jvm: Path,
    rendered: properties.Rendered,
    target_checker: TargetChecker,
    events: "queue.SimpleQueue[SupervisorEvent]",
    vitals: Vitals,
    table: LeaseTablePreparation,
    refusals: DaemonRefusals,
) -> DaemonSupervisor:
    """Return the supervisor of the daemon. `jvm` is the Java to run, `rendered` the daemon's properties."""
    command = java.command(jvm, rendered, state.path / DAEMON_PROPERTIES)
    return DaemonSupervisor(
        command=command,
        command_with_larger_heap=java.build_command_with_larger_heap(settings, command),
        environment=java.environment(settings, state.path),
        state=state,
        target_checker=target_checker,
        events=events,
        vitals=vitals,
        before_each_start=lambda: state.write(DAEMON_PROPERTIES, rendered.text()),
        prepare_table=table.prepare,
        note_refusal=refusals.note,
        grace_s=rendered.grace_s,
        log_format=settings.log_format,
    )


def _folders(settings: Consumer, state: StateDir) -> dict[str, Path]:
    """Return the folders that this program writes to, by their settings."""
    folders = {"STREAM_ROUTER_STATE_DIR": state.path}
    if isinstance(settings.audit_dir, Path) and settings.audit_dir != audit.TO_STDERR:
        folders["STREAM_ROUTER_AUDIT_DIR"] = settings.audit_dir
    return folders


def _first_shards(session: Session, stream: str) -> Callable[[], list[Shard]]:
    """Return a function that lists the shards with the oldest records of the stream, by the same call as the KCL's."""
    kinesis = endpoints.create_client(session, "kinesis", checks.NO_RETRIES_CONFIG)
    return lambda: list(list_shards(kinesis, stream, ShardFilter={"Type": "AT_TRIM_HORIZON"}))


def _find_usable_java(settings: Consumer, rendered: properties.Rendered) -> Path:
    """Return the Java to run, after all checks that must pass before the start. Raise SettingsError if one fails.

    The checks are: Java and the jars load the daemon, and stream, dead-letter queue, bucket and lease table are usable.
    """
    jvm = java.find_java()
    java.check_daemon_loads(jvm, rendered.jvm_options)
    session, bucket = endpoints.create_session(settings.aws_region), settings.offload_bucket
    questions: list[Callable[[], Finding]] = [
        lambda: checks.check_stream(session, settings.stream),
        lambda: checks.check_dead_letter_queue(session, settings.sqs_dlq_url, settings.aws_region),
    ]
    if bucket:
        questions.append(lambda: checks.check_bucket(session, bucket))
    questions.append(lambda: checks.check_lease_table(session, settings.application, settings.stream))
    run_start_checks(questions)  # the bus is not among them, since the target check covers it
    return jvm


def _retention(settings: Consumer) -> str:
    """Return the retention of stream and dead-letter queue as text for the audit records.

    If it cannot be read, return "unknown": that is no reason to stop the start.
    """
    clients = Clients(settings.aws_region)
    try:
        stream = clients.kinesis.describe_stream_summary(StreamName=settings.stream)["StreamDescriptionSummary"]
        queue = clients.sqs.get_queue_attributes(
            QueueUrl=settings.sqs_dlq_url, AttributeNames=["MessageRetentionPeriod"]
        )
        letters_h = int(queue["Attributes"]["MessageRetentionPeriod"]) // 3600
    except (BotoCoreError, ClientError, KeyError, ValueError) as error:
        log.warning(
            "The retention of stream and queue could not be read (%s). Audit records call it unknown; events are not "
            "affected. Grant kinesis:DescribeStreamSummary and sqs:GetQueueAttributes.",
            code_of(error),
            extra={"event": "retention-unknown"},
        )
        return "unknown"
    return f"stream {stream['RetentionPeriodHours']}h, dead letters {letters_h}h"


def _checked(settings: Consumer, state: StateDir) -> properties.Rendered:
    """Return the daemon's properties. First refuse settings that a child would refuse only after the JVM's start.

    Transform and endpoints are built only for the SettingsErrors that this may raise.
    """
    config = credentials.retry_until_found(lambda: transform_config(settings))  # a key stored in AWS needs credentials
    Transform(config, time.time)
    if settings.audit_dir:
        audit.prepare(settings.audit_dir)
    session = endpoints.create_session(settings.aws_region)
    addresses = properties.configured_endpoints(session)
    DestinationEndpoints(settings)
    endpoints.find_ca_bundle(session)
    try:
        return properties.render(settings, addresses, state.worker_id(settings.worker))
    except OSError as error:
        raise unwritable_folder_error("STREAM_ROUTER_STATE_DIR", error) from None


def _in_force(settings: Consumer, jvm: Path, rendered: properties.Rendered) -> dict[str, object]:
    """Return the fields of the first log line: all settings in force, without secrets."""
    return {
        "version": version("stream_router"),
        "python": platform.python_version(),
        "java": f"{java.java_version(jvm)} ({jvm})",
        "kcl": f"{jars.version_of('amazon-kinesis-client')}, {jars.version_of('amazon-kinesis-client-multilang')}",
        "worker": rendered.properties["workerId"],
        "properties": str(rendered.source),
        "busKind": "v2" if limits.is_v2_bus(settings.event_bus) else "classic",
        "entriesPerCall": settings.entries_per_call,
        "settings": {row.variable: row.value for row in (*list_settings(Consumer), *list_aws_settings()) if row.value},
    }
