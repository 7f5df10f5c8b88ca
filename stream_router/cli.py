"""The `stream-router` command: each subcommand parses its options, makes one call and exits with its status.

There is no logic here. Each command imports its modules when it is called, so that `--help` is quick and a command
does not load what only another one needs.
"""

import io
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NoReturn, TypeVar

import typer
from typer import Argument, Option

from stream_router.dead_letter_reasons import Reason
from stream_router.errors import SettingsError, UnforeseenError

if TYPE_CHECKING:
    from stream_router.operate.resubmit import Selection
    from stream_router.settings.common import Settings

    S = TypeVar("S", bound=Settings)

app = typer.Typer(
    name="stream-router",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    help="Delivers NICE CXone webhooks to Amazon EventBridge, through Kinesis and the KCL, and accounts for each.\n\n"
    "Settings come from the environment (`stream-router config` lists them). Start with `stream-router demo`, which "
    "runs everything on this machine. On AWS: `setup` once, then `receive` where CXone can reach it, and `consume` on "
    "one host or several.",
)

_debug = False


def main() -> None:
    """Run the console script, and report an error in one line. Exits 78 for settings, 2 for no judgement, else 1."""
    if isinstance(sys.stdout, io.TextIOWrapper):  # text of an event may not be in the terminal's character set
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        app()
    except Exception as error:  # noqa: BLE001  # the last line of defence between an operator and a traceback
        _report_error(error, error.status if isinstance(error, SettingsError | UnforeseenError) else 1)


def _report_error(error: Exception, status: int) -> None:
    if _debug:
        raise error
    if isinstance(error, SettingsError):
        lines = error.lines()
    else:
        kind = "" if isinstance(error, UnforeseenError) else f"{type(error).__name__}: "
        lines = [f"{kind}{' '.join(str(error).split()) or type(error).__name__} (--debug shows where)"]
    try:
        sys.stderr.write("".join(f"stream-router: {line}\n" for line in lines))
    except OSError:  # stderr is closed: the interpreter would flush it again at exit, fail, and exit 120
        os._exit(status)
    sys.exit(status)


def _version(requested: bool) -> None:
    if requested:
        from importlib.metadata import version

        typer.echo(f"stream-router {version('stream_router')}")
        raise typer.Exit


@app.callback()
def _options(
    debug: Annotated[bool, Option("--debug", help="Show a traceback where something fails.")] = False,
    version: Annotated[bool, Option("--version", callback=_version, is_eager=True, help="Show the version.")] = False,
) -> None:
    global _debug  # noqa: PLW0603  # one process, one command line
    _debug = debug
    del version


def _settings(kind: "type[S]", *checks: "Callable[[S], object]", **options: Any) -> "S":
    """Read the settings of a program and run its `checks`; `options` override the environment.

    Raises SettingsError with all problems.
    """
    from stream_router.settings.reading import load

    return load(kind, *checks, **options)


def _exit(status: int) -> NoReturn:
    raise typer.Exit(status)


# --- options that several commands have

AsJson = Annotated[bool, Option("--json", help="One JSON object instead of lines.")]
Url = Annotated[str | None, Option("--url", help="The receiver's URL. Default: from the receiver's own settings.")]
Rate = Annotated[float, Option("--rate", min=0, max=1_000_000, help="Events per second at most; 0: unlimited.")]
DryRun = Annotated[bool, Option("--dry-run", help="Only show what would be published; send nothing.")]
Run = Annotated[str, Option("--run", help="Continue this interrupted run; its output shows the id.")]
Payload = Annotated[bool, Option("--payload", help="Show the event too, masked if STREAM_ROUTER_MASKING is on.")]
Arrived = Annotated[
    str, Option("--since", help="Arrived in the stream at or after: 2026-11-24T09:30:00Z, or 2h for two hours ago.")
]


@app.command()
def receive() -> None:
    """Serve the webhook receiver until SIGTERM; then answer the open requests, flush and exit.

    Accepts events at POST /v1/events (STREAM_ROUTER_LISTEN), authenticates the sender (STREAM_ROUTER_WEBHOOK_SCHEME),
    and answers 202 only once the Kinesis stream has the event. Example: stream-router receive
    """
    from stream_router.process import end_on_early_signal

    end_on_early_signal(ignore_hangup=True)
    from stream_router.receiver import __main__ as receiver
    from stream_router.receiver.preflight import HOST_CHECKS
    from stream_router.settings.receiver import Receiver

    _exit(receiver.run(_settings(Receiver, *HOST_CHECKS)))


