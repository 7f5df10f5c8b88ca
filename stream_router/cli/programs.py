"""The two programs, what prepares AWS and this host for them, and what watches them. No logic, as in `cli`."""

from typing import Annotated, Literal

import typer

from stream_router.cli.options import AsJson, Url, end, settings


def receive() -> None:
    """Serve the webhook receiver until SIGTERM, then answer what is in, flush, and end.

    Takes events at POST /v1/events (STREAM_ROUTER_LISTEN), checks who sends them (STREAM_ROUTER_WEBHOOK_SCHEME), and
    answers 202 only once the Kinesis stream has them. Example: stream-router receive
    """
    from stream_router.process import end_at_early_stop

    end_at_early_stop(through_hangups=True)
    from stream_router.receiver import __main__ as receiver
    from stream_router.receiver.preflight import LOOKS
    from stream_router.settings.receiver import Receiver

    end(receiver.run(settings(Receiver, *LOOKS)))


def consume() -> None:
    """Run the consumer until SIGTERM: the KCL daemon, and one process for each shard that it holds.

    Publishes every event of the stream to EventBridge; what can never be delivered goes to the dead-letter queue
    (SQS_DLQ_URL). Start it on as many hosts as you like: they share the shards. Example: stream-router consume
    """
    from stream_router.process import end_at_early_stop

    end_at_early_stop()
    from stream_router.consumer.supervisor import assembly
    from stream_router.settings.consumer import Consumer

    end(assembly.run(settings(Consumer, *assembly.LOOKS)))


def setup(
    plan: Annotated[bool, typer.Option("--plan", help="Only show the difference; change nothing.")] = False,
    exit_code: Annotated[
        bool, typer.Option("--exit-code", help="With --plan: end with 2 where something would change.")
    ] = False,
    policy: Annotated[
        str | None,
        typer.Option("--policy", help="Print an IAM policy: of receive, consume, setup, operate or teardown."),
    ] = None,
    yes: Annotated[
        bool, typer.Option("--yes", help="Make also what stops events: a narrower pattern, a target taken away.")
    ] = False,
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
        end(policies.run(policy))
    end(control.run(settings(Setup), plan=plan, exit_code=exit_code, yes=yes))


def teardown(
    yes: Annotated[bool, typer.Option("--yes", help="Delete; without it, only show what would be.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Delete also what holds events.")] = False,
) -> None:
    """Show, and with --yes delete, what `setup` made: all that carries its tag for this stream.

    Deletes nothing while a stream or queue of it holds events, unless --force: what it holds is then lost for good.
    Example: stream-router teardown
    """
    from stream_router.operate import setup as control
    from stream_router.settings.operators import Setup

    end(control.teardown(settings(Setup), yes=yes, force=force))


def doctor(
    program: Annotated[
        Literal["receive", "consume"] | None, typer.Argument(help="The one that this host runs; else both are judged.")
    ] = None,
    as_json: AsJson = False,
    offline: Annotated[
        bool, typer.Option("--offline", help="Only what needs no network: settings, files, Java, jars.")
    ] = False,
    end_to_end: Annotated[
        bool, typer.Option("--end-to-end", help="Also send an event of our own the whole way, and time each stage.")
    ] = False,
    url: Url = None,
) -> None:
    """Check everything that can be wrong: settings, this host, AWS. One line each with a code and the cure.

    Changes nothing, takes at most 15 s, says its verdict last. Ends with 0 if all is well, 1 if something is wrong, 2
    if it cannot judge; bad settings are findings too, never 78. --url is the receiver's, for --end-to-end.
    Example: stream-router doctor --end-to-end
    """
    from stream_router.control.doctor import command

    if offline and end_to_end:
        raise typer.BadParameter("there is no way to go offline", param_hint="--end-to-end")
    wish = command.Wish(program, as_json, offline, end_to_end, url)
    end(command.run(wish))


def config(
    program: Annotated[str | None, typer.Argument(help="receive, consume or setup; leave it out for all.")] = None,
) -> None:
    """Print every setting that is in force and where it came from; secrets are hidden.

    Ends with 78 where the program that is named cannot take a value. Whether its senders are known, and what its files,
    secrets and addresses are good for, `doctor` says. Example: stream-router config consume
    """
    from stream_router.operate import config as control

    end(control.run(program))


def jars(
    source: Annotated[str | None, typer.Option("--from", help="A Maven repository's URL, or a folder.")] = None,
) -> None:
    """Bring the KCL daemon's jars that `consume` needs, each proved by its SHA-256. Once, after installing.

    Takes what is there already, then the user's cache, then Maven Central, a mirror, or a folder.
    Example: stream-router jars --from /media/jars
    """
    import signal

    from stream_router.operate import jars as control

    # Else Ctrl-C would wait, for minutes, until the threads hear from a mirror that is silent. Nothing is half written.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    end(control.run(source))


def top(
    once: Annotated[bool, typer.Option("--once", help="Show it once, and end.")] = False,
    as_json: AsJson = False,
    url: Annotated[
        list[str] | None,
        typer.Option("--url", help="An admin port, http://HOST:PORT; again for each further one.", show_default=False),
    ] = None,
) -> None:
    """Show live what consumers and receivers do: is it well, since when, how slow, how long until data is lost.

    Asks the admin ports (STREAM_ROUTER_ADMIN_LISTEN, STREAM_ROUTER_RECEIVER_ADMIN_LISTEN, or each --url) with the token
    of STREAM_ROUTER_ADMIN_TOKEN, and nothing else. Of several hosts the worst is shown whole. q quits.
    Example: stream-router top --url http://10.0.0.5:9464 --url http://10.0.0.6:9464
    """
    from stream_router.settings.operators import Top
    from stream_router.top import command

    end(command.run(settings(Top), command.Wish(once, as_json, url or ())))


def health(
    ready: Annotated[bool, typer.Option("--ready", help="Ask whether it is ready for work, too.")] = False,
) -> None:
    """Say whether the `receive` or `consume` of this host is well. 0 if it is, else 1: for a container's health check.

    Asks the admin ports of this host (STREAM_ROUTER_ADMIN_LISTEN, STREAM_ROUTER_RECEIVER_ADMIN_LISTEN) and needs no
    token. Example: stream-router health --ready
    """
    from stream_router.settings.operators import Top
    from stream_router.top import health as probe

    end(probe.run(settings(Top), ready=ready))


def shards(
    to: Annotated[int | None, typer.Option("--to", min=1, help="Reshard to so many, and follow it to the end.")] = None,
) -> None:
    """Show the load of each shard against its limits, and what to do; with --to, reshard by AWS's rules.

    Measures by reading what came of late. Where a template owns the stream (CloudFormation, Terraform), change its
    number of shards there instead of with --to. Example: stream-router shards --to 4
    """
    from stream_router.operate import shards as control
    from stream_router.settings.receiver import Receiver

    end(control.run(settings(Receiver), to))


COMMANDS = (receive, consume, setup, doctor, teardown, config, jars, top, health, shards)
