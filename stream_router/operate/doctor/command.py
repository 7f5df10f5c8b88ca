"""`stream-router doctor`: runs the checks and prints their findings. The exit status says whether all is well.

It changes nothing, except that `--end-to-end` sends a test event and makes a rule and a queue for it (`probe.py`).
"""

import json
import sys
from collections import Counter
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.text import Text

from stream_router.checks import CheckVerdict, Finding, report_error, skipped
from stream_router.operate.doctor import bus, host, probe, stream, surroundings
from stream_router.operate.doctor.world import Check, Subject, World
from stream_router.send.signing import own_url

SUBJECTS = (
    *(host.SETTINGS, host.JAVA, host.HERE, host.ACCOUNT),
    *(stream.ITSELF, stream.SPILL, stream.LEASES, bus.BUS_AND_RULE, surroundings.SURROUNDINGS),
    *(bus.LETTERS, bus.DEPLOYMENT),
)
"""Subjects in the order of the output, which is that of docs/doctor.md as well."""

CHECKS: dict[str, Check] = {
    code: check for subject in SUBJECTS for code, check in subject.checks.items()
} | probe.CHECKS


def run(
    program: str | None = None,
    *,
    as_json: bool = False,
    offline: bool = False,
    end_to_end: bool = False,
    url: str | None = None,
) -> int:
    """Run the checks of `program`, or of both programs if it is None, and print the findings.

    Return WELL, WRONG or UNJUDGED. Wrong settings are findings here, not errors. With `end_to_end` a test event is sent
    to the receiver at `url`, or at the address of this host's settings.
    """
    world = World(program, offline=offline)
    console = Console(stderr=True)
    with console.status("running the checks"):
        findings = run_checks(world)
    if end_to_end:
        with console.status("sending a test event through the whole pipeline"):
            findings += probe.run(world, url or (own_url(world.receive) if world.receive else ""))
    code = status(findings)
    if as_json:
        sys.stdout.write(findings_as_json(findings, code) + "\n")
    else:
        show(findings, code)
    sys.stdout.flush()
    return code


def run_checks(world: World, subjects: Sequence[Subject] = SUBJECTS) -> list[Finding]:
    """Return the findings of all checks for the programs of `world`, in the order of the tables.

    Each check has at least one finding; a check that was not made has one that says why. Each call to AWS is tried
    once, within the time limits of NO_RETRIES_CONFIG. If AWS refuses the credentials, all further checks that call AWS
    are skipped.
    """
    findings: list[Finding] = []
    blocked_by = "" if world.common else "waits for the settings (SR001, SR002)"
    for subject in subjects:
        if world.offline and (subject.aws or subject is host.HERE):
            continue
        subject_findings: list[Finding] = []
        skip_reason = blocked_by
        if not (subject.aws and blocked_by):
            subject_findings, skip_reason = _run_subject(subject, world)
        for code in subject.checks:
            findings += [finding for finding in subject_findings if finding.code == code] or [
                skipped(code, skip_reason)
            ]
        if subject is host.ACCOUNT and not blocked_by and subject_findings[0].verdict is CheckVerdict.WRONG:
            blocked_by = "waits for SR010"
    return [finding for finding in findings if CHECKS[finding.code].programs & world.programs]


def _run_subject(subject: Subject, world: World) -> tuple[list[Finding], str]:
    """Return a subject's findings, and the reason why those of its checks without a finding did not run.

    An exception becomes a finding of the first check that has none, since checks are made in order. Raises nothing.
    """
    findings: list[Finding] = []
    try:
        findings.extend(subject.check(world))  # findings before an exception are kept
    except Exception as error:  # noqa: BLE001 - it becomes a finding
        seen = {finding.code for finding in findings}
        code = next((code for code in subject.checks if code not in seen), next(reversed(subject.checks)))
        about = subject.checks[code].about
        findings.append(report_error(code, about, about, error))
    last = findings[-1]
    skip_reason = last.observation if last.verdict is CheckVerdict.SKIPPED else f"waits for {last.code}"
    return findings, skip_reason


# --- output

WELL, WRONG, UNJUDGED = 0, 1, 2
"""Exit statuses: all is well, something is wrong, or that cannot be judged."""

SIGNS = {
    CheckVerdict.WRONG: ("failure", "bold red"),
    CheckVerdict.WARNING: ("warning", "yellow"),
    CheckVerdict.UNKNOWN: ("unknown", "magenta"),
    CheckVerdict.OK: ("ok", "green"),
    CheckVerdict.SKIPPED: ("-", "dim"),
}


def status(findings: Sequence[Finding]) -> int:
    """Return the exit status of these findings: WRONG before UNJUDGED before WELL. A warning alone counts as well."""
    seen = {finding.verdict for finding in findings}
    if CheckVerdict.WRONG in seen:
        return WRONG
    return UNJUDGED if CheckVerdict.UNKNOWN in seen else WELL


def verdict(findings: Sequence[Finding], code: int) -> str:
    """Return the last line of the output: the status in words, and the number of findings by verdict."""
    counts = Counter(finding.verdict for finding in findings)
    words = {WELL: "well", WRONG: "something is wrong", UNJUDGED: "cannot judge"}
    parts = []
    for kind, (sign, _) in SIGNS.items():
        if counts[kind] or kind is CheckVerdict.OK:
            noun = "not asked" if kind is CheckVerdict.SKIPPED else sign
            if counts[kind] > 1 and kind in (CheckVerdict.WRONG, CheckVerdict.WARNING):
                noun += "s"
            parts.append(f"{counts[kind]} {noun}")
    return f"{words[code]}: {', '.join(parts)}"


def show(findings: Sequence[Finding], code: int) -> None:
    """Print one line per finding, and a last line with the exit status `code` in words.

    Rich would break long lines. They are printed whole, so that `grep` finds whole findings; a terminal wraps them.
    """
    console = Console(soft_wrap=True, highlight=False)
    for finding in findings:
        sign, style = SIGNS[finding.verdict]
        console.print(
            Text(f"{sign:8}", style),
            Text(f"{finding.code}  {CHECKS[finding.code].about:22} {_format_finding(finding)}"),
        )
    console.print(Text(verdict(findings, code), "bold green" if code == WELL else "bold red"))


def _format_finding(finding: Finding) -> str:
    """Return a finding as one line without control characters, which could drive a terminal."""
    setting = f"{finding.setting}: " if finding.setting and finding.verdict is not CheckVerdict.OK else ""
    more = f"; {finding.cure}" if finding.cure else ""
    page = f" ({_runbook_path(finding)})" if _runbook_path(finding) else ""
    return "".join(char if char.isprintable() else " " for char in f"{setting}{finding.observation}{more}{page}")


def _runbook_path(finding: Finding) -> str:
    """Return the path of the finding's runbook; "" if there is none, or if nothing is wrong."""
    name = CHECKS[finding.code].runbook
    return f"docs/runbooks/{name}.md" if name and finding.verdict in (CheckVerdict.WARNING, CheckVerdict.WRONG) else ""


def findings_as_json(findings: Sequence[Finding], code: int) -> str:
    """Return the findings as JSON (docs/contract.md)."""
    checks: list[dict[str, Any]] = [
        {
            "code": finding.code,
            "about": CHECKS[finding.code].about,
            "verdict": finding.verdict.value,
            "setting": finding.setting,
            "says": finding.observation,
            "cure": finding.cure,
            **({"runbook": page} if (page := _runbook_path(finding)) else {}),
        }
        for finding in findings
    ]
    return json.dumps({"verdict": verdict(findings, code), "status": code, "checks": checks})
