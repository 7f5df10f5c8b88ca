"""The watermark never passes an unsettled record, nor what was settled after the bus was last proven."""

from hypothesis import given, settings
from hypothesis import strategies as st

from stream_router.consumer.watermark import Position, Watermark
from stream_router.records import Record


@st.composite
def histories(draw: st.DrawFn) -> tuple[list[int], list[tuple[str, float]]]:
    """Lines of each record, and what happens: one line settles, the mark is looked at, the bus is proven."""
    lines = draw(st.lists(st.integers(0, 4), min_size=1, max_size=25))
    total = sum(lines)
    order = draw(st.permutations(range(total))) if total else []
    steps: list[tuple[str, float]] = []
    for number in order:
        steps.append(("settle", number))
        steps.extend(draw(st.lists(st.tuples(st.sampled_from(["look", "prove"]), st.floats(0, 0.3)), max_size=2)))
    return lines, steps


@settings(max_examples=2000, deadline=None)
@given(histories(), st.booleans())
def test_the_checkpoint_is_the_proven_settled_prefix(
    history: tuple[list[int], list[tuple[str, float]]], aggregated: bool
) -> None:
    """Whatever the order of settling, a checkpoint names a record with nothing unsettled before or in it."""
    lines, steps = history
    records = [Record(b"", 10**20 + (0 if aggregated else n), n if aggregated else 0) for n in range(len(lines))]
    for record, count in zip(records, lines, strict=True):
        record.expect(count)
    places = [(record, line) for record, count in zip(records, lines, strict=True) for line in range(count)]
    mark = Watermark()
    mark.expect(records)
    now, proof, settled_at, last = 0.0, -1.0, dict.fromkeys(range(len(records)), 0.0), None
    for what, value in steps:
        now += 0.05
        if what == "settle":
            record, line = places[int(value)]
            record.settle(line)
            settled_at[records.index(record)] = now
        elif what == "prove":
            proof = now
        mark.advance(now)
        position = mark.proven(proof)
        if position is None:
            continue
        assert last is None or position >= last
        last = position
        upto = [Position(r.sequence_number, r.sub_sequence_number) for r in records].index(position)
        assert all(not record.unsettled for record in records[: upto + 1])
        assert all(settled_at[n] <= proof for n in range(upto + 1) if lines[n])
    mark.advance(now + 1)
    final = Position(records[-1].sequence_number, records[-1].sub_sequence_number)
    assert mark.settled
    assert mark.proven(now + 2) == final
    assert not mark.unproven


def test_a_record_that_is_not_opened_yet_is_unsettled() -> None:
    """The watermark does not pass a record whose events are not known yet, though none of them is open."""
    mark = Watermark()
    first, second = Record(b"", 1), Record(b"", 2)
    mark.expect([first, second])
    first.expect(0)
    mark.advance(1.0)
    assert mark.proven(2.0) == Position(1, 0)
    assert not mark.settled


def test_positions_compare_as_integers() -> None:
    """A sequence number with more digits is the later one, though it sorts earlier as text."""
    assert Position(9, 0) < Position(10, 0) < Position(10, 1)
