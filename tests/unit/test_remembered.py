"""What is kept of words is asked for once each, and has a bound."""

from stream_router.pipeline.masking.detectors.remembered import WORD_CHARS, WORDS_MAX, Remembered


def test_a_word_is_looked_at_once() -> None:
    """What a function said of a word is kept, but for what is longer than words are."""
    asked: list[str] = []

    def length(word: str) -> int:
        asked.append(word)
        return len(word)

    known, long = Remembered(length), "w" * (WORD_CHARS + 1)
    assert [known[word] for word in ("a", "bb", "a", long, long)] == [1, 2, 1, WORD_CHARS + 1, WORD_CHARS + 1]
    assert asked == ["a", "bb", long, long]


def test_what_is_kept_has_a_bound() -> None:
    """However many words are met, no more than a few thousand are kept."""
    known = Remembered(len)
    for number in range(WORDS_MAX * 2 + 1):
        known[f"{number}"]
        assert len(known) <= WORDS_MAX
