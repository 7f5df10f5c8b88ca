"""The examples in docs/events.md and docs/masking.md are files that the program takes, and the tutorial's is right."""

import re
from pathlib import Path

from stream_router.control.setup.queues import RETENTION_S
from stream_router.control.setup.streams import RETENTION_HOURS
from stream_router.pipeline.mapping import added, config_file
from stream_router.pipeline.mapping.added import EXPERT
from stream_router.pipeline.mapping.shapes import (
    CXONE_CONTACT,
    CXONE_DATA_STREAM,
    CXONE_DIGITAL,
    CXONE_DIGITAL_ANSWER,
    CXONE_DIGITAL_UNTIMED,
    PRESETS,
)
from stream_router.pipeline.masking import policy_file

DOCS = Path(__file__).parents[2] / "docs"
BLOCK = re.compile(r"```toml\n(.*?)```", re.DOTALL)


def example(page: str, folder: Path) -> Path:
    (text,) = BLOCK.findall((DOCS / page).read_text())
    file = folder / "example.toml"
    file.write_text(text)
    return file


def test_example_of_a_mapping_is_taken(tmp_path: Path) -> None:
    """Its own shape comes before the presets, of which none is lost."""
    shapes = config_file.load(example("events.md", tmp_path)).shapes
    assert [shape.name for shape in shapes] == ["acd", *(preset.name for preset in PRESETS)]


def test_example_of_a_policy_is_taken(tmp_path: Path) -> None:
    """It compiles with a key, under its own id and version."""
    made = policy_file.load(str(example("masking.md", tmp_path)), b"0123456789abcdef")
    assert made is not None
    assert (made.id, made.version) == ("support", "2026-11")


def test_page_names_every_place_in_which_a_preset_looks() -> None:
    """Whoever joins events by interaction or conversation learns from the table where both come from."""
    page = (DOCS / "events.md").read_text()
    rows = dict(re.findall(r"^\| `([\w-]+)` \| (.*)$", page, re.MULTILINE))
    places = {
        shape.name: [path for source in shape.fields.values() for path in source.paths]
        for shape in (CXONE_DIGITAL, CXONE_DATA_STREAM, CXONE_CONTACT)
        if shape.fields
    }
    for shape in (CXONE_DIGITAL_ANSWER, CXONE_DIGITAL_UNTIMED):  # their ids are those of the digital preset
        assert shape.fields
        places[shape.name] = [*shape.fields["timestamp"].paths]
    places[EXPERT] = [*added._IDS, *added._CONVERSATIONS, *added._TYPES, *added._TIMES]
    named = {name: {".".join(map(str, path)) for path in paths if path} for name, paths in places.items()}
    named["cxone-digital"].discard("eventType")  # its column leads to a table
    assert not {place for name, paths in named.items() for place in paths if f"`{place}`" not in rows[name]}


def test_page_names_every_preset_and_code() -> None:
    """Nothing that an operator may meet is missing on the page."""
    page = (DOCS / "events.md").read_text()
    sources = "".join(file.read_text() for file in (DOCS.parent / "stream_router" / "pipeline").rglob("*.py"))
    codes = set(re.findall(r'mismatch\("(\w+)"', sources))
    assert len(codes) >= 8
    assert not [name for name in {*codes, *(preset.name for preset in PRESETS)} if f"`{name}`" not in page]


def test_tutorials_function_remembers_an_event_for_as_long_as_a_copy_may_come() -> None:
    """An event is in the stream, and then in a dead-letter queue, which a redrive may empty on its last day."""
    (days,) = re.findall(r"^KEEP_S = (\d+) \* 24 \* 3600\b", (DOCS / "tutorial.md").read_text(), re.MULTILINE)
    assert int(days) * 24 * 3600 > RETENTION_HOURS * 3600 + RETENTION_S
