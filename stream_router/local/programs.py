"""Programs of one embedded stack, as child processes in a clean environment.

They end with this process at the latest, even if it is killed (on Linux).
"""

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
from collections.abc import Callable
from pathlib import Path
from typing import Self

import httpx

from stream_router.process import kill_with_parent

REGION = "us-east-1"
ACCOUNT = "000000000000"
"""Account id that ministack reports."""

READY_POLL_S = 0.1
STOP_S, INTERRUPTED_STOP_S = 40.0, 5.0
"""Seconds that a program gets to end before it is killed: usually, and after an interruption.

The usual time lets a consumer drain. An operator who interrupted the command does not want to wait for that.
"""

_PORT_RANGE = range(30_000, 32_768)
"""Ports that the stack may use, so that no outgoing connection of this host can take one before its program does.

Linux uses ports from 32768 on for outgoing connections, other systems from 49152 on.
"""

_REMOVED_PREFIXES = ("AWS_", "STREAM_ROUTER_", "CXONE_", "EVENTBRIDGE_", "SQS_")
_PROXY_VARIABLES = ("http_proxy", "https_proxy", "all_proxy")


def clean_environment(endpoint: str) -> dict[str, str]:
    """Return this process's environment, changed so that its programs use the stack at `endpoint` alone.

    The operator's proxy, AWS and product settings are left out. Otherwise a program could reach a real account.
    """
    kept = {
        key: value
        for key, value in os.environ.items()
        if not key.upper().startswith(_REMOVED_PREFIXES) and key.lower() not in _PROXY_VARIABLES
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


def clean_own_environment() -> None:
    """Clean this process's own environment of the operator's settings, since this process reads settings too."""
    own = clean_environment("")
    del own["AWS_ENDPOINT_URL"]
    os.environ.clear()
    os.environ.update(own)


def free_port() -> int:
    """Return a port of _PORT_RANGE at which no program listens on the loopback. Raise OSError if there is none.

    It is a random one, so that two stacks that start at the same time rarely choose the same port.
    """
    for port in random.sample(_PORT_RANGE, len(_PORT_RANGE)):
        if not is_taken(port):
            return port
    raise OSError(errno.EADDRINUSE, "every port that the stack may use is taken")


def is_taken(port: int) -> bool:
    """Return whether a program listens at this port of the loopback."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return True
    return False


def is_answering(url: str) -> bool:
    """Return whether a URL of the loopback answers 200 now."""
    try:
        return httpx.get(url, timeout=1.0, trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False


def module_command(*words: str) -> list[str]:
    """Return the command line that runs a Python module, `words[0]`, with the other words as arguments.

    No console script is used, since its folder depends on how the package was installed. `-P` keeps the working folder
    from being searched for code.
    """
    return [sys.executable, "-P", "-m", *words]


class ProgramError(Exception):
    """A program did not start, or ended too soon. The text is one line and names the program's log."""


class Program:
    """One running child process with its log file. On Linux it ends with this process, even after `kill -9`."""

    def __init__(self, name: str, command: list[str], environment: dict[str, str], folder: Path) -> None:
        self.name = name
        self.log = folder / f"{name}.log"
        self._command, self._environment = command, environment
        self.start()

    def start(self) -> None:
        """Start the program, or start it again after it ended. Call this from the main thread.

        The kernel kills the program when the thread that started it ends, not only when this process ends.
        """
        with self.log.open("ab") as log:
            # A session of its own, so that Ctrl-C reaches the demo alone, which then ends the programs in order.
            self.process = subprocess.Popen(
                kill_with_parent(self._command),
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def wait_ready(self, is_ready: Callable[[], bool], timeout_s: float) -> None:
        """Wait until `is_ready` returns True.

        Raises ProgramError if the program ends before, or if it is not ready after `timeout_s` seconds.
        """
        deadline = time.monotonic() + timeout_s
        while not is_ready():
            self.must_run()
            if time.monotonic() > deadline:
                raise ProgramError(f"{self.name} was not ready within {timeout_s:.0f} s; see {self.log}")
            time.sleep(READY_POLL_S)

    def must_run(self) -> None:
        """Raise ProgramError, with the last line of the log, if the program has ended."""
        if (status := self.process.poll()) is not None:
            raise ProgramError(f"{self.name} ended with status {status}: {self.last_line()}; see {self.log}")

    def last_line(self) -> str:
        """Return the last line of the program's log, cut after 300 characters, or words that say that it is empty."""
        lines = self.log.read_text("utf-8", "replace").strip().splitlines()
        return lines[-1][:300] if lines else "its log is empty"

    def stop(self, within_s: float = STOP_S) -> int:
        """Send SIGTERM, and SIGKILL if the program still runs `within_s` seconds later. Return the exit status."""
        self.process.terminate()
        try:
            return self.process.wait(within_s)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()


class Programs:
    """All programs of one stack, with a temporary folder for their logs and data.

    Leaving the `with` block ends the programs in reverse order, and then deletes the folder, unless `keep_folder` is
    true.
    """

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="stream-router-demo-"))
        self.keep_folder = False
        self._programs: list[Program] = []

    def start(self, name: str, command: list[str], endpoint: str, settings: dict[str, str]) -> Program:
        """Start a program in the stack's clean environment with these settings added."""
        program = Program(name, command, {**clean_environment(endpoint), **settings}, self.folder)
        self._programs.append(program)
        return program

    def must_run(self) -> None:
        """Raise ProgramError if any program has ended."""
        for program in self._programs:
            program.must_run()

    def stop(self, program: Program) -> int:
        """End one program before the others, and return its exit status. `must_run` no longer checks it."""
        self._programs.remove(program)
        return program.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second Ctrl-C must not interrupt this
        for program in reversed(self._programs):
            program.stop(STOP_S if kind is None else INTERRUPTED_STOP_S)
        signal.signal(signal.SIGINT, before)
        if not self.keep_folder:
            shutil.rmtree(self.folder, ignore_errors=True)
