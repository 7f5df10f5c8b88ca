"""Items of calls that were refused for their content: halved, and forgotten as suspects once they are judged."""

from stream_router.pipeline.delivery.bisection import Suspects


def suspects() -> Suspects[str]:
    return Suspects(lambda item: item)


def test_a_group_is_halved_until_each_stands_alone() -> None:
    """In order, each half behind the groups that wait already."""
    made = suspects()
    made.split(["a", "b", "c"], 1.0)
    assert len(made) == 3
    assert made.next_group(alone=False) == ["a"]
    made.split(made.next_group(alone=False), 2.0)
    assert [made.next_group(alone=False) for _ in range(3)] == [["b"], ["c"], []]
    assert not made


def test_alone_one_item_of_the_first_group_goes_and_the_others_stay_first() -> None:
    """While nothing is accepted one success tells most, and a suspect alone has the best chance of it."""
    made = suspects()
    made.split(["a", "b", "c", "d"], 1.0)
    assert [made.next_group(alone=True) for _ in range(5)] == [["a"], ["b"], ["c"], ["d"], []]


def test_others_that_wait_have_every_second_turn_while_nothing_is_accepted() -> None:
    """Where all suspects are culprits only what nobody suspects can succeed; otherwise suspects go first."""
    made = suspects()
    made.split(["a", "b", "c"], 1.0)
    assert [made.next_group(alone=True, others_wait=True) for _ in range(3)] == [[], ["a"], []]
    assert [made.next_group(alone=False, others_wait=True) for _ in range(2)] == [["b", "c"], []]


def test_the_first_refusal_counts_until_the_item_is_judged() -> None:
    """An item that comes later under the same key, as an object's id may, is no suspect of before."""
    made = suspects()
    made.split(["a", "b"], 1.0)
    made.split(["a"], 5.0)
    assert (made.refused_at("a", 9.0), made.refused_at("b", 9.0), made.refused_at("c", 9.0)) == (1.0, 1.0, 9.0)
    made.cleared(["a", "c"])
    assert (made.refused_at("a", 9.0), made.refused_at("b", 9.0)) == (9.0, 1.0)
    assert not made.returned(["a"])
    assert made.returned(["b"])


def test_a_group_whose_call_failed_otherwise_is_the_next_again() -> None:
    """It was not judged; the same items go in the same call."""
    made = suspects()
    made.split(["a", "b", "c"], 1.0)
    group = made.next_group(alone=False)
    assert made.returned(group)
    assert made.next_group(alone=False) == group


def test_what_is_drained_is_forgotten() -> None:
    """All who wait, in order; whoever of them comes again begins anew."""
    made = suspects()
    made.split(["a", "b", "c"], 1.0)
    assert made.drain() == ["a", "b", "c"]
    assert len(made) == 0
    assert made.refused_at("a", 9.0) == 9.0
