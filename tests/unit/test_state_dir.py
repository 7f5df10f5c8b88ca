"""The state folder: one supervisor's, what outlives it, and disks in trouble."""

import errno
import fcntl
import os
import time
from pathlib import Path

import pytest

from stream_router.consumer.state_dir import FATAL, KEPT_DAYS, LIVES, TARGET_PROOF, WORKER_ID, StateDir
from stream_router.errors import SettingsError


def test_proofs_and_verdicts_of_an_earlier_life_are_forgotten(tmp_path: Path) -> None:
    """After a reboot the monotonic clock begins anew: an old proof would lie in the future."""
    (tmp_path / TARGET_PROOF).write_text("999999.0\n")
    (tmp_path / FATAL).write_text("old\n")
    (tmp_path / "metrics").mkdir()
    (tmp_path / "metrics" / "shardId-0.1.json").write_text("{}")
    with StateDir(tmp_path) as state:
        assert not (tmp_path / "metrics").exists()
        assert (state.read(TARGET_PROOF), state.read(FATAL)) == ("", "")


def test_what_is_kept_of_a_shard_goes_a_month_after_its_last_word(tmp_path: Path) -> None:
    """A stream that is resharded daily gives its shards new names: their files would fill a small volume's inodes."""
    (tmp_path / LIVES).mkdir()
    for name, days in (("ended", KEPT_DAYS + 1), ("read", KEPT_DAYS - 1)):
        path = tmp_path / LIVES / f"{name}.json"
        path.write_text("{}")
        at_s = time.time() - days * 86_400
        os.utime(path, (at_s, at_s))
    with StateDir(tmp_path):
        assert [path.name for path in (tmp_path / LIVES).iterdir()] == ["read.json"]


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
            made = state.worker_id()
            assert made.isprintable()
            assert not made.startswith("another-host-")
            assert state.worker_id() == made
            assert (state.worker_id("pod-7"), state.worker_id()) == ("pod-7", made), "the platform's own name wins"


def test_two_supervisors_cannot_share_a_folder(tmp_path: Path) -> None:
    """They would be one worker twice; the second is told so in one line."""
    with StateDir(tmp_path), pytest.raises(SettingsError, match="STREAM_ROUTER_STATE_DIR: another `consume`"):
        StateDir(tmp_path)
    StateDir(tmp_path).close()


def test_a_disk_without_locks_is_no_other_consumer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """NFS without its lock server, say: nobody else is there, and an operator would look in vain."""

    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(SettingsError, match=r"^STREAM_ROUTER_STATE_DIR: cannot be locked \(No locks available\)"):
        StateDir(tmp_path)


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


def test_without_a_folder_of_its_own_nothing_is_left_behind() -> None:
    """The temporary folder goes with the process that made it."""
    with StateDir(None) as state:
        assert state.write("x", "y").exists()
    assert not state.path.exists()
