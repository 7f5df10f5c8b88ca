"""`stream-router doctor`: runs the checks, shows them, and ends with what they say. It changes nothing."""

import json
import sys
from collections import Counter
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.text import Text

from stream_router.checks import CheckVerdict, Finding, of_error, skipped
from stream_router.operate.doctor import bus, host, probe, stream, surroundings
from stream_router.operate.doctor.world import Check, Subject, World
from stream_router.send.signing import own_url

SUBJECTS = (
    *(host.SETTINGS, host.JAVA, host.HERE, host.ACCOUNT),
    *(stream.ITSELF, stream.SPILL, stream.LEASES, bus.BUS_AND_RULE, surroundings.SURROUNDINGS),
    *(bus.LETTERS, bus.DEPLOYMENT),
)
"""In the order in which they are shown; docs/doctor.md has the same."""

CHECKS: dict[str, Check] = {code: check for one in SUBJECTS for code, check in one.checks.items()} | probe.CHECKS


def run(
    program: str | None = None,
    *,
    as_json: bool = False,
    offline: bool = False,
    end_to_end: bool = False,
    url: str | None = None,
) -> int:
    """0 well, 1 something is wrong, 2 cannot judge. Bad settings are findings here."""
    world = World(program, offline=offline)
    console = Console(stderr=True)
    with console.status("looks at everything"):
        found = look(world)
    if end_to_end:
        with console.status("an event of our own goes the whole way"):
            found += probe.run(world, url or (own_url(world.receive) if world.receive else ""))
    code = status(found)
    if as_json:
        sys.stdout.write(told_as_json(found, code) + "\n")
    else:
        show(found, code)
    sys.stdout.flush()
    return code


def look(world: World, subjects: Sequence[Subject] = SUBJECTS) -> list[Finding]:
    """Return the findings of every check that concerns the programs of `world`, in the order of the tables.

    Each check has at least one. Each call of AWS's is tried once and bounded. Where AWS does not take the credentials,
    nothing else of it is asked.
    """
    found: list[Finding] = []
    waits = "" if world.common else "waits for the settings (SR001, SR002)"
    for subject in subjects:
        if world.offline and (subject.aws or subject is host.HERE):
            continue
        made, why = ([], waits) if subject.aws and waits else _made(subject, world)
        for code in subject.checks:
            found += [one for one in made if one.code == code] or [skipped(code, why)]
        if subject is host.ACCOUNT and not waits and made[0].verdict is CheckVerdict.WRONG:
            waits = "waits for SR010"
    return [one for one in found if CHECKS[one.code].programs & world.programs]


def _made(subject: Subject, world: World) -> tuple[list[Finding], str]:
    """Return a subject's findings, and why later ones were not asked. A check that breaks leaves the others."""
    made: list[Finding] = []
    try:
        made.extend(subject.look(world))  # what came before an error is kept
    except Exception as error:  # noqa: BLE001 - it is said
        seen = {one.code for one in made}
        code = next((code for code in subject.checks if code not in seen), next(reversed(subject.checks)))
        about = subject.checks[code].about
        made.append(of_error(code, about, about, error))
    last = made[-1]
    return made, last.says if last.verdict is CheckVerdict.SKIPPED else f"waits for {last.code}"


# --- showing them

WELL, WRONG, UNJUDGED = 0, 1, 2
SIGNS = {
    CheckVerdict.WRONG: ("failure", "bold red"),
    CheckVerdict.WARNING: ("warning", "yellow"),
    CheckVerdict.UNKNOWN: ("unknown", "magenta"),
    CheckVerdict.WELL: ("ok", "green"),
    CheckVerdict.SKIPPED: ("-", "dim"),
}


def status(found: Sequence[Finding]) -> int:
    """0 all is well, 1 something is wrong, 2 it cannot be judged."""
    seen = {one.verdict for one in found}
    if CheckVerdict.WRONG in seen:
        return WRONG
    return UNJUDGED if CheckVerdict.UNKNOWN in seen else WELL


def verdict(found: Sequence[Finding], code: int) -> str:
    """Return the last line."""
    counts = Counter(one.verdict for one in found)
    words = {WELL: "well", WRONG: "something is wrong", UNJUDGED: "cannot judge"}
    told = []
    for kind, (sign, _) in SIGNS.items():
        if counts[kind] or kind is CheckVerdict.WELL:
            plural = "s" * (counts[kind] > 1 and kind in (CheckVerdict.WRONG, CheckVerdict.WARNING))
            told.append(f"{counts[kind]} {'not asked' if kind is CheckVerdict.SKIPPED else sign + plural}")
    return f"{words[code]}: {', '.join(told)}"


def show(found: Sequence[Finding], code: int) -> None:
    """One line each, as it is: a terminal folds what is too long."""
    console = Console(soft_wrap=True, highlight=False)
    for one in found:
        sign, style = SIGNS[one.verdict]
        console.print(Text(f"{sign:8}", style), Text(f"{one.code}  {CHECKS[one.code].about:22} {_text(one)}"))
    console.print(Text(verdict(found, code), "bold green" if code == WELL else "bold red"))


def _text(one: Finding) -> str:
    """One line, without what would drive a terminal."""
    whose = f"{one.setting}: " if one.setting and one.verdict is not CheckVerdict.WELL else ""
    more = f"; {one.cure}" if one.cure else ""
    page = f" ({_page(one)})" if _page(one) else ""
    return "".join(char if char.isprintable() else " " for char in f"{whose}{one.says}{more}{page}")


def _page(one: Finding) -> str:
    """Return the runbook that goes on where the cure ends; "" if there is none, or nothing is wrong."""
    name = CHECKS[one.code].runbook
    return f"docs/runbooks/{name}.md" if name and one.verdict in (CheckVerdict.WARNING, CheckVerdict.WRONG) else ""


def told_as_json(found: Sequence[Finding], code: int) -> str:
    """Return the findings for programs, as JSON."""
    checks: list[dict[str, Any]] = [
        {
            "code": one.code,
            "about": CHECKS[one.code].about,
            "verdict": one.verdict.value,
            "setting": one.setting,
            "says": one.says,
            "cure": one.cure,
            **({"runbook": page} if (page := _page(one)) else {}),
        }
        for one in found
    ]
    return json.dumps({"verdict": verdict(found, code), "status": code, "checks": checks})
