"""The vocabulary of phones by language (vocabulary.toml), ready to be asked."""

import functools
import re
import tomllib
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from itertools import product
from pathlib import Path

from stream_router.pipeline.masking.detectors.phones.compounds import ORDER_AT_END, PHONES, SUBSCRIBERS, WITHOUT
from stream_router.pipeline.masking.detectors.remembered import WORD_CHARS, Remembered

_TABLES: dict[str, dict[str, str]] = tomllib.loads((Path(__file__).parent / "vocabulary.toml").read_text("utf-8"))

SAYING, PLACED, PASSED, INCOMING, SPOKEN, DIRECT, LABEL, PERSON, CUSTOMER, DESK = (1 << bit for bit in range(10))
NUMBER, OWN, THING, OTHER, NAMED, PLACE, PASSING, AT_NUMBER, ARTICLE, COUNTED, CALLS, TELECOM, HANDLED = (
    1 << bit for bit in range(10, 23)
)
"""What kinds a word can be of, each a bit."""

_KIND_OF = {
    "said": SAYING,
    "placed": PLACED,
    "passed": PASSED,
    "incoming": INCOMING,
    "spoken": SPOKEN,
    "direct": DIRECT,
    "labels": LABEL,
    "persons": PERSON,
    "desks": DESK,
    "customers": CUSTOMER,
    "nouns": NUMBER,
    "owners": OWN,
    "things": THING,
    "other": OTHER,
    "named": NAMED,
    "places": PLACE,
    "counted": CALLS,
    "telecom": TELECOM,
    "handled": HANDLED,
}
_OF_PARTS = {"places": {"passed": PASSING, "number": AT_NUMBER, "articles": ARTICLE}, "counted": {"all": COUNTED}}
"""What of these tables is no language."""

_STEM_CHARS, _HEAD_CHARS = 3, 4
"""Beginnings of words are at least so long; most words begin like no longer one, which one look at a head tells."""

_PLAIN_MIN_CHARS = 4
_PLAIN = str.maketrans({"ł": "l", "ø": "o", "æ": "ae", "ß": "ss", "\u0131": "i", "ё": "\u0435", "đ": "d", "œ": "oe"})
_UMLAUTS = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "ß": "ss", "ø": "oe", "å": "aa"})
_FIRST_WITH_MARKS_OF_ITS_OWN = "\u0400"


def entries(table: str) -> set[str]:
    """The words and beginnings of words of a table, all languages together."""
    return {word for words in _TABLES[table].values() for word in words.split()}


def _bare(word: str) -> str:
    """A word of Latin letters without accents."""
    bare = (char for char in unicodedata.normalize("NFD", word.translate(_PLAIN)) if not unicodedata.combining(char))
    return "".join(bare)


def _spellings(word: str) -> set[str]:
    """A word as it is, and as those write it who leave out accents; short words become others without them."""
    if word.isascii() or len(word) < _PLAIN_MIN_CHARS + word.endswith("*") * 2:
        return {word}
    if max(word) >= _FIRST_WITH_MARKS_OF_ITS_OWN:
        return {word, word.translate(_PLAIN)}
    return {word, _bare(word), word.translate(_UMLAUTS)}


def _kinds() -> Iterator[tuple[str, int]]:
    """Each entry, in all its spellings, and its kind."""
    for table, kind in _KIND_OF.items():
        for name, words in _TABLES[table].items():
            for word in words.split():
                for spelling in _spellings(word):
                    yield spelling, _OF_PARTS.get(table, {}).get(name, kind)


def _parts(table: str) -> re.Pattern[str]:
    """Parts of words, the longest first; an underscore is a space. By two characters first: few are tried then."""
    by_head: dict[str, dict[str, list[str]]] = {}
    for entry in sorted(entries(table), key=len, reverse=True):
        part = entry.replace("_", " ")
        by_head.setdefault(part[:1], {}).setdefault(part[1:2], []).append(part[2:])
    heads = (
        first + _either(second + _either(rests) for second, rests in seconds.items())
        for first, seconds in by_head.items()
    )
    return re.compile("|".join(heads))


