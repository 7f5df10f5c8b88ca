"""Finds IP addresses in free text, and leaves versions of software be."""

import ipaddress
import re

from stream_router.pipeline.masking.detectors.spans import Span, without_overlaps

_OCTET = r"(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)"
_IP4 = re.compile(rf"(?<![A-Za-z0-9_.]){_OCTET}(?:\.{_OCTET}){{3}}(?![A-Za-z0-9_]|\.\d)")
_VERSIONS = (
    r"versi(?:on|ón|one|oner|onen|ones|unea|unii|e|o)|versões|versão|versio\w{0,4}|versjon\w*|wersj[aieę]\w*|verz(?:e|i|í|ia|ió\w*)|"
    r"έκδοσης?|εκδόσε\w+|верси\w+|версі\w+|прошив[кц]\w+|firmware\w*|fastvar[eo]\w*|programva\w+|ohjelmisto\w*|"
    r"sürüm\w*|yaz\u0131l\u0131m\w*"
)
_UPDATES = (
    r"aktuali[sz]\w+|actuali[sz]a\w*|atuali[sz]a\w*|aggiorna\w*|op+dater\w*|uppdater\w*|uppgrader\w*|op+grader\w*|"
    r"mise à (?:jour|niveau)|päivit\w*|frissít\w*|αναβάθμισ\w*|ενημέρωσ\w*|обновл\w*|оновл\w*|güncelle\w*"
)
_VERSION_BEFORE = re.compile(
    r"(?:\b(?:version|ver\.?|build|release|firmware|section|clause|chapter|article|update|app|kernel)|§)[\s:#=]{0,3}$"
    r"|\b(?:up|down)graded? (?:from |(?:from [\d.]{7,15} )?to )$"
    rf"|\b(?:{_VERSIONS})\W{{1,3}}$"
    r"|(?:版本号?|固件|バージョン|ファームウェア|버전|펌웨어|إصدار|تحديث|גי?רסה|גרסת|עדכון)[\s:]{0,3}$",
    re.IGNORECASE,
)
_VERSION_BEHIND = re.compile(
    r"[ -]?(?:sürüm|verzió|versio|(?:으?로 )?(?:업데이트|업그레이드|버전)|(?:に|へ|への)(?:更新|アップ)|バージョン|版)"
)
"""Of software: in Turkish, Hungarian, Finnish, Korean and Japanese it follows the number."""

_UPDATED_TO = re.compile(
    rf"\b(?:{_UPDATES}) (?:to|auf|à|a|ao|para|al|alla|naar|do|na|til|till|la|στην?|до|на) $"
    r"|(?:升级|升級|更新)[到至为為]?\s?$",
    re.IGNORECASE,
)
_IN_A_NETWORK = re.compile(
    r"\bip|addres|adres|dns|server|szerver|host|gateway|rout|адрес|сервер|地址|服务器", re.IGNORECASE
)
"""Such a thing may be changed to an address."""

_IP6 = re.compile(
    rf"(?:(?<![A-Za-z0-9_:.])|(?<=[^\W_]:))(?:[0-9A-Fa-f]{{0,4}}:){{2,7}}(?:{_OCTET}(?:\.{_OCTET}){{3}}|[0-9A-Fa-f]{{0,4}})(?![A-Za-z0-9_:]|\.\d)"
)
_COLONS_MIN = 6
"""Of an IPv6 address without `::`: its end may be written as an IPv4 address."""

_LABEL_BEFORE = re.compile(r"(?:^|[^\w:.])\w{0,20}[^\WA-Fa-f\d]\w{0,20}:$")
"""`addr:`, `IPv6:`: a word that is no part of an address."""

_GROUP_CHARS = (0, 4)
"""Of the first group behind a label: all addresses in use begin so, and ratios and the like (`odds:1::2`) do not."""

_BEFORE_CHARS = 48


def ips(text: str) -> list[Span]:
    """IPv4 addresses that are no version number, and IPv6 addresses."""
    spans = []
    if "::" in text or text.count(":") >= _COLONS_MIN:
        spans = [found.span() for found in _IP6.finditer(text) if _is_ip6(text, found)]
    if text.count(".") > 2:
        spans += [found.span() for found in _IP4.finditer(text) if not _is_version(text, found)]
    return without_overlaps(spans)


def _is_version(text: str, found: re.Match[str]) -> bool:
    """Whether the words beside four small numbers say that they are a version."""
    before = _before(text, found)
    if _VERSION_BEFORE.search(before) or _VERSION_BEHIND.match(text, found.end()):
        return True
    return bool(_UPDATED_TO.search(before) and not _IN_A_NETWORK.search(before))


def _before(text: str, found: re.Match[str]) -> str:
    return text[max(0, found.start() - _BEFORE_CHARS) : found.start()]


def _is_ip6(text: str, found: re.Match[str]) -> bool:
    if not any(char.isdecimal() for char in found[0]):
        return False
    labelled, first_group = text[found.start() - 1 : found.start()] == ":", found[0].partition(":")[0]
    if labelled and (len(first_group) not in _GROUP_CHARS or not _LABEL_BEFORE.search(_before(text, found))):
        return False
    try:
        ipaddress.IPv6Address(found[0])
    except ValueError:
        return False
    return True
