"""Numbers that nothing announces, where the language of the sentence says whose phone numbers to expect."""

import re
from collections.abc import Collection, Sequence

from stream_router.pipeline.masking.detectors.phones.languages import (
    COUNTING,
    is_word_of,
    languages,
    may_be_of,
    regions_of,
)
from stream_router.pipeline.masking.detectors.phones.naming import OTHER_NUMBER
from stream_router.pipeline.masking.detectors.phones.said import Words
from stream_router.pipeline.masking.detectors.phones.text import folded_case, has_unspaced, says_when, words_of
from stream_router.pipeline.masking.detectors.phones.vocabulary import (
    CUSTOMER,
    DESK,
    HANDLED,
    NAMED,
    NUMBER,
    OTHER,
    PASSING,
    PERSON,
    PLACE,
    PLACED,
    SAYING,
    SPOKEN,
    TELECOM,
    THING,
    has_one_in,
    kinds,
    of_what_is,
    spoken_in,
)
from stream_router.pipeline.masking.detectors.phones.written import is_grouped_as_in

_BEFORE_CHARS, _NEAR_CHARS, _BEHIND_CHARS = 120, 32, 60
_CLAUSE_ENDS = re.compile(r"[.,;:!?()\n\u2013\u2014]|\s-\s")
_GAP_CHARS = " \u00a0\n\t.,;:!?|(\u2013\u2014\"'-"
"""What may stand between a word and a number that is meant on its own; `#` and the like make it something's number."""

_RANGE = re.compile(r"\s\w{1,6}\s\d(?:[ .]?\d){4}")
"""`from 20000000 to 30000000 kroner`: what is counted, and no hour (`… until 20`)."""

_ABBREVIATED = re.compile(r"(?:nr|\b(?:no|č|n|num|núm|\u03b1\u03c1|ref|id))[.:]?[ \u00a0]?$")
"""`smlouva č. …`, `saksnr. …`: it numbers what stands before it."""

_IN_THE = "no "
"""In Portuguese it is `on the`, elsewhere short for a number."""

_APART = re.compile(r"[.,;!?\n]")
_OF_A_PERSON = re.compile(
    r"\b(?:mr|mrs|ms|miss|dr|herr|herrn|frau|hr|fru|monsieur|madame|mme|m|señora?|sra?|senhora?|signora?|sig|dhr|mevr|"
    r"meneer|mevrouw|pan|pana|panu|panem|pani|panią|paní|p|τον κ|signore|господину|господина|пана|пану|"
    r"domnul|doamna|dl|dna|sig\.ra|κυρία|κυρίου|κύριος|κύριο|господин|госпожа|пан|пані|κ|κα|herra|rouva)\.? "
    r"(?:\w+ ){0,2}\w+ ?\($"
    r"|\w+ (?:bey|han\u0131m|úr) ?\($",
    re.IGNORECASE,
)
"""`Mr Obi (…)`: a number alone in parentheses behind a person."""

_UNTIL = re.compile(r"(?<=[^\W\d_]|[.]) ?\d{1,2}(?:[:.]\d\d)? ?(?:h|uhr|uur|hodin|[ap]m|óráig)? ?\($")
"""`Our reception is staffed until 17:00 (…)`."""

_LAST_LABEL = re.compile(r"[.!]\s+[^\W\d_]+$")
_OPENING = "¿¡(\"'«„“"
_AT_END = re.compile(r"\s*(?:[.,;!?)\n]|$)")
_JOINED = " \u00a0("
_FOR = "için"
"""What stands before it in Turkish is what the number is for."""

_WORDS_BEHIND, _WORDS_NEAR = 3, 2
"""Words further away speak of something else."""

_KNOWN_WORDS, _KNOWN_WORDS_WITH_TRUNK, _KNOWN_WORDS_BEFORE_COLON = 2, 1, 2
_GIVEN_TO = PERSON | PLACED
"""Whom a number is given to: `I gave the school …`."""

