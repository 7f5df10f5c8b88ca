"""Checks of this machine, without a network: settings, files, Java, jars, disk, open files."""

import contextlib
import resource
import shutil
import tempfile
import time
from pathlib import Path
from typing import TypeVar

from botocore.exceptions import BotoCoreError
from pydantic import SecretStr

from stream_router.aws import endpoints
from stream_router.aws.credentials import CredentialsError
from stream_router.aws.secret_store import PREFIXES
from stream_router.checks import jvm
from stream_router.checks.finding import Finding, Verdict
from stream_router.consumer.supervisor.daemon import jars, java, properties
from stream_router.consumer.transform_config import transform_config
from stream_router.control.doctor.say import ok, skipped, warn, wrong
from stream_router.control.doctor.world import World
from stream_router.errors import NotNowError, SettingsError, unwritable
from stream_router.operate import setup as control_setup
from stream_router.pipeline.transform import Transform
from stream_router.receiver import preflight, sources, tls
from stream_router.settings import reading
from stream_router.settings.common import NO_RULE
from stream_router.settings.consumer import Consumer
from stream_router.settings.receiver import Receiver
from stream_router.settings.sources import Posted, plain, read

P = TypeVar("P", Consumer, Receiver)

MIB = 1024 * 1024
LITTLE_BYTES, LEAST_BYTES = 1024 * MIB, 100 * MIB
"""Free disk at which to warn, and under which a program soon stops."""


def _said(code: str, error: Exception) -> Finding:
    """A SettingsError's line as a finding: setting, problem, cure; AWS that is silent says no to no setting."""
    first, *others = str(error).splitlines()
    setting, _, rest = first.partition(": ")
    problem, _, cure = rest.partition("; ")
    if isinstance(error, CredentialsError):
        return skipped(code, "waits for SR010")
    if isinstance(error, NotNowError):
        return Finding(code, setting, Verdict.UNKNOWN, problem, cure)
    more = f" (and {len(others)} more: `stream-router config` says all)" if others else ""
    return wrong(code, setting, problem + more, cure)


def receive_settings(world: World) -> Finding:
    """SR001: `receive` would take its settings: scheme, secrets, TLS files, sources, the spill's folder."""
    settings = world.receive
    if settings is None:
        return _said("SR001", SettingsError(world.problems["receive"]))
    try:
        _with_secrets(world, settings)
        preflight.check_spill(settings.spill_dir)
        tls.check(settings)
        preflight.check_apart(settings)
        if not (world.offline and _asks_aws(settings)):
            preflight.check_in_the_clear(settings, sources.of(settings))
        _check_ca(world)
    except SettingsError as error:
        return _said("SR001", error)
    return ok("SR001", f"scheme {settings.webhook_scheme or 'of each source'}, listens at {settings.listen}")


def _asks_aws(settings: Receiver) -> bool:
    """Whether AWS holds a secret by which a sender is known. Raises SettingsError where the sources are wrong."""
    named = [source.secrets for source in read(settings.config) if isinstance(source, Posted)]
    return any(plain(one).startswith(PREFIXES) for one in (settings.webhook_secrets, *named))


def consume_settings(world: World) -> Finding:
    """SR002: `consume` would take its settings: mapping, masking policy, properties of the daemon."""
    settings = world.consume
    if settings is None:
        return _said("SR002", SettingsError(world.problems["consume"]))
    try:
        settings = _with_secrets(world, settings)
        Transform(transform_config(settings), time.time)
        _rendered(world)
        _check_ca(world)
        for variable, folder in (("AUDIT_DIR", settings.audit_dir), ("STATE_DIR", settings.state_dir)):
            _check_folder(f"STREAM_ROUTER_{variable}", folder)
    except SettingsError as error:
        return _said("SR002", error)
    return ok("SR002", f"stream {settings.stream}, application {settings.application}, bus {settings.event_bus}")


def _with_secrets(world: World, settings: P) -> P:
    """The settings, once each single secret can be had; offline AWS is not asked for one, and a stand-in does."""
    for name in {"masking_key", "audit_key", "admin_token"} & type(settings).model_fields.keys():
        if world.offline and plain(getattr(settings, name)).startswith(PREFIXES):
            settings = settings.model_copy(update={name: SecretStr("stands in AWS, and nobody asks")})
        settings.key(name)
    return settings


def _check_ca(world: World) -> None:
    with contextlib.suppress(BotoCoreError):  # a profile that is not there: SR010 says so
        endpoints.ca_bundle(world.session)


def _check_folder(variable: str, folder: Path | None) -> None:
    """Tried, since nothing else tells (rights, a read-only disk, root); one that is not there is made at start."""
    if folder is None:
        return
    whole = folder.absolute()
    try:
        there = next(path for path in (whole, *whole.parents) if path.exists())
        tempfile.TemporaryFile(dir=there).close()
    except OSError as error:
        raise SettingsError(str(unwritable(variable, error))) from None  # also one that is full: it was seen to be so


