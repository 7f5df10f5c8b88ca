"""Writes docs/logs.md: how the programs log, and every line with what it means and what to do. Run by `make docs`."""

import sys
from pathlib import Path

from stream_router.log import catalogue

PAGE = Path(__file__).resolve().parent.parent / "docs" / "logs.md"

INTRODUCTION = """# Logs

All programs log to stderr, one line an event, from `STREAM_ROUTER_LOG_LEVEL` up. `STREAM_ROUTER_LOG_FORMAT` is `json`,
`text`, or `auto` (the default): text on a terminal, in colour unless `NO_COLOR` is set, else JSON. Levels are DEBUG,
INFO, WARNING and ERROR, for the daemon's lines as well. No line holds a payload or a secret. Where whoever reads stderr
stands still (a log driver that hangs), lines are left out and counted (`log-left-out`), and no event waits for them.

A JSON line has `time` (UTC), `level`, `id`, `logger`, `message`, `pid`, and what else the line tells. `id` says which
line it is, whatever its text becomes. Of an unforeseen failure `exception` has the place in the code, never the text,
which could quote an event.

Lines with the id `kcl` are the KCL's own (Java). It repeats a trouble every few seconds, each time with a stack trace:
`consume` passes each kind of line on once, then at most once a minute, `repeated` being the number that it kept back,
and cuts messages after 2,000 characters. What a JVM or an interpreter writes when it dies has no form and is passed on
as it is.

To see what is wrong: `jq -c 'select(.level == "ERROR" or .level == "WARNING")'`.

This page is written by `make docs` from `stream_router/log_lines.toml`; a test holds that file against the code.

"""


def page() -> str:
    """The page's text."""
    rows = [f"| `{line['id']}` | {line['level']} | {line['means']} | {line['do']} |\n" for line in catalogue()]
    return INTRODUCTION + "| id | level | means | what to do |\n|---|---|---|---|\n" + "".join(sorted(rows))


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
    sys.stdout.write(f"{PAGE} written\n")
