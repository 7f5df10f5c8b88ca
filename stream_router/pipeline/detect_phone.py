"""Phone numbers in free text.

International ones anywhere; national ones by their country's way of writing them, or where the text says what they are.
"""

import re

from stream_router.pipeline.spans import Span

_SEP = r"[ \u00a0./\u2010-\u2013-]"
_START = r"(?<![\w+./\u2010-\u2013-])(?<!\d[ \u00a0])"
_END = r"(?!\w|[.,-]\d|[/:]\d)"
_DIGIT = rf"(?:{_SEP}{{0,3}}\(?\d\)?)"

_COUNTRY = (
    r"(?:1|7|2[07]|3[0-469]|4[013-9]|5[1-8]|6[0-6]|8[1246]|9[0-58]|2[1-689]\d|3[578]\d|42\d|5[09]\d|6[789]\d|"
    r"8[058]\d|9[679]\d)"
)

_SURE = re.compile(
    "|".join(
        (
            rf"(?<![\w+])\+ ?[1-9]{_DIGIT}{{6,14}}(?!\w)",
            rf"{_START}00 ?{_COUNTRY}{_DIGIT}{{6,12}}{_END}",
            # North America: 555-123-4567, (555) 123-4567, 1-800-555-0199
            rf"{_START}(?:1[ .-])?(?:\([2-9]\d\d\) ?|[2-9]\d\d[ .-])[2-9]\d\d[ .-]\d{{4}}{_END}",
            rf"{_START}1?\([2-9]\d\d\) ?[2-9]\d{{6}}{_END}",
            # with a trunk 0: 030 901820, 0171/1234567, 01 23 45 67 89, (020) 7946 0958, 03-1234-5678
            rf"{_START}\(?0[1-9]\d{{0,4}}\)?(?:{_SEP}{{1,3}}\d{{2,8}}){{1,4}}{_END}",
            # mobiles with a trunk 0 in one run: Britain, Germany, France, Australia, Netherlands, Poland's neighbours
            rf"{_START}0(?:7\d{{9}}|1[567]\d{{8,9}}|[67]\d{{8}}|4\d{{8}}){_END}",
            # India 98765 43210; Brazil (11) 91234-5678; Mexico 55 1234 5678; China 138 1234 5678; Italy 347 123 4567
            rf"{_START}[6-9]\d{{4}}[ -]\d{{5}}{_END}",
            rf"{_START}\(\d\d\) ?9?\d{{4}}[ -]\d{{4}}{_END}",
            rf"{_START}[1-9]\d[ -]\d{{4}}[ -]\d{{4}}{_END}",
            rf"{_START}1[3-9]\d[ -]\d{{4}}[ -]\d{{4}}{_END}",
            rf"{_START}3[2-9]\d[ .-]\d{{3}}[ .-]\d{{4}}{_END}",
            # Russia 8 (495) 123-45-67
            rf"{_START}8[ -]?\(?\d{{3}}\)?[ -]?\d{{3}}[ -]\d\d[ -]\d\d{_END}",
        )
    )
)

_STARTS = re.compile(r"[+(\d](?<![\w+].)(?:(?<=\+)|(?<!\d[ \u00a0./:,\u2010-\u2013-].))")
"""Where a number may begin; the patterns are tried nowhere else, since trying them at every character costs much."""

_NUMBER = re.compile(rf"\(?\d\)?{_DIGIT}{{5,14}}(?!\w|[.,-]\d)")
_WORD = re.compile(r"[^\W\d_]+")
_SAYING = frozenset(
    re.findall(
        r"\S+",
        """phone telephone tel telefone telefono teléfono téléphone call called calling mobile móvil movil cell cel
        cellphone celular cellulare portable fax whatsapp sms text reach reached rufnummer dial ring puhelin callback
        natel gsm""",
    )
)
_SAYING_STEMS = ("telefon", "handy", "rückruf", "ruckruf", "mobil")
_SAYING_BEFORE_NUMBER = frozenset({"my", "contact"})
_GAP_MAX_CHARS = 28
_GAP_ENDS = re.compile(r"[\d\n+(]")
_OTHER_NUMBER = re.compile(
    r"\b(?:id|ids|ref|reference|order|ticket|case|recording|duration|invoice|account|booking|queue|code|session|error|"
    r"on|at|from|since|until|model|serial|version|imei|kunden\w*|auftrag\w*|pedido|commande|rechnung\w*)\b",
    re.IGNORECASE,
)
_DATE = re.compile(r"\(?(?:\d{1,2}[./-]\d{1,2}[./-]\d{4}|\d{4}[./-]\d{1,2}[./-]\d{1,2})(?!\d)")
_TAX_NUMBER = re.compile(r"(?:\d{3}\.\d{3}\.\d{3}-\d\d|\d{3}-\d\d-\d{4})(?!\d)")
_NOT_BEFORE = re.compile(
    r"\b(?:order|ticket|invoice|case|ref|reference|account|customer|tracking|parcel|booking|serial|isbn|sku|item|article|"
    r"part|model|policy|contract|kunden\w*|bestell\w*|auftrags?\w*|konto\w*|rechnungs?\w*|vertrags?\w*|artikel\w*|"
    r"pedido|factura|commande|facture|dossier)\b[^\d\n]{0,14}$",
    re.IGNORECASE,
)
_DIGITS = range(8, 16)
_TRUNK_DIGITS = range(9, 13)
_BEFORE_CHARS = 48


def phones(text: str) -> list[Span]:
    """Spans of phone numbers."""
    spans: list[Span] = []
    end = 0
    for start in _STARTS.finditer(text):
        at = start.start()
        if at < end:
            continue
        found = _SURE.match(text, at)
        if found is not None and not _plausible(text, found):
            found = None
        found = found or _said(text, at)
        if found is not None:
            end = found.end()
            spans.append((at, end))
    return spans


def _said(text: str, at: int) -> re.Match[str] | None:
    """A number at `at` of which the words before it say that it is a phone's."""
    found = _NUMBER.match(text, at)
    if found is None or _DATE.match(found[0]):
        return None
    before = text[max(0, at - _BEFORE_CHARS) : at].lower()
    words = list(_WORD.finditer(before))
    for place in range(len(words) - 1, -1, -1):
        gap = before[words[place].end() :]
        if len(gap) > _GAP_MAX_CHARS or _GAP_ENDS.search(gap):
            return None
        if _says(words, place):
            return None if _OTHER_NUMBER.search(gap) else found
    return None


def _says(words: list[re.Match[str]], place: int) -> bool:
    """Whether a word says that a phone number follows."""
    word = words[place][0]
    if word == "number":
        return place > 0 and words[place - 1][0] in _SAYING_BEFORE_NUMBER
    return word in _SAYING or word.startswith(_SAYING_STEMS)


def _plausible(text: str, found: re.Match[str]) -> bool:
    """Whether the number is neither a date nor named as something else."""
    number = found[0]
    if number[0] == "+":
        return True
    digits = sum(char.isdecimal() for char in number)
    if number.lstrip("(")[0] == "0" and number[:2] != "00" and digits not in _TRUNK_DIGITS:
        return False
    if digits not in _DIGITS or _DATE.match(number) or _TAX_NUMBER.match(number):
        return False
    return not _NOT_BEFORE.search(text[max(0, found.start() - _BEFORE_CHARS) : found.start()])
