"""How much CPU does one record of 1 MiB cost in the child, if a sender made it to be expensive?

`python -m benchmarks.hostile` prints each case with its CPU seconds; `--only WORD` runs the cases whose name holds it.
A case is one Kinesis record: it is opened, mapped, masked with `search`, and written as a PutEvents body or as dead
letters. docs/masking.md names the bound for one event: 0.5 s.
"""

import argparse
import base64
import signal
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import orjson

from stream_router.envelope import Resubmitted, encode_text_body, open_record, seal, seal_entry, seal_line
from stream_router.model import DeadLetter, Entry, Record
from stream_router.pipeline.sinks.dead_letters.message import LetterWriter
from stream_router.pipeline.sinks.eventbridge.wire_format import put_events
from stream_router.pipeline.transform import Transform
from tests.events import BODY, IDENTITY, NOW_MS, RECEIVED_MS, config_of

RECORD_BYTES = 1_048_576
BODY_BYTES = RECORD_BYTES - 600
"""Room for the envelope and for the fields around what a case fills."""

POLICY = """
base = "default"
hash = ["payload.hashes[]"]
search = ["payload.notes[]", "payload.**.text"]
allow = ["payload.counts.**", "payload.rows[].{id,state}"]
regions = [{}]
"""
RESUBMITTED = Resubmitted("redrive", "cxone", "run-1", 1)


