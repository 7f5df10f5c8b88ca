"""Which words of a text say that a number is a phone's."""

import re
from collections.abc import Sequence

from stream_router.pipeline.masking.detectors.phones.compounds import PHONE_NUMBERS, PHONE_STEMS, THING_AT_END
from stream_router.pipeline.masking.detectors.phones.text import UNSPACED, has_unspaced, word_pattern, words_of
from stream_router.pipeline.masking.detectors.phones.vocabulary import (
    ARTICLE,
    AT_NUMBER,
    COPULAS,
    CUSTOMER,
    DESK,
    DIRECT,
    FRESH,
    INCOMING,
    LABEL,
    NAMED,
    NUMBER,
    OTHER,
    OTHER_INSIDE,
    OWN,
    PASSED,
    PASSING,
    PERSON,
    PLACE,
    PLACED,
    SAYING,
    SAYING_INSIDE,
    SMALL,
    SPOKEN,
    THING,
    is_new_subscribers,
    kinds,
)

MAY_SAY = SAYING | PLACED | PASSED | SPOKEN | DIRECT | LABEL | PERSON | NUMBER
_HAS_ANOTHER = CUSTOMER | OTHER | NAMED | THING
_MAY_CONTACT = frozenset(
    ["please", "to", "can", "could", "may", "should", "or", "and", "you", "we", "kindly", "just", "de"]
)
_APART = re.compile(r"[:.,;=\uff1a]")
"""`contact 4093847561` is one of many contacts, unless the word before makes a verb of it or a colon sets it apart."""

_COLON = re.compile(r"(?:[:,\uff1a،]\s?|\()$")
_SENTENCE = re.compile(r"[^\W\d_]{4}[.!?]\s")
_AT_END = SPOKEN | DIRECT | LABEL | PERSON
CLAUSES = re.compile(r"[.,;:!?()]")
_DIRECT_CHARS = 2
"""At most so much stands between a word directly before the number and the number."""
_LABEL_WORDS, _ASKS_CHARS, _PERSON_WORDS = 3, 4, 4
"""`the number of my dear old mother`."""

_COPULAS_BEHIND = frozenset(["è", "é", "es", "est", "este", "era", "sería"])


