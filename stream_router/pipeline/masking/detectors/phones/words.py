"""The words around a number that say whether it is a phone's."""

import re
from enum import Enum, auto

from stream_router.pipeline.masking.detectors.phones.compounds import IN_A_CASE, ON_MINE
from stream_router.pipeline.masking.detectors.phones.naming import (
    PERSON_BEFORE,
    is_anothers,
    is_placed_near,
    named_otherwise,
    named_with_capital,
    names_a_thing,
    of_a_thing,
    other_between,
    speaks_of_other,
)
from stream_router.pipeline.masking.detectors.phones.said import Words
from stream_router.pipeline.masking.detectors.phones.shapes import TIMES
from stream_router.pipeline.masking.detectors.phones.text import (
    folded_case,
    has_unspaced,
    placed_behind,
    says_when,
    without_means,
)
from stream_router.pipeline.masking.detectors.phones.vocabulary import (
    NAMED,
    NUMBER,
    OTHER,
    OTHER_INSIDE,
    OWN,
    PERSON,
    PLACED,
    SAYING,
    SAYING_INSIDE,
    ends_named,
    kinds,
)

_GAP_MAX_CHARS, _GAP_PLACED_MAX_CHARS = 44, 56
"""Between a word that says `phone` and the number; more where a word of place (`at`) or a colon stands before it."""

_DIRECT_WORDS, _CLOSE_WORDS, _CLOSE_CHARS = 2, 3, 12
"""A word so near says it of any digits; one further away of those only that a country of the language writes so."""

_GAP_END = re.compile(r".*(?:\d{3}|[\0+]|\((?=\W*\d)|(?<!:)\n|\n(?=\s*\S))", re.DOTALL)
"""Another number ends it, but not the hour at which somebody may be called; a line too, but for a label's own line."""

_SECOND_NUMBER = re.compile(r"^\W{0,2}(?:号码|號碼)(?=\W{0,2}$)")
"""Behind another number it is of the same thing: Chinese invoices have a code and a number."""

_MAY_END_GAP = re.compile(r"[\d\0+(\n]")
_SIGN = re.compile(
    "(?:[☎☏✆📞📱📲]\ufe0f?|\\b06|(?:^|[\\n|,;/])\\s?[tmτκтм](?=[.:])|[\\n|,;]\\s?[tmpτт](?=[ \u00a0]))\\W{0,3}$",
    re.IGNORECASE,
)
"""Signs that people draw, `T:` and `, T …` at the foot of a letter; in the Netherlands a mobile is somebody's `06`."""

_PORTABLE, _PORTABLE_CHARS = re.compile(r"\bport\.?[ \u00a0]?:[ \u00a0]?$"), 9
"""Short for a mobile in French; in other languages what a computer or a ship has, whose number has no 0 in front."""

_SIGN_CHARS = 5
_LETTERS = frozenset("abcdefghijklmnopqrstuvwxyz")
_BEFORE_LETTER = " \u00a0\n|,;"
"""Behind a letter of a word, which mostly stands there, no sign is looked for."""

_BEHIND_CHARS = 40
_BEFORE_BEHIND_CHARS = 52
_SENTENCES = re.compile(r"(?<!nr)(?<!no)(?<!num)(?<!ref)(?<!\b\w)[.!?]\s|[。！？\0]")
"""The point of `nr.` ends none."""
_BEHIND_END = re.compile(r"[\d\n.!?;:。！？+(]")
_EAST_ASIAN, _COMMA = re.compile(r"[\u3040-\u30ff\u4e00-\u9fff\uac00-\ud7af]"), re.compile("[,，、]")
"""In these scripts a number that does not begin as phones do is none by what a clause of its own says behind it."""

_CHINESE_MOBILE = re.compile(r"1[3-9]\d{9}")

_ANOTHER = re.compile(r"[+(]?\d(?:\W?\d){4}")
"""Words between two numbers speak of the second."""

_IN_PARENTHESES = re.compile(r"[ \u00a0]?\((?=[^\d+])")

_TIMES = re.compile(rf"[ \u00a0,(]{{1,3}}{TIMES}\)?")
"""How often somebody was called says nothing of whose the number is."""

