"""The state folder on a disk that has become read-only, or has lost what was written, as one with errors does."""

import errno
import fcntl
import os
import shutil
import time
from pathlib import Path

import pytest

from stream_router.consumer.state_dir import (
    ENDING,
    FATAL,
    KEPT_DAYS,
    LIVES,
    LOCK,
    TARGET_PROOF,
    WORKER_ID,
    StateDir,
)
from stream_router.errors import SettingsError


def test_what_is_not_there_needs_no_writing_to_be_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A read-only file system refuses to remove even that; the supervisor asks before each daemon that it starts."""

    def refused(self: Path, *, missing_ok: bool = False) -> None:
        raise OSError(errno.EROFS, "Read-only file system", str(self))

    with StateDir(tmp_path) as state:
        state.write(ENDING, "ends\n")
        monkeypatch.setattr(Path, "unlink", refused)
        state.discard(TARGET_PROOF)
        with pytest.raises(OSError, match="Read-only"):
            state.discard(ENDING)


@pytest.mark.parametrize("folder", [LIVES])
def test_what_is_kept_of_a_shard_goes_a_month_after_its_last_word(tmp_path: Path, folder: str) -> None:
    """A stream that is resharded daily gives its shards new names: their files would fill a small volume's inodes."""
    (tmp_path / folder).mkdir()
    for name, days in (("ended", KEPT_DAYS + 1), ("read", KEPT_DAYS - 1)):
        path = tmp_path / folder / f"{name}.json"
        path.write_text("{}")
        at_s = time.time() - days * 86_400
        os.utime(path, (at_s, at_s))
    with StateDir(tmp_path):
        assert [path.name for path in (tmp_path / folder).iterdir()] == ["read.json"]


@pytest.mark.parametrize("torn", [b"", bytes(40), b"host-\xff\xfe"])
def test_a_torn_name_of_the_worker_is_made_anew(tmp_path: Path, torn: bytes) -> None:
    """A power cut may leave anything in a file. The leases of the old name are taken over like a dead worker's."""
    with StateDir(tmp_path) as state:
        (tmp_path / WORKER_ID).write_bytes(torn)
        made = state.worker_id()
        assert made.isprintable()
        assert state.worker_id() == made


@pytest.mark.parametrize(
    ("refusal", "says"),
    [
        (BlockingIOError(errno.EWOULDBLOCK, "busy"), "another `consume` is using it; give each its own folder"),
        (OSError(errno.ENOLCK, "No locks available"), "cannot be locked (No locks available); name a folder"),
    ],
)
def test_a_disk_without_locks_is_no_other_consumer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refusal: OSError, says: str
) -> None:
    """NFS without its lock server, say: nobody else is there, and an operator would look in vain."""

    def refuse(*_: object) -> None:
        raise refusal

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(SettingsError) as refused:
        StateDir(tmp_path)
    assert str(refused.value).startswith(f"STREAM_ROUTER_STATE_DIR: {says}")


@pytest.mark.parametrize(
    ("code", "status", "cure"),
    [(errno.ENOSPC, 1, "make room"), (errno.EDQUOT, 1, "make room"), (errno.EROFS, 78, "name a writable folder")],
)
def test_a_full_disk_is_no_wrong_setting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, status: int, cure: str
) -> None:
    """Without an inode no lock can be made. Somebody makes room; a start that ended with 78 is not repeated."""

    def refuse(*_: object, **__: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(SettingsError) as refused:
        StateDir(tmp_path)
    assert refused.value.status == status
    assert str(refused.value) == f"STREAM_ROUTER_STATE_DIR: cannot be written ({os.strerror(code)}); {cure}"


def test_a_folder_that_was_removed_is_made_and_locked_anew(tmp_path: Path) -> None:
    """Before each daemon: without the folder none could be started any more, and without its lock another `consume`
    would take it for its own."""
    folder = tmp_path / "state"
    with StateDir(folder) as state:
        state.keep()
        for is_whole in (True, False):
            shutil.rmtree(folder) if is_whole else (folder / LOCK).unlink()
            state.keep()
            state.write(ENDING, "ends\n")
            with pytest.raises(SettingsError, match="another `consume` is using it"):
                StateDir(folder)
        (folder / LOCK).unlink()
        with StateDir(folder), pytest.raises(SettingsError, match="another `consume` is using it"):
            state.keep()
    with StateDir(folder):
        pass


def test_proofs_and_verdicts_of_an_earlier_life_are_forgotten(tmp_path: Path) -> None:
    """After a reboot the monotonic clock begins anew: an old proof would lie in the future."""
    (tmp_path / TARGET_PROOF).write_text("999999.0\n")
    (tmp_path / FATAL).write_text("old\n")
    (tmp_path / "metrics").mkdir()
    (tmp_path / "metrics" / "shardId-0.1.json").write_text("{}")
    with StateDir(tmp_path) as state:
        assert not (tmp_path / "metrics").exists()
        assert state.read(TARGET_PROOF) == ""
        assert state.read(FATAL) == ""


def test_the_worker_keeps_its_name_where_the_folder_stays(tmp_path: Path) -> None:
    """A restarted worker takes its own leases up again at once; another folder is another worker."""
    names = []
    for folder in (tmp_path / "one", tmp_path / "one", tmp_path / "two"):
        with StateDir(folder) as state:
            names.append(state.worker_id())
    assert names[0] == names[1] != names[2]


def test_a_folder_copied_to_another_host_makes_another_worker(tmp_path: Path) -> None:
    """Two workers of one name would both read one shard."""
    (tmp_path / "worker-id").write_text("another-host-0123456789abcdef")
    with StateDir(tmp_path) as state:
        assert not state.worker_id().startswith("another-host-")
        assert state.worker_id() == state.worker_id()


def test_the_platforms_name_of_the_worker_wins(tmp_path: Path) -> None:
    """A name that is given is used as it is, and leaves the folder's own as it was."""
    with StateDir(tmp_path) as state:
        own = state.worker_id()
        assert state.worker_id("pod-7") == "pod-7"
        assert state.worker_id() == own


def test_two_supervisors_cannot_share_a_folder(tmp_path: Path) -> None:
    """They would be one worker twice; the second is told so in one line."""
    with StateDir(tmp_path), pytest.raises(SettingsError, match="STREAM_ROUTER_STATE_DIR: another `consume`"):
        StateDir(tmp_path)
    StateDir(tmp_path).close()


def test_without_a_folder_of_its_own_nothing_is_left_behind() -> None:
    """The temporary folder goes with the process that made it."""
    with StateDir(None) as state:
        path = state.path
        state.write("x", "y")
        assert path.is_dir()
    assert not path.exists()