def _either(alternatives: Iterable[str]) -> str:
    return f"(?:{'|'.join(alternatives)})"


_WORDS, _PAIRS, _SHORT = dict[str, int](), dict[str, int](), dict[str, int]()
_STEMS = dict[str, dict[str, int]]()
for _entry, _kind in _kinds():
    _found, _key = (_PAIRS if "_" in _entry else _WORDS), _entry.replace("_", " ")
    if _entry.endswith("*"):
        _key = _entry[:-1]
        _found = _SHORT if len(_key) == _STEM_CHARS else _STEMS.setdefault(_key[:_HEAD_CHARS], {})
    _found[_key] = _found.get(_key, 0) | _kind
_IDIOMS = frozenset(entry.replace("_", " ") for entry in entries("idioms"))
_SECONDS = frozenset(pair.partition(" ")[2] for pair in (*_PAIRS, *_IDIOMS))
_BY_HEAD = {head: tuple(stems.items()) for head, stems in _STEMS.items()}

_COMPOUND_CHARS = 8
"""Compounds are what their last part says, whatever the first says: `Terminhotline`."""


_HAVING_KINDS = OTHER | NAMED | THING

_ACCENTS_MATTER_CHARS = 6
"""Shorter words become others without their accents; a longer one is the same (`przenieść` begins like `przenies*`)."""


def _kind_alone(word: str) -> int:
    """Of what kinds a word is, whatever stands before it."""
    word = word[:WORD_CHARS]
    kind = _WORDS.get(word, 0) | _SHORT.get(word[:_STEM_CHARS], 0)
    for stem, also in _BY_HEAD.get(word[:_HEAD_CHARS], ()):
        if word.startswith(stem):
            kind |= also
    if not kind and len(word) >= _ACCENTS_MATTER_CHARS and not word.isascii():
        bare = _bare(word) if max(word) < _FIRST_WITH_MARKS_OF_ITS_OWN else word
        return _kind_alone(bare) if bare != word else kind
    if len(word) > _COMPOUND_CHARS and ORDER_AT_END.search(word):
        return (kind & ~SAYING) | OTHER
    if kind & _HAVING_KINDS and word.endswith(WITHOUT) and len(word) > _COMPOUND_CHARS:
        kind &= ~_HAVING_KINDS
    return SAYING if len(word) > _COMPOUND_CHARS and word.endswith(PHONES) else kind


KIND_ALONE = Remembered(_kind_alone)


def of_pairs(words: Sequence[str], wanted: int) -> bool:
    """Whether a pair of words may be of a kind wanted: most texts have not even the second word of one."""
    return not _seconds_of(wanted).isdisjoint(words) and any(kind & wanted for kind in kinds(words))


@functools.cache
def _seconds_of(wanted: int) -> frozenset[str]:
    return frozenset(pair.partition(" ")[2] for pair, kind in _PAIRS.items() if kind & wanted)


def kinds(words: Sequence[str]) -> list[int]:
    """Of what kinds each word of a text is, in small letters; those of a pair are those of its second word."""
    found = list(map(KIND_ALONE.__getitem__, words))
    for at, word in enumerate(() if _SECONDS.isdisjoint(words) else words):
        if word in _SECONDS and at:
            pair = f"{words[at - 1]} {word}"
            found[at] = (0 if pair in _IDIOMS else found[at]) | _PAIRS.get(pair, 0)
    return found


def of_what_is(words: Sequence[str], named: Sequence[int]) -> Sequence[int]:
    """The kinds of words without things that are yet to be made, and so have no number: `a new delivery`."""
    if FRESH.isdisjoint(words):
        return named
    known, left = list(named), 0
    for at, word in enumerate(words):
        left = _FRESH_WORDS if word in FRESH else left - 1
        if left >= 0:
            known[at] &= ~_HAVING_KINDS
    return known


def is_new_subscribers(words: Sequence[str], place: int) -> bool:
    """Whether a word for `number` is that of `the new number of the subscriber`: who numbers them gives no new ones."""
    behind = words[place + 1 : place + 3]
    return place > 0 and words[place - 1] in FRESH and any(word.startswith(SUBSCRIBERS) for word in behind)


