"""Many shards on one quota of PutEvents: nobody hands out shares, and yet all of it is used and each gets some."""

import heapq
import itertools
import random

import pytest

from stream_router.pipeline.delivery.gate import Gate

TAKES_S, THROTTLED_AFTER_S = 0.03, 0.012


class Account:
    """Shards with a backlog, each with a gate of its own, and a bucket of `quota` calls a second, in virtual time."""

    def __init__(self, shards: int, quota: float) -> None:
        self._dice = random.Random(shards)
        self._gates = [Gate(128, self._dice.random) for _ in range(shards)]
        self._flight = [0] * shards
        self._quota = self._tokens = quota
        self._at = 0.0
        self._numbers = itertools.count()
        self._due: list[tuple[float, int, int, bool | None]] = []
        self.started = 0
        self.accepted = [0] * shards
        for shard in range(shards):
            self._next(self._dice.random() * 0.25, shard, None)

    def _next(self, at: float, shard: int, accepted: bool | None) -> None:
        heapq.heappush(self._due, (at, next(self._numbers), shard, accepted))

    def live(self, until: float) -> None:
        while self._due[0][0] < until:
            now, _, shard, accepted = heapq.heappop(self._due)
            self._tokens = min(self._quota, self._tokens + (now - self._at) * self._quota)
            self._at = now
            gate = self._gates[shard]
            if accepted is not None:
                self._answered(gate, shard, now, accepted=accepted)
            while gate.may_start(self._flight[shard], now):
                self._start(shard, now)
            if not self._flight[shard]:
                self._next(now + gate.wait_s(now) + 1e-6, shard, None)

    def _start(self, shard: int, now: float) -> None:
        self._flight[shard] += 1
        self.started += 1
        accepted = self._tokens >= 1
        self._tokens -= accepted
        self._next(now + (TAKES_S if accepted else THROTTLED_AFTER_S) * self._dice.uniform(0.7, 1.3), shard, accepted)

    def _answered(self, gate: Gate, shard: int, now: float, *, accepted: bool) -> None:
        self._flight[shard] -= 1
        self.accepted[shard] += accepted
        if accepted:
            gate.succeeded(now, 0.1, backlog=True)
        else:
            gate.throttled()
            gate.failed(now, in_flight=self._flight[shard])


@pytest.mark.parametrize(("shards", "quota"), [(30, 120), (300, 120), (300, 700)])
def test_a_quota_is_used_whole_and_by_all(shards: int, quota: int) -> None:
    """Where there are four calls a second for each shard, and where there is less than one for two of them."""
    account = Account(shards, quota)
    account.live(10.0)
    started, accepted = account.started, sum(account.accepted)
    account.live(40.0)
    used = (sum(account.accepted) - accepted) / 30
    assert used == pytest.approx(quota, rel=0.02)
    assert (account.started - started) / 30 < 8 * quota, "calls that are only refused"
    assert min(account.accepted) > 0
    assert sorted(account.accepted)[shards // 10] > sum(account.accepted) / shards / 4
