"""The watermark never passes an unsettled record, nor what was settled after the bus was last proven."""

from collections.abc import Iterator
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_router.consumer.child import watermark
from stream_router.consumer.child.watermark import RecordPosition, Watermark
from stream_router.model import Record


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


MAX_POSITIONS = watermark.MAX_POSITIONS


@pytest.fixture(
    params=[(3, 0), (MAX_POSITIONS, watermark.COMPACTION_THRESHOLD)], ids=["thinned", "whole"], scope="module"
)
def _kept(request: pytest.FixtureRequest) -> Iterator[None]:
    """Samples that are thinned all the time and records that are folded at once, and as many of both as in life."""
    samples, records = request.param
    with mock.patch.multiple(watermark, MAX_POSITIONS=samples, COMPACTION_THRESHOLD=records):
        yield


@pytest.mark.usefixtures("_kept")
@settings(max_examples=100, deadline=None)
@given(histories(), st.integers(1, 26))
def test_the_checkpoint_is_the_proven_settled_prefix(
    history: tuple[list[int], list[tuple[str, float]]], aggregated: int
) -> None:
    """Whatever the order of settling, a checkpoint names a record with nothing unsettled before or in it.

    Where records are aggregated, so many in one of the stream's, it names the last of one.
    """
    lines, steps = history
    records = [Record(b"", 10**20 + n // aggregated, n % aggregated) for n in range(len(lines))]
    for record, count in zip(records, lines, strict=True):
        record.expect(count)
    places = [(record, line) for record, count in zip(records, lines, strict=True) for line in range(count)]
    mark, half = Watermark(), len(records) // 2 // aggregated * aggregated
    mark.add_records(records[:half])
    now, proof, settled_at, last = 0.0, -1.0, dict.fromkeys(range(len(records)), 0.0), None
    for at, (kind, value) in enumerate(steps):
        if at == len(steps) // 3:
            mark.add_records(records[half:])
        now += 0.05
        if kind == "settle":
            record, line = places[int(value)]
            record.settle(line)
            settled_at[records.index(record)] = now
        elif kind == "prove":
            proof = now
        mark.advance(now)
        position = mark.release_checked(proof)
        if position is None:
            continue
        assert last is None or position >= last
        last = position
        upto = [RecordPosition(r.sequence_number, r.sub_sequence_number) for r in records].index(position)
        assert all(not record.unsettled for record in records[: upto + 1])
        assert upto + 1 == len(records) or records[upto + 1].sequence_number > position.sequence_number
        assert all(settled_at[n] <= proof for n in range(upto + 1) if lines[n])
    if not steps:
        mark.add_records(records[half:])
    mark.advance(now + 1)
    final = RecordPosition(records[-1].sequence_number, records[-1].sub_sequence_number)
    assert mark.is_settled
    assert mark.release_checked(now + 2) == final
    assert not mark.has_unchecked_positions


def test_a_record_that_is_not_opened_yet_is_unsettled() -> None:
    """The watermark does not pass a record whose events are not known yet, though none of them is open."""
    mark = Watermark()
    first, second = Record(b"", 1), Record(b"", 2)
    mark.add_records([first, second])
    first.expect(0)
    mark.advance(1.0)
    assert mark.release_checked(2.0) == RecordPosition(1, 0)
    assert not mark.is_settled


def test_an_hour_behind_one_sick_entry_costs_no_memory() -> None:
    """A hundred thousand settled records behind an unsettled one are one position; settled, all are passed at once."""
    mark = Watermark()
    sick = Record(b"", 0)
    sick.expect(1)
    mark.add_records([sick])
    for number in range(1, 100_001):
        record = Record(b"", number)
        record.expect(0)
        mark.add_records([record])
        if number % 100 == 0:
            mark.advance(number / 100)
            assert len(mark._unsettled) <= watermark.COMPACTION_THRESHOLD + 100
    sick.settle(0)
    mark.advance(10_000.0)
    assert mark.release_checked(10_001.0) == RecordPosition(100_000, 0)
    assert mark.is_settled


@settings(max_examples=100, deadline=None)
@given(st.floats(0.001, 0.099), st.floats(0.2, 10.0))
def test_steady_progress_is_checkpointed(step_s: float, proof_every_s: float) -> None:
    """Under a load that never pauses a proof frees what was reached up to a fifth of a second before it."""
    mark = Watermark()
    now, proof, reached = 0.0, -1.0, []
    for number in range(400):
        record = Record(b"", number)
        record.expect(1)
        mark.add_records([record])
        record.settle(0)
        now += step_s
        mark.advance(now)
        reached.append(now)
        if now - proof >= proof_every_s:
            proof = now
        position = mark.release_checked(proof)
        due = [n for n, when in enumerate(reached) if when < proof - 0.2]
        if due:
            assert position is not None
            assert position.sequence_number >= due[-1]


@pytest.mark.parametrize("age_s", [0.3, 5.0, 60.0, 600.0])
def test_a_bus_that_is_not_proven_for_hours_takes_bounded_memory(age_s: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """The samples are thinned; a proof so old still frees no later position, and one not a tenth earlier."""
    monkeypatch.setattr(watermark, "MAX_POSITIONS", MAX_POSITIONS)  # whatever the module's fixture says just now
    mark = Watermark()
    for number in range(1, 20_001):  # ten a second
        record = Record(b"", number)
        record.expect(0)
        mark.add_records([record])
        mark.advance(number / 10)
        mark.release_checked(-1.0)
        assert len(mark._unchecked) <= watermark.MAX_POSITIONS
    position = mark.release_checked(2_000.0 - age_s)
    assert position is not None
    assert 2_000.0 - age_s > position.sequence_number / 10 >= 2_000.0 - age_s * 1.1 - 0.2
    assert mark.release_checked(2_001.0) == RecordPosition(20_000, 0)
    assert not mark.has_unchecked_positions
