"""`stream-router doctor`: runs the checks, shows them, and ends with what they say. It changes nothing."""

import contextlib
import json
import sys
import threading
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

from botocore.exceptions import BotoCoreError, ClientError
from rich.console import Console
from rich.text import Text

from stream_router.aws import credentials
from stream_router.checks import LATER, Finding, Verdict, of_error, skipped
from stream_router.errors import SettingsError
from stream_router.operate.doctor import bus, deployment, host, letters, probe, stream
from stream_router.operate.doctor.world import Check, Subject, World, of_line
from stream_router.send.signing import own_url

DEADLINE_S = 13.0
"""Of all checks together; with the start of the program it stays below 15 s."""

SUBJECTS = (
    *(host.SETTINGS, host.JAVA, host.HERE, host.ACCOUNT),
    *(stream.ITSELF, stream.LEASES, bus.BUS_AND_RULE, letters.LETTERS, deployment.DEPLOYMENT),
)
"""In the order in which they are shown; docs/doctor.md has the same."""

CHECKS: dict[str, Check] = {code: check for one in SUBJECTS for code, check in one.checks.items()} | probe.CHECKS


class Wish(NamedTuple):
    """What the command line asks for."""

    program: str | None = None
    as_json: bool = False
    offline: bool = False
    end_to_end: bool = False
    url: str | None = None


def run(wish: Wish) -> int:
    """0 well, 1 something is wrong, 2 cannot judge. Bad settings are findings here."""
    world = World(wish.program, offline=wish.offline)
    console = Console(stderr=True)
    with console.status("looks at everything"):
        found = look(world)
    if wish.end_to_end:
        with console.status("an event of our own goes the whole way"):
            url = wish.url or (own_url(world.receive) if world.receive else "")
            found += probe.run(world, url)
    code = status(found)
    if wish.as_json:
        sys.stdout.write(as_json(found, code) + "\n")
    else:
        show(found, code)
    sys.stdout.flush()
    return code


# --- the checks, side by side


class _Looked:
    """One subject, looked at in a thread of its own: a daemon's, since a call that hangs holds up no exit."""

    def __init__(self, subject: Subject, world: World) -> None:
        self.subject = subject
        self._world = world
        self._found: list[Finding] = []
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> "_Looked":
        self._thread.start()
        return self

    def _run(self) -> None:
        try:
            for finding in self.subject.look(self._world):
                self._found.append(finding)
        except Exception as error:  # noqa: BLE001 - a check that breaks leaves the others, and is said
            self._found.append(self._broken(error))

    def _broken(self, error: Exception) -> Finding:
        code = self._next(self._found)
        if isinstance(error, SettingsError):
            return of_line(code, str(error).splitlines()[0])
        about = self.subject.checks[code].about
        if isinstance(error, ClientError | BotoCoreError):
            return of_error(code, about, about, error, {})
        return Finding(code, about, Verdict.UNKNOWN, f"the check itself failed ({type(error).__name__})", LATER)

    def _next(self, found: Sequence[Finding]) -> str:
        seen = {one.code for one in found}
        return next((code for code in self.subject.checks if code not in seen), next(reversed(self.subject.checks)))

    def result(self, until_s: float) -> list[Finding]:
        """What it found by then (monotonic seconds), each code at least once: what was not asked says why."""
        self._thread.join(max(0.0, until_s - time.monotonic()))
        is_late = self._thread.is_alive()
        found = list(self._found)
        if is_late:
            code = self._next(found)
            says = f"no answer within {DEADLINE_S:.0f} s"
            found.append(Finding(code, self.subject.checks[code].about, Verdict.UNKNOWN, says, LATER))
        if not found:
            return _filled(self.subject, [], "not asked")
        last = found[-1]
        why = last.says if last.verdict is Verdict.SKIPPED else f"waits for {last.code}"
        return _filled(self.subject, found, why)