_NUMBERED = re.compile(r"[ \u00a0](?:numaral\u0131|nolu|no'lu|számú) (?P<what>[^\W\d_]+)(?P<thing> [^\W\d_]+)?")
"""`… numaralı telefon`, which is the phone's, whatever stands before."""


def is_signed(text: str, at: int) -> bool:
    """Whether a sign for a phone stands before `at`."""
    start = max(0, at - _SIGN_CHARS)
    near = text[start:at]
    last = near.rstrip()[-2:]
    return (last[-1:] not in _LETTERS or last[0] in _BEFORE_LETTER) and _SIGN.search(near) is not None


class Said(Enum):
    """What the words around a number say of it."""

    NOTHING = auto()
    FROM_AFAR = auto()
    """A word that is not close by says that it is a phone's."""
    PLAINLY = auto()
    DIRECTLY = auto()
    """The last word before the number does, or the one before that."""


def said_before(before: str, *, likely: bool = False) -> Said:
    r"""Whether a word not far before a number, and no other number between them, says that it is a phone's.

    `before` is the text up to the number, in small letters without points and marks over them (`folded_case`), with
    `\0` for a number that was found. Of a `likely` one, as its digits are, fewer words say it.
    """
    if is_signed(before, len(before)) or (likely and _PORTABLE.search(before, max(0, len(before) - _PORTABLE_CHARS))):
        return Said.DIRECTLY
    if _MAY_END_GAP.search(before) and (ended := _GAP_END.match(before)):
        before = _SECOND_NUMBER.sub("", before[ended.end() :])
    words = Words(before)
    places = words.may_say(likely=likely)
    placed = bool(places) and words.placed()
    for place in reversed(places):
        if not (words.says(place, placed=placed) or (likely and words.hints(place))):
            continue
        names_it = words.is_label(place) or words.is_subject(place)
        if not names_it and is_anothers(words, place):
            continue
        gap_chars = len(before) - words.found[place].end()
        if gap_chars > (_GAP_PLACED_MAX_CHARS if placed or before.rstrip().endswith(":") else _GAP_MAX_CHARS):
            return Said.NOTHING
        if names_it:
            return Said.DIRECTLY
        if of_a_thing(words, place) or other_between(words, place):
            return Said.NOTHING
        return _how_close(len(words.kinds) - place)
    return Said.NOTHING


def _how_close(words: int) -> Said:
    """What a word says, by how many words it and those behind it are."""
    if words <= _DIRECT_WORDS:
        return Said.DIRECTLY
    return Said.PLAINLY if words <= _CLOSE_WORDS else Said.FROM_AFAR


def said_behind(text: str, at: int, end: int, *, likely: bool = False) -> Said:
    """Whether words directly behind a number say that it is a phone's: `… erreichen Sie mich`, `…に電話して`."""
    behind, start = _following(text, end)
    if inner := _IN_PARENTHESES.match(behind):
        behind = behind[inner.end() :]
    elif stop := _BEHIND_END.search(behind):
        if _ANOTHER.match(text, start + stop.start()):
            return Said.NOTHING
        behind = behind[: stop.start()]
    if (numbered := _NUMBERED.match(behind)) and _is_a_phones(numbered):
        return Said.DIRECTLY
    if not (likely or _CHINESE_MOBILE.match(text, at)) and _EAST_ASIAN.search(behind):
        behind = _COMMA.split(behind, 1)[0]
    behind = without_means(behind)
    words, suffixed = Words(behind), placed_behind(behind)
    if not suffixed and (says_when(behind) or not words.may_say(likely=likely)):
        return Said.NOTHING
    before = _SENTENCES.split(folded_case(text[max(0, at - _BEFORE_BEHIND_CHARS) : at]))[-1]
    first = Words(before)
    says = _says_behind(words, placed=suffixed or first.placed(), likely=likely)
    if says < 0 and not (suffixed and (likely or any(kind & (PLACED | PERSON) for kind in first.kinds))):
        return Said.NOTHING
    if suffixed and not has_unspaced(before):
        anothers = named_otherwise(before) or (names_a_thing(first) and not (says >= 0 and _OBJECT.search(before)))
    else:
        anothers = (
            (PERSON_BEFORE.search(before) is not None and not suffixed)
            or _of_other(before, first, behind[: max(says, 0)], mine=_is_ones_number(words))
            or named_with_capital(text[:at], first, behind)
        )
    if anothers:
        return Said.NOTHING
    return Said.PLAINLY if suffixed or says <= _CLOSE_CHARS else Said.FROM_AFAR


