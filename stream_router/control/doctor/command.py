"""`stream-router doctor`: runs the checks, shows them, and ends with what they say. It changes nothing."""

import sys
from typing import NamedTuple

from rich.console import Console

from stream_router.control.doctor import catalogue, report, runner
from stream_router.control.doctor.world import World

PROGRAMS = ("receive", "consume")


class Wish(NamedTuple):
    """What the command line asks for."""

    program: str | None = None
    as_json: bool = False
    offline: bool = False
    fail_on_warning: bool = False


def run(wish: Wish) -> int:
    """0 well, 1 something is wrong, 2 cannot judge. Bad settings are findings here."""
    checks = catalogue.chosen(wish.program, offline=wish.offline)
    world = World(offline=wish.offline)
    console = Console(stderr=True)
    with console.status(f"looks at {len(checks)} things") as waiting:
        results = runner.run(checks, world, told=lambda count: waiting.update(f"{count} of {len(checks)} looked at"))
    code = report.status(results, fail_on_warning=wish.fail_on_warning)
    if wish.as_json:
        sys.stdout.write(report.as_json(results, code) + "\n")
    else:
        report.show(results, code)
    sys.stdout.flush()
    return code
