"""A slow stream is not a dead one: what lands late counts, nothing is sent beside it, and what may fly follows it.

Each with the real process before a stand-in for Kinesis; jitter by two seeds. Short forms run in `make test`.
"""

import random
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.receiver_kit import event, receiver
from tests.slow_kinesis import Delivery, Resending, SlowKinesis

SEEDS = [1, 2]
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