def _rendered(world: World) -> properties.Rendered:
    assert world.consume is not None
    return properties.render(world.consume, properties.configured_endpoints(world.session), "doctor")


def setup_settings(world: World) -> Finding:
    """SR003: `setup` would take its settings: target, role, pattern, tags."""
    if world.common and world.common.rule == NO_RULE:
        return skipped("SR003", "the rules are others' (STREAM_ROUTER_RULE=none), so there is no setup to run")
    if world.setup is None:
        return _said("SR003", SettingsError(world.problems["setup"]))
    try:
        control_setup.look(world.setup)
        target = control_setup.target_of(world.setup)
    except SettingsError as error:
        return _said("SR003", error)
    return ok("SR003", f"target {target.get('Arn', 'none')}")


def names(world: World) -> Finding:
    """SR004: no setting that nobody knows, and none that does nothing."""
    if not (lines := [*reading.unknown(), *reading.warnings(world.receive)]):
        return ok("SR004", "every name is known")
    finding = _said("SR004", SettingsError(lines[0]))
    more = f" (and {len(lines) - 1} more)" if len(lines) > 1 else ""
    says = finding.says + more
    make = wrong if any(reading.unknown()) else warn  # a program refuses those; of the others it only tells
    return make("SR004", finding.setting, says, finding.cure)


def masking(world: World) -> Finding:
    """SR005: a masking policy is on."""
    if world.consume is None:
        return skipped("SR005", "waits for SR002")
    if world.consume.masking == "off":
        says = "is off: names, addresses and numbers in events go to every consumer as they came"
        return warn("SR005", "STREAM_ROUTER_MASKING", says, "set default, or a policy file (docs/masking.md)")
    return ok("SR005", f"policy {world.consume.masking}")


def java_found(_: World) -> Finding:
    """SR006: a Java that is new enough."""
    try:
        found = java.find_java()
    except SettingsError as error:
        return _said("SR006", error)
    return ok("SR006", f"Java {java.java_version(found)} ({found})")


def jars_whole(_: World) -> Finding:
    """SR007: the daemon's jars are all there, whole by their SHA-256."""
    try:
        count = jars.prove_whole()
    except SettingsError as error:
        return _said("SR007", error)
    return ok("SR007", f"{count} jars")


def jvm_starts(world: World) -> Finding:
    """SR106: the JVM starts with its options."""
    if world.consume is None:
        return skipped("SR106", "waits for SR002")
    try:
        return jvm.starts(java.find_java(), _rendered(world).jvm_options)
    except SettingsError:
        return skipped("SR106", "waits for SR002 and SR006")


def disk(world: World) -> Finding:
    """SR008: room on the disks of state, spill, audit and temporary files."""
    folders: dict[str, Path | None] = {"TMPDIR": Path(tempfile.gettempdir())}
    if world.consume:
        folders["STREAM_ROUTER_STATE_DIR"] = world.consume.state_dir
        folders["STREAM_ROUTER_AUDIT_DIR"] = world.consume.audit_dir
    if world.receive:
        folders["STREAM_ROUTER_SPILL_DIR"] = world.receive.spill_dir
    least = None
    for variable, folder in folders.items():
        if folder is None or not folder.is_dir():
            continue
        free = shutil.disk_usage(folder).free
        needs = world.receive.spill_max_bytes if variable.endswith("SPILL_DIR") and world.receive else LITTLE_BYTES
        says = f"{folder} has {free // MIB:,} MiB free"
        if free < LEAST_BYTES:
            return wrong("SR008", variable, says, "make room, or name another folder")
        if free < needs:
            return warn(
                "SR008", variable, f"{says}, and may need {needs // MIB:,}", "make room, or name another folder"
            )
        least = free if least is None else min(least, free)
    return ok("SR008", f"{(least or 0) // MIB:,} MiB free at least")


def open_files(world: World) -> Finding:
    """SR009: as many open files as the receiver's connections need."""
    if world.receive is None:
        return skipped("SR009", "waits for SR001")
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    needed = world.receive.max_connections + preflight.SPARE_FILES
    if hard != resource.RLIM_INFINITY and hard < needed:
        says = f"{hard} open files are allowed, {needed} are needed; the receiver would take fewer connections"
        return warn("SR009", "STREAM_ROUTER_MAX_CONNECTIONS", says, "raise the limit (LimitNOFILE=), or set fewer")
    return ok("SR009", "unlimited" if hard == resource.RLIM_INFINITY else f"{hard} may be open")


def dropped(world: World) -> Finding:
    """SR015: no type is dropped that the rule is to let through."""
    if world.consume is None:
        return skipped("SR015", "waits for SR002")
    both = sorted(set(world.consume.drop_type_list) & set(world.consume.event_type_list))
    if both:
        says = f"{', '.join(both)} is dropped, and in STREAM_ROUTER_EVENT_TYPES: such events are settled unsent"
        return warn("SR015", "STREAM_ROUTER_DROP_TYPES", says, "take it out of one of the two")
    return ok("SR015", f"{len(world.consume.drop_type_list)} types are dropped, none that is to be routed")