def _filled(subject: Subject, found: Sequence[Finding], why: str) -> list[Finding]:
    """Every code of the subject, in its order; `why` for those that were not asked."""
    return [
        finding
        for code in subject.checks
        for finding in [one for one in found if one.code == code] or [skipped(code, why)]
    ]


def look(world: World, subjects: Sequence[Subject] = SUBJECTS) -> list[Finding]:
    """What every check says that concerns the programs of `world`, in the order of the tables, within DEADLINE_S.

    Credentials come first and outside of the deadline: a profile may want a code that a person has to type. Where AWS
    does not take them, nothing else of AWS is asked.
    """
    if world.common and not world.offline:
        with contextlib.suppress(SettingsError):  # SR010 says it
            credentials.find(world.session)
    until_s = time.monotonic() + DEADLINE_S
    of_aws = [one for one in subjects if one.aws]
    told: dict[int, list[Finding]] = {}
    if world.offline:
        of_aws, subjects = [], [one for one in subjects if not one.aws and one is not host.HERE]
    elif world.common is None:
        told = {id(one): _filled(one, [], "waits for the settings (SR001, SR002)") for one in of_aws}
    elif host.ACCOUNT in of_aws:
        account = _Looked(host.ACCOUNT, world).start().result(until_s)
        told[id(host.ACCOUNT)] = account
        if account[0].verdict is Verdict.WRONG:
            told |= {id(one): _filled(one, [], "waits for SR010") for one in of_aws if one is not host.ACCOUNT}
        else:
            _ = world.clients
    looked = {id(one): _Looked(one, world).start() for one in subjects if id(one) not in told}
    for key, one in looked.items():
        told[key] = one.result(until_s)
    found = [finding for one in subjects for finding in told[id(one)]]
    return [one for one in found if CHECKS[one.code].programs & world.programs]


# --- showing them

WELL, WRONG, UNJUDGED = 0, 1, 2
SIGNS = {
    Verdict.WELL: ("ok", "green"),
    Verdict.WARNING: ("warning", "yellow"),
    Verdict.WRONG: ("failure", "bold red"),
    Verdict.UNKNOWN: ("unknown", "magenta"),
    Verdict.SKIPPED: ("-", "dim"),
}


def status(found: Sequence[Finding]) -> int:
    """0 all is well, 1 something is wrong, 2 it cannot be judged."""
    seen = {one.verdict for one in found}
    if Verdict.WRONG in seen:
        return WRONG
    return UNJUDGED if Verdict.UNKNOWN in seen else WELL


def verdict(found: Sequence[Finding], code: int) -> str:
    """The last line."""
    counts = Counter(one.verdict for one in found)
    words = {WELL: "well", WRONG: "something is wrong", UNJUDGED: "cannot judge"}
    names = {Verdict.WRONG: "failure", Verdict.WARNING: "warning", Verdict.UNKNOWN: "unknown", Verdict.WELL: "ok"}
    names[Verdict.SKIPPED] = "not asked"
    told = []
    for kind, word in names.items():
        many = "s" if counts[kind] > 1 and kind in (Verdict.WRONG, Verdict.WARNING) else ""
        if counts[kind] or kind is Verdict.WELL:
            told.append(f"{counts[kind]} {word}{many}")
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
    whose = f"{one.setting}: " if one.setting and one.verdict is not Verdict.WELL else ""
    more = f"; {one.cure}" if one.cure else ""
    page = f" ({_page(one)})" if _page(one) else ""
    return "".join(char if char.isprintable() else " " for char in f"{whose}{one.says}{more}{page}")


def _page(one: Finding) -> str:
    """The runbook that goes on where the cure ends; "" where there is none, or nothing is wrong."""
    name = CHECKS[one.code].runbook
    return f"docs/runbooks/{name}.md" if name and one.verdict in (Verdict.WARNING, Verdict.WRONG) else ""


def as_json(found: Sequence[Finding], code: int) -> str:
    """The same for programs."""
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
