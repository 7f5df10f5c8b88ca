"""Conversion of an XML body to an object.

An attribute becomes `@name`, text becomes `#text`, repeated elements become an array, and the root's name is kept. A
document type, and so any entity, is refused. Depth and number of elements are limited, so that hostile XML costs
little. Namespaces are not expanded: otherwise a namespace of 100 KB makes 2 GB of a body of 200 KB.
"""

import contextlib
import re
from collections import Counter
from collections.abc import Iterable
from typing import Any
from xml.parsers import expat

from stream_router.dead_letter_reasons import mismatch

MAX_DEPTH = 100
MAX_NODES = 20_000
"""Maximum number of elements and attributes of one body.

It is more than any event of CXone has, and takes some ten milliseconds.
"""

_UTF_16_IN_BYTES = re.compile(rb"(?:\xef\xbb\xbf)?<\?xml\s[^>]{0,99}encoding\s*=\s*[\"']utf-16", re.IGNORECASE)
"""Declaration of UTF-16 that .NET writes into any XML text. A text that matches these bytes is not UTF-16 itself."""

_CHARSET = re.compile(r"charset\s*=\s*\"?([a-z0-9_.:-]+)")


def parse(text: bytes, content_type: str = "") -> dict[str, Any]:
    """Return the XML document as an object. Raise Rejected, quoting nothing; `content_type` is the header's value."""
    for encoding in _encodings(text, content_type):
        with contextlib.suppress(expat.ExpatError, ValueError, LookupError):  # the latter two: an unknown encoding
            return _parsed(text, encoding)
    raise mismatch("MalformedXml", "the body is not well-formed XML, or is in an encoding that is not read")


def _encodings(text: bytes, content_type: str) -> Iterable[str | None]:
    """Return the encodings in which to parse a text, the likeliest first; None is the encoding that the text declares.

    By RFC 7303 the header has precedence over the text. A header with UTF-8 is tried first, since a text in another
    encoding is hardly ever valid UTF-8. Other headers are mostly a framework's default, so they are tried last.
    """
    match = _CHARSET.search(content_type)
    header_charset = match[1] if match else None
    if _UTF_16_IN_BYTES.match(text):
        return dict.fromkeys(("utf-8", header_charset))
    return dict.fromkeys((header_charset, None) if header_charset in ("utf-8", "utf8") else (None, header_charset))


def _parsed(text: bytes, encoding: str | None) -> dict[str, Any]:
    parser, builder = expat.ParserCreate(encoding), _Builder()
    parser.buffer_text = True
    parser.ordered_attributes = True
    parser.StartDoctypeDeclHandler = _refuse
    parser.StartElementHandler, parser.EndElementHandler = builder.start, builder.end
    parser.CharacterDataHandler = builder.data
    parser.Parse(text, True)
    return builder.root


def _refuse(*_: object) -> None:
    raise mismatch("XmlEntities", "the XML has a document type or entities, which are not read")


class _Builder:
    """Builder of an object from the parser's callbacks."""

    def __init__(self) -> None:
        self.root: dict[str, Any] = {}
        self._open: list[tuple[str, dict[str, Any], list[str]]] = [("", self.root, [])]
        self._nodes = 0

    def start(self, tag: str, attributes: list[str]) -> None:
        """Open an element. `attributes` has names and values alternately."""
        self._nodes += 1 + len(attributes) // 2
        if len(self._open) > MAX_DEPTH:
            raise mismatch("TooDeep", f"the XML nests deeper than {MAX_DEPTH} levels")
        if self._nodes > MAX_NODES:
            raise mismatch("TooManyElements", f"the XML has more than {MAX_NODES} elements and attributes")
        self._open.append((_local(tag), _by_local_name(attributes), []))

    def data(self, text: str) -> None:
        """Add text to the innermost element."""
        self._open[-1][2].append(text)

    def end(self, _tag: str) -> None:
        """Close the innermost element. Its value is its text if it has neither attributes nor children."""
        name, members, texts = self._open.pop()
        text = "".join(texts)
        value: Any = members or text
        if members and text.strip():
            members["#text"] = text
        parent = self._open[-1][1]
        if name not in parent:
            parent[name] = value
        elif type(parent[name]) is list:  # only repeated elements make lists: a single element is a text or an object
            parent[name].append(value)
        else:
            parent[name] = [parent[name], value]


def _by_local_name(attributes: list[str]) -> dict[str, Any]:
    """Return the attributes as `@name`, without prefixes. If several share a name, the second is `@2:name`, and so on.

    An attribute without a prefix comes first, since events are mapped by the short name. Namespace declarations are
    omitted.
    """
    by_name: dict[str, Any] = {}
    seen: Counter[str] = Counter()
    pairs = zip(attributes[::2], attributes[1::2], strict=True)
    for name, value in sorted(pairs, key=lambda pair: ":" in pair[0]):
        if name == "xmlns" or name.startswith("xmlns:"):
            continue
        local = _local(name)
        seen[local] += 1
        by_name[f"@{local}" if seen[local] == 1 else f"@{seen[local]}:{local}"] = value
    return by_name


def _local(name: str) -> str:
    """Return a name without its prefix."""
    return name.rpartition(":")[2]
