"""Where something was found in a text: (start, end), as slices count."""

Span = tuple[int, int]


def without_overlaps(spans: list[Span]) -> list[Span]:
    """In order; of two that overlap, the one that begins first stays, and of those that begin together the longest."""
    kept: list[Span] = []
    for start, end in sorted(spans, key=lambda span: (span[0], -span[1])):
        if not kept or start >= kept[-1][1]:
            kept.append((start, end))
    return kept
