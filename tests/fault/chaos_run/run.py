"""One chaos run: start, traffic under chaos, heal, drain, stop, judge."""

import pickle
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from stream_router.pipeline.delivery.blame import AT_THE_END_S
from tests.fault.chaos_run.actor import Actor
from tests.fault.chaos_run.chaos import Schedule, Shape, draw
from tests.fault.chaos_run.collect import Settled, read_ledger, read_stream
from tests.fault.chaos_run.driver import Driver
from tests.fault.chaos_run.evidence import Evidence
from tests.fault.chaos_run.judge import Verdict, judge
from tests.fault.chaos_run.traffic import Traffic
from tests.fault.chaos_run.world import SPILLS, ChaosWorld

FRESH_A_SHARD = 30
COMPANY_RATE = 4.0
DRAINED_WITHIN_S = 180.0
LED_WITHIN_S = 240.0
"""The KCL's leader lock lasts two minutes, and nothing shortens it: until one leads, a lease that was on its way from
one worker to the other stays with nobody (docs/daemon.md, "Takeovers")."""

SAY_EVERY_S = 10.0

SHORT = Shape(events=8_000, kills=5, seconds=55.0)
FULL = Shape(
    events=60_000, kills=40, seconds=600.0, two_workers=True, reshards=True, clock=True, sick=40, stops=25, storm=0.35
)


class Result(NamedTuple):
    """A run that ended."""

    seed: int
    shape: Shape
    evidence: Evidence
    verdict: Verdict
    seconds: float


def run(folder: Path, seed: int, shape: Shape, say: Callable[[str], None] = lambda _: None, repeat: str = "") -> Result:
    """Run all of it. The seed's last bit selects conversation order or none, its last three bits the spill."""
    begun = time.monotonic()
    schedule = draw(seed, shape)
    in_order, spill = bool(seed & 1), SPILLS[seed % len(SPILLS)]
    world = ChaosWorld(
        folder,
        seed,
        reshards=shape.reshards,
        clock=shape.clock,
        in_order=in_order,
        spill=spill,
        shards=4 if shape.two_workers else 2,
    )
    try:
        evidence = _Run(world, schedule, seed, shape, say).run()
    finally:
        world.close()
    evidence.in_order, evidence.wanted = in_order, schedule.wanted
    (folder / "evidence").write_bytes(pickle.dumps(evidence))
    evidence.repeat = repeat or f"python -m tests.fault.chaos_run --seed {seed}"
    return Result(seed, shape, evidence, judge(evidence), time.monotonic() - begun)


