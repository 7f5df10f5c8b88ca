"""Programs for the supervisor's tests: `consume` with a scripted child, and the supervisor over a make-believe JVM."""

import json
import os
import queue
import signal
import sys
import time
from pathlib import Path
from typing import Any

ASKS_AT_BATCHES = "ASKS_AT_BATCHES"
"""Set, the KCL is left to ask Kinesis about the shard at a batch, as it does by default."""

OWN_CHILD = "OWN_CHILD"
"""Set, the children are the program's own."""

CHILD = '/bin/sh -c exec\t"${STREAM_ROUTER_CHILD}"\t"${SUPERVISED}"\tchild'


def consume() -> None:
    """The real `stream-router consume`, whose children are `child` of this file, but for OWN_CHILD."""
    from stream_router import cli
    from stream_router.consumer.supervisor import properties

    if OWN_CHILD not in os.environ:
        properties.CHILD_COMMAND = CHILD
    if ASKS_AT_BATCHES in os.environ:
        properties.THE_PROGRAMS["skipShardSyncAtWorkerInitializationIfLeasesExist"] = "false"
    os.environ["SUPERVISED"] = str(Path(__file__).resolve())
    cli.main()


def child() -> None:
    """Speaks the protocol, notes all that it hears in $CHILD_LOG/<pid>, checkpoints each batch and a shard's end."""
    signal.signal(signal.SIGTERM, lambda *_: note({"action": "SIGTERM"}))
    with Path(os.environ["CHILD_LOG"], str(os.getpid())).open("a", buffering=1) as log:

        def note(what: dict[str, Any]) -> None:
            log.write(json.dumps({**what, "at": time.time(), "encoding": sys.flags.utf8_mode}) + "\n")

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


def supervise(state_dir: Path, jvm: Path) -> int:
    """The supervisor alone, over the program `jvm` in place of Java; bus and rule are right, and asked every 0.1 s."""
    from stream_router.consumer.state_dir import StateDir
    from stream_router.consumer.supervisor import supervisor
    from stream_router.consumer.supervisor.vitals import Vitals
    from stream_router.consumer.target_proof import Prover, Yes
    from stream_router.errors import SettingsError
    from stream_router.log import start_logging
    from stream_router.process import FAILPOINTS_VARIABLE, arm_failpoints, tied_to_us

    start_logging("INFO")
    arm_failpoints(os.environ.get(FAILPOINTS_VARIABLE, ""))
    happenings: queue.SimpleQueue[supervisor.Happening] = queue.SimpleQueue()
    try:
        with StateDir(state_dir) as state:
            return supervisor.DaemonSupervisor(
                command=tied_to_us([sys.executable, str(jvm)]),
                roomier=[],
                environment={**os.environ, "STATE": str(state_dir)},
                state=state,
                prover=Prover(state_dir, Yes, lambda: 0.1, happenings.put),
                happenings=happenings,
                grace_s=1.0,
                vitals=Vitals(),
            ).run()
    except SettingsError as error:
        sys.stderr.write(f"{error}\n")
        return 78


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["consume"]:
            consume()
        case ["child"]:
            child()
        case ["supervise", state_dir, jvm]:
            sys.exit(supervise(Path(state_dir), Path(jvm)))