@app.command()
def consume() -> None:
    """Run the consumer until SIGTERM: the KCL daemon, and one child process for each shard that it holds.

    Publishes every event of the stream to EventBridge; an event that cannot be delivered goes to the dead-letter queue
    (SQS_DLQ_URL). Start it on as many hosts as you like: they share the shards. Example: stream-router consume
    """
    from stream_router.process import end_on_early_signal

    # Before the slow imports, so that a SIGTERM during them ends the program at once.
    end_on_early_signal()
    from stream_router.consumer.supervisor import assembly
    from stream_router.settings.consumer import Consumer

    _exit(assembly.run(_settings(Consumer, *assembly.HOST_CHECKS)))


@app.command()
def setup(
    plan: Annotated[bool, Option("--plan", help="Show what would change; change nothing.")] = False,
    exit_code: Annotated[bool, Option("--exit-code", help="With --plan: exit 2 if anything would change.")] = False,
    policy: Annotated[
        str | None,
        Option("--policy", help="Print the IAM policy for receive, consume, setup, operate or teardown."),
    ] = None,
    yes: Annotated[
        bool, Option("--yes", help="Also make changes that stop events: narrow a pattern, remove a target.")
    ] = False,
) -> None:
    """Create or verify the AWS resources: stream, event bus, rule, target, queues. Safe to repeat.

    Set EVENTBRIDGE_TARGET_ARN to attach a target to the rule, EVENTBRIDGE_TARGET_FILE for its further fields. Verifies
    that an event as published matches the rule, and prints the SQS_DLQ_URL line that `consume` needs.
    Example: stream-router setup --plan
    """
    from stream_router.operate import policy as policies
    from stream_router.operate import setup as control
    from stream_router.settings.operators import Setup

    if exit_code and not plan:
        raise typer.BadParameter("needs --plan", param_hint="--exit-code")
    if policy is not None:
        _exit(policies.run(policy))
    _exit(control.run(_settings(Setup), plan=plan, exit_code=exit_code, yes=yes))


@app.command()
def teardown(
    yes: Annotated[bool, Option("--yes", help="Delete; without it, only show what would be deleted.")] = False,
    force: Annotated[bool, Option("--force", help="Also delete a stream or queue that holds events.")] = False,
) -> None:
    """Show, and with --yes delete, the resources that `setup` created: those with its tag for this stream.

    Deletes nothing while the stream or a queue holds events, unless --force: those events are then lost for good.
    Example: stream-router teardown
    """
    from stream_router.operate import setup as control
    from stream_router.settings.operators import Setup

    _exit(control.teardown(_settings(Setup), yes=yes, force=force))


@app.command()
def doctor(
    program: Annotated[
        Literal["receive", "consume"] | None,
        Argument(help="The program that this host runs. Default: both are checked."),
    ] = None,
    as_json: AsJson = False,
    offline: Annotated[
        bool, Option("--offline", help="Use no network: check only settings, files, Java and jars.")
    ] = False,
    end_to_end: Annotated[
        bool, Option("--end-to-end", help="Also send a test event through the pipeline, and time each stage.")
    ] = False,
    url: Url = None,
) -> None:
    """Check settings, this host and AWS. Prints a line for each finding, with a code and the cure.

    Changes nothing, and prints the verdict last. Exit status: 0 if all is well, 1 if something is wrong, 2 if it cannot
    judge; bad settings are findings too, never 78. --url is the receiver's, for --end-to-end.
    Example: stream-router doctor --end-to-end
    """
    from stream_router.operate.doctor import command

    if offline and end_to_end:
        raise typer.BadParameter("cannot be combined with --offline", param_hint="--end-to-end")
    _exit(command.run(program, as_json=as_json, offline=offline, end_to_end=end_to_end, url=url))


@app.command()
def config(
    program: Annotated[str | None, Argument(help="receive, consume or setup; leave it out for all.")] = None,
) -> None:
    """Print every setting in force and its source; secrets are hidden.

    Exits 78 if a value is invalid for the named program. It does not check senders, files, secrets and addresses:
    `doctor` does. Example: stream-router config consume
    """
    from stream_router.operate import config as control

    _exit(control.run(program))


@app.command()
def jars(
    source: Annotated[str | None, Option("--from", help="A Maven repository's URL, or a folder.")] = None,
) -> None:
    """Install the KCL daemon's jars that `consume` needs, each verified by its SHA-256. Run it once, after installing.

    Looks in the target folder, then in the user's cache, then in Maven Central, a mirror, or a folder (--from).
    Example: stream-router jars --from /media/jars
    """
    import signal

    from stream_router.operate import jars as control

    # By default, Ctrl-C would wait minutes for threads that read from a silent mirror. No jar is left half written.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    _exit(control.run(source))


