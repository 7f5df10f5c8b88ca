"""What the spill opens: through no link, and over no file that it did not make."""

import errno
import os
from pathlib import Path

import pytest

from stream_router.errors import SettingsError
from stream_router.receiver.spill import SpillFiles

KEPT = b"what others wrote"
LINE = b'{"a":"line"}'
SEGMENTS = [f"spill-0-{number:020d}.seg" for number in (0, 1)]


@pytest.fixture
def aside(tmp_path: Path) -> Path:
    """A file beside the spill's folder."""
    (tmp_path / "spill").mkdir()
    path = tmp_path / "aside"
    path.write_bytes(KEPT)
    return path


@pytest.mark.parametrize("is_link", [True, False])
def test_a_file_that_it_did_not_make_is_left_as_it_is(aside: Path, is_link: bool) -> None:
    """A link, or another's file, under the next segment's name: the append fails, and that file keeps its bytes."""
    folder = aside.parent / "spill"
    files = SpillFiles(folder)
    path = folder / SEGMENTS[0]
    if is_link:
        path.symlink_to(aside)
    else:
        path.write_bytes(KEPT)
    with pytest.raises(FileExistsError):
        files.append([(7, b"{}")])
    assert path.read_bytes() == KEPT
    path.unlink()
    assert files.append([(7, b"{}")]) == 0
    files.close()


def test_neither_the_lock_nor_what_is_set_aside_follows_a_link(aside: Path) -> None:
    """A link in place of the lock is a setting's error; a line that the stream refuses goes into no linked file."""
    folder = aside.parent / "spill"
    (folder / "spill-0.lock").symlink_to(aside)
    with pytest.raises(SettingsError, match=r"STREAM_ROUTER_SPILL_DIR: it cannot be used \(ELOOP\)"):
        SpillFiles(folder)
    (folder / "spill-0.lock").unlink()
    files = SpillFiles(folder)
    (folder / "spill-0.refused.damaged").symlink_to(aside)
    with pytest.raises(OSError, match="symbolic links"):
        files.set_aside(b"{}")
    files.close()
    assert aside.read_bytes() == KEPT


def test_a_line_is_set_aside_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that takes a few bytes at a time takes all of the line in the end. One that becomes full keeps no part."""
    write, is_full = os.write, False

    def write_some(fd: int, data: bytes) -> int:
        if is_full and len(data) < len(LINE):
            raise OSError(errno.ENOSPC, "full")
        return write(fd, bytes(data)[:5])

    monkeypatch.setattr(os, "write", write_some)
    files, path = SpillFiles(tmp_path), tmp_path / "spill-0.refused.damaged"
    files.set_aside(LINE)
    assert path.read_bytes() == LINE + b"\n"
    is_full = True
    with pytest.raises(OSError, match="full"):
        files.set_aside(LINE)
    assert path.read_bytes() == LINE + b"\n"
    files.close()


def test_its_own_file_that_could_not_be_removed_is_no_hindrance(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that refuses the first sync, and then the removal, takes the same rows once it is well again."""

    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS, "refused")

    files = SpillFiles(tmp_path)
    with monkeypatch.context() as ill:
        ill.setattr("os.fdatasync", refuse)
        ill.setattr(Path, "unlink", refuse)
        with pytest.raises(OSError, match="refused"):
            files.append([(7, b"old")])
    assert files.append([(7, b"{}")]) == 0
    assert [row.line for row in files.read().rows] == [b"{}"]
    files.close()
