"""What stands in AWS beside what `setup` would make of it: retention, encryption, policies, buckets, subscriber."""

from collections.abc import Iterator
from typing import Any

from stream_router.checks import Finding, ask, ok, skipped, warn
from stream_router.errors import SettingsError
from stream_router.operate import setup
from stream_router.operate.doctor.world import CONSUME, Check, Subject, World, of_line
from stream_router.operate.resources import SetupError
from stream_router.settings.common import NO_RULE
from stream_router.settings.operators import Setup
from stream_router.settings.reading import read


def _deployment(world: World) -> Iterator[Finding]:
    if world.settings.rule == NO_RULE:
        yield skipped("SR003", "the rules are others' (STREAM_ROUTER_RULE=none), so there is no setup to run")
        return
    try:
        no, differs = ask("SR003", "setup", "a part of it", lambda: _differences(world), {})
    except SettingsError as error:
        for line in str(error).splitlines():
            yield of_line("SR003", line)
        return
    except SetupError as error:
        yield warn("SR003", "setup", str(error), "`stream-router setup --plan` says more")
        return
    says = "; ".join(differs or ())
    cure = "`stream-router setup --plan` shows what `setup` would do"
    yield no or (warn("SR003", "setup", says, cure) if differs else ok("SR003", "all is as `setup` would make it"))


def _differences(world: World) -> list[str]:
    """A part of a line for each thing that `setup` would make or change. Raises as it does."""
    wanted: Any = setup.Deployment(read(Setup), world.clients)
    wanted.look()
    told = [resource.line()[2:] for resource in wanted.resources if not resource.is_right]
    return [one for one in (*told, wanted.problem, wanted.too_few_buckets()) if one]


DEPLOYMENT = Subject({"SR003": Check("as `setup` makes it", CONSUME)}, _deployment)
