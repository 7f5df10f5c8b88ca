"""Reads the daemon's lines: JSON, of which the records' data is nearly all, and that is not copied."""

from typing import Any

import orjson

_DATA = b'"data":'
_LARGE_BYTES = 4_096
"""Records whose first has less data are parsed whole: each cut costs what a parser takes for so much."""

_NONE = (0, 0)


def read(line: bytes) -> Any:
    """What the line says, as `orjson.loads` says it; but the data of records may be base64 as a view of the line.

    A parser makes a text of each record's data, megabytes in all, which is decoded once and thrown away. So the data
    are cut out of the line first: of `"data":"SGVsbG8="` its number stays, as `"data":"0"`, and the rest is parsed.
    Each record must then have its own number as its data; else something else was cut, and the whole line is parsed. A
    line with a backslash is not cut, since a quote behind one ends no text.
    """
    start, end = _next_data(line, 0)
    if end - start < _LARGE_BYTES or b"\\" in line:
        return orjson.loads(line)
    rest, datas = _cut(line)
    try:
        message = orjson.loads(rest)
        records = message["records"]
        if [record["data"] for record in records] == [str(number) for number in range(len(datas))]:
            for record, data in zip(records, datas, strict=True):
                record["data"] = data
            return message
    except (orjson.JSONDecodeError, LookupError, TypeError):
        pass
    return orjson.loads(line)


def _cut(line: bytes) -> tuple[bytes, list[memoryview]]:
    """The line with numbers for data, and the data."""
    view, at = memoryview(line), 0
    parts: list[bytes | memoryview] = []
    datas: list[memoryview] = []
    while (found := _next_data(line, at)) != _NONE:
        start, end = found
        parts += (view[at:start], b"%d" % len(datas))
        datas.append(view[start:end])
        at = end
    return b"".join((*parts, view[at:])), datas


def _next_data(line: bytes, at: int) -> tuple[int, int]:
    """Where the next text that looks like a record's data begins and ends."""
    key = line.find(_DATA, at)
    start = line.find(b'"', key + len(_DATA)) + 1 if key >= 0 else 0
    end = line.find(b'"', start) if start else -1
    return (start, end) if end >= 0 else _NONE
