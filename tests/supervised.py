"""Programs for the supervisor's tests: `consume` with a scripted child, and the supervisor over a make-believe JVM."""

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

ASKS_AT_BATCHES = "ASKS_AT_BATCHES"
"""Set, the KCL is left to ask Kinesis about the shard at a batch, as it does by default."""

OWN_CHILD = "OWN_CHILD"
"""Set, the children are the program's own."""

DEAF = "DEAF_TO_FAILED_STARTS"
"""Set, the supervisor does not hear that the daemon's lease coordinator did not start."""

CHILD = '/bin/sh -c exec\t"${STREAM_ROUTER_CHILD}"\t"${SUPERVISED}"\tchild'


def consume() -> None:
    """The real `stream-router consume`, whose children are `child` of this file, but for OWN_CHILD."""
    from stream_router import cli
    from stream_router.consumer.supervisor import daemon_log, properties

    if DEAF in os.environ:
        daemon_log.NOT_INITIALIZED = "a line that no daemon writes"
    if OWN_CHILD not in os.environ:
        properties.CHILD_COMMAND = CHILD
    if ASKS_AT_BATCHES in os.environ:
        properties.REQUIRED_PROPERTIES["skipShardSyncAtWorkerInitializationIfLeasesExist"] = "false"
    os.environ["SUPERVISED"] = str(Path(__file__).resolve())
    cli.main()


def child() -> None:
    """Speaks the protocol, notes all that it hears in $CHILD_LOG/<pid>, checkpoints each batch and a shard's end."""
    signal.signal(signal.SIGTERM, lambda *_: note({"action": "SIGTERM"}))
    with Path(os.environ["CHILD_LOG"], str(os.getpid())).open("a", buffering=1) as log:

        def note(kind: dict[str, Any]) -> None:
            log.write(json.dumps({**kind, "at": time.time(), "encoding": sys.flags.utf8_mode}) + "\n")

        def say(**message: Any) -> None:
            sys.stdout.write("\n" + json.dumps(message) + "\n")
            sys.stdout.flush()

        sys.stderr.write(f"child {os.getpid()} speaks once: é\n")
        sys.stderr.flush()
        for line in sys.stdin:
            heard = json.loads(line)
            note(heard)
            if heard["action"] == "processRecords" and heard["records"]:
                last = heard["records"][-1]
                say(action="checkpoint", sequenceNumber=last["sequenceNumber"], subSequenceNumber=None)
                note(json.loads(sys.stdin.readline()))
            elif heard["action"] == "shardEnded":
                say(action="checkpoint", sequenceNumber=None, subSequenceNumber=None)
                note(json.loads(sys.stdin.readline()))
            say(action="status", responseFor=heard["action"])
        note({"action": "EOF"})


def supervise(folder: Path) -> int:
    """The supervisor alone, over `jvm.py` of the folder in place of Java; bus and rule are right, and asked always.

    The folder's `python` starts the JVM; the command with a larger heap has a word more.
    """
    from stream_router.consumer.state_dir import DAEMON_PROPERTIES, StateDir
    from stream_router.consumer.supervisor import supervisor
    from stream_router.consumer.supervisor.vitals import Vitals
    from stream_router.consumer.target_check import TargetChecker, TargetOk
    from stream_router.errors import SettingsError
    from stream_router.log import start_logging
    from stream_router.process import FAILPOINTS_VARIABLE, arm_failpoints, kill_with_parent

    start_logging("INFO")
    arm_failpoints(os.environ.get(FAILPOINTS_VARIABLE, ""))
    events: queue.SimpleQueue[supervisor.SupervisorEvent] = queue.SimpleQueue()
    command = [str(folder / "python"), *kill_with_parent([sys.executable, str(folder / "jvm.py")])[1:]]
    try:
        with StateDir(folder / "state") as state:
            return supervisor.DaemonSupervisor(
                command=command,
                command_with_larger_heap=[*command, "larger-heap"],
                environment={**os.environ, "STATE": str(state.path)},
                state=state,
                target_checker=TargetChecker(state.path, TargetOk, lambda: 0.1, events.put),
                events=events,
                grace_s=1.0,
                vitals=Vitals(),
                before_each_start=lambda: state.write(DAEMON_PROPERTIES, "a = b\n"),
                prepare_table=lambda: lease_table(folder),
                jitter=lambda: 0.0,
            ).run()
    except SettingsError as error:
        sys.stderr.write(f"{error}\n")
        return 78


def lease_table(folder: Path) -> str:
    """What the start waits for: the first line of the folder's `table`, if there is such a file."""
    from stream_router.errors import SettingsError

    file = folder / "table"
    if not file.exists():
        return ""
    (folder / "table-asked").touch()
    if refusal := file.read_text("utf-8").partition("refused ")[2]:
        raise SettingsError("STREAM_ROUTER_APPLICATION", refusal, "grant it")
    return "the lease table is being created"


JVM = """
import os, pathlib, shutil, signal, subprocess, sys, time
state = pathlib.Path(os.environ["STATE"])
with (state.parent / "starts").open("a") as starts:
    starts.write(f"{os.getpid()}\\n")
"""
"""Every make-believe JVM notes that it was started."""


class Running:
    """A supervisor over a make-believe JVM; a second one in the same folder is the next life of the first."""

    def __init__(self, folder: Path, jvm: str, failpoints: str = "") -> None:
        self.folder, self.state = folder, folder / "state"
        self.python = folder / "python"
        if not self.python.exists():
            self.python.symlink_to(sys.executable)
        (folder / "jvm.py").write_text(JVM + jvm)
        with (folder / "stderr").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, __file__, "supervise", str(folder)],
                stderr=log,
                env={
                    **os.environ,
                    "PYTHONPATH": str(Path(__file__).parents[1]),
                    "STREAM_ROUTER_FAILPOINTS": failpoints,
                },
            )

    def starts(self) -> list[int]:
        """The process ids of all JVMs so far."""
        file = self.folder / "starts"
        return [int(line) for line in file.read_text().split()] if file.exists() else []

    def lines(self) -> str:
        return (self.folder / "stderr").read_text()

    def log_lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.lines().splitlines() if line.startswith("{")]

    def until(self, is_so: Callable[[], object], timeout_s: float = 20.0) -> float:
        """Wait for it; how many seconds it took."""
        begun = time.monotonic()
        while not is_so():
            assert time.monotonic() - begun < timeout_s, self.lines()
            time.sleep(0.02)
        return time.monotonic() - begun

    def stop(self, number: signal.Signals = signal.SIGTERM, timeout_s: float = 10.0) -> float:
        """Ask it to end; how many seconds it took, to exit 0."""
        begun = time.monotonic()
        self.process.send_signal(number)
        assert self.process.wait(timeout_s) == 0
        return time.monotonic() - begun


def alive(pid: int) -> bool:
    """Whether it runs: a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@contextlib.contextmanager
def supervisors(folder: Path) -> Iterator[Callable[..., Running]]:
    """Starts supervisors over a folder; they are ended with the block."""
    started: list[Running] = []

    def start(jvm: str, failpoints: str = "") -> Running:
        started.append(Running(folder, jvm, failpoints))
        return started[-1]

    try:
        yield start
    finally:
        for item in started:
            item.process.kill()
            item.process.wait()


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["consume"]:
            consume()
        case ["child"]:
            child()
        case ["supervise", folder]:
            sys.exit(supervise(Path(folder)))
