"""`stream-router consume`: checks everything, puts the supervisor together, and runs it."""

import logging
import queue
import time

from stream_router.aws import endpoints
from stream_router.checks.finding import at_start
from stream_router.consumer.state_dir import StateDir
from stream_router.consumer.supervisor import java, jvm_command, properties, start_checks, start_line
from stream_router.consumer.supervisor.bus_prober import BusProver, describer
from stream_router.consumer.supervisor.heartbeat import Heartbeat
from stream_router.consumer.supervisor.supervisor import DaemonSupervisor, Happening
from stream_router.consumer.transform_config import transform_config
from stream_router.core import logs
from stream_router.pipeline.transform import Transform
from stream_router.settings.common import warn_of_names
from stream_router.settings.consumer import Consumer
from stream_router.telemetry import audit

log = logging.getLogger(__name__)


def run(settings: Consumer) -> int:
    """Run until SIGTERM or SIGINT, then drain, and return 0. Raises SettingsError where the settings cannot work.

    A second signal ends it at once. Whatever happens to this process, the JVM and its children do not outlive it.
    """
    logs.start(settings.log_level, settings.log_format)
    warn_of_names()
    with StateDir(settings.state_dir) as state:
        return _run(settings, state)


def _run(settings: Consumer, state: StateDir) -> int:
    # Made only to be refused: what is wrong here every child would refuse, but after the JVM has started.
    Transform(transform_config(settings), time.time)
    if settings.audit_dir:
        audit.prepare(settings.audit_dir)
    session = endpoints.session(settings.aws_region)
    found = properties.endpoints(session)
    for service in ("sqs", "cloudwatch"):
        endpoints.endpoint_url(session, service)
    endpoints.ca_bundle(session)
    rendered = properties.render(settings, found, state.worker_id(settings.worker))
    state.write("daemon.properties", rendered.text())
    happenings: queue.SimpleQueue[Happening] = queue.SimpleQueue()
    prover = BusProver(state, settings.event_bus, describer(settings), happenings.put)
    jvm = java.find_java()
    java.prove(jvm)
    at_start(start_checks.all_of(settings, session, jvm, rendered.jvm_options))
    supervisor = DaemonSupervisor(
        command=jvm_command.command(jvm, rendered, state.path / "daemon.properties"),
        environment=jvm_command.environment(settings, state.path),
        state=state,
        prover=prover,
        happenings=happenings,
        grace_s=int(rendered.properties.get("shutdownGraceMillis", 5000)) / 1000,
        log_format=settings.log_format,
    )
    log.info("the consumer starts", extra=start_line.in_force(settings, state, jvm, rendered))
    heartbeat = Heartbeat(state.path, settings.metrics_s)
    heartbeat.start()
    try:
        return supervisor.run()
    finally:
        heartbeat.close()