_FRESH_WORDS = 3
_TELLING = ("telecom", "handled", "placed", "said", "passed", "incoming", "persons", "owners", "desks")
"""Tables whose words tell the language, where no better ones do."""

_HAVING = ("other", "named", "things")


def _languages_of(tables: Sequence[str]) -> dict[str, list[str]]:
    """By each spelling of what stands in these tables: the languages that have it."""
    found: dict[str, list[str]] = {}
    for table, language in product(tables, _TABLES["telecom"]):
        for word in _TABLES[table].get(language, "").split():
            for spelling in _spellings(word):
                found.setdefault(spelling, []).append(language)
    return found


_LANGUAGES, _LANGUAGES_HAVING = _languages_of(_TELLING), _languages_of(_HAVING)
del _LANGUAGES["contact"]  # contact centres number them: `agent 5021 accepted contact 4093847561 after 12 s`


@functools.lru_cache(maxsize=8_192)
def spoken_in(word: str) -> tuple[str, ...]:
    """The languages in which a word speaks of phones, networks or calls."""
    return _among(word, _LANGUAGES)


@functools.lru_cache(maxsize=8_192)
def has_one_in(word: str) -> tuple[str, ...]:
    """The languages in which a word names what has a number: `rate` in Italian; none for one of two words, too."""
    return _among(word, _LANGUAGES_HAVING)


def _among(word: str, languages: dict[str, list[str]]) -> tuple[str, ...]:
    beginnings = (f"{word[:chars]}*" for chars in range(_STEM_CHARS, min(len(word), WORD_CHARS) + 1))
    return tuple({one: None for entry in (word, *beginnings) for one in languages.get(entry, ())})


COPULAS, PURPOSE, SMALL, AS, FRESH = (
    frozenset(entries(table)) for table in ("copulas", "purpose", "small", "as", "fresh")
)
RECORDS, REGISTERED = (
    tuple(spelling for entry in entries(table) for spelling in _spellings(entry)) for table in ("records", "registered")
)
SAYING_INSIDE, OTHER_INSIDE, OUT_OF_USE = _parts("said_inside"), _parts("other_inside"), _parts("out_of_use_inside")

_BETWEEN = " :\u00a0#\uff1a-\u2013("
_COUNTED = re.compile(r"[\W_]?(?:번호|番号|号码|號碼|编号|号|號|رقم|מספר|מס'?|id|no|は|是|为)\W?$")
_ASKED_FOR = re.compile(
    r"[おご](?:問い?合わ?せ|予約|申し?込み?|連絡|注文|相談|依頼|質問|用命|応募|意見|照会|返品|解約|変更|取消|キャンセル)(?:先|等|など)?は$|"
    r"お(?:問い?合わ?せ|電話|質問)(?:先)?$|"
    r"(?:문의|접수|신청|예약|취소|변경|상담|주문|반품|교환|환불|해지|신고)(?:은|는)$|"
    r"(?<![\u05d0-\u05ea])\u05d1[\u05d0-\u05ea]{3,}(?: \u05e9\u05dc\u05d9)? \u05dc$"
)
"""`for inquiries`, `to book`, in Hebrew `(kept) in the account to`: what is done at the number, and not what has it."""

_NAMED_ENDS = tuple(word.replace("_", " ") for word in entries("named_inside"))
_NAMED_CHARS = 28
_APART = re.compile("[,.!?\u3002\u3001\uff0c]")


def ends_named(text: str) -> bool:
    """Whether a text of a script with particles ends with what has a number, with or without a word for `number`."""
    tail = text[-_NAMED_CHARS:].rstrip(_BETWEEN)
    if _ASKED_FOR.search(tail):
        return False
    bare = _COUNTED.sub("", tail, count=1)
    return tail.endswith(_NAMED_ENDS) or any(
        bare[: len(bare) - end].endswith(_NAMED_ENDS) for end in range(3) if not _APART.search(bare, len(bare) - end)
    )
