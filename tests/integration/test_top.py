"""`stream-router top` as a program: once, as JSON, and live in a terminal that is put back whatever ends it."""

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
from typing import Any

import pytest

from tests import statuses

PROGRAM = str(Path(sys.executable).parent / "stream-router")
ALTERNATE_SCREEN, MAIN_SCREEN, CURSOR = b"\x1b[?1049h", b"\x1b[?1049l", b"\x1b[?25h"
NOBODY = "http://127.0.0.1:1"


class Admin:
    """An admin port that says what the test says; while `silent` it answers nothing."""

    def __init__(self, status: dict[str, Any]) -> None:
        self.status = status
        self.answering = threading.Event()
        self.answering.set()
        admin = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                admin.answering.wait(20)
                body = json.dumps(admin.status).encode()
                self.send_response(200)
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
    served = Admin(statuses.holding())
    yield served
    served.answering.set()
    served.server.shutdown()
    served.server.server_close()


def environment(**more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("STREAM_ROUTER_", "AWS_"))}
    return {**kept, "TERM": "xterm-256color", **more}


def test_once_into_a_pipe_is_plain_text(admin: Admin) -> None:
    """No colour, no cursor movement; a host that is away is a line, and the status is 0."""
    command = [PROGRAM, "top", "--once", "--url", admin.url, "--url", NOBODY]
    narrow = environment(COLUMNS="60")
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=narrow, timeout=30)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("✗ HOLDING since 09:28:00 UTC: 1 of 2 shards hold")
    assert f"✗ {NOBODY} does not answer (connection refused)" in done.stdout
    assert "\x1b" not in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 60


@pytest.mark.parametrize("how", ["--once", "--json"])
def test_where_no_program_answers_a_line_says_so(admin: Admin, how: str) -> None:
    """The view is shown all the same, and the status is 0 (docs/contract.md): standard error says it."""
    admin.status = {"schema": "somebody-else's/1"}
    command = [PROGRAM, "top", how, "--url", admin.url, "--url", NOBODY]
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=environment(), timeout=30)
    assert done.returncode == 0
    assert done.stderr == (
        f"stream-router top: no program of ours answers at {admin.url} or {NOBODY}; start one, or name its admin port "
        "with --url\n"
    )
    assert NOBODY in done.stdout


def test_json_is_what_the_hosts_said(admin: Admin) -> None:
    """One object, with the whole status of each, and why there is none."""
    command = [PROGRAM, "top", "--json", "--url", admin.url, "--url", NOBODY]
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=environment(), timeout=30)
    told = json.loads(done.stdout)
    assert (done.returncode, told["schema"]) == (0, "stream-router.top/1")
    assert told["hosts"] == [
        {"url": admin.url, "program": "consume", "error": None, "status": statuses.holding()},
        {"url": NOBODY, "program": None, "error": "does not answer (connection refused)", "status": None},
    ]


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
        """Read until the text has come."""
        deadline = time.monotonic() + timeout_s
        while text.encode() not in self.output:
            ready, _, _ = select.select([self.master], [], [], max(0.0, deadline - time.monotonic()))
            assert ready, f"{text!r} has not come: {self.output[-2000:]!r}"
            self.output += os.read(self.master, 65536)

    def press(self, key: bytes) -> None:
        self.output = b""
        os.write(self.master, key)

    def ended(self) -> int:
        """The exit status. It is read meanwhile, into `output`: a terminal that is full holds up an end."""
        deadline = time.monotonic() + 20
        while self.process.poll() is None:
            assert time.monotonic() < deadline, f"it has not ended: {self.output[-2000:]!r}"
            self._read(0.05)
        while self._read(0.2):
            pass
        return self.process.returncode

    def _read(self, wait_s: float) -> bool:
        ready, _, _ = select.select([self.master], [], [], wait_s)
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


@pytest.mark.parametrize("how", ["q", "ctrl-c", "SIGTERM"])
def test_the_terminal_is_put_back(terminal: Terminal, how: str) -> None:
    """Its modes, its screen, its cursor; the status is 0, and no traceback is left on it."""
    terminal.until("HOLDING")
    assert ALTERNATE_SCREEN in terminal.output
    assert termios.tcgetattr(terminal.slave) != terminal.before, "keys come one by one while it runs"
    if how == "q":
        terminal.press(b"q")
    elif how == "ctrl-c":
        terminal.output = b""
        os.killpg(terminal.process.pid, signal.SIGINT)
    else:
        terminal.output = b""
        terminal.process.terminate()
    assert terminal.ended() == 0
    assert MAIN_SCREEN in terminal.output
    assert CURSOR in terminal.output
    assert b"Traceback" not in terminal.output
    assert termios.tcgetattr(terminal.slave) == terminal.before


def test_it_follows_what_changes(terminal: Terminal, admin: Admin) -> None:
    """A state that ends is gone at the next look."""
    terminal.until("q quit")
    terminal.output = b""
    admin.status = statuses.consumer()
    terminal.until("CAUGHT UP")


def test_a_host_that_hangs_holds_up_no_end(terminal: Terminal, admin: Admin) -> None:
    """Nor the other hosts: it is a line, and `q` is heard at once."""
    terminal.until("HOLDING")
    admin.answering.clear()
    terminal.output = b""
    terminal.until("no answer within 3 s")
    begun = time.monotonic()
    terminal.press(b"q")
    assert terminal.ended() == 0
    assert time.monotonic() - begun < 2.5
