"""Runs the fake AWS as a process of its own, for tests and benchmarks."""

import json
import subprocess
import sys
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import orjson

STOP_WITHIN_S = 10.0


class FakeAwsProcess:
    """A running fake AWS. Use it with `with`; `url` is what `AWS_ENDPOINT_URL` is set to.

    `ledger` is the file of its lines (None: counters only), `plan` the first fault plan. `arguments` are more of the
    command line's options, for example `--payloads`. Raises RuntimeError where it does not start.
    """

    def __init__(
        self, ledger: Path | None = None, plan: dict[str, Any] | None = None, seed: int = 0, *arguments: str
    ) -> None:
        self.ledger = ledger
        self._lines: list[dict[str, Any]] = []
        self._read_to = 0
        command = [sys.executable, "-m", "tests.fakeaws", "--ledger", str(ledger or "none")]
        command += ["--seed", str(seed), *arguments]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("the fake AWS did not start")
        ports = json.loads(line)
        self.port: int = ports["port"]
        self.pid = self._process.pid
        self._admin = f"http://127.0.0.1:{ports['adminPort']}"
        scheme = "https" if "--tls-cert" in arguments else "http"
        self.url = f"{scheme}://127.0.0.1:{self.port}"
        if plan:
            self.plan(plan)

    def plan(self, document: dict[str, Any]) -> None:
        """Replace the fault plan; its clock starts now."""
        self._ask("/_plan", orjson.dumps(document))

    def stats(self) -> dict[str, Any]:
        """The counters: `calls`, `items` by verdict, `codes`, `bytes`, `faults`, `mostInFlight`."""
        parsed: dict[str, Any] = orjson.loads(self._ask("/_stats"))
        return parsed

    def queues(self, *, show_all: bool = False) -> dict[str, list[dict[str, Any]]]:
        """What the queues hold, by name: `id`, `body`, `received`, `attributes`.

        With `show_all` what somebody held is visible again first, as when its time-out has passed.
        """
        parsed: dict[str, list[dict[str, Any]]] = orjson.loads(
            self._ask(*(("/_show", b"") if show_all else ("/_queues",)))
        )
        return parsed

    def reset(self) -> None:
        """Forget plan and counters; the ledger's lines stay."""
        self._ask("/_reset", b"")

    def lines(self, operation: str = "", verdict: str = "") -> list[dict[str, Any]]:
        """The ledger so far, of one operation and one verdict where they are given."""
        self._read_on()
        return [
            line for line in self._lines if operation in ("", line["operation"]) and verdict in ("", line["verdict"])
        ]

    def lines_from(self, number: int) -> list[dict[str, Any]]:
        """The ledger so far without its first `number` lines."""
        self._read_on()
        return self._lines[number:]

    def _read_on(self) -> None:
        """Take over what was written since; a line that is being written now waits for the next time."""
        assert self.ledger is not None
        with self.ledger.open("rb") as file:
            file.seek(self._read_to)
            whole, newline, _ = file.read().rpartition(b"\n")
        self._read_to += len(whole) + len(newline)
        self._lines += [orjson.loads(line) for line in whole.splitlines()]

    def stop(self) -> None:
        """End the process."""
        self._process.terminate()
        self._process.wait(STOP_WITHIN_S)
        if self._process.stdout:
            self._process.stdout.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    def _ask(self, path: str, body: bytes | None = None) -> bytes:
        request = urllib.request.Request(self._admin + path, data=body)
        with urllib.request.urlopen(request, timeout=10) as answer:
            result: bytes = answer.read()
        return result
