"""What the answers to the others say of a destination: each item once, by its latest answer, of calls sent since."""

from collections.abc import Callable

from stream_router.pipeline.delivery.health import FEW, LATELY_S, Health, Others
from stream_router.pipeline.delivery.retry_budget import SPREAD_S, Budgets, Tries


class Neighbours:
    """Told apart by when they are asked for. `asked` keeps the moments."""

    def __init__(self, latest: Callable[[float], tuple[int, int]], at_first: tuple[int, int] | None = None) -> None:
        self._latest, self._at_first = latest, at_first
        self.asked: list[tuple[float, ...]] = []

    def latest(self, since: float) -> tuple[int, int]:
        self.asked.append((since,))
        return self._latest(since)

    def at_first(self, since: float, until: float) -> tuple[int, int]:
        self.asked.append((since, until))
        return self._at_first or self._latest(since)


def budgets(health: Health) -> Budgets[str]:
    return Budgets(lambda item: item, health)


def test_with_nobody_else_there_is_nothing_to_say() -> None:
    """Its own failures, however many, are no word of the others."""
    health = Health()
    of = budgets(health)
    for second in range(100, 160, 10):
        of.failed("sick", second, second + 0.1, itself=True)
        assert health.of_others(100.1, second, second + 0.1) is Others.UNKNOWN


def test_an_item_counts_once_by_its_latest_answer() -> None:
    """Another that failed nine times is one that fails, not nine; once it is accepted it is one that is accepted."""
    health = Health()
    of = budgets(health)
    of.failed("sick", 100.0, 100.1, itself=True)
    for second in range(101, 110):
        of.failed("other", float(second), second + 0.1, itself=True)
    health.accepted(105.0, 105.1, 9)
    of.failed("sick", 110.0, 110.1, itself=True)
    assert health.tally.since(101) == (9, 2)
    assert health.of_others(100.1, 110.0, 110.1) is Others.WELL
    of.forget("other")
    health.accepted(111.0, 111.1, 1)
    assert health.tally.since(101) == (10, 1)


def test_nine_tenths_of_the_others_must_be_accepted() -> None:
    """Nine of ten are enough, eight are not; the item's own failure is in neither number."""
    for accepted, means in [(9, Others.WELL), (8, Others.UNWELL)]:
        health = Health()
        of = budgets(health)
        of.failed("sick", 100.0, 100.1, itself=True)
        of.failed("other", 102.0, 102.1, itself=True)
        health.accepted(102.0, 102.1, accepted)
        of.failed("sick", 131.0, 131.1, itself=True)
        assert health.of_others(100.1, 131.0, 131.1) is means


def test_what_was_accepted_after_a_failure_only_proves_nothing() -> None:
    """A bus that fails most entries accepts each in the end: one that it takes at the first try must be among them."""
    health = Health()
    of = budgets(health)
    of.failed("sick", 100.0, 100.1, itself=True)
    of.failed("other", 90.0, 90.1, itself=True)
    health.accepted(102.0, 102.1, 1, retried=1)
    of.failed("sick", 131.0, 131.1, itself=True)
    assert health.of_others(100.1, 131.0, 131.1) is Others.UNWELL
    health.accepted(132.0, 132.1, 9)
    of.failed("sick", 133.0, 133.1, itself=True)
    assert health.of_others(100.1, 133.0, 133.1) is Others.WELL


def test_what_began_after_an_items_last_try_says_nothing_of_what_that_met() -> None:
    """A slow answer comes when the trouble is over, among a thousand that are accepted: the item is tried once more."""
    health = Health()
    of = budgets(health)
    of.failed("unlucky", 100.0, 100.1, itself=True)
    for number in range(6):
        of.failed(f"other-{number}", 110.0, 110.1, itself=True)
    health.accepted(110.0, 110.1, 4)
    of.failed("unlucky", 131.0, 132.5, itself=True)
    health.accepted(132.0, 132.1, 1_000)
    assert health.of_others(100.1, 131.0, 132.5) is Others.UNWELL
    of.failed("unlucky", 133.0, 133.1, itself=True)
    assert health.of_others(100.1, 133.0, 133.1) is Others.WELL


def test_only_calls_that_were_sent_after_the_first_failure_count() -> None:
    """A success that came later but was sent before proves nothing: it was on the wire when the trouble began."""
    health = Health()
    of = budgets(health)
    health.accepted(100.5, 100.6, 1_000)
    of.failed("sick", 100.0, 101.5, itself=True)
    health.accepted(100.9, 105.0, 1_000)
    assert health.of_others(101.5, 100.0, 105.0) is Others.UNKNOWN
    health.accepted(102.0, 105.0, 1)
    of.failed("sick", 104.0, 105.0, itself=True)
    assert health.of_others(101.5, 104.0, 105.0) is Others.WELL


def test_another_that_failed_in_the_same_second_is_one_that_fails() -> None:
    """Counts are by the second: nobody knows whether it was before or after, and burying is what cannot be undone."""
    for others, means in [(1, Others.UNWELL), (0, Others.WELL)]:
        health = Health()
        of = budgets(health)
        of.failed("sick", 100.2, 100.3, itself=True)
        for _ in range(others):
            of.failed("other", 100.5, 100.6, itself=True)
        health.accepted(100.7, 100.8, 20)
        health.accepted(102.0, 102.1, 1)
        of.failed("sick", 131.0, 131.1, itself=True)
        assert health.of_others(100.3, 131.0, 131.1) is means


