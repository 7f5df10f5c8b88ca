"""A slow stream is not a dead one: what lands late counts, nothing is sent beside it, and what may fly follows it.

Each with the real process before a stand-in for Kinesis; jitter by two seeds. Short forms of one run in `make test`.
"""

import random
import threading
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.receiver_kit import ReceiverProcess, event, receiver
from tests.slow_kinesis import Delivery, Resending, SlowKinesis

SEEDS = [1, pytest.param(2, marks=pytest.mark.long)]
LATEST_S = 0.9 + 0.35
"""What is promised, and what a shared machine may add."""
SHORT, LONG = 0.15, pytest.param(1.0, marks=pytest.mark.long)
"""Shares of a scenario's whole time."""


def bodies(count: int) -> list[bytes]:
    return [event(number, conversation=number % 197) for number in range(count)]


def jittered(mean_s: float, seed: int) -> "random.Random":
    return random.Random(f"{mean_s}/{seed}")


def further_copies(stream: SlowKinesis) -> int:
    return sum(count - 1 for count in Counter(stream.lines).values())


def check_true(stream: SlowKinesis, deliveries: Sequence[Delivery]) -> None:
    """Every 202 is in the stream, and every answer came in time."""
    promised = {one.identity for one in deliveries if one.accepted}
    assert promised <= set(stream.lines), f"{len(promised - set(stream.lines))} lost"
    late = [wait for one in deliveries for wait in one.waited_s if wait > LATEST_S]
    assert not late, (len(late), max(late))


@pytest.mark.parametrize("share", [SHORT, LONG])
@pytest.mark.parametrize("seed", SEEDS)
def test_a_stream_that_answers_after_seven_tenths_is_202(tmp_path: Path, seed: int, share: float) -> None:
    """0.7 s a call, 200/s: nearly all are accepted at the first try, and hardly anything is stored twice."""
    chance = jittered(0.7, seed)
    with (
        SlowKinesis(lambda: chance.uniform(0.66, 0.74)) as stream,
        receiver(stream.url, tmp_path, HMAC_ID_HEADER="x-delivery-id") as running,
    ):
        deliveries = Resending(running.address, tries=1).run(bodies(200 * 60), [(200, 60 * share)])[0]
        assert sum(one.accepted for one in deliveries) >= 0.95 * len(deliveries)
        assert running.stop() == 0
        assert further_copies(stream) <= 0.05 * len(deliveries)
        check_true(stream, deliveries)


@pytest.mark.parametrize("share", [SHORT, LONG])
@pytest.mark.parametrize("seed", SEEDS)
def test_behind_a_stream_that_answers_too_late_a_senders_next_try_is_202(
    tmp_path: Path, seed: int, share: float
) -> None:
    """1.5 s a call: what landed late is remembered, so each delivery is accepted by its sixth try, and few twice."""
    chance = jittered(1.5, seed)
    with (
        SlowKinesis(lambda: chance.uniform(1.45, 1.55)) as stream,
        receiver(stream.url, tmp_path, HMAC_ID_HEADER="x-delivery-id") as running,
    ):
        seconds = 60 * share
        senders = Resending(running.address)
        slow = senders.run(bodies(200 * 60), [(200, seconds)])[0]
        assert all(one.accepted for one in slow)
        assert further_copies(stream) <= 0.5 * len(slow)
        stream.delay_s = lambda: 0.015
        numbers = [event(number, conversation=number % 197) for number in range(1_000_000, 1_001_400)]
        _, after = senders.run([b"", *numbers][1:], [(200, 3.0), (200, 4.0)])
        assert all(one.statuses == (202,) for one in after), Counter(one.statuses for one in after)
        assert sum(one.waited_s[0] > 0.1 for one in after) <= 0.01 * len(after)
        assert running.stop() == 0
        check_true(stream, slow)


@pytest.mark.parametrize("share", [SHORT, LONG])
@pytest.mark.parametrize("seed", SEEDS)
def test_a_stream_that_does_one_call_after_the_other_gets_few_and_full_ones(
    tmp_path: Path, seed: int, share: float
) -> None:
    """60 ms a call, one after the other: at 400/s nearly all are accepted, at 50/s all of them, and soon."""
    chance = jittered(0.06, seed)
    with (
        SlowKinesis(lambda: chance.uniform(0.055, 0.065), one_by_one=True) as stream,
        receiver(stream.url, tmp_path, HMAC_ID_HEADER="x-delivery-id") as running,
    ):
        seconds = 60 * share
        busy, calm = Resending(running.address).run(bodies(27_000), [(400, seconds), (50, seconds)])
        assert sum(one.accepted for one in busy) >= 0.95 * len(busy)
        assert all(one.statuses == (202,) for one in calm), Counter(one.statuses for one in calm)
        assert sum(one.waited_s[0] > 0.2 for one in calm) <= 0.01 * len(calm), max(one.waited_s[0] for one in calm)
        assert running.stop() == 0
        assert further_copies(stream) <= 0.05 * (len(busy) + len(calm))
        check_true(stream, [*busy, *calm])


def until_drained(running: ReceiverProcess, within_s: float) -> None:
    deadline_s = time.monotonic() + within_s
    while left := running.metrics()["spilled_events"]:
        assert time.monotonic() < deadline_s, f"{left} events are on disk"
        time.sleep(0.1)


@pytest.mark.parametrize("share", [SHORT, LONG])
@pytest.mark.parametrize("seed", SEEDS)
def test_a_spill_before_a_slow_stream_stores_each_event_about_once_and_empties(
    tmp_path: Path, seed: int, share: float
) -> None:
    """3 s a call at 400/s: 202 from the disk, few lines twice; and empty soon after the stream's return, under load."""
    (tmp_path / "spill").mkdir()
    chance = jittered(3.0, seed)
    settings = {"HMAC_ID_HEADER": "x-delivery-id", "SPILL_DIR": str(tmp_path / "spill")}
    with SlowKinesis(lambda: chance.uniform(2.9, 3.1)) as stream, receiver(stream.url, tmp_path, **settings) as running:
        senders = Resending(running.address)
        slow = senders.run(bodies(24_000), [(400, 60 * share)])[0]
        assert all(one.accepted for one in slow)
        stream.delay_s = lambda: 0.015
        again = [event(number) for number in range(1_000_000, 1_060_000)]
        senders.run(again, [(1_000, 60 * share)])
        until_drained(running, 5.0)
        promised = {one.identity for one in slow}
        assert promised <= set(stream.lines)
        copies = Counter(identity for identity in stream.lines if identity in promised)
        assert copies.total() <= 1.2 * len(slow)
        assert running.stop() == 0


@pytest.mark.parametrize("ordering", ["none", "conversation"])
@pytest.mark.parametrize("seed", SEEDS)
def test_failing_entries_and_an_outage_lose_nothing_and_keep_order_where_it_is_asked_for(
    tmp_path: Path, seed: int, ordering: str
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
        deliveries = Resending(running.address).run([event(n, conversation=n % 20) for n in range(2_400)], [(300, 8)])[
            0
        ]
        until_drained(running, 10.0)
        check_true(stream, deliveries)
        assert running.stop() == 0
        assert sum(one.accepted for one in deliveries) >= 0.99 * len(deliveries)
    if ordering == "conversation":
        place = {identity: at for at, identity in reversed(list(enumerate(stream.lines)))}
        for conversation in range(20):
            # One that was refused and sent again later has its place by that later try.
            first_tries = [one for one in deliveries[conversation::20] if one.statuses == (202,)]
            places = [place[one.identity] for one in first_tries]
            assert places == sorted(places), f"conversation {conversation} is out of order"
