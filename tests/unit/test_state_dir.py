"""The state folder: one supervisor's, what outlives it, and disks in trouble."""

import errno
import fcntl
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from stream_router.consumer.state_dir import (
    CRASH_MARKERS,
    FATAL,
    MARKER_RETENTION_DAYS,
    TARGET_CHECK_REQUESTED,
    TARGET_REPORT,
    WORKER_ID,
    StateDir,
)
from stream_router.errors import SettingsError

HALF_WRITTEN = """
import pathlib, sys
from stream_router import process
process.arm_failpoints("state_file_written_before_rename=kill")
process.write_atomically(pathlib.Path(sys.argv[1]), "y")
"""


def test_what_an_earlier_life_left_is_forgotten_but_for_what_is_kept_of_a_shard(tmp_path: Path) -> None:
    """A proof (the monotonic clock may begin anew), a verdict, snapshots, halves of a killed writer's; markers only a
    month after their last word: a stream that is resharded daily would fill a small volume's inodes."""
    (tmp_path / CRASH_MARKERS).mkdir()
    (tmp_path / "metrics").mkdir()
    for name in (TARGET_REPORT, TARGET_CHECK_REQUESTED, FATAL, "metrics/shardId-0.1.json", ".profile.old.1x"):
        (tmp_path / name).write_text("999999.0")
    for name, days in (("ended", MARKER_RETENTION_DAYS + 1), ("read", MARKER_RETENTION_DAYS - 1)):
        path = tmp_path / CRASH_MARKERS / f"{name}.json"
        path.write_text("x")
        at_s = time.time() - days * 86_400
        os.utime(path, (at_s, at_s))
        done = subprocess.run([sys.executable, "-c", HALF_WRITTEN, path.with_stem("half")], check=False)
        assert done.returncode == -signal.SIGKILL
    assert list((tmp_path / CRASH_MARKERS).glob(".*"))
    with StateDir(tmp_path):
        left = {path.name for path in tmp_path.rglob("*") if path.is_file()}
    assert left == {"read.json", ".profile.old.1x", "lock"}, "what is not ours stays too"


def test_the_worker_keeps_its_name_where_the_folder_stays(tmp_path: Path) -> None:
    """A restarted worker takes its own leases up again at once; another folder, or host, is another worker."""
    names = []
    for folder in (tmp_path / "one", tmp_path / "one", tmp_path / "two"):
        with StateDir(folder) as state:
            names.append(state.worker_id())
    assert names[0] == names[1] != names[2]
    for torn in (b"another-host-0123456789abcdef", b"", bytes(40), b"host-\xff\xfe"):
        (tmp_path / "one" / WORKER_ID).write_bytes(torn)
        with StateDir(tmp_path / "one") as state:
            result = state.worker_id()
            assert result.isprintable()
            assert not result.startswith("another-host-")
            assert state.worker_id() == result
            assert (state.worker_id("pod-7"), state.worker_id()) == ("pod-7", result), "the platform's own name wins"


def test_two_supervisors_cannot_share_a_folder(tmp_path: Path) -> None:
    """They would be one worker twice; the second is told so in one line."""
    with StateDir(tmp_path), pytest.raises(SettingsError, match="STREAM_ROUTER_STATE_DIR: another `consume`"):
        StateDir(tmp_path)
    StateDir(tmp_path).close()


@pytest.mark.parametrize(
    ("where", "code", "status"),
    [
        # somebody makes room; a start that ended with 78 is not repeated
        ((Path, "open"), errno.ENOSPC, 1),
        ((Path, "open"), errno.EDQUOT, 1),
        ((Path, "open"), errno.EROFS, 78),
        # NFS without its lock server: no other consumer, for which an operator would look in vain
        ((fcntl, "flock"), errno.ENOLCK, 78),
    ],
)
def test_a_disk_in_trouble_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: tuple[object, str], code: int, status: int
) -> None:
    """With the disk's own reason; 78 only where waiting cannot help."""

    def refuse(*_: object, **__: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(*where, refuse)
    with pytest.raises(SettingsError, match=rf"^STREAM_ROUTER_STATE_DIR: [^\n]*\({os.strerror(code)}\); ") as refused:
        StateDir(tmp_path)
    assert refused.value.status == status
