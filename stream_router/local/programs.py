"""The programs of one embedded stack as child processes: started, watched, ended, and never left behind."""

import contextlib
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from stream_router.local import watchdog
from stream_router.local.environment import MARK, clean

READY_POLL_S = 0.1


def module(*words: str) -> list[str]:
    """The command line of a Python module: where console scripts are depends on how it was installed.

    `-P`: the working folder is not where its code comes from.
    """
    return [sys.executable, "-P", "-m", *words]


class ProgramError(Exception):
    """A program did not start, or ended too soon; its text is one line and names its log."""


class Program:
    """One running child process with its log file."""

    def __init__(self, name: str, command: list[str], environment: dict[str, str], folder: Path) -> None:
        self.name = name
        self.log = folder / f"{name}.log"
        with self.log.open("ab") as log:
            # A session of its own: Ctrl-C is for the demo, which then ends the programs in good order.
            self.process = subprocess.Popen(
                command, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
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

    def stop(self, timeout_s: float) -> int:
        """SIGTERM, and SIGKILL where that did not help in time; the exit status."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(timeout_s)
            except subprocess.TimeoutExpired:
                self.process.kill()
        return self.process.wait()


class Programs:
    """All programs of one stack, in a folder of their own. Leaving the `with` block ends them, the last started first.

    A watchdog process ends them where this process cannot any more.
    """

    def __init__(self) -> None:
        self.mark = secrets.token_hex(8)
        self.folder = Path(tempfile.mkdtemp(prefix="stream-router-demo-"))
        self.keep_folder = False
        self._programs: list[tuple[Program, float]] = []
        self._watchdog = subprocess.Popen(
            [sys.executable, "-S", watchdog.__file__, self.mark, str(self.folder)],
            stdin=subprocess.PIPE,
            start_new_session=True,
            env={key: value for key, value in os.environ.items() if key != MARK},
        )

    def start(
        self, name: str, command: list[str], endpoint: str, settings: dict[str, str], stop_timeout_s: float = 15.0
    ) -> Program:
        """Start a program in the stack's clean environment with these settings added."""
        program = Program(name, command, {**clean(endpoint, self.mark), **settings}, self.folder)
        self._programs.append((program, stop_timeout_s))
        return program

    def must_run(self) -> None:
        """Raise ProgramError where any program has ended."""
        for program, _ in self._programs:
            program.must_run()

    def stop(self, program: Program) -> int:
        """End one program now; its exit status."""
        timeout_s = next(timeout_s for known, timeout_s in self._programs if known is program)
        self._programs = [(known, timeout_s) for known, timeout_s in self._programs if known is not program]
        return program.stop(timeout_s)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with _undisturbed():
            for program, timeout_s in reversed(self._programs):
                program.stop(timeout_s if kind is None else min(timeout_s, 5.0))
            self._watchdog.communicate(b"keep\n" if self.keep_folder else b"")
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
