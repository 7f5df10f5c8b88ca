"""`stream-router config`: prints every setting that is in force, as lines that a shell could read."""

import shlex
import sys

from pydantic_settings import BaseSettings

from stream_router.cxone.settings import Cxone
from stream_router.errors import SettingsError
from stream_router.settings.consumer import Consumer
from stream_router.settings.environment import in_force
from stream_router.settings.receiver import Receiver
from stream_router.settings.setup import Setup

PROGRAMS: dict[str, type[BaseSettings]] = {"receive": Receiver, "consume": Consumer, "setup": Setup}


def run(program: str | None) -> int:
    """Print the settings of one program, or of all, each with where it came from.

    Raises SettingsError, after the list, where the settings of the program that is named are wrong.
    """
    if program is not None and program not in PROGRAMS:
        raise SettingsError(f"PROGRAM: there is no {program}; name {', '.join(PROGRAMS)}, or none")
    every: dict[str, type[BaseSettings]] = {**PROGRAMS, "cxone": Cxone}
    kinds = {program: every[program]} if program else every
    told: set[str] = set()
    problems: dict[str, str] = {}
    for name, kind in kinds.items():
        rows, problems[name] = in_force.rows(kind)
        _section(name, [row for row in rows if row.variable not in told])
        told |= {row.variable for row in rows}
    if of_aws := in_force.of_aws():
        _section("AWS, as boto3 reads it", of_aws)
    for line in in_force.unknown():
        _say(f"# unknown: {line}")
    if program and problems[program]:
        raise SettingsError(problems[program])
    for name, problem in problems.items():
        if problem:
            _say(f"# `{name}` would not start: {problem}")
    return 0


def _section(name: str, rows: list[in_force.Row]) -> None:
    _say(f"# {name}")
    for row in rows:
        unset = row.source.startswith(in_force.UNSET)
        _say(f"{'#' if unset else ''}{row.variable}={shlex.quote(row.value) if row.value else ''}  # {row.source}")


def _say(line: str) -> None:
    sys.stdout.write(line.encode("utf-8", "replace").decode() + "\n")