class _Run:
    def __init__(
        self, world: ChaosWorld, schedule: Schedule, seed: int, shape: Shape, say: Callable[[str], None]
    ) -> None:
        self._world, self._schedule, self._shape, self._say = world, schedule, shape, say
        self._traffic = Traffic(seed)
        self._evidence = Evidence()
        self._begun = time.monotonic()
        self._said = 0.0
        self._actor = Actor(world, schedule, seed, self._tell)
        self._settled = Settled(world.fake_aws)
        self._actor.settled = lambda: len(self._settled.look())
        self._keeps_sending = False

    def run(self) -> Evidence:
        self._start()
        try:
            self._under_chaos()
            self._heal_and_drain()
        finally:
            self._driver.close()
        self._stop()
        return self._account()

    def _tell(self, text: str) -> None:
        self._say(f"{time.monotonic() - self._begun:6.1f} s  {text}")

    def _beat(self) -> None:
        if self._keeps_sending and not self._driver.unanswered:
            # The steps take longer than the traffic was to last: something must flow while they are done.
            self._driver.send(self._traffic.posts(50), self._shape.rate)
        if time.monotonic() - self._said >= SAY_EVERY_S:
            self._said = time.monotonic()
            settled, kills = len(self._settled.look()), self._actor.bites["kill"]
            self._tell(f"{self._driver.answered} posts answered, {settled} events settled, {kills} kills")

    def _start(self) -> None:
        self._tell("starting Kinesis, DynamoDB, the fake AWS, a receiver and a worker")
        self._world.start_aws()
        self._driver = Driver(self._world.folder, self._world.proxies["front"].port, self._world.world.secret)
        self._actor.beat = self._beat
        self._actor.start("receiver")
        self._actor.start("one")
        assert self._actor.wait(self._world.is_ready, 60), "the receiver is not ready"
        self._world.until_children("one", 120)

    def _under_chaos(self) -> None:
        self._world.fake_aws.plan({"rules": self._schedule.rules})
        posts = self._traffic.posts(self._shape.events, self._shape.sick)
        begun = time.monotonic()
        self._driver.send(posts, self._shape.rate)
        self._keeps_sending = True
        for step in self._schedule.steps:
            due = begun + step.at_s
            self._actor.wait(lambda due=due: time.monotonic() >= due, 1e6)  # type: ignore[misc]
            started = time.monotonic()
            self._actor.do(step)
            # What comes after a step that took long waits for as long: else all of it would come at once.
            begun += max(0.0, time.monotonic() - started - step.for_s)
        self._keeps_sending = False
        self._actor.wait(lambda: not self._driver.unanswered, self._shape.seconds + DRAINED_WITHIN_S)

    def _heal_and_drain(self) -> None:
        """All is well again: each shard is read, and what was sent comes through.

        A sick event that is alone at the end of a shard has a quarter of an hour there, and the shards after it wait so
        long (docs/guarantees.md, "A sick event among nobody").
        """
        self._tell("healing")
        begun = time.monotonic()
        self._actor.heal()
        self._in_company(lambda: not self._world.is_ending(), AT_THE_END_S + LED_WITHIN_S)
        self._in_company(self._world.is_read, LED_WITHIN_S)
        self._evidence.healing_s = time.monotonic() - begun
        self._tell("healed")
        self._evidence.open_shards = frozenset(self._world.open_shards())
        fresh = self._traffic.fresh(FRESH_A_SHARD * len(self._evidence.open_shards))
        sent_at = time.time()
        self._driver.send(fresh, 1e9)
        self._evidence.fresh = {event_id: sent_at for post in fresh for event_id in post.ids}
        self._in_company(self._is_drained, DRAINED_WITHIN_S)

    def _in_company(self, is_so: Callable[[], bool], within_s: float) -> None:
        """Wait for it. Without others nobody can tell whose trouble a sick event is: some good ones keep it company."""
        until = time.monotonic() + within_s
        while not is_so() and time.monotonic() < until:
            self._driver.send(self._traffic.fresh(4), COMPANY_RATE)
            self._actor.wait(lambda: False, 1.0)

    def _is_drained(self) -> bool:
        """Everything is answered and settled; what was to be sent a moment ago may still be under way."""
        settled, due = self._settled.look(), self._driver.posts()[:-12]
        if any(post.delivery in self._driver.unanswered for post in due):
            return False
        return all(item in settled for post in due for item in post.ids)

    def _stop(self) -> None:
        self._tell("stopping")
        self._actor.wait(lambda: not (self._driver.issued() - self._settled.look()), 15)
        for name in ["receiver", *self._actor.workers]:
            self._actor.terminate(name)

    def _account(self) -> Evidence:
        self._tell("reading the stream and the ledger")
        evidence, actor = self._evidence, self._actor
        self._driver.tell(evidence)
        read_ledger(self._world, evidence)
        evidence.stream = read_stream(self._world)
        self._world.tap.end()
        evidence.checkpoints, evidence.owners = self._world.tap.checkpoints, self._world.tap.owners
        evidence.acts, evidence.ended = actor.acts, actor.ended
        evidence.spilled = self._world.spilled()
        evidence.late_stream = self._world.proxies["kinesis in"].late
        kinds = [sent.kind for sent in evidence.sent.values()]
        evidence.bites = {
            **actor.bites,
            **self._world.fake_aws.stats()["faults"],
            "poison": kinds.count("poison"),
            "sick": kinds.count("sick"),
            "sent twice": sum(sent.meant_twice for sent in evidence.sent.values()),
        }
        evidence.bites["sqs down"] = evidence.bites.get("outage", 0)
        return evidence
