"""A slow stream is not treated as failed: late success counts, and no copy is sent while a call is in flight.

Each with the real process before a stand-in for Kinesis; jitter by two seeds. Short forms of one run in `make test`.
"""

import base64
import itertools
import random
import socket
import ssl
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import httpx
import orjson
import pytest
import trustme

from tests.constants import METRICS_EVERY_S, with_constants
from tests.raw_server import RawServer, Seen, answer
from tests.receiver_kit import event, eventually, receiver
from tests.receiver_load import Outcome, post, send

TRIES, ROUND_S = 6, 2.0
"""How often a delivery is sent at most, and how long after its refusal again."""
SEEDS = [1, pytest.param(2, marks=pytest.mark.long)]
LATEST_S = 0.9 + 0.35
"""What is promised, and what a shared machine may add."""
SECONDS = [6.0, pytest.param(60.0, marks=pytest.mark.long)]


class SlowKinesis(RawServer):
    """A stand-in for Kinesis that is slow in the ways of FINDINGS F1. `delay_s` is asked for each call.

    A call that its caller gave up is worked off all the same. `ids` holds each envelope's in the stream's order,
    copies included; `received_ms` when the receiver had each. `down`: 503 to all. A connection takes `opens_in_s`
    before it can be used.
    """

    def __init__(
        self,
        delay_s: Callable[[], float],
        *,
        one_by_one: bool = False,
        failing: float = 0.0,
        seed: int = 0,
        opens_in_s: float = 0.0,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        super().__init__(self._put, tls)
        self.delay_s = delay_s
        self.down = False
        self.ids: list[str] = []
        self.received_ms: dict[str, int] = {}
        self._turn = threading.BoundedSemaphore(1 if one_by_one else 1_000)
        self._failing = failing
        self._chance = random.Random(seed)
        self._storing = threading.Lock()
        self._opens_in_s = opens_in_s

    def _serve(self, plain: socket.socket, number: int) -> None:
        time.sleep(self._opens_in_s)
        super()._serve(plain, number)

    def _put(self, seen: Seen) -> bytes:
        if not seen.headers.get("x-amz-target", "").endswith("PutRecords"):
            return answer(400)
        with self._turn:
            time.sleep(self.delay_s())
        if self.down:
            return answer(503, b'{"__type":"ServiceUnavailableException"}')
        with self._storing:
            results = [self._stored(record) for record in orjson.loads(seen.body)["Records"]]
        failed = sum("ErrorCode" in result for result in results)
        return answer(200, orjson.dumps({"FailedRecordCount": failed, "Records": results}))

    def _stored(self, record: dict[str, str]) -> dict[str, str]:
        if self._failing and self._chance.random() < self._failing:
            code = self._chance.choice(["ProvisionedThroughputExceededException", "InternalFailure"])
            return {"ErrorCode": code, "ErrorMessage": "as planned"}
        for line in base64.b64decode(record["Data"]).split(b"\n"):
            envelope = orjson.loads(line)
            self.ids.append(str(envelope["id"]))
            self.received_ms[str(envelope["id"])] = envelope["receivedAt"]
        return {"SequenceNumber": str(len(self.ids)), "ShardId": "shardId-000000000000"}


def deliveries(address: tuple[str, int], bodies: Iterator[bytes], rate: float, seconds: float) -> list[list[Outcome]]:
    """Post at `rate` a second, each delivery again where it was refused: of each its answers, in the order of sending.

    With two seconds between a delivery's tries, some new ones beside them.
    """
    tried: list[tuple[bytes, list[Outcome]]] = []
    left, again = int(rate * seconds), list[tuple[bytes, list[Outcome]]]()
    while left > 0 or again:
        new = [
            (post(body, {"x-delivery-id": body.hex()[:200]}), list[Outcome]())
            for body in itertools.islice(bodies, min(left, int(rate * ROUND_S)))
        ]
        left -= len(new)
        tried += new
        begun_s = time.monotonic()
        batch = [*again, *new]
        outcomes = send(address, [request for request, _ in batch], max(rate, len(batch) / ROUND_S), len(batch))
        for (_, answers), outcome in zip(batch, sorted(outcomes, key=lambda item: item.number), strict=True):
            answers.append(outcome)
        again = [item for item in batch if item[1][-1].status != 202 and len(item[1]) < TRIES]
        if again:
            time.sleep(max(0.0, begun_s + ROUND_S - time.monotonic()))
    return [answers for _, answers in tried]


@pytest.fixture
def bodies() -> Iterator[bytes]:
    return (event(number, conversation=number % 197) for number in itertools.count())


def about(most_s: float, seed: int) -> Callable[[], float]:
    chance = random.Random(f"{most_s}/{seed}")
    return lambda: chance.uniform(0.92 * most_s, most_s)


def further_copies(stream: SlowKinesis) -> int:
    return sum(count - 1 for count in Counter(stream.ids).values())


def check_true(stream: SlowKinesis, *of_all: Sequence[Sequence[Outcome]]) -> None:
    """Every 202 is in the stream, and every answer came in time."""
    answers = [answer for of_some in of_all for tries in of_some for answer in tries]
    promised = {item.identity for item in answers if item.status == 202}
    assert promised <= set(stream.ids), f"{len(promised - set(stream.ids))} lost"
    late = [item.waited_s for item in answers if item.waited_s > LATEST_S]
    assert not late, (len(late), max(late))


@pytest.mark.parametrize("seconds", SECONDS)
@pytest.mark.parametrize("seed", SEEDS)
def test_a_stream_that_answers_after_seven_tenths_is_202(
    tmp_path: Path, bodies: Iterator[bytes], seed: int, seconds: float
) -> None:
    """0.7 s a call, 200/s: nearly all are accepted at the first try, and hardly anything is stored twice."""
    with (
        SlowKinesis(about(0.7, seed)) as stream,
        receiver(stream.url, tmp_path, HMAC_ID_HEADER="x-delivery-id") as running,
    ):
        posts = [post(body) for body in itertools.islice(bodies, int(200 * seconds))]
        answers = send(running.address, posts, 200, 400)
        assert sum(item.status == 202 for item in answers) >= 0.9 * len(answers)
        assert running.stop() == 0
        assert further_copies(stream) <= 0.05 * len(answers)
        check_true(stream, [answers])


@pytest.mark.parametrize("seconds", SECONDS)
@pytest.mark.parametrize("seed", SEEDS)
def test_behind_a_stream_that_answers_too_late_a_senders_next_try_is_202(
    tmp_path: Path, bodies: Iterator[bytes], seed: int, seconds: float
) -> None:
    """1.5 s a call: what landed late is remembered, so each delivery is accepted by its sixth try, and few twice."""
    with (
        SlowKinesis(about(1.5, seed)) as stream,
        receiver(stream.url, tmp_path, HMAC_ID_HEADER="x-delivery-id") as running,
    ):
        slow = deliveries(running.address, bodies, 200, seconds)
        assert all(tries[-1].status == 202 for tries in slow)
        assert further_copies(stream) <= 0.5 * len(slow)
        stream.delay_s = lambda: 0.015
        _, after = (deliveries(running.address, bodies, 200, 3.0) for _ in range(2))
        assert all(len(tries) == 1 for tries in after)
        assert running.stop() == 0
        check_true(stream, slow, after)


@pytest.mark.parametrize("seconds", SECONDS)
@pytest.mark.parametrize("seed", SEEDS)
def test_a_stream_that_does_one_call_after_the_other_gets_few_and_full_ones(
    tmp_path: Path, bodies: Iterator[bytes], seed: int, seconds: float
) -> None:
    """60 ms a call, one after the other: at 400/s nearly all are accepted, at 50/s all of them, and soon."""
    with (
        SlowKinesis(about(0.06, seed), one_by_one=True) as stream,
        receiver(stream.url, tmp_path, HMAC_ID_HEADER="x-delivery-id") as running,
    ):
        busy, calm = (deliveries(running.address, bodies, rate, seconds) for rate in (400, 50))
        assert sum(tries[-1].status == 202 for tries in busy) >= 0.95 * len(busy)
        assert all(len(tries) == 1 for tries in calm)
        assert sum(tries[0].waited_s > 0.4 for tries in calm) <= 0.02 * len(calm)
        assert running.stop() == 0
        assert further_copies(stream) <= 0.05 * (len(busy) + len(calm))
        check_true(stream, busy, calm)


@pytest.mark.parametrize("seconds", SECONDS)
@pytest.mark.parametrize("seed", SEEDS)
def test_a_spill_before_a_slow_stream_stores_each_event_about_once_and_empties(
    tmp_path: Path, bodies: Iterator[bytes], seed: int, seconds: float
) -> None:
    """3 s a call at 400/s: 202 from the disk, few lines twice; and empty soon after the stream's return, under load."""
    (tmp_path / "spill").mkdir()
    settings = {"HMAC_ID_HEADER": "x-delivery-id", "SPILL_DIR": str(tmp_path / "spill")}
    with SlowKinesis(about(3.0, seed)) as stream, receiver(stream.url, tmp_path, **settings) as running:
        slow = deliveries(running.address, bodies, 400, seconds)
        assert all(tries[-1].status == 202 for tries in slow)
        stream.delay_s = lambda: 0.015
        deliveries(running.address, bodies, 800, seconds)
        running.metrics_once(lambda metrics: metrics["spilled_events"] == 0, 5.0)
        promised = {tries[-1].identity for tries in slow}
        copies = Counter(identity for identity in stream.ids if identity in promised)
        assert copies.keys() == promised
        assert copies.total() <= 1.2 * len(slow)
        assert running.stop() == 0


@pytest.mark.parametrize(
    ("rate", "has_spill", "frozen_s"),
    [
        (50, True, 13.0),
        (400, False, 13.0),
        *(pytest.param(*case, 110.0, marks=pytest.mark.long) for case in itertools.product((50, 400), (True, False))),
    ],
)
def test_a_stream_that_answers_nothing_gets_one_small_probe(
    tmp_path: Path, bodies: Iterator[bytes], rate: int, has_spill: bool, frozen_s: float
) -> None:
    """It accepts every call, answers none, and then does all that it got: no 202 is lost, only events of probes are
    there more than twice, and there are at most 1.1 lines an event; the log says how many may be there twice."""
    settings = {"HMAC_ID_HEADER": "x-delivery-id"}
    if has_spill:
        (tmp_path / "spill").mkdir()
        settings["SPILL_DIR"] = str(tmp_path / "spill")
    thawed = threading.Event()
    thawed.set()

    def freeze() -> None:
        time.sleep(3.0)
        thawed.clear()
        time.sleep(frozen_s)
        thawed.set()

    with (
        SlowKinesis(lambda: 0.015 if thawed.wait() else 0.0) as stream,
        receiver(stream.url, tmp_path, **settings) as running,
    ):
        # Without a spill only new events can be the probe, which is sent every 30 s at last.
        after_s = 8.0 if frozen_s < 30.0 else 40.0
        count = int(rate * (3.0 + frozen_s + after_s))
        posts = [post(body, {"x-delivery-id": body.hex()[:200]}) for body in itertools.islice(bodies, count)]
        answers = send(running.address, posts, rate, 2 * rate, freeze)
        running.metrics_once(lambda metrics: metrics["spilled_events"] == 0, 60.0)
        assert running.stop() == 0
        check_true(stream, [answers])
        copies = Counter(stream.ids)
        assert copies.total() <= 1.1 * len(copies), (copies.total(), len(copies))
        probes = 3 + frozen_s / 30.0
        often = [number for number in copies.values() if number > 2]
        assert len(often) <= probes, (len(often), max(often))
        over = [line for line in running.lines("WARNING") if line.get("event") == "stream-silent-over"]
        assert over
        assert 0 < sum(line["events"] for line in over) >= sum(number > 1 for number in copies.values())
        accepted = sum(answer.status == 202 for answer in answers)
        assert accepted >= (0.9 * count if has_spill else 0.5 * rate * 11.0)


@pytest.mark.parametrize("ordering", ["none", "conversation"])
@pytest.mark.parametrize("seed", SEEDS)
def test_failing_entries_and_an_outage_lose_nothing_and_keep_order_where_it_is_asked_for(
    tmp_path: Path, bodies: Iterator[bytes], seed: int, ordering: str
) -> None:
    """5 % of entries throttled or failing, and two seconds without the stream, with a spill: none of the 202s is lost,
    and with order each conversation stands in the stream as it was received."""
    (tmp_path / "spill").mkdir()
    settings = {"HMAC_ID_HEADER": "x-delivery-id", "SPILL_DIR": str(tmp_path / "spill"), "ORDERING": ordering}
    with (
        SlowKinesis(lambda: 0.015, failing=0.05, seed=seed) as stream,
        receiver(stream.url, tmp_path, **settings) as running,
    ):
        outage = [threading.Timer(at_s, setattr, (stream, "down", down)) for at_s, down in ((2.0, True), (4.0, False))]
        for timer in outage:
            timer.start()
        posts = [post(event(number, conversation=number % 20)) for number in range(2_100)]
        answers = sorted(send(running.address, posts, 300, 400), key=lambda item: item.number)
        running.metrics_once(lambda metrics: metrics["spilled_events"] == 0)
        check_true(stream, [answers])
        assert running.stop() == 0
        assert sum(item.status == 202 for item in answers) >= 0.99 * len(answers)
    if ordering == "conversation":
        place = {identity: at for at, identity in reversed(list(enumerate(stream.ids)))}
        for conversation in range(20):
            # Of two requests that a busy receiver finds in its sockets at once, nobody knows which came first.
            acknowledged = [item.identity for item in answers[conversation::20] if item.status == 202]
            received = sorted((stream.received_ms[identity], place[identity]) for identity in acknowledged)
            places = [at for _, at in received]
            assert places == sorted(places), f"conversation {conversation} is out of order"


def test_without_a_spill_a_connection_that_opens_late_is_there_for_the_next_event(tmp_path: Path) -> None:
    """In a far region: else each event would begin to open one, wait its 0.6 s, and give it up, and none be stored."""
    authority, context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    bundle = f"AWS_CA_BUNDLE={tmp_path / 'ca.pem'}"
    with (
        SlowKinesis(lambda: 0.0, opens_in_s=0.75, tls=context) as stream,
        receiver(stream.url, tmp_path, around=["env", bundle], **with_constants({METRICS_EVERY_S: 3600})) as running,
        httpx.Client(base_url=running.url) as sender,
    ):

        def status() -> int:
            return sender.post("/v1/events", json={"n": 1}).status_code

        eventually(lambda: status() == 202, 20.0)
        assert [status() for _ in range(5)] == [202] * 5
