"""What stands directly behind a number: what it counts, or the thing that has it."""

import re

from stream_router.pipeline.masking.detectors.phones.compounds import IN_A_CASE, THING_AT_END
from stream_router.pipeline.masking.detectors.phones.text import folded_case, has_unspaced
from stream_router.pipeline.masking.detectors.phones.vocabulary import (
    CALLS,
    COUNTED,
    NAMED,
    OTHER,
    OTHER_INSIDE,
    SAYING,
    kinds,
)

_UNIT = re.compile(
    r"[ \u00a0]?(?:(?P<sign>[%€$£]|积分|積分|ポイント|포인트)|[元円원]|"
    r"[次回](?![一-龯])|[件个個条條](?!人)|건|회(?![가-힣]{2})|分钟|分間|"
    r"(?:de[ \u00a0])?(?P<word>[^\W\d_]{1,24}))"
)
"""What is counted directly behind a number; a word is looked up."""

_BEHIND_CHARS = 40
_OF_A_PHONE = 2
"""Behind a phone only the next word may be a thing of it: its contract, but not `telefondan bana kargo`."""

_NO_THINGS = frozenset(["caso", "kártyás", "kartyas"])
"""Behind a number these are none: `ligue 912345678 caso …` (if); Hungarian for prepaid."""

_THING_AFTER = re.compile(
    r"[ \u00a0](?:(?:numaral\u0131|kodlu|nolu|no'lu|számú|sz\.?|numeroinen) (?P<things>[^\W\d_]+(?: [^\W\d_]+){0,2})|"
    r"(?!claims? to )(?P<thing>[^\W\d_]+))"
)


def unit_after(text: str, end: int) -> bool:
    """Whether a number counts something: `… times`."""
    return _counts(text, end, COUNTED)


def may_count(text: str, end: int) -> bool:
    """Whether it does, or stands before what is counted and may stand behind a phone, too: `… calls`."""
    return _counts(text, end, COUNTED | CALLS)


def _counts(text: str, end: int, wanted: int) -> bool:
    found = _UNIT.match(text, end)
    if found is None or found["sign"]:
        return found is not None
    if found["word"] is None:  # a letter of Chinese, Japanese or Korean, which may begin another word
        return bool(wanted & CALLS)
    return bool(kinds([found["word"].lower()])[0] & wanted)


def thing_after(text: str, end: int) -> bool:
    """Whether a number is that of a thing named directly behind it, as Hungarian, Turkish and Korean do."""
    behind = folded_case(text[end : end + _BEHIND_CHARS])
    if has_unspaced(behind) and OTHER_INSIDE.match(behind.lstrip(" 号番號번의")):
        return True
    found = _THING_AFTER.match(behind)
    if found is None or found["thing"] in _NO_THINGS:
        return False
    named = (found["things"] or found["thing"]).split()
    words = kinds(named)
    if words[0] & SAYING and THING_AT_END.search(found["thing"] or ""):
        return True
    things = 1 if IN_A_CASE.match(named[0]) else _OF_A_PHONE
    return any(kind & (OTHER | NAMED) for kind in (words[:things] if words[0] & SAYING else words))
