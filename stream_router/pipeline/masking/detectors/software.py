"""Words for software, of which four numbers with points between are the version."""

from collections.abc import Sequence

_BEGINNINGS = ("app", "aplic", "aplik", "sovellu", "приложени", "застосун", "εφαρμογ", "uygulama", "تطبيق", "אפליקצי")
_ENDS = ("app", "appen", "sovellus", "アプリ", "应用", "應用", "앱")
_AT = frozenset(("at", "from", "on", "via", "von", "bei", "auf", "unter", "desde", "depuis", "van", "fra", "från"))
"""Behind one of these stands where it runs."""

_WORDS = 4


def is_of_software(words: Sequence[str]) -> bool:
    """Whether the last words (small letters) before a number are about software: `the call app …`."""
    last = words[-_WORDS:]
    return any(word.startswith(_BEGINNINGS) or word.endswith(_ENDS) for word in last) and last[-1] not in _AT