class Words:
    """The words of a text in small letters (`folded_case`), their kinds, and what they say of a number beside them."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.words = words_of(text)
        self.kinds = kinds(self.words)
        self._found: list[re.Match[str]] | None = None

    @property
    def found(self) -> list[re.Match[str]]:
        """Where each word stands; most texts are never asked."""
        if self._found is None:
            self._found = list(word_pattern(self.text).finditer(self.text))
        return self._found

    def may_say(self, *, likely: bool) -> Sequence[int]:
        """The places of the words that could say it; most texts have none."""
        if has_unspaced(self.text):
            return range(len(self.kinds))
        wanted = MAY_SAY | PLACE if likely else MAY_SAY
        return [place for place, kind in enumerate(self.kinds) if kind & wanted]

    def placed(self) -> bool:
        """Whether a word of place stands directly before the end: `at`, `under the number`."""
        return self._ends_with(PLACE)

    def _ends_with(self, wanted: int) -> bool:
        kind, last = self.kinds, len(self.kinds) - 1
        if last < 0 or len(self.text) - self.found[last].end() > _DIRECT_CHARS:
            return False
        if kind[last] & wanted:
            return True
        if kind[last] & NUMBER and last:
            last -= 1
        elif not kind[last] & ARTICLE:
            return False
        if last and not kind[last] & wanted and kind[last] & ARTICLE:
            last -= 1
        return bool(kind[last] & wanted)

    def says(self, place: int, *, placed: bool) -> bool:
        """Whether a word says that the number is a phone's; `placed` where a word of place stands before it."""
        kind, word = self.kinds[place], self.words[place]
        if kind & SAYING:
            return (word != "contact" or self._contacts(place)) and not self._of_another(place)
        if (word[0] >= UNSPACED or word[-1] >= UNSPACED) and SAYING_INSIDE.search(word):
            return True
        return bool(kind & MAY_SAY and not THING_AT_END.search(word)) and (
            bool(kind & (PLACED | PERSON) and placed)
            or bool(kind & NUMBER and self._of_somebody(place))
            or bool(kind & _AT_END and self._labels(place))
            or bool(kind & PASSED and self._passes(place))
            or (word == "me" and place > 0 and self.words[place - 1] in ("get", "got", "try"))
        )

    def says_at(self, place: int) -> int:
        """Where that word begins, or the last part of it that says it, in scripts that put no space between words."""
        start, word = self.found[place].start(), self.words[place]
        parts = SAYING_INSIDE.finditer(word) if word[-1] >= UNSPACED else ()
        return start + max((part.start() for part in parts), default=0)

    def _passes(self, place: int) -> bool:
        """Whether what goes to a phone or comes from one does: `the code was sent to …`, `missed call`."""
        beside = self.kinds[max(0, place - 1) : place + 2]
        return self._ends_with(PASSING | PLACE) or any(kind & INCOMING for kind in beside)

    def _of_another(self, place: int) -> bool:
        """Whether a word is a thing's all the same: `Mobilfunkvertrag`; `müşteri numaram`."""
        if THING_AT_END.search(self.words[place]):
            return True
        return bool(self.kinds[place] & NUMBER and place and self.kinds[place - 1] & _HAS_ANOTHER)

    def _contacts(self, place: int) -> bool:
        before = self.words[place - 1] if place else ""
        last = place == len(self.found) - 1 and before not in _MAY_CONTACT
        return not last or self.placed() or _APART.search(self.text, self.found[place].end()) is not None

    def _labels(self, place: int) -> bool:
        """Whether the end comes close behind the word: `talk to her: …`, `he answers …`, `office: …`."""
        kind, last = self.kinds[place], len(self.kinds) - 1
        if kind & DIRECT and (place == last or (place == last - 1 and self.kinds[last] & ARTICLE)):
            return len(self.text) - self.found[last].end() <= _DIRECT_CHARS
        if not _COLON.search(self.text) or self._names_another():
            return False
        if has_unspaced(self.text) and OTHER_INSIDE.search(self.text):
            return False
        return last - place <= (_LABEL_WORDS if kind & (SPOKEN | PERSON) else 0)

    def _names_another(self) -> bool:
        """Whether a word of the last sentence is what has a number."""
        start, no_thing = max((found.end() for found in _SENTENCE.finditer(self.text)), default=0), PERSON | SPOKEN
        named = (kind for kind, found in zip(self.kinds, self.found, strict=True) if found.start() >= start)
        return any(kind & (OTHER | NAMED | THING) and not kind & no_thing for kind in named)

    def _of_somebody(self, place: int) -> bool:
        """Whether a word for `number` is with one that says whose or which: `my number`, `номер мамы`."""
        if any(kind & _HAS_ANOTHER for kind in self.kinds[place + 1 : place + 3]):
            return is_new_subscribers(self.words, place)
        return self._owned_before(place) or self._has_number(place) or self._owned_behind(place)

    def _owned_before(self, place: int) -> bool:
        """Whether that stands before it: `my number`, `wife's number`, `at the number`."""
        if not place:
            return False
        kind, between = self.kinds, self.words[place - 1]
        if kind[place - 1] & (OWN | PERSON | DESK | AT_NUMBER):
            return True
        return place > 1 and bool(
            ((between in SMALL or between in FRESH) and kind[place - 2] & OWN)
            or (between == "s" and kind[place - 2] & PERSON)
            or (kind[place - 1] & ARTICLE and kind[place - 2] & AT_NUMBER)
        )

    def _owned_behind(self, place: int) -> bool:
        """Whether that follows: `numărul meu`, `the number is now`, `номер мамы`, `which number? mine is`."""
        behind = self.kinds[place + 1 : place + 1 + _PERSON_WORDS]
        if behind and (behind[0] & OWN or (self.words[place + 1] in COPULAS and self._next(place + 2) & OWN)):
            return True
        if self._ends_with_mine(place) and not (place and self.kinds[place - 1] & _HAS_ANOTHER):
            return True
        for at, one in enumerate(behind, place + 1):
            if one & (PERSON | DESK):
                return not CLAUSES.search(self.text, self.found[place].end(), self.found[at].start())
        return False

    def _ends_with_mine(self, place: int) -> bool:
        """Whether a number is asked for, and one's own said: `which number did you use? mine is …`."""
        last = len(self.kinds) - 1
        return last > place + 1 and self.words[last] in COPULAS and bool(self.kinds[last - 1] & OWN)

    def _next(self, place: int) -> int:
        return self.kinds[place] if place < len(self.kinds) else 0

    def _has_number(self, place: int) -> bool:
        """Whether somebody has it: `my wife has the number`."""
        for at in range(place - 1, max(-1, place - 1 - _PERSON_WORDS), -1):
            if self.kinds[at] & PERSON:
                return not CLAUSES.search(self.text, self.found[at].end(), self.found[place].start())
            if len(self.words[at]) > _ASKS_CHARS:
                return False
        return False

    def hints(self, place: int) -> bool:
        """Whether a word says it of digits that are a phone's as they stand."""
        kind, last = self.kinds[place], len(self.kinds) - 1
        if kind & (PLACED | PERSON | PASSED):
            return True
        if kind & NUMBER:
            return self._stands_alone(place) and all(
                one & (OWN | PERSON | ARTICLE) or len(word) <= _ASKS_CHARS for one, word in self._from(place + 1)
            )
        return place == last and self.placed()

    def _stands_alone(self, place: int) -> bool:
        """Whether a word for `number` is no part of one for another thing's: `account no.`."""
        return not place or bool(self.kinds[place - 1] & ~_HAS_ANOTHER) or len(self.words[place - 1]) <= _ASKS_CHARS

    def _from(self, place: int) -> list[tuple[int, str]]:
        return list(zip(self.kinds[place:], self.words[place:], strict=True))

    def finds_me(self, place: int) -> bool:
        """Whether two words behind a number do: `(where you) find me`."""
        return place + 1 < len(self.kinds) and bool(self.kinds[place] & self.kinds[place + 1] & PLACED)

    def is_label(self, place: int) -> bool:
        """Whether it ends with a word for a phone's number, and that of nothing else: `mobilnummer`, `numer telefonu`.

        `my` and the like, `is`, people and articles may stand behind it, and `my` between the two words.
        """
        if self.kinds[place] & THING:
            return False
        behind = zip(self.kinds[place + 1 :], self.words[place + 1 :], strict=True)
        if not all(kind & (OWN | NUMBER | PERSON | ARTICLE) or word in COPULAS for kind, word in behind):
            return False
        before = place - 1
        while before >= 0 and self.kinds[before] & OWN and not self.kinds[before] & NUMBER:
            before -= 1
        if before > 0 and self.kinds[before] & NUMBER and self.kinds[before - 1] & _HAS_ANOTHER:
            return False
        is_number = before >= 0 and self.kinds[before] & NUMBER
        return bool(is_number or self._next(place + 1) & NUMBER or self.words[place].endswith(PHONE_NUMBERS))

    def is_subject(self, place: int) -> bool:
        """Whether the number is said to be this phone's, in languages whose nouns stand before what they belong to.

        `il cellulare associato al conto è …`, but `la fattura del cellulare è …`.
        """
        if self.words[-1] not in _COPULAS_BEHIND or not self.words[place].startswith(PHONE_STEMS):
            return False
        ends = [found.end() for found in CLAUSES.finditer(self.text, 0, self.found[-1].start())]
        first = next((at for at, found in enumerate(self.found) if not ends or found.start() >= ends[-1]), place)
        return first <= place and not any(kind & _HAS_ANOTHER for kind in self.kinds[first:place])
