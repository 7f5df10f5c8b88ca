"""What was found out about words is kept, so that each is looked at once."""

from collections.abc import Callable

WORD_CHARS = 48
"""What is longer is no word that people know; so what is kept of them has a bound."""

WORDS_MAX = 8_192


class Remembered(dict[str, int]):
    """What a function says of each word, by the word: to ask a dictionary costs half of what `lru_cache` does."""

    def __init__(self, function: Callable[[str], int]) -> None:
        super().__init__()
        self._function = function

    def __missing__(self, word: str) -> int:
        found = self._function(word)
        if len(word) <= WORD_CHARS:
            if len(self) >= WORDS_MAX:
                self.clear()
            self[word] = found
        return found
