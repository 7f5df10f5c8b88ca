"""`python -m tests.fault.chaos_run --seed N`: one chaos run, its progress, and the judge's table."""

import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from botocore.exceptions import BotoCoreError

from tests.fault.chaos_run import clock, kinesis_local, report
from tests.fault.chaos_run.run import FULL, SHORT, run

ROOT = Path(__file__).parents[3]


def main(
    seed: Annotated[int, typer.Option(help="what the chaos is drawn from")] = 1,
    events: Annotated[int, typer.Option(help="how many events are sent")] = FULL.events,
    kills: Annotated[int, typer.Option(help="how many kill -9")] = FULL.kills,
    minutes: Annotated[float, typer.Option(help="how long the traffic lasts")] = FULL.seconds / 60,
    workers: Annotated[int, typer.Option(min=1, max=2, help="2: the shipped properties, resharding; 1: local's")] = 2,
    *,
    short: Annotated[bool, typer.Option("--short", help="the form of make test: one worker, no resharding")] = False,
    keep: Annotated[Path | None, typer.Option(help="a new folder for logs and ledger; else they are removed")] = None,
    out: Annotated[Path | None, typer.Option(help="write the figures there, as JSON")] = None,
) -> None:
    """Send events through the whole of stream_router while everything is killed, stopped and cut off; then judge.

    Example: python -m tests.fault.chaos_run --seed 7 --events 20000 --kills 10 --minutes 4
    Exit 0: nothing was lost and every promise was kept. 1: a promise was broken. 3: too little went wrong to prove it,
    or an emulator did not answer.
    """
    shape = SHORT if short else replace(FULL, events=events, kills=kills, seconds=minutes * 60)
    if shape.reshards and not kinesis_local.is_there():
        say("Node.js and npm are not installed: no split and no merge")
        shape = replace(shape, reshards=False)
    if shape.clock and not clock.COMPILER:
        say("no C compiler is installed: the clock stays true")
        shape = replace(shape, clock=False)
    if workers == 1:
        shape = replace(shape, two_workers=False, reshards=False)
    size = f"--events {events} --kills {kills} --minutes {minutes:g} --workers {workers}"
    repeat = f"python -m tests.fault.chaos_run --seed {seed} {'--short' if short else size}"
    if keep and keep.exists():
        raise typer.BadParameter(f"{keep} is there already; name a new folder", param_hint="--keep")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as temporary:
        if keep:
            keep.mkdir(parents=True)
        try:
            result = run(keep or Path(temporary), seed, shape, say, repeat)
        except BotoCoreError as error:
            say(f"an emulator did not answer ({error}): nothing is proved; run it where less else runs")
            sys.exit(3)
    say(report.table(result))
    if out:
        out.write_text(report.dumped(result, commit()))
    sys.exit(0 if result.verdict.well else 1 if result.verdict.broken else 3)


def say(text: str) -> None:
    """A line of progress, at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def commit() -> str:
    """The commit that is checked out, "" where git cannot tell."""
    done = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return done.stdout.strip()


if __name__ == "__main__":
    typer.run(main)
