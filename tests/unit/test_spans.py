"""Where private values are in a text: no two overlap, none is cut short, and two side by side stay two."""

import itertools

from stream_router.pipeline.masking.detectors.spans import widened, without_overlaps


def test_of_two_that_overlap_the_first_stays_and_of_those_that_begin_together_the_longest() -> None:
    """Two that only touch are two."""
    assert without_overlaps([(5, 9), (0, 5), (0, 3), (8, 12), (9, 11)]) == [(0, 5), (5, 9), (9, 11)]
    assert without_overlaps([]) == []


def test_a_row_that_a_span_overlaps_is_taken_with_it() -> None:
    """Whole: a part of a number that stays is a part of it given away. A row that it only touches stays."""
    assert widened([(5, 9)], [(0, 5), (7, 20), (20, 30)]) == [(5, 20)]
    assert widened([(5, 9)], [(0, 6)]) == [(0, 9)]
    assert widened([(5, 9)], [(0, 30)]) == [(0, 30)]
    assert widened([(5, 9), (12, 14)], [(8, 13)]) == [(5, 14)]
    assert widened([(5, 9), (9, 12)], []) == [(5, 9), (9, 12)]


def test_whatever_spans_and_rows_there_are_all_of_them_is_covered_once() -> None:
    """Every pair of spans beside every pair of rows, in a text of eight characters."""
    pairs = [[(a, b), (c, d)] for a, b, c, d in itertools.product(range(9), repeat=4) if a < b <= c < d]
    for spans, rows in itertools.product(pairs, repeat=2):
        wide = widened(spans, rows)
        met = [row for row in rows if any(row[0] < end and start < row[1] for start, end in spans)]
        covered = {at for start, end in [*spans, *met] for at in range(start, end)}
        assert [at for start, end in wide for at in range(start, end)] == sorted(covered)
