"""How long from the start of a program until it works: the child's first event, the receiver ready, the demo?"""

import contextlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from benchmarks import driven_child, events
from benchmarks.harness.question import Options, Question, ask
from benchmarks.harness.rounds import Case, Taken
from tests.daemon import Child
from tests.fakeaws.process import FakeAwsProcess
from tests.receiver_kit import KEY
from tests.receiver_kit import receiver as our_receiver

PHASES = {"embedded stack serves": "stackS", "receiver serves": "receiverS", "one a shard": "childrenS"}
"""A part of the demo's line at each phase's end, and what its seconds since the start are called."""


def interpreter() -> Taken:
    """What Python itself takes: nothing can start sooner."""
    start_s = time.perf_counter()
    subprocess.run([sys.executable, "-c", "pass"], check=True)
    return Taken({"readyS": time.perf_counter() - start_s})


def child(fake_aws: FakeAwsProcess) -> Taken:
    """From the start of the process until the bus accepted its first event."""
    fake_aws.reset()
    start_s = time.perf_counter()
    with Child(fake_aws.url, None, **driven_child.QUIET) as running:
        running.initialize()
        initialized_s = time.perf_counter() - start_s
        running.process_batch([events.envelope(1)])
        driven_child.until_accepted(fake_aws, 1)
        return Taken({"readyS": time.perf_counter() - start_s, "initializedS": initialized_s})


def receiver(fake_aws: FakeAwsProcess) -> Taken:
    """From the start of the process until it is ready for webhooks."""
    with tempfile.TemporaryDirectory() as folder:
        start_s = time.perf_counter()
        with our_receiver(fake_aws.url, Path(folder), WEBHOOK_SCHEME="hmac", WEBHOOK_SECRETS=KEY):
            return Taken({"readyS": time.perf_counter() - start_s})


def demo() -> Taken:
    """The demo of ten events: when each phase was over, the consumer with its JVM among them."""
    command = [sys.executable, "-m", "stream_router", "demo", "--events", "10", "--poison", "0"]
    start_s = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    assert process.stderr
    found: dict[str, float] = {}
    for line in process.stderr:
        for part, name in PHASES.items():
            if part in line:
                found[name] = time.perf_counter() - start_s
    assert process.wait() == 0
    return Taken({"readyS": found["childrenS"], **found, "wholeS": time.perf_counter() - start_s})


@contextlib.contextmanager
def cases(options: Options) -> Iterator[Sequence[Case]]:
    """Python alone is the floor."""
    del options
    with FakeAwsProcess() as fake_aws:
        fake_aws.plan({"shard_limits": False})
        yield [
            Case("python -c pass", interpreter, "floor"),
            Case("child: first event accepted", partial(child, fake_aws)),
            Case("receiver: ready", partial(receiver, fake_aws)),
            Case("demo: children ready", demo, note="the embedded stack, setup, JVM and two children"),
        ]


QUESTION = Question("start", str(__doc__), cases, rounds=3, bound_s=150)

if __name__ == "__main__":
    ask(QUESTION)
