"""A file that is replaced is whole at every moment, whoever writes it at the same time."""

import threading
from pathlib import Path

import pytest

from stream_router.consumer.state_dir import LIVES, TROUBLES, StateDir
from stream_router.process import write_whole


def test_a_reader_sees_one_writer_s_content_whole(tmp_path: Path) -> None:
    """Threads that write one file at once do not tear each other's content, and leave nothing beside it."""
    path = tmp_path / "marker.json"
    texts = [letter * 100_000 for letter in "abcd"]
    start = threading.Barrier(len(texts))

    def write(text: str) -> None:
        start.wait(10)
        for _ in range(20):
            write_whole(path, text)

    writers = [threading.Thread(target=write, args=(text,)) for text in texts]
    for writer in writers:
        writer.start()
    while any(writer.is_alive() for writer in writers):
        assert not path.exists() or path.read_text("utf-8") in texts
    assert path.read_text("utf-8") in texts
    assert list(tmp_path.iterdir()) == [path]


def test_what_cannot_be_written_leaves_the_old_content(tmp_path: Path) -> None:
    """A folder stands in the neighbour's way here; in life a full disk."""
    path = write_whole(tmp_path / "proof", b"old")
    path.with_name("locked").mkdir()
    with pytest.raises(OSError, match=r".*"):
        write_whole(tmp_path / "locked", "new")
    assert path.read_bytes() == b"old"


def test_what_a_killed_writer_left_is_forgotten_by_the_next_supervisor(tmp_path: Path) -> None:
    """In each folder that outlives a supervisor; what is whole, and what is not ours, stays."""
    for folder in (tmp_path, tmp_path / LIVES, tmp_path / TROUBLES):
        folder.mkdir(exist_ok=True)
        for name in ("shardId-000000000000.json", ".shardId-000000000000.json.4154.139662060267200", ".profile.old.1x"):
            (folder / name).write_text("x")
    with StateDir(tmp_path):
        kept = {path.name for path in tmp_path.rglob("*") if path.is_file()}
    assert kept == {"shardId-000000000000.json", ".profile.old.1x", "lock"}
