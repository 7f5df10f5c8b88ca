"""`stream-router doctor`: runs the checks, shows them, and ends with what they say. It changes nothing."""

import sys
import time
from typing import NamedTuple

from rich.console import Console

from stream_router.control.doctor import catalogue, probe, report, runner
from stream_router.control.doctor.catalogue import Check
from stream_router.control.doctor.world import World
from stream_router.send.signing import own_url

PROBED = ("probe: other rules", "probe: stored", "probe: consumed", "probe: over the bus")


class Wish(NamedTuple):
    """What the command line asks for."""

    program: str | None = None
    as_json: bool = False
    offline: bool = False
    end_to_end: bool = False
    url: str | None = None


def run(wish: Wish) -> int:
    """0 well, 1 something is wrong, 2 cannot judge. Bad settings are findings here."""
    checks = catalogue.chosen(wish.program, offline=wish.offline)
    world = World(offline=wish.offline)
    console = Console(stderr=True)
    if world.common and not wish.offline:
        world.maybe(world.credentials)  # before the deadline: a profile may want a code that a person has to type
    with console.status(f"looks at {len(checks)} things") as waiting:
        results = runner.run(checks, world, told=lambda count: waiting.update(f"{count} of {len(checks)} looked at"))
    if wish.end_to_end:
        results += _end_to_end(wish, world, console)
    code = report.status(results)
    if wish.as_json:
        sys.stdout.write(report.as_json(results, code) + "\n")
    else:
        report.show(results, code)
    sys.stdout.flush()
    return code


def _end_to_end(wish: Wish, world: World, console: Console) -> list[runner.Result]:
    """The probe's way, as lines like the checks'. Up to a minute more."""
    begun = time.monotonic()
    url = wish.url or (own_url(world.receive) if world.receive else "")
    with console.status("an event of our own goes the whole way"):
        found = probe.run(world, url)
    took_ms = (time.monotonic() - begun) * 1000
    return [
        runner.Result(Check(finding.code, about, lambda _, finding=finding: finding), finding, took_ms)  # type: ignore[misc]
        for finding, about in zip(found, PROBED, strict=True)
    ]
