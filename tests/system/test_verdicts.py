"""Ten troubles, and what each view says of them after 5, 15, 30 and 70 s: one code everywhere, and the true one.

`python -m tests.system.test_verdicts FOLDER TROUBLE` prints what was seen in one trouble, as JSON.
"""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from stream_router.telemetry.verdict import TABLE
from tests import small_disk
from tests.chromium import PROGRAM as CHROMIUM
from tests.chromium import Chromium
from tests.system.world import PROGRAM, World, until, webhook

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]

MOMENTS_S = (5.0, 15.0, 30.0, 70.0)
TRUE_FROM_S = 15.0
PER_S = 10
STOPPED_S, RUNNING_S = 1.2, 0.15
"""A slow AWS: it does nothing for so long, then all that waits, and so on."""

ADMIN = {"receive": "STREAM_ROUTER_RECEIVER_ADMIN_LISTEN", "consume": "STREAM_ROUTER_ADMIN_LISTEN"}
CHECKS = {"receive": "SR020", "consume": "SR021"}

Seen = dict[str, Any]


class Trouble:
    """One world, and a sender at ten events a second, of whom one in ten sends a type that nobody routes if `bad`."""

    def __init__(self, folder: Path, *, bad: bool = False) -> None:
        disk = folder / "disk"
        spill = disk / "spill"
        spill.mkdir(parents=True, exist_ok=True)
        self.disk, self.bad = disk, bad
        own = {"STREAM_ROUTER_STATE_DIR": str(disk / "state"), "STREAM_ROUTER_SPILL_DIR": str(spill)}
        self.world = World(folder, STREAM_ROUTER_LOG_FORMAT="json", STREAM_ROUTER_MASKING="default", **own)
        self.ends = threading.Event()
        self.begun_s = 0.0

    def start(self) -> None:
        """Start everything, and wait until both programs are well with events on their way."""
        self.world.start_all()
        threading.Thread(target=self._send, daemon=True).start()
        until(lambda: self.code("consume") == self.code("receive") == "well", 120, "both programs are well")
        time.sleep(5)

    def _send(self) -> None:
        with ThreadPoolExecutor(16) as pool:
            number = 0
            while not self.ends.wait(1 / PER_S):
                number += 1
                changes = {"eventType": "nobody.routes.this"} if self.bad and number % 10 == 0 else {}
                pool.submit(self._post, number, webhook(number, **changes))

    def _post(self, number: int, body: bytes) -> None:
        headers = {**self.world.signed(f"v-{number}", body), "content-type": "application/json"}
        with contextlib.suppress(httpx.HTTPError):
            httpx.post(f"{self.world.url}/v1/events", content=body, headers=headers, timeout=3.0)

    def url(self, program: str) -> str:
        return f"http://{self.world.environment[ADMIN[program]]}"

    def code(self, program: str) -> str | None:
        """The code of `/status`; None where there is no answer."""
        with contextlib.suppress(httpx.HTTPError):
            return str(httpx.get(f"{self.url(program)}/status", timeout=3.0).json()["code"])
        return None

    def logged(self, program: str) -> str | None:
        """The code of the latest verdict in the log."""
        name = {"receive": "receive", "consume": "consume"}[program]
        lines = (self.world.folder / f"{name}.log").read_text("utf-8", "replace").splitlines()
        verdicts = [line for line in lines if '"event":"verdict"' in line]
        return str(json.loads(verdicts[-1])["code"]) if verdicts else None

    def command(self, *words: str) -> str:
        """The output of one of our commands. Doctor, which starts a JVM, is to hold up no other view."""
        command = ["nice", "-n", "5" if words[0] == "doctor" else "0", PROGRAM, *words]
        environment = self.world.environment
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=300)
        return done.stdout or done.stderr

    def top(self) -> tuple[Seen, str]:
        """What `top` says as JSON and as text; asked again if a program that lives was too busy to answer it."""
        urls = [word for program in ADMIN for word in ("--url", self.url(program))]
        for _ in range(3):
            parsed = json.loads(self.command("top", "--json", *urls))
            lines = " ".join(self.command("top", "--once", *urls).splitlines()[:3])
            lives = [self.code(program) is not None for program in ADMIN]
            answered = [host["status"] is not None for host in parsed["hosts"]]
            if lives == answered and _code_in(lines) == parsed["verdict"]["code"]:
                break
        return parsed, lines

    def seen(self, page: Callable[[], str | None]) -> Seen:
        """Ask every view at once."""
        with ThreadPoolExecutor(8) as pool:
            logged = {program: self.logged(program) for program in ADMIN}
            status = {program: pool.submit(self.code, program) for program in ADMIN}
            health = {program: pool.submit(self.command, "health", program) for program in ADMIN}
            check_result, lines = self.top()
            doctor = self.command("doctor", "--json")
            checks = json.loads(doctor[doctor.index("{") :])["checks"]
            return {
                "log": logged,
                "status": {program: answer.result() for program, answer in status.items()},
                "health": {program: _code_in(answer.result()) for program, answer in health.items()},
                "top": {
                    "receive": (check_result["hosts"][0]["status"] or {}).get("code", "no-answer"),
                    "consume": (check_result["hosts"][1]["status"] or {}).get("code", "no-answer"),
                    "first": check_result["verdict"]["code"],
                    "line": _code_in(lines),
                },
                "page": page(),
                "doctor": {
                    program: _code_in(" ".join(check["says"] for check in checks if check["code"] == code))
                    for program, code in CHECKS.items()
                },
                "failures": sorted({check["code"] for check in checks if check["verdict"] == "wrong"}),
            }

    def close(self) -> None:
        self.ends.set()
        self.world.close()


