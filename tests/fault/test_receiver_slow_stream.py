"""A slow stream is not a dead one: what lands late counts, nothing is sent beside it, and what may fly follows it.

Each with the real process before a stand-in for Kinesis; jitter by two seeds. Short forms of one run in `make test`.
"""

import itertools
import random
import ssl
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import httpx
import pytest
import trustme

from tests.constants import METRICS_EVERY_S, with_constants
from tests.receiver_kit import event, eventually, receiver
from tests.receiver_load import Outcome, post, send
from tests.slow_kinesis import SlowKinesis, accepted, deliveries

SEEDS = [1, pytest.param(2, marks=pytest.mark.long)]
LATEST_S = 0.9 + 0.35
"""What is promised, and what a shared machine may add."""
SECONDS = [6.0, pytest.param(60.0, marks=pytest.mark.long)]


@pytest.fixture
def bodies() -> Iterator[bytes]:
    return (event(number, conversation=number % 197) for number in itertools.count())


def around(mean_s: float, seed: int) -> Callable[[], float]:
    chance = random.Random(f"{mean_s}/{seed}")
    return lambda: chance.uniform(0.95 * mean_s, 1.05 * mean_s)


def further_copies(stream: SlowKinesis) -> int:
    return sum(count - 1 for count in Counter(stream.ids).values())


def check_true(stream: SlowKinesis, *of_all: Sequence[Sequence[Outcome]]) -> None:
    """Every 202 is in the stream, and every answer came in time."""
    answers = [answer for of_some in of_all for tries in of_some for answer in tries]
    promised = {one.identity for one in answers if one.status == 202}
    assert promised <= set(stream.ids), f"{len(promised - set(stream.ids))} lost"
    late = [one.waited_s for one in answers if one.waited_s > LATEST_S]
    assert not late, (len(late), max(late))


@pytest.mark.parametrize("seconds", SECONDS)
@pytest.mark.parametrize("seed", SEEDS)
def test_a_stream_that_answers_after_seven_tenths_is_202(
    tmp_path: Path, bodies: Iterator[bytes], seed: int, seconds: float
) -> None:
    """0.7 s a call, 200/s: nearly all are accepted at the first try, and hardly anything is stored twice."""
    with (
        SlowKinesis(around(0.7, seed)) as stream,
        receiver(stream.url, tmp_path, HMAC_ID_HEADER="x-delivery-id") as running,
    ):
        posts = [post(body) for body in itertools.islice(bodies, int(200 * seconds))]
        answers = send(running.address, posts, 200, 400)
        assert sum(one.status == 202 for one in answers) >= 0.95 * len(answers)
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
        SlowKinesis(around(1.5, seed)) as stream,
        receiver(stream.url, tmp_path, HMAC_ID_HEADER="x-delivery-id") as running,
    ):
        slow = deliveries(running.address, bodies, 200, seconds)
        assert all(accepted(tries) for tries in slow)
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
        SlowKinesis(around(0.06, seed), one_by_one=True) as stream,
        receiver(stream.url, tmp_path, HMAC_ID_HEADER="x-delivery-id") as running,
    ):
        busy, calm = (deliveries(running.address, bodies, rate, seconds) for rate in (400, 50))
        assert sum(accepted(tries) for tries in busy) >= 0.95 * len(busy)
        assert all(len(tries) == 1 for tries in calm)
        assert sum(tries[0].waited_s > 0.2 for tries in calm) <= 0.02 * len(calm)
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
    with SlowKinesis(around(3.0, seed)) as stream, receiver(stream.url, tmp_path, **settings) as running:
        slow = deliveries(running.address, bodies, 400, seconds)
        assert all(accepted(tries) for tries in slow)
        stream.delay_s = lambda: 0.015
        deliveries(running.address, bodies, 800, seconds)
        running.metrics_once(lambda found: found["spilled_events"] == 0, 5.0)
        promised = {tries[-1].identity for tries in slow}
        copies = Counter(identity for identity in stream.ids if identity in promised)
        assert copies.keys() == promised
        assert copies.total() <= 1.2 * len(slow)
        assert running.stop() == 0


@pytest.mark.parametrize("ordering", ["none", "conversation"])
@pytest.mark.parametrize("seed", SEEDS)
def test_failing_entries_and_an_outage_lose_nothing_and_keep_order_where_it_is_asked_for(
    tmp_path: Path, bodies: Iterator[bytes], seed: int, ordering: str
) -> None:
    """5 % of entries throttled or failing, and two seconds without the stream, with a spill: none of the 202s is lost,
    and with order each conversation stands in the stream as it was sent."""
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
        answers = sorted(send(running.address, posts, 300, 400), key=lambda one: one.number)
        running.metrics_once(lambda found: found["spilled_events"] == 0)
        check_true(stream, [answers])
        assert running.stop() == 0
        assert sum(one.status == 202 for one in answers) >= 0.99 * len(answers)
    if ordering == "conversation":
        place = {identity: at for at, identity in reversed(list(enumerate(stream.ids)))}
        for conversation in range(20):
            places = [place[one.identity] for one in answers[conversation::20] if one.status == 202]
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