@app.command()
def top(
    once: Annotated[bool, Option("--once", help="Print it once and exit.")] = False,
    as_json: AsJson = False,
    url: Annotated[
        list[str] | None,
        Option("--url", help="An admin port, http://HOST:PORT; repeat it for several.", show_default=False),
    ] = None,
) -> None:
    """Show consumers and receivers live: their verdict, since when, latency, and the time until data is lost.

    Reads only the admin ports (STREAM_ROUTER_ADMIN_LISTEN, STREAM_ROUTER_RECEIVER_ADMIN_LISTEN, or each --url), with
    the token of STREAM_ROUTER_ADMIN_TOKEN. Of several hosts, the worst is shown in full. q quits.
    Example: stream-router top --url http://10.0.0.5:9464 --url http://10.0.0.6:9464
    """
    from stream_router.settings.operators import Top
    from stream_router.top import command

    _exit(command.run(_settings(Top), command.TopOptions(once, as_json, url or ())))


@app.command()
def health(
    name: Annotated[Literal["receive", "consume"], Argument(help="The program that runs in this container.")],
) -> None:
    """Check whether `receive` or `consume` on this host is healthy, for a container's health check: exit 0 or 1.

    Reads its admin port (STREAM_ROUTER_RECEIVER_ADMIN_LISTEN, STREAM_ROUTER_ADMIN_LISTEN); needs no token. An outage of
    AWS does not make it unhealthy: a restart would not help. Example: stream-router health receive
    """
    from stream_router.settings.operators import Top
    from stream_router.top import health as probe

    _exit(probe.run(name, _settings(Top)))


@app.command()
def shards(
    to: Annotated[
        int | None, Option("--to", min=1, help="Reshard to this many shards, and wait until it is done.")
    ] = None,
) -> None:
    """Show the load of each shard against its limits, and what to do; with --to, reshard within AWS's limits.

    Measures by reading recent records. If a template owns the stream (CloudFormation, Terraform), change its number of
    shards there instead of with --to. Example: stream-router shards --to 4
    """
    from stream_router.operate import shards as control
    from stream_router.settings.receiver import Receiver

    _exit(control.run(_settings(Receiver), to))


# --- events, in the stream and in the queues


@app.command()
def find(
    ids: Annotated[list[str] | None, Argument(metavar="ID…", help="An eventId or a correlationId.")] = None,
    interaction: Annotated[str | None, Option("--interaction", help="All events of this interaction.")] = None,
    conversation: Annotated[str | None, Option("--conversation", help="All events of this conversation.")] = None,
    since: Arrived = "24h",
    payload: Payload = False,
) -> None:
    """Find an event: waiting in the stream, past the checkpoint, dead letter, undelivered, or nowhere.

    Reads the stream, then both queues. Exit status: 0 found, 1 not found, 2 cannot judge.
    Example: stream-router find 0123456789abcdef0123456789abcdef --since 2h
    """
    from stream_router.operate import find as operate
    from stream_router.settings.operators import DeadLetters

    options = operate.Options(ids or [], interaction, conversation, since, payload)
    _exit(operate.run(_settings(DeadLetters), options))


EventType = Annotated[list[str] | None, Option("--event-type", help="Only this event type; repeat it for several.")]
Id = Annotated[list[str] | None, Option("--id", help="Only the event with this eventId; repeat it for several.")]


@app.command()
def replay(
    since: Arrived,
    until: Annotated[str, Option("--until", help="Arrived before; now, if empty or later.")] = "",
    event_type: EventType = None,
    id: Id = None,  # noqa: A002 - the option's name
    rate: Rate = 100.0,
    dry_run: DryRun = False,
    yes: Annotated[bool, Option("--yes", help="Replay even if STREAM_ROUTER_RULE is none.")] = False,
    run: Run = "",
) -> None:
    """Resubmit events of the stream to the stream, with the same ids: the consumer publishes them once more.

    For events that were delivered wrong, or to nobody. Reads the stream as it is at the start, and touches no
    checkpoint. Each event has metadata.replayed.
    Example: stream-router replay --since 2026-11-24T09:00Z --until 2h --dry-run
    """
    from stream_router.operate import replay as operate
    from stream_router.operate.resubmit import parse_selection
    from stream_router.settings.operators import DeadLetters

    selection = parse_selection(since, until, event_type or (), id or ())
    _exit(operate.run(_settings(DeadLetters), selection, rate, dry_run=dry_run, yes=yes, earlier_run=run))