_HAS_ONE = OTHER | NAMED | THING
_IS_ONE = _HAS_ONE | NUMBER


def expected_regions(text: str, at: int, end: int, possible: frozenset[str]) -> list[str]:
    """Which of the regions `possible` the sentence lets expect a number of from `at` to `end`; none if it is another's.

    A number with a trunk prefix may stand anywhere in a sentence of their languages. Others stand behind a word such as
    `at`, `my` or `is`, or behind a comma: behind a noun they are mostly that thing's (`locker 20538983`). Where the
    text speaks of phones they may stand behind any word but such a noun, and so may one in the groups of its country.
    """
    with_trunk, near = _has_trunk(text[at], possible), text[max(0, at - _NEAR_CHARS) : at]
    grouped = not with_trunk and is_grouped_as_in(text[at:end], possible)
    after = text[end : end + _NEAR_CHARS]
    alone = near[-1:] == "(" and after[:1] == ")"
    persons = alone and _OF_A_PERSON.search(near) is not None
    until = alone and not persons and _UNTIL.search(near) is not None
    follows = persons or until or with_trunk or grouped or _may_follow(near, after, possible)
    if not (follows or _may_be_spoken_of(near, after, possible)):
        return []
    before = folded_case(text[max(0, at - _BEFORE_CHARS) : at])
    said = (_UNTIL.sub("", before) if until else before).rstrip(_GAP_CHARS)
    gap = "," if until else before[len(said) :]
    abbreviated = _ABBREVIATED.search(said + gap)
    if said and (not said[-1].isalpha() or (abbreviated and abbreviated[0] != _IN_THE)):
        return []
    behind = folded_case(text[end : end + _BEHIND_CHARS])
    said = _without_is(said)
    if _RANGE.match(behind) or has_unspaced(said) or has_unspaced(behind):
        return []
    words = words_of(f"{said} {behind}")
    ends_there = len(words) > _KNOWN_WORDS and not (abbreviated or behind.strip(_GAP_CHARS))
    few = with_trunk or grouped or ends_there
    spoken = languages(words, _KNOWN_WORDS_WITH_TRUNK if few else _KNOWN_WORDS, spoken_in)
    if abbreviated and "pt" not in spoken:
        return []
    regions = [region for region in regions_of(spoken) if region in possible]
    with_trunk = _has_trunk(text[at], regions)
    if regions and follows and (persons or _is_open(said, gap, behind, spoken, with_trunk=with_trunk or grouped)):
        return regions
    return regions if regions and _speaks_of_phones(said, gap, behind, spoken) else []


def _without_is(said: str) -> str:
    """A text without the `is` of `it's …`, `mine's …` at its end."""
    return said.removesuffix("'s").removesuffix("\u2019s")


def _has_trunk(first: str, regions: Collection[str]) -> bool:
    """Whether a number that begins so has a trunk prefix in one of the regions: a 0, in Russia an 8."""
    return first == "0" or (first == "8" and "RU" in regions)


def _may_follow(near: str, after: str, possible: frozenset[str]) -> bool:
    """Whether what stands directly before a number could let it stand on its own: a cheap first look.

    `She has 21577193` counts nothing, and what is deleted, tried or moved by its number is no locker.
    """
    said = _without_is(near.rstrip(_JOINED))
    if not said or not said[-1].isalpha():
        return True
    last = said[said.rfind(" ") + 1 :].lstrip(_OPENING).lower()
    if last in COUNTING and not _AT_END.match(after):
        return _is_handled(words_of(after.lower())[:1])
    (kind,) = kinds([last])
    return may_be_of((last,), possible) or bool(kind & HANDLED or (kind & _GIVEN_TO and not kind & _HAS_ONE))


def _is_handled(words: Sequence[str]) -> bool:
    return any(kind & HANDLED for kind in kinds(words))


def _may_be_spoken_of(before: str, behind: str, possible: frozenset[str]) -> bool:
    """Whether the texts beside a number may be of a language of its regions, and it stands behind no other's noun."""
    words = words_of(before.lower())
    if not (may_be_of(words, possible) or may_be_of(words_of(behind.lower()), possible)):
        return False
    return not words or not kinds(words[-2:])[-1] & (_HAS_ONE | THING)


