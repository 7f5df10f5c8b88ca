"""Checks of this machine: settings, certificate, disks, Java, running programs, credentials and clock."""

import asyncio
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryFile, gettempdir
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from pydantic import SecretStr

from stream_router.aws import credentials, endpoints
from stream_router.aws_answers import answer_time_s
from stream_router.aws_error_codes import INVALID_CREDENTIALS
from stream_router.checks import (
    CheckVerdict,
    Finding,
    describe_codes,
    ok,
    report_error,
    report_problem,
    skipped,
    warn,
    wrong,
)
from stream_router.consumer.supervisor import assembly, jars, java, properties
from stream_router.consumer.transform_config import transform_config
from stream_router.errors import SettingProblem, SettingsError, TemporarySettingsError, unwritable_folder_error
from stream_router.operate.doctor.world import BOTH, CONSUME, RECEIVE, Check, Subject, World
from stream_router.pipeline.transform import Transform
from stream_router.process import iso
from stream_router.receiver import preflight, sources, tls
from stream_router.settings import reading
from stream_router.settings.consumer import Consumer
from stream_router.settings.operators import Top
from stream_router.settings.reading import load, read
from stream_router.settings.receiver import Receiver
from stream_router.settings.secrets import AWS_PREFIXES
from stream_router.settings.sources import secret_text
from stream_router.telemetry.audit import TO_STDERR
from stream_router.telemetry.disks import full, nearest
from stream_router.telemetry.verdict import Level, runbook_of, sentence
from stream_router.top import command as top
from stream_router.top.view import Host

# --- settings

FREE_WARN_BYTES = 100 * 2**20
"""Free bytes below which the disk of the state folder or the audit log is reported.

Both need little space, so this is no limit of theirs: something else is filling the disk.
"""


def _check_settings(world: World) -> Iterator[Finding]:
    """Check the names of all settings, then the settings of each program, and the files and disks that they name."""
    unknown = list(reading.find_unknown())  # programs refuse to start with these, and only warn of `doubtful`
    names = [report_problem("SR004", problem) for problem in unknown]
    doubtful = [report_problem("SR004", problem) for problem in reading.find_warnings(world.receive)]
    names += [finding._replace(verdict=CheckVerdict.WARNING) for finding in doubtful]
    yield from names or [ok("SR004", "every name is known")]
    reported = set(unknown)
    if "receive" in world.programs:
        yield from _check_program_settings("SR001", reported, lambda: _load_receive(world))
    if "consume" in world.programs:
        yield from _check_program_settings("SR002", reported, lambda: _load_consume(world))
    if world.consume is None:
        yield skipped("SR005", "waits for SR002")
    elif world.consume.masking == "off":
        observation = "is off: names, addresses and numbers in events reach every consumer unmasked"
        yield warn("SR005", "STREAM_ROUTER_MASKING", observation, "set default, or a policy file (docs/masking.md)")
    else:
        yield ok("SR005", f"policy {world.consume.masking}")
    yield _check_certificate(world)
    yield from _check_disks(world)


def _check_program_settings(code: str, reported: set[SettingProblem], start: Callable[[], str]) -> Iterator[Finding]:
    """Yield a finding for each problem with which the program would refuse to start, or one that it would start.

    `start` makes the program's checks, and returns a summary. Problems in `reported` are left out, since another check
    has reported them; new ones are added to it.
    """
    try:
        yield ok(code, start())
    except SettingsError as error:
        problems = [problem for problem in error.problems if problem not in reported]
        reported.update(problems)
        findings = [report_problem(code, problem) for problem in problems]
        findings = findings or [skipped(code, "waits for the findings above")]
        for finding in findings:
            if isinstance(error, TemporarySettingsError) and finding.verdict is CheckVerdict.WRONG:
                yield finding._replace(verdict=CheckVerdict.UNKNOWN)  # an outage is not a wrong setting
            else:
                yield finding


def _load_receive(world: World) -> str:
    """Run the checks of `receive` before it listens. Return a summary. Raises SettingsError."""
    settings = load(Receiver, *preflight.HOST_CHECKS)
    _read_secrets(world, settings, "admin_token")
    if not world.offline:
        sources.build_sources(settings)
    endpoints.find_ca_bundle(endpoints.create_session(settings.aws_region))
    return f"scheme {settings.webhook_scheme or 'of each source'}, listens at {settings.listen}"