def _code_in(text: str) -> str | None:
    """The code that a line names: `words (code)`, `200 code: words` of a probe, or a word that is its own code."""
    codes = "|".join(TABLE)
    match = re.search(rf"\(({codes})\)|\d{{3}} ({codes})\b|(?:^✓|: ) ?({codes}) since", text)
    return next(filter(None, match.groups())) if match else None


# --- the troubles


def frozen(trouble: Trouble) -> None:
    os.kill(stack(trouble).pid, signal.SIGSTOP)


def slow(trouble: Trouble) -> None:
    def stutter() -> None:
        pid = stack(trouble).pid
        while not trouble.ends.is_set():
            os.kill(pid, signal.SIGSTOP)
            time.sleep(STOPPED_S)
            os.kill(pid, signal.SIGCONT)
            time.sleep(RUNNING_S)

    threading.Thread(target=stutter, daemon=True).start()


def gone(trouble: Trouble) -> None:
    stack(trouble).kill()


def receiver_killed(trouble: Trouble) -> None:
    trouble.world.receiver.kill()


def consumer_killed(trouble: Trouble) -> None:
    trouble.world.consumer.kill()


def rule_deleted(trouble: Trouble) -> None:
    trouble.world.delete_rule()


def target_closed(trouble: Trouble) -> None:
    trouble.world.close_target()


def disk_full(trouble: Trouble) -> None:
    small_disk.fill(trouble.disk)


def letter_queue_gone(trouble: Trouble) -> None:
    trouble.world.sqs.delete_queue(QueueUrl=trouble.world.dead_letters)


def nothing(trouble: Trouble) -> None:
    """All is well."""


def stack(trouble: Trouble) -> "subprocess.Popen[bytes]":
    return trouble.world.processes[0]


TROUBLES: dict[str, tuple[Callable[[Trouble], None], set[str], set[str]]] = {
    "frozen": (frozen, {"aws-silent"}, {"aws-silent"}),
    "slow": (slow, {"stream-slow"}, {"well", "catching-up", "back-pressure"}),
    "gone": (gone, {"aws-silent"}, {"aws-silent"}),
    "receiver_killed": (receiver_killed, {"no-answer"}, {"well"}),
    "consumer_killed": (consumer_killed, {"well"}, {"no-answer"}),
    "rule_deleted": (rule_deleted, {"well"}, {"target-broken"}),
    "target_closed": (target_closed, {"well"}, {"well"}),
    "disk_full": (disk_full, {"disk-full"}, {"disk-full"}),
    "letter_queue_gone": (letter_queue_gone, {"well"}, {"holding"}),
    "nothing": (nothing, {"well"}, {"well"}),
}
"""How each is made, and the codes that are true of receiver and consumer."""