def filled(unit: str, size: int = BODY_BYTES) -> str:
    """`unit` again and again, cut so that its JSON string has at most `size` bytes."""
    unit_bytes = len(orjson.dumps(unit)) - 2
    return unit * (size // unit_bytes)


def event_of(payload: object, **changes: Any) -> bytes:
    """A sealed event whose payload is `payload`: bytes are taken as its JSON."""
    body = {**BODY, **changes, "payload": orjson.Fragment(payload) if isinstance(payload, bytes) else payload}
    return seal(IDENTITY, "delivery", RECEIVED_MS, orjson.dumps(body))


def noted(unit: str, texts: int = 1) -> Callable[[], bytes]:
    """An event with this many searched texts."""
    return lambda: event_of({"notes": [filled(unit, BODY_BYTES // texts - 3)] * texts})


def of_digits(unit: str) -> Callable[[], bytes]:
    """An event of searched texts, each of 3,999 digits if they fit: below the limit of a text."""
    digits = sum(map(str.isdigit, unit)) or 1
    text = unit * max(1, min(3_999 // digits, BODY_BYTES // len(orjson.dumps(unit))))
    return lambda: event_of({"notes": [text] * max(1, BODY_BYTES // (len(orjson.dumps(text)) + 1))})


def filled_up(unit: str, filler: str) -> Callable[[], bytes]:
    """An event of one text: 3,999 digits of `unit`, then a megabyte of `filler`."""
    digits = unit * (3_999 // sum(map(str.isdigit, unit)))
    return lambda: event_of({"notes": [digits + filled(filler, BODY_BYTES - 100_000)]})


def xml(text: str) -> Callable[[], bytes]:
    """A body that is XML, as the receiver seals it."""
    body, encoding = encode_text_body(text.encode()[:BODY_BYTES])
    added = orjson.dumps({"bodyEncoding": encoding, "contentType": "text/xml"})[1:-1]
    return lambda: seal(IDENTITY, "delivery", RECEIVED_MS, body, b"," + added)


def nested(levels: int, inner: str = "1") -> bytes:
    """Objects within each other."""
    return ('{"a":' * levels + inner + "}" * levels).encode()


def times(unit: str, count: int) -> str:
    """An array of `unit`."""
    return "[" + ",".join([unit] * count) + "]"


UNITS = (
    *(
        "4 ",
        "4",
        "1-",
        "1.",
        "1/",
        "(1)",
        "+1 ",
        "((1 ",
        "[1] ",
        "1 - ",
        "1 / ",
        "1  ",
        "12 ",
        "01 ",
        "1a",
        "1:",
        "1\u2013",
    ),
    *("030901820 ", "020 7946 0958 ", "49 30 901820 ", "+49 30 901820 ", "0049 30 1", "4111 1111 ", "2026-01-02 08 "),
    *("1 22 333 ", "9 8-7/6.(5)", "555 1234 ", "1 ext 1 ", "AA00 ", "DE89 3704 0044 0532 0130 00 ", "AA0000000000000 "),
    *("078-05-1120 ", "1.2.3.4 ", "1::1 ", "::1 ", "٣ ", "1\u200b", "½"),
)
SIGNS = (
    *(
        "a@",
        "@",
        "a@a ",
        "a::a ",
        "::",
        ":",
        "+",
        "(",
        "((+",
        "+(",
        "[",
        ".",
        " ",
        "-",
        "AA",
        "a ",
        "\u200b",
        "a\u0301",
    ),
    *("\ufdfa", "\uff41", "\u00a0", "é ", "\t\n"),
)

CASES: dict[str, Callable[[], bytes]] = {
    "the attacker's body: 3 notes of 99,000 times '4 '": lambda: event_of({"notes": ["4 " * 99_000] * 3}),
    **{f"one text of {unit!r}": noted(unit) for unit in UNITS + SIGNS},
    **{
        f"one text of 3,999 digits of {unit!r}, then {filler!r}": filled_up(unit, filler)
        for unit in ("1 - ", "4 ", "2026-01-02 08 ")
        for filler in ("(", "a", "AA", "é")
    },
    **{f"texts of 3,999 digits of {unit!r}": of_digits(unit) for unit in UNITS},
    **{f"250 texts of {unit!r}": noted(unit, 250) for unit in (*UNITS[:14], *SIGNS)},
    "candidates, IBANs and deep arrays": lambda: event_of(
        b'{"notes":'
        + orjson.dumps(["1 - " * 990] * 6 + ["AA00 " * 1_900] * 2)
        + b',"counts":'
        + times("[" * 230 + "]" * 230, (BODY_BYTES - 60_000) // 462).encode()
        + b"}"
    ),
    "hashed rows": lambda: event_of({"hashes": [1] * (BODY_BYTES // 2)}),
    **{
        f"10,000 texts of {unit!r}": noted(unit, 10_000) for unit in ("1 - ", "4 ", "a@a ", "a::a ", "é ", "030901820 ")
    },
    "texts of one digit": lambda: event_of({"notes": ["1"] * (BODY_BYTES // 4)}),
    "numbers searched": lambda: event_of({"notes": [4] * (BODY_BYTES // 2)}),
    "line feeds": lambda: b"\n" * RECORD_BYTES,
    "line feeds and one event": lambda: b"\n" * (RECORD_BYTES - 1_000) + event_of({}),
    "CR LF": lambda: b"\r\n" * (RECORD_BYTES // 2),
    "blank lines": lambda: b" \n" * (RECORD_BYTES // 2),
    "blank lines, then no JSON": lambda: b" \n" * (RECORD_BYTES // 2 - 1) + b"x",
    "lines of x": lambda: b"x\n" * (RECORD_BYTES // 2),
    "lines of {}": lambda: b"{}\n" * (RECORD_BYTES // 3),
    "objects end to end": lambda: b"{}" * (RECORD_BYTES // 2),
    "an array of {}": lambda: b"[" + b"{}," * (RECORD_BYTES // 3 - 1) + b"{}]",
    "open brackets": lambda: b"[" * RECORD_BYTES,
    "lines of open brackets": lambda: (b"[" * 1_000 + b"\n") * (RECORD_BYTES // 1_001),
    "quotes": lambda: b'"' * RECORD_BYTES,
    "digits that are no JSON": lambda: b"1" * RECORD_BYTES,
    "one number of a megabyte": lambda: event_of(b'{"counts":{"a":' + b"1" * BODY_BYTES + b"}}"),
    "one fraction of a megabyte": lambda: event_of(b'{"counts":{"a":1.' + b"1" * BODY_BYTES + b"}}"),
    "an exponent of a megabyte": lambda: event_of(b'{"counts":{"a":1e' + b"1" * BODY_BYTES + b"}}"),
    "a tiny number of a megabyte": lambda: event_of(b'{"counts":{"a":0.' + b"0" * BODY_BYTES + b"1}}"),
    "numbers that no double holds": lambda: event_of(
        f'{{"counts":{times("0.10000000000000001", BODY_BYTES // 20)}}}'.encode()
    ),
    "short numbers read carefully": lambda: event_of(
        f'{{"counts":[1.10,{times("1", BODY_BYTES // 2 - 10)}]}}'.encode()
    ),
    "exponents": lambda: event_of(f'{{"counts":{times("1e5", BODY_BYTES // 4 - 10)}}}'.encode()),
    "objects read carefully": lambda: event_of(f'{{"counts":[1.10,{times("{}", BODY_BYTES // 3 - 10)}]}}'.encode()),
    "wide objects read carefully": lambda: event_of(
        ('{"counts":{"x":1.10,' + ",".join(f'"{at:x}":1' for at in range(BODY_BYTES // 10)) + "}}").encode()
    ),
    "one key twice in many": lambda: event_of(
        ("{" + ",".join(f'"{at:x}":1' for at in range(BODY_BYTES // 10)) + ',"0":1}').encode()
    ),
    "keys that nobody knows": lambda: event_of({f"k{at:x}": 1 for at in range(BODY_BYTES // 11)}),
    "keys that are no names": lambda: event_of({f"{at:x}": 1 for at in range(BODY_BYTES // 10)}),
    "keys like attributes": lambda: event_of({f"@{at:x}:b": 1 for at in range(BODY_BYTES // 13)}),
    "keys below a star": lambda: event_of({"counts": {f"k{at:x}": 1 for at in range(BODY_BYTES // 11)}}),
    "long keys": lambda: event_of({f"{at:05x}" + "k" * 1_000: 1 for at in range(BODY_BYTES // 1_010)}),
    "a key of a megabyte": lambda: event_of({"k" * (BODY_BYTES - 20): 1}),
    "a key of digits of a megabyte": lambda: event_of({"k" + "1" * (BODY_BYTES - 20): 1}),
    "rows": lambda: event_of({"rows": [{"id": "1", "state": "x"}] * (BODY_BYTES // 24)}),
    "empty rows": lambda: event_of({"rows": [{}] * (BODY_BYTES // 3)}),
    "rows of one unknown": lambda: event_of({"rows": [{"a": 1}] * (BODY_BYTES // 8)}),
    "rows of ever other keys": lambda: event_of({"rows": [{f"a{at:x}": 1} for at in range(BODY_BYTES // 13)]}),
    "texts that are hashed": lambda: event_of({"data": {"messages": [{"user": {"id": "1"}}] * (BODY_BYTES // 20)}}),
    "dropped and hashed beside a conversation": lambda: event_of(
        {"data": {"messages": [{"user": {"id": "1"}}] * (BODY_BYTES // 20)}}, conversationId="conversation-1"
    ),
    "deep objects": lambda: event_of(nested(240)),
    "too deep objects": lambda: event_of(nested(BODY_BYTES // 6)),
    "many deep objects": lambda: event_of(f'{{"counts":{times(nested(230).decode(), BODY_BYTES // 1_382)}}}'.encode()),
    "many deep arrays": lambda: event_of(f'{{"counts":{times("[" * 230 + "]" * 230, BODY_BYTES // 462)}}}'.encode()),
    "deep searched": lambda: event_of(
        {"rows": [orjson.Fragment(nested(230, '{"text":"1 - "}'))] * (BODY_BYTES // 1_400)}
    ),
    "escapes": lambda: event_of(b'{"a":"' + b"\\u0041" * (BODY_BYTES // 6) + b'"}'),
    "lone surrogates": lambda: event_of(b'{"a":"' + b"\\ud800" * (BODY_BYTES // 6) + b'"}'),
    "slashes": lambda: event_of(b'{"a":"' + b"\\/" * (BODY_BYTES // 2) + b'"}'),
    "U+FFFF": lambda: event_of({"counts": {"a": "\uffff" * (BODY_BYTES // 3)}}),
    "blanks": lambda: event_of(b'{"a":' + b" " * BODY_BYTES + b"1}"),
    "spaced numbers": lambda: event_of(b'{"counts":[' + b"1 , " * (BODY_BYTES // 4) + b"1]}"),
    "a timestamp of a megabyte": lambda: event_of({}, timestamp="1" * BODY_BYTES),
    "a timestamp of blanks": lambda: event_of({}, timestamp=" " * BODY_BYTES),
    "a timestamp of a fraction": lambda: event_of({}, timestamp="2026-11-24T09:30:00." + "1" * BODY_BYTES),
    "a timestamp like a mail's": lambda: event_of({}, timestamp="Mon, " + " " * BODY_BYTES + "1 Jan 2026"),
    "a timestamp that is a number": lambda: event_of({}, timestamp=orjson.Fragment(b"1" * BODY_BYTES)),
    "a timestamp that is a fraction": lambda: event_of({}, timestamp=orjson.Fragment(b"1." + b"1" * BODY_BYTES)),
    "an event type of a megabyte": lambda: event_of({}, eventType="x" * BODY_BYTES),
    "an id of a megabyte": lambda: event_of({}, interactionId="x" * BODY_BYTES),
    "extensions": lambda: event_of({}, **{f"k{at:x}": 1 for at in range(BODY_BYTES // 11)}),
    "no shape": lambda: seal(
        IDENTITY, "delivery", RECEIVED_MS, b'{"a":' + times("{}", BODY_BYTES // 3 - 9).encode() + b"}"
    ),
    "XML of many elements": xml("<a>" + "<b/>" * (BODY_BYTES // 4 - 3) + "</a>"),
    "XML of many texts": xml("<a>" + "<b>x</b>" * 19_000 + "</a>"),
    "XML of many attributes": xml("<a " + " ".join(f'b{at:x}="1"' for at in range(BODY_BYTES // 12)) + "/>"),
    "XML of attributes with prefixes": xml("<a " + " ".join(f'p{at:x}:b="1"' for at in range(19_000)) + "/>"),
    "XML, deep": xml("<a>" * (BODY_BYTES // 3)),
    "XML of entities": xml("<a>" + "&amp;" * (BODY_BYTES // 10) + "</a>"),
    "XML of line feeds": xml("<a>" + "\n" * (BODY_BYTES // 3) + "</a>"),
    "XML of comments": xml("<a>" + "<!---->" * (BODY_BYTES // 8) + "</a>"),
    "XML of texts between comments": xml("<a>" + "x<!---->" * (BODY_BYTES // 9) + "</a>"),
    "XML of sections": xml("<a>" + "<![CDATA[x]]>" * (BODY_BYTES // 14) + "</a>"),
    "XML with a long name": xml(f"<{'n' * (BODY_BYTES // 3)}>x</{'n' * (BODY_BYTES // 3)}>"),
    "XML, a blank of a megabyte": xml("<a " + " " * (BODY_BYTES - 10) + "/>"),
    "XML that is none": xml("<" * BODY_BYTES),
    "XML with no end in its head": xml("<?xml " + " " * (BODY_BYTES - 10)),
    "put back: a line of line feeds": lambda: seal_line(
        b"\n" * (BODY_BYTES * 3 // 4 - 99), IDENTITY, "delivery", 1, RESUBMITTED
    ),
    "put back: a line of brackets": lambda: seal_line(
        b"[" * (BODY_BYTES * 3 // 4 - 99), IDENTITY, "delivery", 1, RESUBMITTED
    ),
    "put back: an entry": lambda: seal_entry(
        orjson.dumps({"source": "x", "detail": {f"k{at:x}": 1 for at in range(BODY_BYTES // 11)}}),
        *(IDENTITY, "delivery", 1, RESUBMITTED),
    ),
    "put back: an entry of brackets": lambda: seal_entry(
        b'{"detail":' + times("{}", BODY_BYTES // 3 - 99).encode() + b"}", IDENTITY, "delivery", 1, RESUBMITTED
    ),
    "kind, and braces": lambda: b'{"v":1,"kind":"entry","body":' * (RECORD_BYTES // 29),
    "bytes that are no text": lambda: b"\xff\x00\n" * (RECORD_BYTES // 3),
    "gzip's beginning": lambda: b"\x1f\x8b\x08\x00" * (RECORD_BYTES // 4),
    "base64": lambda: base64.b64encode(bytes(RECORD_BYTES * 3 // 4)),
}


GIVEN_UP_S = 4.0
"""CPU seconds after which a case is given up."""


class GivenUpError(BaseException):
    """The case took longer. The transform catches every Exception, so this is none."""


def give_up(*_: object) -> None:
    """End the case that is running."""
    raise GivenUpError


def transform_of(folder: Path, regions: Sequence[str]) -> Transform:
    """Return the transform of a consumer with the policy above, which is written into `folder`."""
    policy = folder / "policy.toml"
    policy.write_text(POLICY.replace("[{}]", orjson.dumps(list(regions)).decode()))
    return Transform(config_of(masking=str(policy), masking_key="0123456789abcdef"), lambda: NOW_MS)


def cpu_s(data: bytes, transform: Transform) -> tuple[float, str]:
    """Return the CPU seconds from a record's bytes to what is sent, and what is sent."""
    writer = LetterWriter("stream", "shardId-000000000000", lambda: NOW_MS, ordered=False)
    before_s = time.process_time()
    transformeds = [transform(opened) for opened in open_record(Record(data, 1, 0, RECEIVED_MS))]
    entries = [each for each in transformeds if isinstance(each, Entry)]
    put_events("bus", entries)
    letters = [each for each in transformeds if isinstance(each, DeadLetter)]
    for letter in letters:
        whole = letter._replace(raw=transform.dead_letter_raw(letter))
        if not writer.write(whole):
            writer.write_parts(whole)
    took_s = time.process_time() - before_s
    codes = ", ".join(sorted({letter.code for letter in letters}))
    return took_s, f"{len(entries)} entries, {len(letters)} dead letters {codes}".strip()


def main() -> None:
    """Print the cases."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--only", default="", help="run the cases whose name holds this")
    parser.add_argument("--regions", default="DE GB", help="regions of the policy")
    arguments = parser.parse_args()
    signal.signal(signal.SIGVTALRM, give_up)
    with tempfile.TemporaryDirectory() as folder:
        transform = transform_of(Path(folder), arguments.regions.split())
    for name, record in CASES.items():
        if arguments.only not in name:
            continue
        data = record()
        signal.setitimer(signal.ITIMER_VIRTUAL, GIVEN_UP_S)
        try:
            took_s, sent = cpu_s(data, transform)
        except GivenUpError:
            took_s, sent = GIVEN_UP_S, "given up"
        finally:
            signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        print(f"{took_s:8.3f} s  {name:60}  {sent}", flush=True)


if __name__ == "__main__":
    main()
