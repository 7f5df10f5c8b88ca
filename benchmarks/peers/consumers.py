"""The consumers that the child stands beside: the same events, the same sink, the same cores, one at a time."""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from benchmarks import driven_child, events
from benchmarks.driven_child import Load
from benchmarks.harness.rounds import Case, Role, Taken
from benchmarks.peers import programs
from benchmarks.peers.programs import SkippedError
from tests.fakeaws.process import FakeAwsProcess

FEWER = "takes events, not the daemon's lines; no checks, no watermark, no dead letters, no masking"


@dataclass(frozen=True)
class Peer:
    """A peer: its `run` gets the sink and the number of events; the boto3 ones are slow and get a `part` of them."""

    name: str
    run: Callable[[FakeAwsProcess, int], Taken]
    role: Role = "peer"
    note: str = FEWER
    part: int = 1
    program: str = ""


def _taken(fake_aws: FakeAwsProcess, count: int, before: int, cpu_us: float, wall_us: float) -> Taken:
    took = driven_child.accepted(fake_aws) - before
    return Taken(
        {"cpuUs": cpu_us, "perSecond": 1e6 / wall_us, "lost": max(0, count - took), "twice": max(0, took - count)}
    )


def python(module: str, warm: int = 0) -> Callable[[FakeAwsProcess, int], Taken]:
    """A peer of this folder that makes its events itself; `warm` of them go before the clock starts."""

    def run(fake_aws: FakeAwsProcess, count: int) -> Taken:
        command = [sys.executable, "-m", f"benchmarks.peers.{module}", fake_aws.url, str(count)]
        before = driven_child.accepted(fake_aws)
        parsed = json.loads(subprocess.run(command, capture_output=True, check=True, text=True).stdout)
        return _taken(fake_aws, count, before + warm, parsed["cpuUs"], parsed["wallUs"])

    return run


def binary(name: str, warm: int = 0) -> Callable[[FakeAwsProcess, int], Taken]:
    """A peer that gets its events in a file, and measures itself; `warm` of them go before the clock starts."""

    def run(fake_aws: FakeAwsProcess, count: int) -> Taken:
        program = programs.built(name)
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "events"
            file.write_bytes(b"\n".join(events.body(number) for number in range(count)) + b"\n")
            before = driven_child.accepted(fake_aws)
            ran = subprocess.run([program, fake_aws.url, file], capture_output=True, check=True, text=True)
        parsed = json.loads(ran.stdout)
        return _taken(fake_aws, count, before + warm, parsed["cpuUs"], parsed["wallUs"])

    return run


def stock_kclpy(fake_aws: FakeAwsProcess, count: int) -> Taken:
    """The stock child, driven as ours is."""
    return driven_child.flood(fake_aws, Load(count, module="benchmarks.peers.stock_kclpy"))


def bento(fake_aws: FakeAwsProcess, count: int) -> Taken:
    """Bento by its configuration alone; what its start takes is measured by a run of one call, and left out."""
    program = programs.built("bento")
    _bento_run(program, fake_aws, 10)
    start_cpu, start_wall = _bento_run(program, fake_aws, 10)
    before = driven_child.accepted(fake_aws)
    cpu, wall = _bento_run(program, fake_aws, count)
    each = ((cpu - start_cpu) / count * 1e6, (wall - start_wall) / count * 1e6)
    return _taken(fake_aws, count, before, *each)


def _bento_run(program: Path, fake_aws: FakeAwsProcess, count: int) -> tuple[float, float]:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "events"
        file.write_bytes(b"\n".join(events.body(number) for number in range(count)) + b"\n")
        environment = {**os.environ, "EVENTS": str(file), "SINK": fake_aws.url + "/"}
        start = time.perf_counter()
        process = subprocess.Popen([program, "-c", programs.HERE / "bento" / "consumer.yaml"], env=environment)
        _, status, usage = os.wait4(process.pid, 0)
        assert status == 0, f"bento ended with {status}"
        return usage.ru_utime + usage.ru_stime, time.perf_counter() - start


PEERS: Sequence[Peer] = (
    Peer("boto3 loop", python("boto3_loop", 1), "baseline", f"{FEWER}; no retry of single entries", 8),
    Peer("stock kclpy + boto3", stock_kclpy, note="no checks, no dead letters, no masking; one call at a time", part=8),
    Peer("bare libraries", python("bare_pipe"), "floor", "the child's libraries and nothing else; no retries"),
    Peer("Rust, aws-sdk-eventbridge, 16 calls at once", binary("consumer_rust", 10), program="consumer_rust"),
    Peer("Go, aws-sdk-go-v2, 16 calls at once", binary("consumer_go", 1), program="consumer_go"),
    Peer("Bento, configuration only", bento, note=f"{FEWER}; unsigned; no retry of single entries", program="bento"),
)
CONCURRENT = Peer("Python, the child's libraries, 16 calls at once", python("concurrent_client"))


def cases(fake_aws: FakeAwsProcess, count: int, peers: Sequence[Peer] = PEERS) -> list[Case]:
    """The peers that can be had here; the others are skipped with a word."""
    result = []
    for peer in peers:
        try:
            if peer.program:
                programs.built(peer.program)
        except SkippedError as error:
            print(f"  skipped: {peer.name}: {error}", file=sys.stderr)
            continue
        result.append(Case(peer.name, partial(peer.run, fake_aws, count // peer.part), peer.role, peer.note))
    return result
