"""What stands behind a number and says that it counts something."""

import re

from stream_router.pipeline.masking.detectors.phones.vocabulary import CALLS, COUNTED, kinds

_UNIT = re.compile(
    r"[ \u00a0]?(?:(?P<sign>[%€$£]|积分|積分|ポイント|포인트)|[元円원]|"
    r"[次回](?![一-龯])|[件个個条條](?!人)|건|회(?![가-힣]{2})|分钟|分間|"
    r"(?:de[ \u00a0])?(?P<word>[^\W\d_]{1,24}))"
)
"""What is counted directly behind a number; a word is looked up."""


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
