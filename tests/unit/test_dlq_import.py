"""What `dlq import` takes of a file: every edit, and nothing of a file that `export` did not write."""

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import orjson
import pytest

from stream_router.control.dead_letters import exporting, importing
from stream_router.control.dead_letters.importing import Line, Sending
from stream_router.control.dead_letters.queue import put_back
from stream_router.envelope import seal
from stream_router.model import DeadLetter, Event, Reason, Record
from stream_router.pipeline.sinks.dead_letters import reader
from stream_router.pipeline.sinks.dead_letters.message import SCHEMA
from tests.unit.test_letter import WRITER, letter


def exported(raw: bytes) -> bytes:
    """The line that `export` writes of an event."""
    content = {"schema": SCHEMA, "reason": "schema_mismatch", "record": reader.encoded(raw)}
    return orjson.dumps(exporting.line_of(reader.of_content(content), raw, 0))


def imported(folder: Path, text: bytes) -> Line:
    """What `import` makes of one line."""
    file = folder / "letters.jsonl"
    file.write_bytes(text + b"\n")
    with importing.opened(file) as lines:
        (line,) = lines
    return line


def event(payload: bytes) -> bytes:
    """An event's line, as the receiver stores it."""
    return seal("0" * 32, "delivery", 1_795_512_600_000, b'{"interactionId":"i","payload":{%b}}' % payload)


BIG = b'"n":12345678901234567890123'


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b'"n":123.0', b'"n":123'),
        (b'"n":123', b'"n":"123"'),
        (b'"n":"123.0"', b'"n":123.0'),
        (b'"n":1', b'"n":true'),
        (b'"n":0.0', b'"n":false'),
        (b'"n":-0', b'"n":0'),
        (BIG, BIG[:-3] + b"999"),
        (b'"n":0.1000000000000000055', b'"n":0.1'),
        (b'"n":1,"n":2', b'"n":2'),
        (b'"n":["a","b"]', b'"n":["b","a"]'),
    ],
)
def test_every_edit_is_taken(tmp_path: Path, before: bytes, after: bytes) -> None:
    """Values that Python takes for equal may be the very repair: what was written counts."""
    raw = event(before)
    line = imported(tmp_path, exported(raw).replace(before, after, 1))
    assert line.letter.edited
    assert line.raw == raw.replace(before, after)
    assert reader.original(line.letter) == line.raw


def test_what_a_later_version_says_of_a_letter_stays_with_it(tmp_path: Path) -> None:
    """By way of a file, and where it fails again: on the way back from an upgrade the queue may hold such letters."""
    raw = event(b'"n":1')
    (message,) = WRITER.write(letter(raw))
    content = orjson.loads(message.body)
    content["tenant"] = {"id": 7}
    content["masking"] = "default 2"
    content["origin"]["consumer"] = "blue"
    before = {"failedAt": "2026-11-24T09:30:00.123Z", "reason": "refused", "code": "x", "attempts": 1}
    content["history"] = [{**before, "by": "redrive"}]
    line = imported(tmp_path, orjson.dumps(exporting.line_of(reader.of_content(content), raw, 0)))
    failure = DeadLetter(Event(Record(raw, 1), 0, raw, "0" * 32, "content", 0, None), Reason.REFUSED, "Code", "why")
    for back in (
        put_back.to_be_sent(line.letter, line.raw, 1),
        put_back.failed_again(failure, line.letter, line.raw, 1),
    ):
        (message,) = put_back.AgainWriter().write(back)
        again = orjson.loads(message.body)
        assert again["tenant"] == {"id": 7}
        assert again["masking"] == "default 2"
        assert again["origin"]["consumer"] == "blue"
        assert again["history"][0]["by"] == "redrive"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b'"n":1.10', b'"n" :  1.10'),
        (b'"a":1,"n":{"x":2,"y":3}', b'"n":{"y":3,"x":2},"a":1'),
        ('"n":"Zoë"'.encode(), rb'"n":"Zo\u00eb"'),
        (b'"n":"x\\/y"', b'"n":"x/y"'),
    ],
)
def test_another_way_to_write_the_same_is_no_edit(tmp_path: Path, before: bytes, after: bytes) -> None:
    """Blanks, the order of members and the form of a text's characters: an editor may change them by itself."""
    raw = event(before)
    line = imported(tmp_path, exported(raw).replace(before, after, 1))
    assert not line.letter.edited
    assert line.raw == raw