def _speaks_of_phones(said: str, gap: str, behind: str, spoken: Sequence[str]) -> bool:
    """Whether the text around a number speaks of phones or calls, and its own clause of nothing that has a number.

    A customer has one where the clause has a word for `number` too.
    """
    around = said if says_when(behind) else f"{said} {behind}"
    if not any(kind & (SAYING | TELECOM | SPOKEN) for kind in kinds(words_of(around))):
        return False
    clause = f"{'' if _APART.search(gap) else _CLAUSE_ENDS.split(said)[-1]} {_CLAUSE_ENDS.split(behind, 1)[0]}"
    words = words_of(clause)
    named = kinds(words)
    if any(kind & CUSTOMER for kind in named) and any(kind & NUMBER for kind in named):
        return False
    return not _names_one(named, words, _HAS_ONE, spoken)


def _names_one(named: Sequence[int], words: Sequence[str], wanted: int, spoken: Sequence[str]) -> bool:
    """Whether one of the words is of a kind wanted in one of the languages spoken: a `rate` has a number in Italian."""
    for kind, word in zip(named, words, strict=True):
        if kind & wanted and not (word == _IN_THE.rstrip() and "pt" in spoken):
            known = () if kind & wanted & NUMBER else has_one_in(word)
            if not known or any(language in spoken for language in known):
                return True
    return False


def _is_open(said: str, gap: str, behind: str, spoken: Sequence[str], *, with_trunk: bool) -> bool:
    """Whether the clause around a number leaves open whose it is."""
    words = Words("" if _APART.search(gap) else _CLAUSE_ENDS.split(said)[-1])
    behind_it = words_of(_CLAUSE_ENDS.split(behind, 1)[0])[:_WORDS_BEHIND]
    following = kinds(behind_it)
    handled = any(kind & HANDLED for kind in (*words.kinds[-_WORDS_NEAR:], *following[:1]))
    if len(words.kinds) == 1 and ":" in gap and _is_last_label(said, behind):
        return not _names_one(words.kinds, words.words, _IS_ONE, spoken)
    if words.kinds and not _may_stand_behind(words, gap, behind, spoken, near_only=with_trunk or handled):
        return False
    return handled or not _names_one(following, behind_it, _HAS_ONE, spoken)


def _is_last_label(said: str, behind: str) -> bool:
    """Whether a text behind which there is a label of one word ends with its number: `… until Monday. Locum: …`."""
    return _LAST_LABEL.search(said) is not None and not behind.strip(" \u00a0.!")


def _may_stand_behind(clause: Words, gap: str, behind: str, spoken: Sequence[str], *, near_only: bool) -> bool:
    """Whether a number may stand behind a clause without being that of something in it, or of what is near.

    A label behind whose number the text ends needs less to be known of.
    """
    near = len(clause.kinds)
    if near_only:
        near = 1 if clause.kinds[-1] & PLACE or clause.words[-1] == _FOR else _WORDS_NEAR
    open_to = clause.placed() or clause.kinds[-1] & PASSING or clause.words[-1] in COUNTING
    known = of_what_is(clause.words, clause.kinds) if open_to else clause.kinds
    if _names_one(known[-near:], clause.words[-near:], _IS_ONE, spoken) or OTHER_NUMBER.search(clause.text):
        return False
    if near_only:
        return True
    if ":" in gap:
        if any(kind & DESK for kind in clause.kinds):
            return True
        known_words = sum(is_word_of(word, spoken) for word in clause.words)
        return known_words >= (_KNOWN_WORDS_BEFORE_COLON if behind.strip(_GAP_CHARS) else 1)
    if gap.strip(_JOINED) or (clause.kinds[-1] & _GIVEN_TO and not clause.kinds[-1] & _HAS_ONE):
        return True
    return is_word_of(clause.words[-1], spoken)
