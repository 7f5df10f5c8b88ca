"""How near a plan is to each limit, and which of them binds first as the load grows."""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

from stream_router.control.plan.capacity import Capacity, Load
from stream_router.control.plan.cost import senders
from stream_router.control.shards.reshard import BUCKETS_PER_SHARD, MOST_BUCKETS, MOST_SHARDS

LEASE_WRITES_PER_S = 1_000
"""Write units a second of one DynamoDB partition; a small table has few of them. Source: DynamoDB developer guide,
"Best practices for designing and using partition keys effectively"."""

METRIC_CALLS_PER_S = 500
"""PutMetricData calls a second of an account, adjustable; fewer in small regions. Source: CloudWatch user guide,
"CloudWatch service quotas"."""

CONTROL_CALLS_PER_S, CONTROL_CALLS = 50, 1 / 5 + 2 / 30
"""EventBridge's calls other than PutEvents: of an account (docs/facts.md, "EventBridge"), and of one consumer, which
looks at the bus with each checkpoint (5 s) and twice a minute at the rule and its targets."""


class Bound(NamedTuple):
    """A limit: what of it is used at the peak, and what to do before it is reached."""

    name: str
    used: float
    limit: float
    cure: str

    @property
    def share(self) -> float:
        """1.0 is all of it."""
        return self.used / self.limit


def bounds(load: Load, found: Capacity, quota_calls: int, quota_invocations: int | None) -> list[Bound]:
    """Every limit that is known for the region, the one of which most is used first."""
    made = [
        Bound("PutEvents calls/s", found.calls_peak, quota_calls, "ask AWS to raise the quota"),
        Bound(
            "buckets for the shards",
            BUCKETS_PER_SHARD * found.shards,
            MOST_BUCKETS,
            "with fewer than 4 buckets a shard the load is uneven: use a second stream and application",
        ),
        Bound("shards of a stream", found.shards, MOST_SHARDS, "use a second stream and application"),
        Bound(
            "lease table writes/s", found.lease_writes, LEASE_WRITES_PER_S, "use a second application on another stream"
        ),
        Bound(
            "CloudWatch calls/s",
            senders(found) / 60,
            METRIC_CALLS_PER_S,
            "report less often (STREAM_ROUTER_METRICS_S)",
        ),
        Bound(
            "control plane calls/s",
            found.consumers.tasks * CONTROL_CALLS,
            CONTROL_CALLS_PER_S,
            "take fewer, larger consumers, or look at the bus less often (STREAM_ROUTER_CHECKPOINT_S)",
        ),
        Bound(
            "a child's core",
            load.peak_per_s / found.shards * found.child_us / 1e6,
            1.0,
            "take more shards (`stream-router shards --to`)",
        ),
    ]
    if quota_invocations:
        cure = "beyond it targets get events late; ask AWS to raise it"
        made.append(Bound("target invocations/s", load.peak_per_s, quota_invocations, cure))
    return sorted(made, key=lambda bound: -bound.share)


class First(NamedTuple):
    """The limit that binds first, and at how many times the load."""

    bound: Bound
    times: float


def binds_first(bounds_at: Callable[[float], Sequence[Bound]]) -> First:
    """The limit that is the first to be full as the load grows, within a hundredth; `bounds_at` a multiple of it.

    What is used does not always grow with the load: a stream has two shards however little comes.
    """
    low = high = 1.0
    while bounds_at(high)[0].share < 1:
        low, high = high, high * 2
    while bounds_at(low)[0].share >= 1:
        low, high = low / 2, low
    while high / low > 1.01:
        middle = math.sqrt(low * high)
        low, high = (low, middle) if bounds_at(middle)[0].share >= 1 else (middle, high)
    return First(bounds_at(high)[0], high)
