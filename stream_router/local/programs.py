"""The programs of one embedded stack as child processes: a clean environment, a start, an end, and none left behind."""

import contextlib
import errno
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from stream_router.process import tied_to_us

REGION = "us-east-1"
ACCOUNT = "000000000000"
"""What ministack says of itself."""

READY_POLL_S = 0.1

_OWN_PORTS = range(30_000, 32_768)
"""Linux gives the ports from 32768 on to outgoing connections, other systems those from 49152 on."""

_DROPPED = ("AWS_", "STREAM_ROUTER_", "CXONE_", "EVENTBRIDGE_", "SQS_")
_PROXIES = ("http_proxy", "https_proxy", "all_proxy")


def clean(endpoint: str) -> dict[str, str]:
    """Our own environment without any AWS or product setting of the operator's, pointed at the stack at `endpoint`."""
    kept = {
        key: value
        for key, value in os.environ.items()
        if not key.upper().startswith(_DROPPED) and key.lower() not in _PROXIES
    }
    return {
        **kept,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
    }


def enter() -> None:
    """Make this process's own environment clean: it reads settings too, and they must not be the operator's."""
    mine = clean("")
    del mine["AWS_ENDPOINT_URL"]
    os.environ.clear()
    os.environ.update(mine)


def free_port() -> int:
    """A port of the loopback that nobody uses now, and that no outgoing connection is given before its program starts.

    Raises OSError where there is none.
    """
    for port in random.sample(_OWN_PORTS, len(_OWN_PORTS)):
        if not is_taken(port):
            return port
    raise OSError(errno.EADDRINUSE, "every port that the stack may use is taken")


def is_taken(port: int) -> bool:
    """Whether somebody listens at this port of the loopback."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return True
    return False


def answers(url: str) -> bool:
    """Whether a URL of the loopback answers 200 now."""
    try:
        with urllib.request.urlopen(url, timeout=1.0) as answer:  # noqa: S310  # our own loopback URL
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def module(*words: str) -> list[str]:
    """The command line of a Python module: where console scripts are depends on how it was installed.

    `-P`: the working folder is not where its code comes from.
    """
    return [sys.executable, "-P", "-m", *words]


class ProgramError(Exception):
    """A program did not start, or ended too soon; its text is one line and names its log."""


class Program:
    """One running child process with its log file. It ends with this process, kill -9 of it included (Linux)."""

    def __init__(
        self, name: str, command: list[str], environment: dict[str, str], folder: Path, stop_timeout_s: float
    ) -> None:
        self.name = name
        self.log = folder / f"{name}.log"
        self._command, self._environment, self._stop_timeout_s = command, environment, stop_timeout_s
        self.start()

    def start(self) -> None:
        """Start it, or start it again. From the main thread: the kernel ties it to the thread that started it."""
        with self.log.open("ab") as log:
            # A session of its own: Ctrl-C is for the demo, which then ends the programs in good order.
            self.process = subprocess.Popen(
                tied_to_us(self._command),
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def wait_ready(self, is_ready: Callable[[], bool], timeout_s: float) -> None:
        """Return when `is_ready` says so. Raises ProgramError where the program ends before, or time runs out."""
        deadline = time.monotonic() + timeout_s
        while not is_ready():
            self.must_run()
            if time.monotonic() > deadline:
                raise ProgramError(f"{self.name} was not ready within {timeout_s:.0f} s; see {self.log}")
            time.sleep(READY_POLL_S)

    def must_run(self) -> None:
        """Raise ProgramError, with the last line of its log, where the program has ended."""
        if (status := self.process.poll()) is not None:
            raise ProgramError(f"{self.name} ended with status {status}: {self.last_line()}; see {self.log}")

    def last_line(self) -> str:
        """The last line that the program wrote."""
        lines = self.log.read_text("utf-8", "replace").strip().splitlines()
        return lines[-1][:300] if lines else "it said nothing"

    def stop(self, most_s: float = 1000.0) -> int:
        """SIGTERM, and SIGKILL where that did not help in the program's time, or in `most_s`; the exit status."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(min(self._stop_timeout_s, most_s))
            except subprocess.TimeoutExpired:
                self.process.kill()
        return self.process.wait()

    def family(self, word: str) -> list[int]:
        """The processes that it started, and those that they did, with `word` on their command lines."""
        parents: dict[int, int] = {}
        for stat in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):
                parents[int(stat.parent.name)] = int(stat.read_text("utf-8", "replace").rpartition(")")[2].split()[1])
        found = {self.process.pid}
        while more := {child for child, parent in parents.items() if parent in found} - found:
            found |= more
        return [pid for pid in sorted(found) if word in _command_line(pid)]


def _command_line(pid: int) -> list[str]:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode("utf-8", "replace").split("\0")
    return []


class Programs:
    """All programs of one stack, in a folder of their own. Leaving the `with` block ends them, the last one first."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="stream-router-demo-"))
        self.keep_folder = False
        self._programs: list[Program] = []

    def start(
        self, name: str, command: list[str], endpoint: str, settings: dict[str, str], stop_timeout_s: float = 15.0
    ) -> Program:
        """Start a program in the stack's clean environment with these settings added."""
        program = Program(name, command, {**clean(endpoint), **settings}, self.folder, stop_timeout_s)
        self._programs.append(program)
        return program

    def must_run(self) -> None:
        """Raise ProgramError where any program has ended."""
        for program in self._programs:
            program.must_run()

    def stop(self, program: Program) -> int:
        """End one program now; its exit status."""
        self._programs.remove(program)
        return program.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with _undisturbed():
            for program in reversed(self._programs):
                program.stop(1000.0 if kind is None else 5.0)
        if not self.keep_folder:
            shutil.rmtree(self.folder, ignore_errors=True)


@contextlib.contextmanager
def _undisturbed() -> Iterator[None]:
    """Ending the programs is not broken off by a second Ctrl-C."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
