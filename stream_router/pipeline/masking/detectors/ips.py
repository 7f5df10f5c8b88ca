"""Finds IP addresses in free text, and leaves versions of software be."""

import ipaddress
import re

from stream_router.pipeline.masking.detectors.software import is_of_software
from stream_router.pipeline.masking.detectors.spans import Span, without_overlaps

_OCTET = r"(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)"
_IP4 = re.compile(
    rf"(?:(?<![A-Za-z0-9_.])|(?<=(?<![A-Za-z0-9_.])[Ii][Pp])){_OCTET}(?:\.{_OCTET}){{3}}(?![A-Za-z0-9_]|\.\d)"
)
_VERSION_BEFORE = re.compile(
    r"(?:\b(?:version|ver\.?|build|release|firmware|section|clause|chapter|article|update|app|kernel)|§)[\s:#=]{0,3}$"
    r"|\b(?:up|down)graded? (?:from |(?:from [\d.]{7,15} )?to )$",
    re.IGNORECASE,
)
_VERSIONS = (
    *("versió", "versión", "versione", "versionen", "versiones", "versiunea", "versiunii", "versie"),
    *("versio", "versões", "versão", "versjon", "wersj", "verze", "verzi", "έκδοση", "εκδόσε", "верси"),
    *("версі", "прошивк", "прошивц", "firmware", "fastvar", "programvar", "ohjelmisto", "sürüm"),
    *("yaz\u0131l\u0131m",),
)
"""Beginnings of words for versions and for software, with a number directly behind them."""

_VERSION_AT_END = ("version", "versionen", "versjon", "versjonen", "versie", "versio")

_UPDATES = (
    *("aktualis", "aktualiz", "actualis", "actualiz", "atualiz", "aggiorna", "opdater", "oppdater"),
    *("uppdater", "uppgrader", "opgrader", "oppgrader", "päivit", "frissít", "αναβάθμισ", "ενημέρωσ"),
    *("обновл", "оновл", "güncelle"),
)
_NEWER = (
    *("aktualisierung", "aktualizacj", "aktualizac", "actualizaci", "atualizaç", "aggiornament", "opdatering"),
    *("oppdatering", "uppdatering", "päivityks", "actualizarea", "ενημέρωσ", "αναβάθμισ", "обновлени", "оновленн"),
)
"""An update (beginnings of words), which is called by its version."""

_TO = frozenset(
    (
        *("to", "auf", "à", "a", "ao", "para", "al", "alla", "naar"),
        *("do", "na", "til", "till", "la"),
        *("στη", "στην", "до", "на"),
    )
)
_UNSPACED_BEFORE = (
    *("版本", "版本号", "固件", "バージョン", "ファームウェア", "버전", "펌웨어", "업데이트", "à jour"),
    *("إصدار", "تحديث", "גרסה", "גירסה", "גרסת", "עדכון"),
)
_UNSPACED_UPDATES = tuple(f"{update}{to}" for update in ("升级", "升級", "更新") for to in ("", "到", "至", "为", "為"))
_BEHIND = re.compile(
    r"[ -]?(?:sürüm|yaz\u0131l\u0131m|güncelleme|firmware|software|szoftver|frissítés|verzió|versio|päivity|ohjelmisto|"
    r"(?:으?로 )?(?:업데이트|업그레이드|버전)|(?:に|へ|への)(?:更新|アップ)|バージョン|版)"
)
"""Of software: in Turkish, Hungarian, Finnish, Korean and Japanese it follows the number."""

_IS = frozenset(("is", "ist", "est", "es", "è", "é", "er", "är", "on", "je", "jest", "este", "είναι"))
"""What may stand between software and its version."""

_IN_A_NETWORK = re.compile(r"\bip|addres|adres|dns|server|szerver|host|gateway|rout|адрес|сервер|地址|服务器")
"""Such a thing may be changed to an address."""

_WORD = re.compile(r"[^\W\d_]+")
_WORDS_CHARS = 32

_IP6 = re.compile(
    rf"(?:(?<![A-Za-z0-9_:.])|(?<=[^\W_]:))(?:[0-9A-Fa-f]{{0,4}}:){{2,7}}(?:{_OCTET}(?:\.{_OCTET}){{3}}|[0-9A-Fa-f]{{0,4}})(?![A-Za-z0-9_:]|\.\d)"
)
_COLONS_MIN = 6
"""Of an IPv6 address without `::`: its end may be written as an IPv4 address."""

_LABEL_BEFORE = re.compile(r"(?:^|[^\w:.])\w{0,20}[^\WA-Fa-f\d]\w{0,20}:$")
"""`addr:`, `IPv6:`: a word that is no part of an address."""

_GROUP_CHARS = (0, 4)
"""Of the first group behind a label or of a short form: all addresses in use begin so; ratios (`odds 1::2`) do not."""

_BEFORE_CHARS = 48


def ips(text: str) -> list[Span]:
    """IPv4 addresses that are no version number, and IPv6 addresses."""
    spans: list[Span] = []
    if "::" in text or text.count(":") >= _COLONS_MIN:
        spans = [found.span() for found in _IP6.finditer(text) if _is_ip6(text, found)]
    if text.count(".") > 2:
        spans += [found.span() for found in _IP4.finditer(text) if not _is_version(text, found)]
    return without_overlaps(spans) if spans else spans


def _is_version(text: str, found: re.Match[str]) -> bool:
    """Whether the words beside four small numbers say that they are a version."""
    before = _before(text, found)
    if _VERSION_BEFORE.search(before) or _BEHIND.match(text, found.end()):
        return True
    small = before.lower().rstrip(" :").removesuffix("は")
    if small.endswith(_UNSPACED_BEFORE):
        return True
    words = _WORD.findall(small, max(0, len(small) - _WORDS_CHARS))
    if len(words) > 1 and words[-1] in _IS:
        words.pop()
    if words and (words[-1].startswith(_VERSIONS) or words[-1].endswith(_VERSION_AT_END)):
        return True
    newer = is_of_software(words) or bool(words and words[-1].startswith(_NEWER))
    updated = words[-1] in _TO and any(word.startswith(_UPDATES) for word in words[-2:-1]) if words else False
    return (newer or updated or small.endswith(_UNSPACED_UPDATES)) and not _IN_A_NETWORK.search(small)


def _before(text: str, found: re.Match[str]) -> str:
    return text[max(0, found.start() - _BEFORE_CHARS) : found.start()]


def _is_ip6(text: str, found: re.Match[str]) -> bool:
    if not any(char.isdecimal() for char in found[0]):
        return False
    labelled, first_group = text[found.start() - 1 : found.start()] == ":", found[0].partition(":")[0]
    if (labelled or "::" in found[0]) and len(first_group) not in _GROUP_CHARS:
        return False
    if labelled and not _LABEL_BEFORE.search(_before(text, found)):
        return False
    try:
        ipaddress.IPv6Address(found[0])
    except ValueError:
        return False
    return True