def test_what_an_editor_of_windows_adds_is_no_edit(tmp_path: Path) -> None:
    """A mark of the byte order before the first line, a carriage return behind each."""
    raw = event(b'"n":1')
    line = imported(tmp_path, b"\xef\xbb\xbf" + exported(raw) + b"\r")
    assert not line.letter.edited
    assert line.raw == raw


@pytest.mark.parametrize("levels", [700, 900, 1020])
def test_an_event_that_nests_deep_comes_back_as_it_was(tmp_path: Path, levels: int) -> None:
    """Deeper than Python follows it is no edit, and no crash."""
    raw = event(b'"n":' + b"[" * levels + b"]" * levels)
    line = imported(tmp_path, exported(raw))
    assert not line.letter.edited
    assert line.raw == raw


class Sender:
    """Stores half of what is under way at each turn, and says how much that ever was."""

    trouble, most = "", 0

    def __init__(self) -> None:
        self._there: list[Any] = []
        self.stored: list[bytes] = []
        gate = SimpleNamespace(stop=lambda: None)
        self.dispatcher = SimpleNamespace(advance=lambda **_: None, gate=gate, flight=SimpleNamespace(calls=0))

    def submit(self, letters: list[Any]) -> None:
        self._there += letters
        self.most = max(self.most, len(self._there))

    def collect(self) -> list[Any]:
        half = len(self._there) // 2 + 1
        taken, self._there = self._there[:half], self._there[half:]
        self.stored += [letter.raw for letter in taken]
        return taken


@pytest.fixture
def sender(monkeypatch: pytest.MonkeyPatch) -> Sender:
    made = Sender()
    monkeypatch.setattr(put_back, "sender", lambda *_: made)
    return made


def desk() -> Any:
    """The means of a command whose queue is the `sender`'s."""
    return SimpleNamespace(connection=SimpleNamespace(wait=lambda _: None), messages=SimpleNamespace(queue_url="u"))


@pytest.mark.parametrize(("letters", "size_bytes"), [(10, 1_000_000), (1_000, 1_500)])
def test_a_file_larger_than_memory_is_sent_some_letters_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sender: Sender, letters: int, size_bytes: int
) -> None:
    """As many as may be under way at once, by their number and by their bytes; each once, in the file's order."""
    monkeypatch.setattr(importing, "MOST_LETTERS", letters)
    monkeypatch.setattr(importing, "MOST_BYTES", size_bytes)
    raws = [event(b'"n":%d' % number) for number in range(100)]
    file = tmp_path / "letters.jsonl"
    file.write_bytes(b"\n".join(map(exported, raws)) + b"\n")
    with importing.opened(file) as lines:
        sending = Sending(desk(), iter(lines), lambda: False)  # type: ignore[arg-type]
        sending.run(len(raws))
    assert sender.stored == raws
    assert (sending.stored, sending.edited) == (100, 0)
    assert sender.most == min(letters, 1_500 // len(raws[0]) + 1)


def test_a_file_that_changes_while_it_is_sent_ends_the_import(tmp_path: Path, sender: Sender) -> None:
    """What was begun is stored and counted; the rest is told, with the line."""
    file = tmp_path / "letters.jsonl"
    line = exported(event(b'"n":1'))
    file.write_bytes(line + b"\n" + line + b"\n")
    with importing.opened(file) as lines:
        file.write_bytes(line + b"\n" + b"no letter\n")
        sending = Sending(desk(), iter(lines), lambda: False)  # type: ignore[arg-type]
        sending.run(2)
    assert sending.stored == 1
    assert sending.why.startswith("the file changed meanwhile (line 2 is none that `export` wrote")


def test_what_can_be_read_only_once_is_imported_too() -> None:
    """A pipe: `stream-router dlq import <(zcat letters.jsonl.gz)`."""
    end, write = os.pipe()
    os.write(write, exported(event(b'"n":1')) + b"\n")
    os.close(write)
    with importing.opened(Path(f"/dev/fd/{end}")) as lines:
        assert len(list(lines)) == len(list(lines)) == lines.keys.total() == 1
    os.close(end)
