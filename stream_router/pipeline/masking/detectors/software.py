"""Words for software, of which four numbers with points between are the version."""

from collections.abc import Sequence

_BEGINNINGS = ("app", "aplic", "aplik", "sovellu", "приложени", "застосун", "εφαρμογ", "uygulama", "تطبيق", "אפליקצי")
_ENDS = ("app", "appen", "sovellus", "アプリ", "应用", "應用", "앱")
_AT = frozenset(("at", "from", "on", "via", "von", "bei", "auf", "unter", "desde", "depuis", "van", "fra", "från"))
"""Behind one of these stands where it runs."""

_SHORT_CHARS = range(1, 3)
"""So much before `app` or `appen` makes another word of it: `happen`, a button and a slip of paper in Scandinavia."""

_WORDS = 4


def is_of_software(words: Sequence[str]) -> bool:
    """Whether the last words (small letters) before a number are about software: `the call app …`."""
    last = words[-_WORDS:]
    return any(_is_software(word) for word in last) and last[-1] not in _AT


def _is_software(word: str) -> bool:
    if word.startswith(_BEGINNINGS):
        return True
    compound = word.removesuffix("en").removesuffix("app")
    return word.endswith(_ENDS) and (compound == word or len(compound) not in _SHORT_CHARS)
