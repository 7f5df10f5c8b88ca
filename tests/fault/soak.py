"""A soak: the whole pipeline at an even rate for a long time; does any program grow, is anything lost?

`python -m tests.fault.soak --minutes 30 --rate 500` prints its result as JSON. Receiver, daemon, children and
supervisor run as they ship (`consumer.properties`); stream and lease table are ministack, the bus is the fake AWS
with its ledger.
"""

import argparse
import json
import os
import platform
import sys
import tempfile
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tests import receiver_load
from tests.fakeaws.process import FakeAwsProcess
from tests.system.world import PROGRAM, World, until, webhook

SLICE_S = 10.0
"""So much is signed ahead: a signature is good for five minutes."""

SAMPLE_EVERY_S = 5.0
CONNECTIONS = 32
DRAINED_WITHIN_S = 60.0
TOOK = ("accepted", "accepted_then_dropped")
ROLES = ("receiver", "supervisor", "jvm", "child")


class Sample(NamedTuple):
    """One process at one moment: seconds since the start, resident bytes, open descriptors, threads."""

    at_s: float
    rss_bytes: int
    descriptors: int
    threads: int


class Watch:
    """Takes samples of every program of a world, until it is closed."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.samples: dict[tuple[str, int], list[Sample]] = defaultdict(list)
        self._begun = time.monotonic()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._over.wait(SAMPLE_EVERY_S):
            for pid, words in self._world._running():
                if role := _role(words):
                    self._look(role, pid)

    def _look(self, role: str, pid: int) -> None:
        place = Path("/proc", str(pid))
        try:
            pages = int((place / "statm").read_text().split()[1])
            descriptors = len(list((place / "fd").iterdir()))
            threads = len(list((place / "task").iterdir()))
        except OSError:
            return
        at_s = time.monotonic() - self._begun
        self.samples[role, pid].append(Sample(at_s, pages * os.sysconf("SC_PAGE_SIZE"), descriptors, threads))


def _role(words: list[str]) -> str:
    if words[0].endswith("java"):
        return "jvm"
    if words[1:3] == ["-m", "stream_router.consumer.child"]:
        return "child"
    commands = {"receive": "receiver", "consume": "supervisor"}
    return next((commands[word] for word in words[1:3] if word in commands), "")


class Sender:
    """Sends at a rate and remembers what was answered 202; what was not is sent again with the next slice."""

    def __init__(self, world: World, rate: float, slice_s: float = SLICE_S) -> None:
        host, _, port = world.environment["STREAM_ROUTER_LISTEN"].rpartition(":")
        self._address = (host, int(port))
        self._world = world
        self._rate = rate
        self._slice_s = slice_s
        self.acked: set[str] = set()
        self.statuses: Counter[int] = Counter()
        self.latencies_s: list[float] = []
        self._number = 0

    def slice(self) -> None:
        """So many as belong into the next seconds."""
        requests = []
        for _ in range(int(self._rate * self._slice_s)):
            self._number += 1
            body = webhook(self._number)
            requests.append(receiver_load.post(body, self._world.signed(f"d-{self._number}", body)))
        for outcome in receiver_load.send(self._address, requests, self._rate, CONNECTIONS):
            self.statuses[outcome.status] += 1
            self.latencies_s.append(outcome.latency_s)
            if outcome.status == 202:
                self.acked.add(outcome.identity)


def growth(samples: list[Sample], from_s: float) -> dict[str, Any]:
    """From `from_s` on, by least squares: MB an hour, and how sure that is (one standard error); most and fewest."""
    late = [sample for sample in samples if sample.at_s >= from_s]
    rss_mb = np.array([item.rss_bytes / 1e6 for item in late])
    result: dict[str, Any] = {
        "samples": len(late),
        "rssMb": {"first": round(rss_mb[0], 1), "last": round(rss_mb[-1], 1), "most": round(max(rss_mb), 1)},
    }
    for name in ("descriptors", "threads"):
        counts = [getattr(item, name) for item in late]
        result[name] = {"fewest": min(counts), "most": max(counts)}
    if len(late) > 3:
        hours = np.array([item.at_s / 3600 for item in late])
        (an_hour, _), covariance = np.polyfit(hours, rss_mb, 1, cov=True)
        result["rssMbAnHour"] = round(float(an_hour), 2)
        result["standardError"] = round(float(np.sqrt(covariance[0, 0])), 2)
    return result


def account(fake_aws: FakeAwsProcess, acked: set[str]) -> dict[str, int]:
    """What became of what was acknowledged."""
    took = Counter(line["eventId"] for line in ledger(fake_aws) if line["verdict"] in TOOK)
    return {
        "acked": len(acked),
        "delivered": len(took.keys() & acked),
        "lost": len(acked - took.keys()),
        "copies": sum(count - 1 for count in took.values()),
    }


def ledger(fake_aws: FakeAwsProcess) -> Iterator[dict[str, Any]]:
    """Its lines, one at a time: there are too many to keep."""
    assert fake_aws.ledger
    with fake_aws.ledger.open("rb") as file:
        for line in file:
            if line.endswith(b"\n") and b'"PutEvents"' in line:
                yield json.loads(line)


def start_worker_as_shipped(world: World, fake_aws: FakeAwsProcess) -> None:
    """Stack, daemon and children with the properties that ship; nobody waits for them. The bus is the fake AWS."""
    world.start_stack("tests.fault.long_ministack")
    world.run_setup()
    world.seed_leases()
    world.use_shipped_properties()
    world.start("consume", PROGRAM, "consume", AWS_ENDPOINT_URL_EVENTBRIDGE=fake_aws.url, STREAM_ROUTER_RULE="none")


def start_as_shipped(world: World, fake_aws: FakeAwsProcess) -> None:
    """Those, and the receiver, until they are ready."""
    start_worker_as_shipped(world, fake_aws)
    world.start("receive", PROGRAM, "receive")
    until(world.is_ready, 30, "the receiver is ready")
    until(lambda: len(world.children()) >= 2, 120, "two children run")


def soak(folder: Path, minutes: float, rate: float, warm_up_minutes: float) -> dict[str, Any]:
    """The result of one soak, as JSON data."""
    fake_aws = FakeAwsProcess(folder / "ledger")
    world = World(folder)
    try:
        start_as_shipped(world, fake_aws)
        watch, sender, begun = Watch(world), Sender(world, rate), time.monotonic()
        while time.monotonic() - begun < minutes * 60:
            sender.slice()
        watch.close()
        return _result(watch, sender, _drained(fake_aws, sender), warm_up_minutes, time.monotonic() - begun)
    finally:
        world.close()
        fake_aws.stop()


def _drained(fake_aws: FakeAwsProcess, sender: Sender) -> dict[str, int]:
    until_s = time.monotonic() + DRAINED_WITHIN_S
    while (result := account(fake_aws, sender.acked))["lost"] and time.monotonic() < until_s:
        time.sleep(2.0)
    return result


def _result(watch: Watch, sender: Sender, tally: dict[str, int], warm_up: float, took_s: float) -> dict[str, Any]:
    latencies = np.array(sender.latencies_s) * 1000
    grown: dict[str, Any] = {}
    for role in ROLES:
        lasting = [result for (known, _), result in watch.samples.items() if known == role]
        lasting = [result for result in lasting if result[-1].at_s > warm_up * 60]
        grown |= {f"{role} {number}": growth(result, warm_up * 60) for number, result in enumerate(lasting, 1)}
    return {
        "machine": {"cpus": os.cpu_count(), "python": platform.python_version(), "load": os.getloadavg()[0]},
        "minutes": round(took_s / 60, 1),
        "warmUpMinutes": warm_up,
        "eventsPerSecond": round(len(sender.acked) / took_s, 1),
        "account": tally,
        "statuses": {str(status): count for status, count in sorted(sender.statuses.items())},
        "answerMs": {name: round(float(np.percentile(latencies, p)), 1) for name, p in (("p50", 50), ("p99", 99))},
        "processes": Counter(role for role, _ in watch.samples),
        "growth": grown,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--rate", type=float, default=500.0, help="events a second")
    parser.add_argument("--warm-up-minutes", type=float, default=0.0, help="default: a third of the time")
    parser.add_argument("--out", type=Path, help="a file for the result")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        result = soak(Path(folder), args.minutes, args.rate, args.warm_up_minutes or args.minutes / 3)
    text = json.dumps(result, indent=1) + "\n"
    if args.out:
        args.out.write_text(text, "utf-8")
    sys.stdout.write(text)
    sys.exit(1 if result["account"]["lost"] else 0)


if __name__ == "__main__":
    main()