def _load_consume(world: World) -> str:
    """Run the checks of `consume` before its first call to AWS.

    Return a summary. Raises SettingsError.
    """
    settings = _read_secrets(world, load(Consumer, *assembly.HOST_CHECKS), "masking_key", "audit_key", "admin_token")
    Transform(transform_config(settings), time.time)
    _render_properties(settings)
    endpoints.find_ca_bundle(endpoints.create_session(settings.aws_region))
    _check_writable("STREAM_ROUTER_STATE_DIR", settings.state_dir)
    if settings.audit_dir != TO_STDERR:
        _check_writable("STREAM_ROUTER_AUDIT_DIR", settings.audit_dir)
    return f"stream {settings.stream}, application {settings.application}, bus {settings.event_bus}"


def _read_secrets(world: World, settings: Any, *names: str) -> Any:
    """Check each of these secrets, and return the settings. Raises SettingsError.

    With `offline` AWS is not called, so a secret that is stored there is replaced by a placeholder in the result.
    """
    for name in names:
        if world.offline and secret_text(getattr(settings, name)).startswith(AWS_PREFIXES):
            settings = settings.model_copy(update={name: SecretStr("stored in AWS, not read offline")})
        settings.strong_secret(name)
    return settings


def _render_properties(settings: Consumer) -> properties.Rendered:
    endpoint_urls = properties.configured_endpoints(endpoints.create_session(settings.aws_region))
    return properties.render(settings, endpoint_urls, "doctor")


def _check_writable(variable: str, folder: Path | None) -> None:
    """Raise SettingsError, which names the setting `variable`, if the folder is not writable.

    A missing folder is made when the program starts, so its nearest existing parent is tried. None means that no folder
    is set, and is accepted.
    """
    if folder is None:
        return
    # A file is made, because any other test can be wrong: on a read-only disk, for root, or with other access rules.
    try:
        TemporaryFile(dir=nearest(folder)).close()
    except OSError as error:
        raise unwritable_folder_error(variable, error) from None


def _check_disks(world: World) -> Iterator[Finding]:
    """Check the free space of the disks with the spill, the state and the audit log."""
    needs: list[tuple[str, Path, int]] = []
    if world.receive and world.receive.spill_dir:
        needs.append(("STREAM_ROUTER_SPILL_DIR", world.receive.spill_dir, world.receive.spill_max_bytes))
    if world.consume:
        state_dir = world.consume.state_dir or Path(gettempdir())
        needs.append(("STREAM_ROUTER_STATE_DIR", state_dir, FREE_WARN_BYTES))
        if world.consume.audit_dir not in (None, TO_STDERR):
            needs.append(("STREAM_ROUTER_AUDIT_DIR", Path(str(world.consume.audit_dir)), FREE_WARN_BYTES))
    conditions = [
        condition
        for setting, folder, wanted_bytes in needs
        if (condition := _check_disk(setting, folder, wanted_bytes))
    ]
    yield from conditions
    if not needs:
        yield skipped("SR015", "waits for SR001 and SR002")
    elif not conditions:
        yield ok("SR015", f"room for {', '.join(setting for setting, _, _ in needs)}")


def _check_disk(setting: str, folder: Path, wanted_bytes: int) -> Finding | None:
    """Return a finding if a folder's disk is full, or has less than `wanted_bytes` for the folder's content.

    Return None if it has room, or if that cannot be found out.
    """
    cure = "make room on this disk, or name a folder on another one"
    if text := full(folder):
        return wrong("SR015", setting, text, cure)
    try:
        filesystem = os.statvfs(nearest(folder))
    except OSError:  # a folder that cannot be used is reported by SR001 or SR002
        return None
    if not filesystem.f_blocks:  # a file system without blocks, such as /proc
        return None
    # The spill's present files are part of the space that it may need, so they count as free.
    used_bytes = sum(path.stat().st_size for path in folder.glob("spill-*")) if "SPILL" in setting else 0
    free_bytes, free_mib = filesystem.f_bavail * filesystem.f_frsize, filesystem.f_bavail * filesystem.f_frsize / 2**20
    if free_bytes + used_bytes < wanted_bytes:
        wanted_mib = f"{wanted_bytes / 2**20:,.0f} MiB"
        observation = f"the disk of {folder} has {free_mib:,.0f} MiB free, less than the {wanted_mib} that it may need"
        return warn("SR015", setting, observation, cure)
    return None


