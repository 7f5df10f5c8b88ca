"""`stream-router top`: what it shows of any answer, once, as JSON, and live in a terminal that is put back."""

import io
import json
import os
import pty
import select
import signal
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Literal

import pytest
from rich.console import Console

from stream_router.top.view import Host, screen
from tests import statuses

PROGRAM = str(Path(sys.executable).parent / "stream-router")
ALTERNATE_SCREEN, MAIN_SCREEN, CURSOR = b"\x1b[?1049h", b"\x1b[?1049l", b"\x1b[?25h"
NOBODY = "http://127.0.0.1:1"
TOKEN = "a token of many bytes"


# --- the view


def shown(*hosts: dict[str, Any], width: int = 60) -> list[str]:
    """The lines as they stand on a terminal of that size. A host without a status does not answer."""
    console = Console(file=io.StringIO(), width=width, height=100, color_system=None, force_terminal=True)
    output = []
    for number, status in enumerate(hosts):
        program: Literal["consume", "receive"] = "receive" if status.get("program") == "receive" else "consume"
        error = "" if status else "does not answer (connection refused)"
        output.append(Host(f"http://{'abc'[number]}:9464", None if error else program, status, error))
    console.print(screen(output, console))
    text = console.file.getvalue()  # type: ignore[attr-defined] # a StringIO
    return [line.rstrip() for line in text.rstrip("\n").split("\n")]


def the(lines: list[str], start: str) -> str:
    (result,) = [line for line in lines if line.startswith(start)]
    return result


def test_the_verdict_stands_first_then_what_explains_it_and_what_is_ill_before_what_is_well() -> None:
    """State, since when, why; then how long data is safe, rates, percentiles, reasons, the receiver, the shards."""
    lines = shown(statuses.holding(), statuses.receiver())
    assert " ".join(lines[:6]) == (
        "✗ a shard holds (holding) since 09:28:00 UTC: 1 of 2 shards: the event bus refuses every call "
        "(ThrottlingException) [1 of 2 well] The shard publishes nothing, and no event is lost. Events wait "
        "in the stream. Remove the cause that the reason names; the shard then continues by itself."
    )
    result = [
        "data safe for 6d23h  oldest unsettled event 2m02s",
        "last minute: delivered 256 events/s  read 100 records/s",
        "sent again 14.5 events/s  dead letters 0 events/s",
        the(lines, "received → accepted"),
        "dead letters: malformed_json 6, unroutable 1",
        "retries: ThrottlingException 20, InternalFailure 4",
        the(lines, "receiver ✓ well since"),
        "stream refused: ProvisionedThroughputExceededException 12",
        "shard 1 since 09:28:00: the event bus refuses every call",
    ]
    assert result == sorted(result, key=lines.index)
    assert result[3].split() == ["received", "→", "accepted", "840ms", "1.85s", "2.6s", "9.24s", "35s", "1m19s"]
    first = lines.index(the(lines, "shard state")) + 1
    assert lines[first].split() == ["1", "a", "shard", "holds", "2m02s", "6d23h", "117KiB", "3.5s"]
    moved = shown(statuses.moved())
    assert the(moved, "nobody reads shardId-000000000002: lease does not move")
    assert "unread shards 1" in the(moved, "bus proven")


def test_several_hosts_are_a_line_each_and_the_worst_is_shown_whole() -> None:
    """One that does not answer is a line too. The first line is of all, by the table of states."""
    lines = shown(statuses.consumer(), statuses.holding(), {})
    assert " ".join(lines[:2]) == (
        "✗ a program does not answer (no-answer): c:9464 does not answer (connection refused) [1 of 3 well]"
    )
    assert the(lines, "a:9464").split() == ["a:9464", "well", "0s", "6d23h", "512", "231ms"]
    assert the(lines, "c:9464 a").split() == ["c:9464", "a", "program", "does", "not", "answer", "-", "-", "-", "-"]
    assert "http://b:9464" in lines


def test_a_start_is_amber_and_says_which_shard_is_not_read_yet() -> None:
    """With what waits, and what to do."""
    lines = shown(statuses.starting(), width=80)
    assert lines[0] == "◐ starting since 09:29:50 UTC: not read yet: shardId-000000000001"
    assert " ".join(lines[1:3]).endswith("Events of the others wait in the stream. Wait two minutes.")


