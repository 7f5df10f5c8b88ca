"""docs/find-and-replay.md, tried line by line on the embedded stack: its terminals as shells."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.test_tutorial import SHELL_BLOCK, Reader, Terminal, event_of

PAGE = (Path(__file__).parents[2] / "docs" / "find-and-replay.md").read_text("utf-8")

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]


class PageReader(Reader):
    """Someone who types this page's blocks, with the ids of the events that were sent."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.blocks = [(found[1], found[2].splitlines()) for found in SHELL_BLOCK.finditer(PAGE)]

    def knows(self, **ids: str) -> None:
        """The placeholders of the page mean these events from here on."""
        for name, identity in ids.items():
            text = name.upper().replace("_", "-")
            self.blocks = [(block, [line.replace(text, identity) for line in lines]) for block, lines in self.blocks]


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[PageReader]:
    made = PageReader(tmp_path)
    yield made
    for terminal in reversed(made.terminals.values()):
        terminal.close()


def fate(terminal: Terminal, identity: str) -> str:
    """The verdict of `find` on an event."""
    terminal.wait_for(f"^{identity}")
    return terminal.wait_for(r"^  verdict +(.*)$")[1]


def wait_until_settled(terminal: Terminal, *identities: str) -> None:
    """The page's half a minute: until the checkpoint is past each of them."""
    for identity in identities:
        terminal.type(f"stream-router find {identity}")
        while fate(terminal, identity).startswith("not settled yet"):
            terminal.type(f"stream-router find {identity}")


@pytest.mark.long
def test_the_page_from_its_first_command_to_its_last(reader: PageReader) -> None:
    """One event was accepted, one is a dead letter, one was never received; the good one comes out again."""
    stack = reader.type_next()
    reader.env_file = stack.wait_for(r"in each other terminal, first: \. (\S+)$")[1]
    reader.type_next().wait_for("the receiver serves")
    consumer = reader.type_next()
    consumer.wait_for("shard taken up")
    consumer.wait_for("shard taken up")
    sender = reader.type_next()
    good, bad = (sender.wait_for(r"^eventId: (\w{32})$")[1] for _ in range(2))
    first = event_of(stack, good)
    reader.knows(event_id_1=good, event_id_2=bad)
    wait_until_settled(sender, good, bad)
    asker = reader.type_next()
    assert fate(asker, good) == "past the checkpoint and in no queue: accepted by EventBridge, or its letter is gone"
    assert fate(asker, bad) == "in the dead-letter queue"
    asker.wait_for(r"unroutable \(UnroutableEventType\)")
    assert fate(asker, "0" * 32).startswith("not in the stream since ")
    reader.type_next()
    asker.wait_for("^would put back on the stream 1;")
    run = asker.wait_for("^put back on the stream 1; run (.*)$")[1]
    again = event_of(stack, good)
    assert again["detail"]["metadata"].pop("replayed") == run
    for event in (first, again):
        del event["detail"]["processedAt"]
    assert again["detail"] == first["detail"]
    assert not reader.blocks