def _check_certificate(world: World) -> Finding:
    """Check the certificate's dates: senders refuse an expired one, while the receiver keeps serving it."""
    settings = world.receive
    if settings is None:
        return skipped("SR014", "waits for SR001")
    if settings.tls_cert is None or settings.tls_key is None:
        return skipped("SR014", "no certificate is set")
    try:
        context = tls.load_context(settings.tls_cert, settings.tls_key, None)
        begins_s, ends_s = tls.read_dates(context, settings.tls_cert)
    except (SettingsError, OSError):
        return skipped("SR014", "waits for SR001")
    now_s, setting = world.now_s(), "STREAM_ROUTER_TLS_CERT"
    refused_now = ": senders refuse the connection, and no event comes in"
    renew = "renew it; the receiver reads the new files without a restart"
    if ends_s <= now_s:
        return wrong("SR014", setting, f"the certificate ended at {iso(ends_s * 1000)}{refused_now}", renew)
    if begins_s > now_s:
        return wrong("SR014", setting, f"the certificate begins at {iso(begins_s * 1000)}{refused_now}", renew)
    if (left_days := (ends_s - now_s) / tls.DAY_S) < tls.SOON_DAYS:
        return warn("SR014", setting, f"the certificate ends in {left_days:.1f} days", renew)
    return ok("SR014", f"lasts until {iso(ends_s * 1000)}")


SETTINGS = Subject(
    {
        "SR004": Check("names of settings"),
        "SR001": Check("settings: receive", RECEIVE),
        "SR002": Check("settings: consume", CONSUME),
        "SR005": Check("masking", CONSUME),
        "SR014": Check("TLS certificate", RECEIVE, "certificate"),
        "SR015": Check("free disk space"),
    },
    _check_settings,
    aws=False,
)

# --- Java


def _check_java(_: World) -> Iterator[Finding]:
    try:
        java_path = java.find_java()
    except SettingsError as error:
        yield report_problem("SR006", error.problems[0])
        return
    yield ok("SR006", f"Java {java.java_version(java_path)} ({java_path})")
    try:
        yield ok("SR007", f"{jars.check_jars_are_whole()} jars")
    except SettingsError as error:
        yield report_problem("SR007", error.problems[0])
        yield skipped("SR106", "waits for SR007")
        return
    try:
        options = _render_properties(read(Consumer)).jvm_options
    except SettingsError:
        yield skipped("SR106", "waits for SR002")
        return
    try:
        java.check_daemon_loads(java_path, options)
        yield ok("SR106", "the KCL daemon loads")
    except SettingsError as error:
        yield report_problem("SR106", error.problems[0])


JAVA = Subject(
    {
        "SR006": Check("Java", CONSUME),
        "SR007": Check("the KCL's jars", CONSUME),
        "SR106": Check("JVM options", CONSUME),
    },
    _check_java,
    aws=False,
)

# --- the programs that run here, by their own status

CODES = {"receive": "SR020", "consume": "SR021"}


def _check_programs(world: World) -> Iterator[Finding]:
    """Report the status of the programs that run on this host, by their admin ports."""
    settings = read(Top)
    urls = dict(zip(("consume", "receive"), settings.urls, strict=True))
    wanted = [program for program in CODES if program in world.programs]
    answers = asyncio.run(top.fetch_statuses([urls[program] for program in wanted], settings.token))
    silent = all("does not answer" in host.error for host in answers)
    for program, host in zip(wanted, answers, strict=True):
        yield _judge_program(CODES[program], program, host, named=world.named, expected=world.named or not silent)


