"""The `stream-router` command: options and help in, one call of the part that does the work, its exit status out.

No logic. The commands import what they use as they are called, so `--help` is quick and no command needs what only
another needs.
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
    help="Carries NICE CXone webhooks to Amazon EventBridge, through Kinesis and the KCL, and accounts for each.\n\n"
    "Settings come from the environment (`stream-router config` lists them). Start with `stream-router demo`, which "
    "runs everything on this machine. On AWS: `setup` once, then `receive` where CXone can reach it, and `consume` on "
    "one host or several.",
)

_debug = False


def main() -> None:
    """Run the console script, with a line for each error. Exit 78 for settings, 2 for no judgement, else 1."""
    if isinstance(sys.stdout, io.TextIOWrapper):  # what a customer wrote may not be in the terminal's character set
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        app()
    except Exception as error:  # noqa: BLE001  # the last line of defence between an operator and a traceback
        _complain(error, error.status if isinstance(error, SettingsError | UnforeseenError) else 1)


def _complain(error: Exception, status: int) -> None:
    if _debug:
        raise error
    if isinstance(error, SettingsError):
        lines = error.lines()
    else:
        kind = "" if isinstance(error, UnforeseenError) else f"{type(error).__name__}: "
        lines = [f"{kind}{' '.join(str(error).split()) or type(error).__name__} (--debug shows where)"]
    try:
        sys.stderr.write("".join(f"stream-router: {line}\n" for line in lines))
    except OSError:  # nobody can read it, and the interpreter, which tries again at its end, would make it 120
        os._exit(status)
    sys.exit(status)


def _version(asked: bool) -> None:
    if asked:
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
    """Return the settings of a program, with `checks` of what they name; `given` wins over the environment.

    Raise SettingsError with all problems.
    """
    from stream_router.settings.reading import load

    return load(kind, *checks, **options)


def _end(status: int) -> NoReturn:
    raise typer.Exit(status)


# --- options of one meaning

AsJson = Annotated[bool, Option("--json", help="One JSON object instead of lines.")]
Url = Annotated[str | None, Option("--url", help="The receiver's URL; else that of its own settings.")]
Rate = Annotated[float, Option("--rate", min=0, max=1_000_000, help="Most events a second; 0 is no bound.")]
DryRun = Annotated[bool, Option("--dry-run", help="Only show what would be published; send nothing.")]
Run = Annotated[str, Option("--run", help="Go on with this run, which was broken off; its output names it.")]
Payload = Annotated[bool, Option("--payload", help="The event too, masked where STREAM_ROUTER_MASKING is on.")]
Arrived = Annotated[
    str, Option("--since", help="Since when, by arrival in the stream: 2026-11-24T09:30:00Z, or 2h ago.")
]


@app.command()
def receive() -> None:
    """Serve the webhook receiver until SIGTERM, then answer what is in, flush, and end.

    Takes events at POST /v1/events (STREAM_ROUTER_LISTEN), checks who sends them (STREAM_ROUTER_WEBHOOK_SCHEME), and
    answers 202 only once the Kinesis stream has them. Example: stream-router receive
    """
    from stream_router.process import end_on_early_signal

    end_on_early_signal(ignore_hangup=True)
    from stream_router.receiver import __main__ as receiver
    from stream_router.receiver.preflight import HOST_CHECKS
    from stream_router.settings.receiver import Receiver

    _end(receiver.run(_settings(Receiver, *HOST_CHECKS)))


@app.command()
def consume() -> None:
    """Run the consumer until SIGTERM: the KCL daemon, and one process for each shard that it holds.

    Publishes every event of the stream to EventBridge; what can never be delivered goes to the dead-letter queue
    (SQS_DLQ_URL). Start it on as many hosts as you like: they share the shards. Example: stream-router consume
    """
    from stream_router.process import end_on_early_signal

    # Before the slow imports, so that a SIGTERM during them ends the program at once.
    end_on_early_signal()
    from stream_router.consumer.supervisor import assembly
    from stream_router.settings.consumer import Consumer

    _end(assembly.run(_settings(Consumer, *assembly.HOST_CHECKS)))


@app.command()
def setup(
    plan: Annotated[bool, Option("--plan", help="Only show the difference; change nothing.")] = False,
    exit_code: Annotated[bool, Option("--exit-code", help="With --plan: end with 2 if anything would change.")] = False,
    policy: Annotated[
        str | None,
        Option("--policy", help="Print an IAM policy: of receive, consume, setup, operate or teardown."),
    ] = None,
    yes: Annotated[bool, Option("--yes", help="Do what stops events too (narrow a pattern, take a target).")] = False,
) -> None:
    """Create or verify what runs in AWS: stream, event bus, rule, target, queues. Repeatable.

    Set EVENTBRIDGE_TARGET_ARN to attach a target to the rule, EVENTBRIDGE_TARGET_FILE for its further fields. Proves
    that an event as we emit it matches the rule, and prints the SQS_DLQ_URL line that `consume` needs.
    Example: stream-router setup --plan
    """
    from stream_router.operate import policy as policies
    from stream_router.operate import setup as control
    from stream_router.settings.operators import Setup

    if exit_code and not plan:
        raise typer.BadParameter("tells of a plan; add --plan", param_hint="--exit-code")
    if policy is not None:
        _end(policies.run(policy))
    _end(control.run(_settings(Setup), plan=plan, exit_code=exit_code, yes=yes))


@app.command()
def teardown(
    yes: Annotated[bool, Option("--yes", help="Delete; without it, only show what would be.")] = False,
    force: Annotated[bool, Option("--force", help="Delete also what holds events.")] = False,
) -> None:
    """Show, and with --yes delete, what `setup` made: all that carries its tag for this stream.

    Deletes nothing while a stream or queue of it holds events, unless --force: what it holds is then lost for good.
    Example: stream-router teardown
    """
    from stream_router.operate import setup as control
    from stream_router.settings.operators import Setup

    _end(control.teardown(_settings(Setup), yes=yes, force=force))


@app.command()
def doctor(
    program: Annotated[
        Literal["receive", "consume"] | None, Argument(help="The one that this host runs; else both are judged.")
    ] = None,
    as_json: AsJson = False,
    offline: Annotated[bool, Option("--offline", help="No network: only settings, files, Java and jars.")] = False,
    end_to_end: Annotated[
        bool, Option("--end-to-end", help="Also send an event of our own the whole way, and time each stage.")
    ] = False,
    url: Url = None,
) -> None:
    """Check everything that can be wrong: settings, this host, AWS. One line each with a code and the cure.

    Changes nothing, says its verdict last. Ends with 0 if all is well, 1 if something is wrong, 2
    if it cannot judge; bad settings are findings too, never 78. --url is the receiver's, for --end-to-end.
    Example: stream-router doctor --end-to-end
    """
    from stream_router.operate.doctor import command

    if offline and end_to_end:
        raise typer.BadParameter("there is no way to go offline", param_hint="--end-to-end")
    _end(command.run(program, as_json=as_json, offline=offline, end_to_end=end_to_end, url=url))


@app.command()
def config(
    program: Annotated[str | None, Argument(help="receive, consume or setup; leave it out for all.")] = None,
) -> None:
    """Print every setting that is in force and where it came from; secrets are hidden.

    Ends with 78 where the program that is named cannot take a value. Whether its senders are known, and what its files,
    secrets and addresses are good for, `doctor` says. Example: stream-router config consume
    """
    from stream_router.operate import config as control

    _end(control.run(program))


@app.command()
def jars(
    source: Annotated[str | None, Option("--from", help="A Maven repository's URL, or a folder.")] = None,
) -> None:
    """Bring the KCL daemon's jars that `consume` needs, each proved by its SHA-256. Once, after installing.

    Takes what is there already, then the user's cache, then Maven Central, a mirror, or a folder.
    Example: stream-router jars --from /media/jars
    """
    import signal

    from stream_router.operate import jars as control

    # Else Ctrl-C would wait, for minutes, until the threads hear from a mirror that is silent. Nothing is half written.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    _end(control.run(source))


@app.command()
def top(
    once: Annotated[bool, Option("--once", help="Show it once, and end.")] = False,
    as_json: AsJson = False,
    url: Annotated[
        list[str] | None,
        Option("--url", help="An admin port, http://HOST:PORT; again for each further one.", show_default=False),
    ] = None,
) -> None:
    """Show live what consumers and receivers do: is it well, since when, how slow, how long until data is lost.

    Asks the admin ports (STREAM_ROUTER_ADMIN_LISTEN, STREAM_ROUTER_RECEIVER_ADMIN_LISTEN, or each --url) with the token
    of STREAM_ROUTER_ADMIN_TOKEN, and nothing else. Of several hosts the worst is shown whole. q quits.
    Example: stream-router top --url http://10.0.0.5:9464 --url http://10.0.0.6:9464
    """
    from stream_router.settings.operators import Top
    from stream_router.top import command

    _end(command.run(_settings(Top), command.TopOptions(once, as_json, url or ())))


@app.command()
def health(
    name: Annotated[Literal["receive", "consume"], Argument(help="The program that runs in this container.")],
) -> None:
    """Say whether the `receive` or `consume` of this host is well. 0 if it is, else 1: for a container's health check.

    Asks its admin port (STREAM_ROUTER_RECEIVER_ADMIN_LISTEN, STREAM_ROUTER_ADMIN_LISTEN) and needs no token. It is well
    through an outage of AWS too: a restart would mend nothing there. Example: stream-router health receive
    """
    from stream_router.settings.operators import Top
    from stream_router.top import health as probe

    _end(probe.run(name, _settings(Top)))


@app.command()
def shards(
    to: Annotated[int | None, Option("--to", min=1, help="Reshard to so many, and follow it to the end.")] = None,
) -> None:
    """Show the load of each shard against its limits, and what to do; with --to, reshard by AWS's rules.

    Measures by reading what came of late. Where a template owns the stream (CloudFormation, Terraform), change its
    number of shards there instead of with --to. Example: stream-router shards --to 4
    """
    from stream_router.operate import shards as control
    from stream_router.settings.receiver import Receiver

    _end(control.run(_settings(Receiver), to))


# --- events, in the stream and in the queues


@app.command()
def find(
    ids: Annotated[list[str] | None, Argument(metavar="ID…", help="eventId, or correlationId.")] = None,
    interaction: Annotated[str | None, Option("--interaction", help="All events of this interaction.")] = None,
    conversation: Annotated[str | None, Option("--conversation", help="All of this conversation.")] = None,
    since: Arrived = "24h",
    payload: Payload = False,
) -> None:
    """Say what became of an event: in the stream, behind or past the checkpoint, dead letter, undelivered, or nowhere.

    Reads the stream, then both queues. Ends with 0 found, 1 not found, 2 cannot judge.
    Example: stream-router find 0123456789abcdef0123456789abcdef --since 2h
    """
    from stream_router.operate import find as operate
    from stream_router.settings.operators import DeadLetters

    options = operate.Options(ids or [], interaction, conversation, since, payload)
    _end(operate.run(_settings(DeadLetters), options))


EventType = Annotated[list[str] | None, Option("--event-type", help="Only of this event type; may be given again.")]
Id = Annotated[list[str] | None, Option("--id", help="Only of the event with this eventId; may be given again.")]


@app.command()
def replay(
    since: Arrived,
    until: Annotated[str, Option("--until", help="Before when; without it, or later, up to now.")] = "",
    event_type: EventType = None,
    id: Id = None,  # noqa: A002 - the option's name
    rate: Rate = 100.0,
    dry_run: DryRun = False,
    yes: Annotated[bool, Option("--yes", help="Go on though STREAM_ROUTER_RULE is none.")] = False,
    run: Run = "",
) -> None:
    """Put events of the stream on the stream again, under the same ids: the consumer publishes them once more.

    For events that were delivered wrong, or to nobody. Takes what was there when it begins, and touches no checkpoint.
    Each says metadata.replayed. Example: stream-router replay --since 2026-11-24T09:00Z --until 2h --dry-run
    """
    from stream_router.operate import replay as operate
    from stream_router.operate.resubmit import parse_selection
    from stream_router.settings.operators import DeadLetters

    wanted = parse_selection(since, until, event_type or (), id or ())
    _end(operate.run(_settings(DeadLetters), wanted, rate, dry_run=dry_run, yes=yes, earlier_run=run))


dlq = typer.Typer(
    name="dlq",
    no_args_is_help=True,
    help="Inspects dead letters and resubmits them (SQS_DLQ_URL); with --undelivered EventBridge's own "
    "ones of the rule's target. See docs/dead-letters.md.",
)
OfEventBridge = Annotated[
    bool, Option("--undelivered", help="EventBridge's own dead letters: what the rule's target did not take.")
]
OfReason = Annotated[str, Option("--reason", help="Only of this reason (--undelivered: error code).")]
Since = Annotated[str, Option("--since", help="Only those sent to the queue since: 2026-11-24T09:30Z, or 2h ago.")]
Until = Annotated[str, Option("--until", help="Only those sent to the queue before.")]


def _selection(undelivered: bool, reason: str, *others: Any) -> "Selection":
    """Return the filters, as typed; a reason that no dead letter of ours can have ends the command with 2."""
    from stream_router.operate.resubmit import parse_selection

    if reason and not undelivered and reason not in set(Reason):
        raise typer.BadParameter(f"{reason!r} is none of: {', '.join(Reason)}", param_hint="'--reason'")
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
    """Count all dead letters by reason, code and event type, with ids that `show` takes. Hides them while it runs.

    Example: stream-router dlq list --since 2h
    """
    from stream_router.operate import dlq as operate

    wanted = _selection(undelivered, reason, since, until, event_type, id)
    _end(operate.run_at_queue(undelivered, lambda at: operate.list_(at, wanted), include_bus_queue=True))


@dlq.command()
def show(
    id: Annotated[  # noqa: A002
        str, Argument(metavar="ID", help="The event's id or correlationId, or the message's id.")
    ],
    payload: Payload = False,
    undelivered: OfEventBridge = False,
) -> None:
    """Show one dead letter: why, where it came from, what was tried.

    Example: stream-router dlq show 0123456789abcdef0123456789abcdef
    """
    from stream_router.operate import dlq as operate

    _end(operate.run_at_queue(undelivered, lambda at: operate.show(at, id, payload=payload)))


@dlq.command()
def export(
    file: Annotated[Path, Argument(help="A new file: JSON lines, with the events. Readable by you alone.")],
    reason: OfReason = "",
    event_type: EventType = None,
    since: Since = "",
    until: Until = "",
    id: Id = None,  # noqa: A002
    undelivered: OfEventBridge = False,
) -> None:
    """Write dead letters to a file, to be corrected by hand and resubmitted by `redrive --file`. They stay queued.

    Example: stream-router dlq export letters.jsonl --reason schema_mismatch
    """
    from stream_router.operate import dlq as operate

    wanted = _selection(undelivered, reason, since, until, event_type, id)
    _end(operate.run_at_queue(undelivered, lambda at: operate.export(at, file, wanted)))


@dlq.command()
def redrive(
    reason: OfReason = "",
    event_type: EventType = None,
    since: Since = "",
    until: Until = "",
    id: Id = None,  # noqa: A002
    file: Annotated[
        Path | None,
        Option(exists=True, dir_okay=False, help="Only those of this export, as they were edited there."),
    ] = None,
    rate: Rate = 100.0,
    limit: Annotated[int, Option(min=0, help="At most so many dead letters; 0 for all.")] = 0,
    dry_run: DryRun = False,
    take_all: Annotated[bool, Option("--all", help="Also those that came back five times.")] = False,
    yes: Annotated[
        bool, Option("--yes", help="With --undelivered: also what is not known to be masked, though masking is on.")
    ] = False,
    undelivered: OfEventBridge = False,
    run: Run = "",
) -> None:
    """Put dead letters back on the stream, under the same ids: the consumer maps, masks and publishes them again.

    Each is deleted once the stream has it. Ctrl-C finishes what is in flight; the rest stays.
    Example: stream-router dlq redrive --reason unroutable --dry-run
    """
    from stream_router.operate import dlq as operate
    from stream_router.operate.letters import RedriveOptions
    from stream_router.operate.resubmit import run_began_ms

    if run:
        run_began_ms(run)
    wanted = _selection(undelivered, reason, since, until, event_type, id)
    redrive_options = RedriveOptions(wanted, file, rate, limit, dry_run, take_all, yes, run)
    _end(operate.run_at_queue(undelivered, lambda at: operate.redrive(at, redrive_options)))


# --- trials, on this machine or with samples


@app.command()
def send(
    count: Annotated[int, Option(min=1, max=10_000_000, help="How many events.")] = 1,
    rate: Rate = 0.0,
    preset: Annotated[str, Option("--preset", help="Shape: default, cxone-digital, cxone-data-stream.")] = "default",
    event_type: Annotated[str | None, Option("--type", help="The event's type.")] = None,
    file: Annotated[Path | None, Option("--file", help="This file's bytes as they are, JSON or XML.")] = None,
    url: Url = None,
) -> None:
    """Post signed example events to a receiver, and say what it answered. 0 only if all were accepted.

    Signs with the receiver's own settings (STREAM_ROUTER_WEBHOOK_SCHEME and so on): run it where they are set.
    Example: stream-router send --preset cxone-digital --type CaseCreated --count 100 --rate 20
    """
    from stream_router.send import command
    from stream_router.settings.receiver import Receiver

    options = command.SendOptions(count, rate, preset, event_type, file, url)
    _end(
        command.run(_settings(Receiver, aws_region="us-east-1"), options)
    )  # the region is of no matter: none need be set


@app.command()
def mask(
    files: Annotated[list[Path], Argument(metavar="FILE…", help="Samples: events as JSON, one a line or a file.")],
    policy: Annotated[str, Option("--policy", help="`default`, or the path of a policy file.")],
) -> None:
    """Show what a masking policy does to sample events, path by path, and the lines that would let more pass.

    Example: stream-router mask --policy default event.json
    """
    from stream_router.operate import mask as control

    _end(control.run(policy, *files))


@app.command()
def local(
    quiet: Annotated[bool, Option("--quiet", help="Print no events.")] = False,
) -> None:
    """Serve the embedded stack (Kinesis, DynamoDB, EventBridge, SQS, CloudWatch on loopback) until SIGTERM.

    For development, at port 4566, or at a free one where that is taken. Does what `setup` does, with a queue as the
    rule's target. Prints the ports, and the settings that point the other commands at it, then each event that arrives
    at the queue, one JSON object a line. Example: stream-router local
    """
    from stream_router.local import serve

    _end(serve.run(quiet=quiet))


@app.command()
def demo(
    events: Annotated[int, Option(min=1, max=10_000_000, help="How many events to send, poison included.")] = 10_000,
    rate: Rate = 0.0,
    poison: Annotated[float, Option(min=0, max=100, help="Percent of the events that are garbage.")] = 1.0,
    chaos: Annotated[bool, Option("--chaos", help="Kill processes, take stream and bus away, while it runs.")] = False,
    as_json: AsJson = False,
) -> None:
    """Run the whole pipeline on this machine, on an embedded stack, and account for every event.

    Half of the poison is broken JSON posted to the receiver, half is garbage put straight on the stream. Ends with 0
    only if nothing was lost. Example: stream-router demo --events 1000 --rate 200
    """
    from stream_router.local import demo as show

    _end(show.run(show.DemoOptions(events, rate, poison, chaos), as_json=as_json))


audit = typer.Typer(
    name="audit",
    no_args_is_help=True,
    help="Works on the audit files that `consume` writes (STREAM_ROUTER_AUDIT_DIR).",
)


@audit.command()
def verify(
    files: Annotated[list[Path], Argument(exists=True, dir_okay=False, help="Audit files, one a shard.")],
) -> None:
    """Check the chain of audit files: that no line was changed, added or taken out (STREAM_ROUTER_AUDIT_KEY).

    Example: stream-router audit verify /var/lib/stream-router/audit/*.jsonl
    """
    from stream_router.operate import audit as control

    _end(control.run(*files))


cxone = typer.Typer(
    name="cxone", no_args_is_help=True, help="Tries out the CXone credentials (CXONE_CLIENT_ID, CXONE_CLIENT_SECRET)."
)


@cxone.command()
def token() -> None:
    """Get a token with the CXone credentials, and say for whom it is and how long it lasts.

    Example: CXONE_CLIENT_ID=… CXONE_CLIENT_SECRET=… stream-router cxone token
    """
    from stream_router.cxone import sources

    _end(sources.token())


@cxone.command()
def sources() -> None:
    """Check the event sources that are listed in STREAM_ROUTER_CONFIG's file.

    Example: STREAM_ROUTER_CONFIG=sources.toml stream-router cxone sources
    """
    from stream_router.cxone import sources as control

    _end(control.sources())


for group in (dlq, audit, cxone):
    app.add_typer(group)
