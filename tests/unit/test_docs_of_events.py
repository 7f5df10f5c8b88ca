"""The example in docs/events.md is a file that the program takes, and the tutorial's is right."""

import re
from pathlib import Path

from stream_router.operate.resources import QUEUE_RETENTION_S, RETENTION_HOURS
from stream_router.pipeline.mapping import config_file
from stream_router.pipeline.mapping.config_file import PRESETS

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


def test_tutorials_function_remembers_an_event_for_as_long_as_a_copy_may_come() -> None:
    """An event is in the stream, and then in a dead-letter queue, which a redrive may empty on its last day."""
    (days,) = re.findall(r"^KEEP_S = (\d+) \* 24 \* 3600\b", (DOCS / "tutorial.md").read_text(), re.MULTILINE)
    assert int(days) * 24 * 3600 > RETENTION_HOURS * 3600 + QUEUE_RETENTION_S