def _following(text: str, end: int) -> tuple[str, int]:
    """What follows a number, in small letters and without how often it was called, and where that begins."""
    behind = folded_case(text[end : end + _BEHIND_CHARS])
    counted = _TIMES.match(behind)
    return (behind[counted.end() :], end + counted.end()) if counted else (behind, end)


_OBJECT = re.compile(r"(?:[ıiuü]n[ıiuü]z[ıiuü]|[ıiuü]m[ıiuü]|l[ae]r[ıi]n?[ıi]?|[aeıioöuü]y[ıiuü])[ \u00a0]$")
"""A Turkish noun with the ending of an object: what is to be done, as `by calling …` says behind the number."""


def _is_ones_number(words: Words) -> bool:
    """Whether it begins with `my number`, `the right number`."""
    return len(words.kinds) > 1 and bool(words.kinds[0] & OWN and words.kinds[1] & NUMBER)


def _is_a_phones(numbered: re.Match[str]) -> bool:
    """Whether a number is a phone's, and not that of a thing of it (its contract)."""
    what, thing = kinds([numbered["what"], (numbered["thing"] or "").strip()])
    return bool(what & SAYING) and (not thing & (OTHER | NAMED) or IN_A_CASE.match(numbered["what"]) is not None)


def _says_behind(words: Words, *, placed: bool, likely: bool) -> int:
    """Where the first word stands that says it; -1 if none does."""
    if has_unspaced(words.text) and (inside := SAYING_INSIDE.search(words.text)):
        return inside.start()
    for place, found in enumerate(words.found):
        if words.says(place, placed=placed) or words.finds_me(place) or (likely and words.hints(place)):
            return found.start()
    return -1


def _of_other(before: str, first: Words, between: str, *, mine: bool) -> bool:
    """Whether a number is named otherwise before it, or something else that has one stands around it.

    `mine` where it is said to be `my`, or `the right number`: what stands further before is what it is for.
    """
    if named_otherwise(before) or names_a_thing(first):
        return True
    if any(kind & OTHER for kind in kinds([word for word in between.split() if word.isalpha()])):
        return True
    if has_unspaced(before) and OTHER_INSIDE.search(before, max(0, len(before) - 26)):
        return True
    on_mine = first.words[-1:] and first.words[-1].endswith(ON_MINE)
    return speaks_of_other(first, 0) and not (mine or on_mine or is_placed_near(first))


def unnamed_in_script(before: str, behind: str, *, chinese: bool) -> bool:
    """Whether a number stands in Korean, Japanese, Chinese, Hebrew or Arabic, and nothing says what else it is.

    Numbers with a trunk 0 are phones there, and those that begin as mobiles do in Chinese: what else is counted hardly
    begins so.
    """
    script = _HAN if chinese else _SCRIPT
    if not (script.search(before) or script.search(behind)):
        return False
    if chinese and (_KANA_OR_HANGUL.search(before) or _KANA_OR_HANGUL.search(behind)):
        return False
    if OTHER_INSIDE.search(before) or OTHER_INSIDE.search(behind) or ends_named(before):
        return False
    return not (_NUMBER_OF.search(before) or _COUNTED.search(before))


_SCRIPT = re.compile(r"[\u3040-\u30ff\u4e00-\u9fff\uac00-\ud7af\u0590-\u05ff\u0621-\u064a]")
_HAN = re.compile(r"[\u4e00-\u9fff]")
_KANA_OR_HANGUL = re.compile(r"[\u3040-\u30ff\uac00-\ud7af]")
_NUMBER_OF = re.compile(r"(?:번호|番号)\W{0,3}$|(?:رقم|מספר)\s+\w+\W{0,3}$")
_COUNTED = re.compile(r"(?:[号號码碼]|id|no)\W{0,3}$", re.IGNORECASE)