@pytest.mark.parametrize("width", [80, 120])
def test_each_column_of_a_shard_is_explained_below(width: int) -> None:
    """Every abbreviation of the header stands in the legend."""
    lines = shown(statuses.consumer(), width=width)
    header = lines.index(the(lines, "shard "))
    legend = " ".join(lines[header + 3 :])
    columns = ["lag", "safe for", "window", "checkpt", *(["in flight", "delivered"] if width >= 100 else [])]
    assert [column for column in columns if f"{column}:" in legend and column in lines[header]] == columns


@pytest.mark.parametrize("width", [60, 80, 140])
def test_nothing_is_wider_than_the_terminal(width: int) -> None:
    """In every state."""
    spill = {"events": 123_456, "bytes": 5_600_000, "oldestAgeS": 75.0, "failing": True}
    refuses = {"up": False, "code": "KMSDisabledException", "lastTriedAt": "2026-11-25T09:28:00.000Z"}
    for consumer in (statuses.consumer(), statuses.holding(), statuses.moved()):
        lines = shown(consumer, statuses.receiver(spill=spill, kinesis=refuses), width=width)
        assert max(map(len, lines)) <= width
        assert "stream takes nothing" in " ".join(lines)
        assert "spilled events 123,456" in " ".join(lines)


def without_each(value: Any) -> Iterator[Any]:
    """Copies, in each of which one value, at whatever depth, is null."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        for changed in (None, *without_each(item)):
            copy = value.copy()
            copy[key] = changed
            yield copy


def test_whatever_is_not_told_is_unknown_and_no_failure() -> None:
    """Each field of /status in turn is null, as of another version: it is shown as -. So is a percentile of nothing."""
    holding, receiver = statuses.holding(), statuses.receiver()
    holding["shards"] = holding["shards"][1:]
    holding["recent"]["latenciesMs"] = {
        "received_to_accepted": holding["recent"]["latenciesMs"]["received_to_accepted"]
    }
    for status in (holding, receiver):
        del status["totals"]["latenciesMs"]  # nothing here shows them
        for less in without_each(status):
            assert len(shown(less)) >= 3
    assert shown({"schema": "stream-router.status/9"})[0].startswith("◐ unknown (None)")
    none = dict.fromkeys(("count", "p50", "p90", "p95", "p99", "p999", "max"), 0.0)
    quiet = {"seconds": 300, "latenciesMs": {"received_to_accepted": none, "answered": none}}
    lines = shown(statuses.consumer(recent=quiet), statuses.consumer(), statuses.receiver(recent=quiet))
    assert not [line for line in lines if "0ms" in line.split()]


# --- the program


class Admin:
    """An admin port that says what the test says, to who bears the token; while `silent` it answers nothing."""

    def __init__(self) -> None:
        self.status = statuses.holding()
        self.answering = threading.Event()
        self.answering.set()
        admin = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                admin.answering.wait(20)
                body = json.dumps(admin.status).encode()
                self.send_response(200 if self.headers["Authorization"] == f"Bearer {TOKEN}" else 401)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def admin() -> Iterator[Admin]:
    served = Admin()
    yield served
    served.answering.set()
    served.server.shutdown()
    served.server.server_close()


def environment(**more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("STREAM_ROUTER_", "AWS_"))}
    return {**kept, "TERM": "xterm-256color", "STREAM_ROUTER_ADMIN_TOKEN": TOKEN, **more}


def top(*words: str, **more: str) -> subprocess.CompletedProcess[str]:
    """It runs to its end; a host that is away is shown as that, and the status is 0."""
    command = [PROGRAM, "top", *words]
    return subprocess.run(command, check=False, capture_output=True, text=True, env=environment(**more), timeout=30)


def test_once_into_a_pipe_is_plain_text_and_json_is_what_the_hosts_said(admin: Admin) -> None:
    """No colour, no cursor movement; one object, with the whole status of each, and why there is none."""
    both = ("--url", f"{admin.url}/", "--url", NOBODY)
    done = top("--once", *both, COLUMNS="60")
    assert (done.returncode, done.stderr) == (0, "")
    place = NOBODY.removeprefix("http://")
    assert done.stdout.startswith(f"✗ a program does not answer (no-answer): {place} does \nnot answer")
    assert "consumer ✗ a shard holds (holding) since 09:28:00 UTC" in done.stdout
    assert "\x1b" not in done.stdout
    done = top("--json", *both)
    report = json.loads(done.stdout)
    assert (done.returncode, report["schema"]) == (0, "stream-router.top/1")
    assert (report["verdict"]["code"], report["verdict"]["level"], report["verdict"]["url"]) == (
        "no-answer",
        "bad",
        NOBODY,
    )
    assert report["hosts"] == [
        {"url": admin.url, "program": "consume", "error": None, "status": statuses.holding()},
        {"url": NOBODY, "program": None, "error": "does not answer (connection refused)", "status": None},
    ]


def test_where_no_program_answers_a_line_says_so(admin: Admin) -> None:
    """Nobody, a stranger, or one that asks for another token, which is said with the cure. What is not a URL is 78."""
    done = top("--json", "--url", admin.url, STREAM_ROUTER_ADMIN_TOKEN="another token, and long")
    assert "set STREAM_ROUTER_ADMIN_TOKEN" in json.loads(done.stdout)["hosts"][0]["error"]
    admin.status = {"schema": "somebody-else's/1"}
    done = top("--once", "--url", admin.url, "--url", NOBODY)
    assert (done.returncode, NOBODY.removeprefix("http://") in done.stdout) == (0, True)
    assert done.stderr.startswith(f"stream-router top: no program of ours answers at {admin.url} or {NOBODY};")
    done = top("--once", "--url", "host:9464")
    assert (done.returncode, done.stderr.count("\n")) == (78, 1)
    assert "give http://HOST:PORT" in done.stderr


class Terminal:
    """A terminal of 60 by 40 with `top` in it."""

    def __init__(self, *urls: str) -> None:
        self.master, self.slave = pty.openpty()
        termios.tcsetwinsize(self.slave, (40, 60))
        self.before = termios.tcgetattr(self.slave)
        self.output = b""
        self.process = subprocess.Popen(
            [PROGRAM, "top", *(word for url in urls for word in ("--url", url))],
            stdin=self.slave,
            stdout=self.slave,
            stderr=self.slave,
            env=environment(),
            start_new_session=True,
        )

    def until(self, text: str, timeout_s: float = 20.0) -> None:
        """Read until the text has come anew."""
        deadline = time.monotonic() + timeout_s
        while text.encode() not in self.output:
            assert self._read(deadline - time.monotonic()), f"{text!r} has not come: {self.output[-2000:]!r}"

    def is_put_back(self) -> None:
        """It is read until the end: a terminal that is full holds that up."""
        deadline = time.monotonic() + 20
        while self.process.poll() is None or self._read(0.2):
            assert time.monotonic() < deadline, f"it has not ended: {self.output[-2000:]!r}"
            self._read(0.05)
        assert self.process.returncode == 0
        assert MAIN_SCREEN in self.output
        assert CURSOR in self.output
        assert b"Traceback" not in self.output
        assert termios.tcgetattr(self.slave) == self.before

    def _read(self, wait_s: float) -> bool:
        ready, _, _ = select.select([self.master], [], [], max(0.0, wait_s))
        if ready:
            self.output += os.read(self.master, 65536)
        return bool(ready)

    def close(self) -> None:
        self.process.kill()
        self.process.wait(10)
        os.close(self.master)
        os.close(self.slave)


@pytest.fixture
def terminal(admin: Admin) -> Iterator[Terminal]:
    opened = Terminal(admin.url, NOBODY)
    yield opened
    opened.close()


@pytest.mark.parametrize("mode", [signal.SIGINT, signal.SIGTERM])
def test_the_terminal_is_put_back(terminal: Terminal, mode: signal.Signals) -> None:
    """Its modes, its screen, its cursor; the status is 0, and no traceback is left on it."""
    terminal.until("a shard holds")
    assert ALTERNATE_SCREEN in terminal.output
    assert termios.tcgetattr(terminal.slave) != terminal.before, "keys come one by one while it runs"
    terminal.output = b""
    os.killpg(terminal.process.pid, mode)
    terminal.is_put_back()


def test_it_follows_what_changes_and_q_ends_it_though_a_host_hangs(terminal: Terminal, admin: Admin) -> None:
    """A state that ends is gone at the next look; who hangs is a line, and holds up no other and no end."""
    terminal.until("a shard holds")
    admin.status = statuses.consumer()
    terminal.until("✓ well since")
    admin.answering.clear()
    terminal.until("within 3 s")
    begun = time.monotonic()
    terminal.output = b""
    os.write(terminal.master, b"q")
    terminal.is_put_back()
    assert time.monotonic() - begun < 2.5
