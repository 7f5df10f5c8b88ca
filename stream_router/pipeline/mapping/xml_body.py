"""A body that is XML as an object: attributes `@name`, text `#text`, repeated elements an array, the root's name kept.

No document type, no entities; depth and elements bounded, so that hostile XML costs as little as it is worth.
"""

import codecs
import contextlib
import re
from collections import Counter
from collections.abc import Iterable
from typing import Any

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import DefusedXMLParser, ParseError

from stream_router.pipeline.rejection import Rejected, mismatch

MAX_DEPTH = 100
MAX_NODES = 20_000
"""Elements and attributes of one body: more than any event of CXone has, and some ten milliseconds of work."""

MAX_NAMESPACE_BYTES = 1000
"""The parser writes a namespace out with each name: one of 100 KB made 2 GB of a body of 200 KB."""

_LONG = b"[^%%s<]{%d}" % (MAX_NAMESPACE_BYTES + 1)
_LONG_NAMESPACE = re.compile(rb"(?<=\s)xmlns(?::[^\s=<>]*+)?\s*+=\s*+(?:\"%s|'%s)" % (_LONG % b'"', _LONG % b"'"))
"""Looked for before parsing: all attributes of an element are written out before the parser tells of any of them."""

_PREFIXED = re.compile(rb"\s[^\s=<>\"':]+:[^\s=<>\"']+\s*=")
"""An attribute with a prefix, which the parser writes out with its namespace."""


_UTF_16_IN_BYTES = re.compile(rb"(?:\xef\xbb\xbf)?<\?xml\s[^>]{0,99}encoding\s*=\s*[\"']utf-16", re.IGNORECASE)
"""What .NET writes into the head of all XML that it makes a text of; whoever can read it here reads no UTF-16."""

_CHARSET = re.compile(r"charset\s*=\s*\"?([a-z0-9_.:-]+)")


def parse(text: bytes, content_type: str = "") -> dict[str, Any]:
    """The object that the XML says; `content_type` is what the header said. Raises Rejected, which quotes nothing."""
    whole = _as_utf8(text)
    if _LONG_NAMESPACE.search(whole):
        raise mismatch("LongNamespace", f"the XML has a namespace of more than {MAX_NAMESPACE_BYTES} bytes")
    if whole.count(b"=") > MAX_NODES and sum(1 for _ in _PREFIXED.finditer(whole)) > MAX_NODES:
        raise _too_many()
    for encoding in _encodings(text, content_type):
        with contextlib.suppress(ParseError, ValueError, LookupError):  # the latter two: an encoding that nobody knows
            return _parsed(text, encoding)
    raise mismatch("MalformedXml", "the body is no well-formed XML, or is in an encoding that is not read")


def _encodings(text: bytes, content_type: str) -> Iterable[str | None]:
    """In which encodings to read a text, the likeliest first; None is what the text says of itself.

    By RFC 7303 the header goes before the text. One that says UTF-8 is believed, since what is in another encoding is
    hardly ever UTF-8 too; others are mostly a framework's default, so they go last.
    """
    found = _CHARSET.search(content_type)
    said = found[1] if found else None
    if _UTF_16_IN_BYTES.match(text):
        return dict.fromkeys(("utf-8", said))
    return dict.fromkeys((said, None) if said in ("utf-8", "utf8") else (None, said))


def _parsed(text: bytes, encoding: str | None) -> dict[str, Any]:
    parser = DefusedXMLParser(target=_Builder(), encoding=encoding, forbid_dtd=True)
    try:
        parser.feed(text)
        root: dict[str, Any] = parser.close()
    except DefusedXmlException:
        raise mismatch("XmlEntities", "the XML has a document type or entities, which are not read") from None
    return root


def _too_many() -> Rejected:
    return mismatch("TooManyElements", f"the XML has more than {MAX_NODES} elements and attributes")


def _as_utf8(text: bytes) -> bytes:
    """UTF-16, which the parser takes too, as UTF-8: a byte of one of its characters may look like a quote."""
    if text[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
        return text.decode("utf-16", "replace").encode()
    if b"\0" in text[:2]:
        return text.decode("utf-16-be" if text[:1] == b"\0" else "utf-16-le", "replace").encode()
    return text


class _Builder:
    """What the parser tells, as an object."""

    def __init__(self) -> None:
        self._root: dict[str, Any] = {}
        self._open: list[tuple[str, dict[str, Any], list[str]]] = [("", self._root, [])]
        self._nodes = 0

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        """An element begins."""
        self._nodes += 1 + len(attributes)
        if len(self._open) > MAX_DEPTH:
            raise mismatch("TooDeep", f"the XML nests deeper than {MAX_DEPTH} levels")
        if self._nodes > MAX_NODES:
            raise _too_many()
        self._open.append((_local(tag), _named(attributes), []))

    def data(self, text: str) -> None:
        """Text inside the innermost element."""
        self._open[-1][2].append(text)

    def end(self, _tag: str) -> None:
        """The innermost element ends: it is its text where it has nothing else."""
        name, found, texts = self._open.pop()
        text = "".join(texts)
        value: Any = found or text
        if found and text.strip():
            found["#text"] = text
        parent = self._open[-1][1]
        if name not in parent:
            parent[name] = value
        elif type(parent[name]) is list:  # only repetition makes lists: one element is a text or an object
            parent[name].append(value)
        else:
            parent[name] = [parent[name], value]

    def close(self) -> dict[str, Any]:
        """The whole."""
        return self._root


def _named(attributes: dict[str, str]) -> dict[str, Any]:
    """Attributes by their local names; where namespaces give several the same, the others are `@2:name` and so on.

    The short name is first of all that of an attribute without a namespace, by which events are mapped. A namespace
    itself is not written: it may be long, and would be written with every attribute.
    """
    found: dict[str, Any] = {f"@{_local(name)}": value for name, value in attributes.items()}
    if len(found) == len(attributes):
        return found
    found = {}
    seen: Counter[str] = Counter()
    for name, value in sorted(attributes.items(), key=lambda pair: pair[0][0] == "{"):
        local = _local(name)
        seen[local] += 1
        found[f"@{local}" if seen[local] == 1 else f"@{seen[local]}:{local}"] = value
    return found


def _local(name: str) -> str:
    """A name without its namespace."""
    return name.rpartition("}")[2]
