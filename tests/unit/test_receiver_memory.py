"""The memory of stored deliveries: bounded in number and time."""

from stream_router.receiver.recent_ids import CAPACITY, KEPT_S, RecentIds


def test_the_contract_s_bounds() -> None:
    """100,000 ids for 10 minutes."""
    assert (CAPACITY, KEPT_S) == (100_000, 600.0)


def test_an_id_is_seen_until_its_time_is_over() -> None:
    """Seen from when it is stored until 10 minutes later, and a new store begins anew."""
    memory = RecentIds()
    assert not memory.seen("a", 0.0)
    memory.add("a", 0.0)
    assert memory.seen("a", 599.9)
    assert not memory.seen("a", 600.0)
    memory.add("a", 601.0)
    assert memory.seen("a", 1200.0)


def test_the_oldest_are_forgotten_where_there_are_too_many() -> None:
    """It never grows beyond its capacity."""
    memory = RecentIds(capacity=3)
    for number in range(10):
        memory.add(str(number), float(number))
    assert len(memory) == 3
    assert [memory.seen(str(number), 10.0) for number in range(10)] == [False] * 7 + [True] * 3


def test_a_repeat_does_not_lengthen_an_id_s_time() -> None:
    """An id that is stored is kept from its first storing, however often it comes again."""
    memory = RecentIds()
    memory.add("a", 0.0)
    memory.add("a", 500.0)
    assert not memory.seen("a", 601.0)
