"""How texts around numbers are written: small letters, scripts, and what follows a number as `at` stands before it."""

import re

_MARKS = re.compile("[\u0307\u064b-\u0652\u0591-\u05bd\u05bf-\u05c7]")
"""The dot that `İ` leaves when it becomes small, the vowels of Arabic and Hebrew."""

_WORD = re.compile(r"[^\W\d_]+")
_PLAIN_WORD = re.compile("[a-z]+")

UNSPACED = "\u0590"
"""From here on are the scripts that put no space between words, or particles before them; and others."""

_UNSPACED = re.compile(f"[{UNSPACED}-\u1fff\u3040-\uffff]")
_PLACED_BEHIND = re.compile(
    r"['\u2019 \u00a0]?numara(?:s[i\u0131]|m|m\u0131z|n\u0131z)?n?(?:dan|da|a|y\u0131|ya|\u0131)\b|"
    r"[ \u00a0](?:ü|u)zerinden\b|['\u2019][dt][ae]n\b|"
    r"[ \u00a0-]*(?:es[ \u00a0])?sz[áa]m(?:om|unk)?(?:on|ra|r[óo]l|[oa]t)\b|"
    r"(?:まで|へ|に|で|にて|宛てに|宛に|宛て|から|なら)(?![^。]{0,3}(?:円|件|個))|(?:으?로|에서?|은|는)\b|(?:一直|随时|就能|可以)"
)
"""Turkish, Hungarian, Japanese, Korean and Chinese put a word of place behind the number."""


_MEANWHILE = re.compile(
    "[ \u00a0](?:when|wenn|quand|lorsque|lors|cuando|quando|als|wanneer|gdy|kiedy|podczas|když|når|när|kun|amikor|"
    r"când|όταν|когда|при|коли|під час)\b"
)

_MEANS = re.compile(
    r"\b(?:(?:by|on the|over(?: the)?|am|per|par|por|al|på|przez|la|prin|по) (?:phone|t[eé]l[eé]\w+|телефону)|"
    r"telefonisch|telefonick\w+|puhelimitse|telefonon|telefonla|τηλεφωνικά|телефоном|בטלפון|بالهاتف)\b"
)
"""What was done by phone says nothing of a number: `I ordered … by phone`."""


def says_when(behind: str) -> bool:
    """Whether a text begins with when something is done: `quote 12345678 when you call` names no number to call."""
    return _MEANWHILE.match(behind) is not None


def words_of(text: str) -> list[str]:
    """The words of a text in small letters."""
    return word_pattern(text).findall(text)


def word_pattern(text: str) -> re.Pattern[str]:
    """What finds the words of a text in small letters; where all are of ASCII it takes half the time."""
    return _PLAIN_WORD if text.isascii() else _WORD


def folded_case(text: str) -> str:
    """In small letters, without the marks that some writers set and others not."""
    small = text.lower()
    return small if small.isascii() else _MARKS.sub("", small)


def has_unspaced(text: str) -> bool:
    """Whether a text has letters of a script that puts no space between words, or particles before them."""
    return not text.isascii() and _UNSPACED.search(text) is not None


def placed_behind(behind: str) -> bool:
    """Whether a text begins with what is said behind a number at which somebody is."""
    return _PLACED_BEHIND.match(behind) is not None


def without_means(behind: str) -> str:
    """A text without words that say that something was done by phone."""
    return _MEANS.sub(" ", behind)