dlq = typer.Typer(
    name="dlq",
    no_args_is_help=True,
    help="Inspects dead letters (SQS_DLQ_URL) and resubmits them; with --undelivered, the dead letters of "
    "EventBridge for the rule's target. See docs/dead-letters.md.",
)
OfEventBridge = Annotated[
    bool, Option("--undelivered", help="The dead letters of EventBridge: events that the rule's target did not accept.")
]
OfReason = Annotated[str, Option("--reason", help="Only this reason (--undelivered: this error code).")]
Since = Annotated[
    str, Option("--since", help="Sent to the queue at or after: 2026-11-24T09:30Z, or 2h for two hours ago.")
]
Until = Annotated[str, Option("--until", help="Sent to the queue before.")]


def _selection(undelivered: bool, reason: str, *others: Any) -> "Selection":
    """Return the filters as entered; exits 2 for a reason that the product does not give."""
    from stream_router.operate.resubmit import parse_selection

    if reason and not undelivered and reason not in set(Reason):
        raise typer.BadParameter(f"{reason!r} is not one of: {', '.join(Reason)}", param_hint="'--reason'")
    since, until, event_types, ids = others
    return parse_selection(since, until, event_types or (), ids or (), reason)


@dlq.command("list")
def list_(
    reason: OfReason = "",
    event_type: EventType = None,
    since: Since = "",
    until: Until = "",
    id: Id = None,  # noqa: A002 - the option's name
    undelivered: OfEventBridge = False,
) -> None:
    """Count all dead letters by reason, code and event type, with ids for `show`. Hides them while it runs.

    Example: stream-router dlq list --since 2h
    """
    from stream_router.operate import dlq as operate

    selection = _selection(undelivered, reason, since, until, event_type, id)
    _exit(operate.run_at_queue(undelivered, lambda session: operate.list_(session, selection), include_bus_queue=True))


@dlq.command()
def show(
    id: Annotated[  # noqa: A002
        str, Argument(metavar="ID", help="The event's eventId or correlationId, or the message's id.")
    ],
    payload: Payload = False,
    undelivered: OfEventBridge = False,
) -> None:
    """Show one dead letter: its reason, its source, and the attempts to deliver it.

    Example: stream-router dlq show 0123456789abcdef0123456789abcdef
    """
    from stream_router.operate import dlq as operate

    _exit(operate.run_at_queue(undelivered, lambda session: operate.show(session, id, payload=payload)))


@dlq.command()
def export(
    file: Annotated[Path, Argument(help="A new file: JSON lines with the events, readable only by you.")],
    reason: OfReason = "",
    event_type: EventType = None,
    since: Since = "",
    until: Until = "",
    id: Id = None,  # noqa: A002
    undelivered: OfEventBridge = False,
) -> None:
    """Write dead letters to a file, to be corrected by hand and resubmitted by `redrive --file`. Deletes nothing.

    Example: stream-router dlq export letters.jsonl --reason schema_mismatch
    """
    from stream_router.operate import dlq as operate

    selection = _selection(undelivered, reason, since, until, event_type, id)
    _exit(operate.run_at_queue(undelivered, lambda session: operate.export(session, file, selection)))


@dlq.command()
def redrive(
    reason: OfReason = "",
    event_type: EventType = None,
    since: Since = "",
    until: Until = "",
    id: Id = None,  # noqa: A002
    file: Annotated[
        Path | None,
        Option(exists=True, dir_okay=False, help="Only the events of this export, as edited there."),
    ] = None,
    rate: Rate = 100.0,
    limit: Annotated[int, Option(min=0, help="At most this many dead letters; 0: all.")] = 0,
    dry_run: DryRun = False,
    take_all: Annotated[bool, Option("--all", help="Also those that have failed five times.")] = False,
    yes: Annotated[
        bool, Option("--yes", help="With --undelivered: also events that may be unmasked, although masking is on.")
    ] = False,
    undelivered: OfEventBridge = False,
    run: Run = "",
) -> None:
    """Resubmit dead letters to the stream, with the same ids: the consumer maps, masks and publishes them again.

    Each is deleted once the stream has it. Ctrl-C finishes what is in flight; the rest stays.
    Example: stream-router dlq redrive --reason unroutable --dry-run
    """
    from stream_router.operate import dlq as operate
    from stream_router.operate.letters import RedriveOptions
    from stream_router.operate.resubmit import run_began_ms

    if run:
        run_began_ms(run)
    selection = _selection(undelivered, reason, since, until, event_type, id)
    redrive_options = RedriveOptions(selection, file, rate, limit, dry_run, take_all, yes, run)
    _exit(operate.run_at_queue(undelivered, lambda session: operate.redrive(session, redrive_options)))


