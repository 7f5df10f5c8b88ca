"""Where something was found in a text: (start, end), as slices count."""

from bisect import bisect_left
from collections.abc import Sequence

Span = tuple[int, int]

UNSPACED_SCRIPTS = r"\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\u0e00-\u0e7f"
"""Scripts that put no space between a word and what stands beside it, as a character class has them: Japanese, Chinese,
Korean (its particles), Thai."""

APART = rf"[^\W_{UNSPACED_SCRIPTS}\u0590-\u06ff]"
"""A letter or digit of a script that sets words apart. Hebrew and Arabic glue prepositions to what follows."""


def without_overlaps(spans: list[Span]) -> list[Span]:
    """In order; of two that overlap, the one that begins first stays, and of those that begin together the longest."""
    kept: list[Span] = []
    for start, end in sorted(spans, key=lambda span: (span[0], -span[1])):
        if not kept or start >= kept[-1][1]:
            kept.append((start, end))
    return kept


def widened(spans: Sequence[Span], rows: Sequence[Span]) -> list[Span]:
    """The spans, each together with the rows that it overlaps; both come in order and without overlap."""
    taken = []
    for row in rows:
        before_its_end = bisect_left(spans, (row[1], 0))
        if before_its_end and spans[before_its_end - 1][1] > row[0]:
            taken.append(row)
    wide: list[Span] = []
    for start, end in sorted([*spans, *taken]):
        if wide and start < wide[-1][1]:
            wide[-1] = (wide[-1][0], max(end, wide[-1][1]))
        else:
            wide.append((start, end))
    return wide