def watch(folder: Path, name: str) -> dict[str, Seen]:
    """Make the trouble, and return what every view said at each moment."""
    make, _, _ = TROUBLES[name]
    trouble = Trouble(folder, bad=name == "letter_queue_gone")
    try:
        with _page(folder, trouble) as page:
            trouble.start()
            make(trouble)
            begun_s = time.monotonic()
            with ThreadPoolExecutor(len(MOMENTS_S)) as pool:
                views = {}
                for moment_s in MOMENTS_S:
                    time.sleep(max(0.0, begun_s + moment_s - time.monotonic()))
                    views[moment_s] = pool.submit(trouble.seen, page)
                return {f"{moment_s:.0f}": view.result() for moment_s, view in views.items()}
    finally:
        trouble.ends.set()
        with contextlib.suppress(ProcessLookupError):
            os.kill(stack(trouble).pid, signal.SIGCONT)
        trouble.close()


@contextlib.contextmanager
def _page(folder: Path, trouble: Trouble) -> Iterator[Callable[[], str | None]]:
    """The code on the consumer's page; None where no browser is installed, or the page cannot be had."""
    if CHROMIUM is None:
        yield lambda: None
        return
    with Chromium(folder / "browser") as browser:

        def code() -> str | None:
            if trouble.code("consume") is None:
                return "no-answer"
            browser.open(trouble.url("consume"))
            browser.until("document.querySelector('#code').textContent !== ''")
            return str(browser.value("document.querySelector('#code').textContent"))

        yield code


@pytest.mark.parametrize("name", TROUBLES)
def test_every_view_names_the_trouble(tmp_path: Path, name: str) -> None:
    """From 15 s on each view has the same code of a program, and it is the true one."""
    disk = tmp_path / "disk"
    disk.mkdir()
    words = (sys.executable, "-m", "tests.system.test_verdicts", str(tmp_path), name)
    output, _ = small_disk.run((*small_disk.around(disk, "12m"), *words) if name == "disk_full" else words)
    seen: dict[str, Seen] = json.loads(output)
    print(table(name, seen))  # noqa: T201 - the row of docs/operations.md
    _, receiver, consumer = TROUBLES[name]
    for moment, view in seen.items():
        if float(moment) < TRUE_FROM_S:
            continue
        true = {"receive": receiver, "consume": consumer}
        for program, codes in true.items():
            assert codes_of(view, program) <= codes, (moment, program, view)
            assert len(codes_of(view, program)) == 1, (moment, program, view)
        assert view["top"]["first"] == view["top"]["line"], (moment, view)
        assert view["top"]["first"] in {view["top"]["receive"], view["top"]["consume"]}
        if name != "nothing":
            assert view["top"]["first"] != "well" or name == "target_closed", (moment, view)
        assert name != "target_closed" or "SR144" in view["failures"]


def codes_of(view: Seen, program: str) -> set[str]:
    """The codes that the views give of a program. One that is killed logs nothing, and has no `/status`."""
    codes = {view[name][program] for name in ("health", "top", "doctor")}
    if view["status"][program] is not None:
        codes |= {view["status"][program], view["log"][program]}
    if program == "consume" and view["page"] is not None:
        codes.add(view["page"])
    return codes


def table(name: str, seen: dict[str, Seen]) -> str:
    """A row of the table in docs/operations.md."""
    cells = []
    for view in seen.values():
        both = [" / ".join(sorted(map(str, codes_of(view, program)))) for program in ADMIN]
        cells.append(f"{both[0]}; {both[1]}")
    return f"| {name} | {' | '.join(cells)} |"


if __name__ == "__main__":
    json.dump(watch(Path(sys.argv[1]), sys.argv[2]), sys.stdout)
