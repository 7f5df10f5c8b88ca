"""Whatever is observed: no restart without three minutes of standstill, no second within ten minutes, none left out."""

from typing import NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st

from stream_router.consumer.supervisor.stuck import (
    MAX_DELAY_S,
    REST_AFTER_RESTART_S,
    STUCK_S,
    Action,
    Observation,
    StuckRule,
)

INTERVAL_S = 8.0


class Stretch(NamedTuple):
    """The same observation for some checks in a row."""

    checks: int
    daemon: int | None
    signs: dict[str, str] | None
    workers_full: bool


STRETCHES = st.lists(
    st.builds(
        Stretch,
        st.integers(1, 60),
        st.sampled_from([1, 1, 1, 2, None]),
        st.one_of(st.none(), st.dictionaries(st.sampled_from("ab"), st.sampled_from(["x", "x", "y"]))),
        st.sampled_from([False, False, True]),
    ),
    max_size=12,
)


def is_standstill(observations: list[Observation]) -> bool:
    """Whether one daemon was up and one shard showed one sign in each of them, written down from the definition."""
    latest = observations[-1]
    if latest.daemon is None or any(seen.daemon != latest.daemon or seen.signs is None for seen in observations):
        return False
    return any(
        all((seen.signs or {}).get(shard) == sign for seen in observations)
        for shard, sign in (latest.signs or {}).items()
    )


def within(observations: list[Observation], seconds: float) -> list[Observation]:
    """The observations of the last `seconds`, and the one before, so that they cover that time."""
    latest_s = observations[-1].at_s
    inside = [seen for seen in observations if seen.at_s > latest_s - seconds]
    return observations[max(0, len(observations) - len(inside) - 1) :]


@settings(max_examples=300, deadline=None)
@given(STRETCHES, st.floats(0, 1))
def test_a_restart_has_its_three_minutes_and_comes_in_time(stretches: list[Stretch], share: float) -> None:
    """Both ways: each restart is justified by what was observed, and each standstill that lasts leads to one."""
    rule, at_s = StuckRule(lambda: share), 0.0
    seen, restarts = list[Observation](), list[float]()
    for stretch in stretches:
        for _ in range(stretch.checks):
            at_s += INTERVAL_S
            observation = Observation(at_s, stretch.daemon, stretch.signs, stretch.workers_full, INTERVAL_S)
            seen.append(observation)
            action = rule.observe(observation)
            if action is Action.RESTART:
                assert is_standstill(within(seen, STUCK_S))
                assert not observation.workers_full
                assert not restarts or at_s - restarts[-1] >= REST_AFTER_RESTART_S
                restarts.append(at_s)
            longest_s = STUCK_S + MAX_DELAY_S + 3 * INTERVAL_S
            lately = within(seen, longest_s)
            has_lasted = lately[-1].at_s - lately[0].at_s >= longest_s and is_standstill(lately)
            if has_lasted and not any(item.workers_full for item in lately):
                assert restarts, "a standstill that lasts leads to a restart"
                assert at_s - restarts[-1] <= REST_AFTER_RESTART_S + MAX_DELAY_S + 3 * INTERVAL_S