def _judge_program(code: str, program: str, host: Host, *, named: bool, expected: bool) -> Finding:
    """Return the finding of a program's own verdict, or of its silence.

    A program that does not answer may run on another host. So its silence is a failure only if the operator `named` the
    program, and is not even a warning if the program is not `expected` on this host.
    """
    setting = "STREAM_ROUTER_ADMIN_LISTEN" if program == "consume" else "STREAM_ROUTER_RECEIVER_ADMIN_LISTEN"
    if host.error and not expected:
        return skipped(code, f"no program runs on this host ({host.url} {host.error})")
    observation = f"{program}: {sentence(host.verdict, str(host.verdict.get('since') or ''))}"
    if host.error:
        other = next(name for name in CODES if name != program)
        cure = f"start `stream-router {program}`, or see why it is silent; a host for {other} alone: `doctor {other}`"
        # Only a program that the operator named is certain to belong on this host.
        judge = wrong if named else warn
        return judge(code, setting, observation, cure)
    if host.level is Level.GOOD:
        return ok(code, observation)
    page = runbook_of(str(host.status.get("code")))
    cure = str(host.status.get("cure") or "its log says more").removesuffix(".")
    cure += f" (docs/runbooks/{page}.md)" if page else ""
    judge = wrong if host.level is Level.BAD else warn
    return judge(code, program, observation, cure)


HERE = Subject(
    {"SR020": Check("receive, here", RECEIVE), "SR021": Check("consume, here", CONSUME)}, _check_programs, aws=False
)

# --- credentials and clock

SKEW_WARN_S, SKEW_WRONG_S = 5.0, 240.0
"""Differences of this host's clock in seconds from which on it is a warning, and a failure.

AWS refuses signatures that differ by 5 minutes, and the receiver webhooks that are older than its replay window. The
KCL's leader assigns no lease to a worker whose clock is further behind than `workerMetricsReporterFreqInMillis`.
"""

CREDENTIAL_PROBLEMS = describe_codes(
    "AWS does not take these credentials", (*INVALID_CREDENTIALS, "RequestExpired", "RegionDisabledException")
)


def _check_account(world: World) -> Iterator[Finding]:
    """Check the AWS credentials with a call to STS, and the clock by the time of its answer."""
    subject = ("SR010", "AWS credentials", "who we are")
    answer: Any = {}
    try:
        provider = credentials.find_in_chain(world.session)
        answer = world.client("sts").get_caller_identity()
        endpoint_variables = [
            row.variable for row in reading.list_aws_settings() if "URL" in row.variable and row.value
        ]
        where = world.settings.aws_region + (
            f"; not AWS itself: {', '.join(endpoint_variables)}" if endpoint_variables else ""
        )
        if world.consume and java.signs_in(world.session, provider):
            yield warn("SR010", "AWS_PROFILE", f"{java.PROBLEM}: `consume` would not start", java.CURE)
        else:
            yield ok("SR010", f"account {answer['Account']}, {answer['Arn']}, {where}")
    except ClientError as error:
        answer = error.response
        yield report_error(*subject, error, problems=CREDENTIAL_PROBLEMS)
    except (
        BotoCoreError,
        SettingsError,
    ) as error:  # for example an endpoint that is not a URL, or an unreadable CA bundle
        yield report_error(*subject, error)
        if isinstance(error, SettingsError):
            return
    yield _check_clock(world, answer_time_s(answer))


def _check_clock(world: World, aws_time_s: float | None) -> Finding:
    """Check this host's clock against `aws_time_s`, the Date of an answer of AWS (epoch seconds).

    A refusal of AWS has a Date as well, so a wrong clock is also found if AWS refuses the call because of it.
    """
    if not aws_time_s:
        return skipped("SR013", "no answer has a time")
    difference_s = world.now_s() - aws_time_s
    observation = f"{abs(difference_s):.0f} s {'ahead of' if difference_s > 0 else 'behind'} AWS"
    if abs(difference_s) < SKEW_WARN_S:
        return ok("SR013", observation)
    cure = "set this host's clock (chrony, systemd-timesyncd)"
    if abs(difference_s) < SKEW_WRONG_S:
        return warn("SR013", "clock", observation, cure)
    return wrong("SR013", "clock", f"{observation}: calls and webhooks are refused for it", cure)


ACCOUNT = Subject({"SR010": Check("credentials", BOTH), "SR013": Check("clock", BOTH)}, _check_account)