def test_what_is_older_than_a_minute_does_not_count() -> None:
    """A success of 61 s ago says nothing of today, though it came after the item's first failure."""
    health = Health()
    health.accepted(110.0, 110.1, 100)
    health.failed(165.0, 165.1, None)
    assert health.of_others(100.0, 165.0, 110.0 + LATELY_S - 1) is Others.WELL
    assert health.of_others(100.0, 165.0, 111.0 + LATELY_S) is Others.UNKNOWN


def test_old_counts_are_forgotten() -> None:
    """A day of traffic leaves a minute of counts."""
    health = Health()
    for second in range(10_000):
        health.accepted(second, second + 0.1, 1)
        health.failed(second, second + 0.1, None)
    assert len(health.tally.accepted) <= LATELY_S + 2
    assert len(health.tally.failing) <= LATELY_S + 2


def test_neighbours_are_others_too() -> None:
    """A shard that is silent but for one sick entry learns from the worker's other shards, since the same moment."""
    neighbours = Neighbours(lambda _: (50, 1))
    health = Health(neighbours)
    of = budgets(health)
    of.failed("sick", 100.0, 100.2, itself=True)
    assert health.of_others(100.2, 131.0, 131.1) is Others.WELL
    assert neighbours.asked == [(100.2,), (101, 131)]
    unwell = Health(Neighbours(lambda _: (50, 50)))
    assert unwell.of_others(100.2, 100.0, 130.0) is Others.UNWELL


def test_what_neighbours_had_accepted_after_a_failure_only_proves_nothing() -> None:
    """Nor where a tenth of their first tries failed; and theirs that were well are no word for this shard's own."""
    for at_first, means in [((0, 0), Others.UNWELL), ((80, 20), Others.UNWELL), ((90, 10), Others.WELL)]:
        assert Health(Neighbours(lambda _: (99, 1), at_first)).of_others(100.2, 131.0, 131.1) is means
    health = Health(Neighbours(lambda _: (1_000, 0)))
    budgets(health).failed("other", 110.0, 110.1, itself=True)
    assert health.of_others(100.2, 131.0, 131.1) is Others.UNWELL


def test_a_success_of_before_is_presumed_only_so_often() -> None:
    """Where no other is left to ask: ten in a row, and ten more once something was accepted."""
    health = Health()
    health.accepted(100.0, 100.1, 1)
    said = [health.of_refusal(110.0, 110.1, alone=True) for _ in range(FEW + 2)]
    assert said == [Others.LATELY] * FEW + [Others.UNKNOWN] * 2
    assert health.of_refusal(110.0, 110.1, alone=False) is Others.UNKNOWN
    health.accepted(105.0, 110.2, 1)
    assert health.of_refusal(110.0, 110.3, alone=True) is Others.LATELY
    assert health.of_refusal(110.0, 171.0, alone=True) is Others.UNKNOWN
    health.accepted(111.0, 111.1, 1)
    assert health.of_refusal(110.0, 171.0, alone=False) is Others.WELL


def test_of_a_refusal_only_a_call_that_was_sent_after_it_is_proof() -> None:
    """One that left in the same moment may have been judged before it; a neighbour's second counts from the next on."""
    neighbours = Neighbours(lambda since: (int(since <= 111), 5))
    health = Health()
    health.accepted(110.5, 110.6, 1)
    assert health.of_refusal(110.5, 110.7, alone=False) is Others.UNKNOWN
    assert health.of_refusal(110.4, 110.7, alone=False) is Others.WELL
    with_neighbours = Health(neighbours)
    assert with_neighbours.of_refusal(110.5, 110.7, alone=False) is Others.WELL
    assert with_neighbours.of_refusal(111.5, 111.7, alone=False) is Others.UNKNOWN
    assert neighbours.asked == [(111,), (112,)]


def test_how_long_an_item_took_is_since_its_first_call() -> None:
    """Those beside it that never failed took as long as this call; with no failure it is one number."""
    of = budgets(Health())
    assert of.through(["b"], 99.0, 99.5) == 0.5
    of.failed("a", 100.0, 100.1, itself=False)
    of.failed("a", 105.0, 105.1, itself=True)
    assert of.through(["a", "b"], 110.0, 110.5) == [10.5, 0.5]
    assert (len(of), of.sick) == (0, 0)


def test_an_item_is_given_up_after_its_retries_and_half_a_minute_to_the_second() -> None:
    """One of its failures at least is of this process."""
    tries = Tries()
    for now in (100.0, 101.0, 102.0, 103.0, 104.0):
        tries.failed_itself(now)
    assert not tries.exhausted(100.0 + SPREAD_S - 0.01, 4)
    assert tries.exhausted(100.0 + SPREAD_S, 4)
    assert not tries.exhausted(100.0 + SPREAD_S, 5)
    remembered = Tries()
    remembered.own, remembered.first_own_at = 4, 50.0
    remembered.failed_itself(100.0)
    assert not remembered.exhausted(100.0, 4)
    remembered.failed_itself(100.5)
    assert remembered.exhausted(100.5, 4)