# --- trials, on this machine or with sample events


@app.command()
def send(
    count: Annotated[int, Option(min=1, max=10_000_000, help="Number of events.")] = 1,
    rate: Rate = 0.0,
    preset: Annotated[
        str, Option("--preset", help="Shape of the events: default, cxone-digital, cxone-data-stream.")
    ] = "default",
    event_type: Annotated[str | None, Option("--type", help="The event type.")] = None,
    file: Annotated[Path | None, Option("--file", help="Post this file unchanged, JSON or XML.")] = None,
    url: Url = None,
) -> None:
    """Post signed example events to a receiver, and report its answers. Exit 0 only if all were accepted.

    Signs with the receiver's own settings (STREAM_ROUTER_WEBHOOK_SCHEME and so on): run it where they are set.
    Example: stream-router send --preset cxone-digital --type CaseCreated --count 100 --rate 20
    """
    from stream_router.send import command
    from stream_router.settings.receiver import Receiver

    options = command.SendOptions(count, rate, preset, event_type, file, url)
    # The command makes no call to AWS, so it must not require a region.
    _exit(command.run(_settings(Receiver, aws_region="us-east-1"), options))


@app.command()
def mask(
    files: Annotated[list[Path], Argument(metavar="FILE…", help="Sample events as JSON, one per line or per file.")],
    policy: Annotated[str, Option("--policy", help="`default`, or the path of a policy file.")],
) -> None:
    """Show what a masking policy does to sample events, path by path, and the policy lines that would let more through.

    Example: stream-router mask --policy default event.json
    """
    from stream_router.operate import mask as control

    _exit(control.run(policy, *files))


@app.command()
def local(
    quiet: Annotated[bool, Option("--quiet", help="Do not print events.")] = False,
) -> None:
    """Serve the embedded stack (Kinesis, DynamoDB, EventBridge, SQS, CloudWatch on loopback) until SIGTERM.

    For development; listens on port 4566, or on a free port if that is in use. Runs `setup`, with a queue as the rule's
    target. Prints the ports and the settings for the other commands, then each event that arrives at the queue, one
    JSON object per line. Example: stream-router local
    """
    from stream_router.local import serve

    _exit(serve.run(quiet=quiet))


@app.command()
def demo(
    events: Annotated[int, Option(min=1, max=10_000_000, help="Events to send, including poison.")] = 10_000,
    rate: Rate = 0.0,
    poison: Annotated[float, Option(min=0, max=100, help="Percentage of the events that are garbage.")] = 1.0,
    chaos: Annotated[bool, Option("--chaos", help="Meanwhile, kill processes, and make stream and bus fail.")] = False,
    as_json: AsJson = False,
) -> None:
    """Run the whole pipeline on this machine, on an embedded stack, and account for every event.

    Half of the poison is broken JSON posted to the receiver, half is garbage written directly to the stream. Exit 0
    only if nothing was lost. Example: stream-router demo --events 1000 --rate 200
    """
    from stream_router.local import demo as show

    _exit(show.run(show.DemoOptions(events, rate, poison, chaos), as_json=as_json))


audit = typer.Typer(
    name="audit",
    no_args_is_help=True,
    help="Verifies the audit files that `consume` writes (STREAM_ROUTER_AUDIT_DIR).",
)


@audit.command()
def verify(
    files: Annotated[list[Path], Argument(exists=True, dir_okay=False, help="Audit files, one per shard.")],
) -> None:
    """Verify the hash chain of audit files: no line was changed, added or removed (STREAM_ROUTER_AUDIT_KEY).

    Example: stream-router audit verify /var/lib/stream-router/audit/*.jsonl
    """
    from stream_router.operate import audit as control

    _exit(control.run(*files))


cxone = typer.Typer(
    name="cxone", no_args_is_help=True, help="Tries out the CXone credentials (CXONE_CLIENT_ID, CXONE_CLIENT_SECRET)."
)


@cxone.command()
def token() -> None:
    """Get a token with the CXone credentials, and show its lifetime, scopes and tenant.

    Example: CXONE_CLIENT_ID=… CXONE_CLIENT_SECRET=… stream-router cxone token
    """
    from stream_router.cxone import sources

    _exit(sources.token())


@cxone.command()
def sources() -> None:
    """Check the event sources that are listed in STREAM_ROUTER_CONFIG's file.

    Example: STREAM_ROUTER_CONFIG=sources.toml stream-router cxone sources
    """
    from stream_router.cxone import sources as control

    _exit(control.sources())


for group in (dlq, audit, cxone):
    app.add_typer(group)
