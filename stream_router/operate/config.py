"""`stream-router config`: prints every setting in force, as lines that a shell can read."""

import shlex
import sys

from stream_router.errors import SettingsError
from stream_router.settings import reading

NAMES = ("receive", "consume", "setup")


def run(program: str | None) -> int:
    """Print the settings of `program`, or of all programs if it is None, each with its source. Return 0.

    A setting that several programs have is printed once. Raises SettingsError for an unknown program, and after the
    list if the settings of a named program are wrong. Without a named program, wrong settings are lines of the list.
    """
    if program is not None and program not in NAMES:
        raise SettingsError("PROGRAM", f"there is no {program}", f"name {', '.join(NAMES)}, or none")
    kinds = {name: kind for name, kind in reading.PROGRAMS.items() if program in (None, name)}
    printed: set[str] = set()
    for name, kind in kinds.items():
        rows = list(reading.list_settings(kind))
        _section(name, [row for row in rows if row.variable not in printed])
        printed |= {row.variable for row in rows}
    if of_aws := reading.list_aws_settings():
        _section("AWS, as boto3 reads it", of_aws)
    for problem in (*reading.find_unknown(), *reading.find_warnings()):
        _print_line(f"# unknown: {problem.line()}")
    for name, kind in kinds.items():
        try:
            reading.load(kind)
        except SettingsError as error:
            if program:
                raise
            for line in error.lines():
                _print_line(f"# `{name}` would not start: {line}")
    return 0


def _section(name: str, rows: list[reading.SettingRow]) -> None:
    _print_line(f"# {name}")
    for row in rows:
        unset = row.source.startswith(reading.UNSET)
        _print_line(
            f"{'#' if unset else ''}{row.variable}={shlex.quote(row.value) if row.value else ''}  # {row.source}"
        )


def _print_line(line: str) -> None:
    # The environment may hold bytes that are not UTF-8. Printed as they are, they would end the command.
    sys.stdout.write(line.encode("utf-8", "replace").decode() + "\n")
