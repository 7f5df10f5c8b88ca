"""What a process does with its host: waits, times, stops, whole files, memory, and the places where tests kill it."""

import os
import platform
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from stream_router import process
from stream_router.consumer.state_dir import LIVES, StateDir
from stream_router.errors import SettingsError
from stream_router.process import Rewritten, backoff_s, write_whole

pytestmark = pytest.mark.usefixtures("empty_environment")


def ended(program: str, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """A Python that ran `program` to its end."""
    command = [sys.executable, "-c", program, *words]
    environment = {**os.environ, **environment}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=30, check=False)


@pytest.mark.parametrize(("failures", "longest_s"), [(0, 0.5), (1, 1.0), (3, 4.0), (6, 30.0), (100_000, 30.0)])
def test_a_wait_doubles_up_to_its_bound_and_chance_takes_a_share(failures: int, longest_s: float) -> None:
    """A failure that lasts for days overflows nothing."""
    assert [backoff_s(failures, 0.5, 30.0, share) for share in (1.0, 0.5, 0.0)] == [longest_s, longest_s / 2, 0.0]


ARMED = """
import os, signal
from stream_router.process import end_at_early_stop
end_at_early_stop()
def stop():
    os.kill(os.getpid(), signal.{name})
"""
PLACES = {
    "between two lines": "print('a line'); stop()",
    # Of type(), which makes every exception there a RuntimeError: pydantic and botocore name hundreds of fields so.
    "while a class names its members": """
class Named:
    def __set_name__(self, owner, name): print('a line'); stop()
class Owner: member = Named()
""",
    # What is raised there is told on stderr, and lost.
    "while an object is deleted": """
class Deleted:
    def __del__(self): print('a line'); stop()
Deleted()
""",
    "in a library that takes everything for its own failure": """
try: print('a line'); stop()
except BaseException: pass
""",
}


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
@pytest.mark.parametrize("place", PLACES)
def test_a_stop_during_the_start_ends_it_wherever_it_comes(place: str, name: str) -> None:
    """Nothing that runs at that moment can swallow it, or make another error of it; what was written is not lost."""
    done = ended(f"{ARMED.format(name=name)}\n{PLACES[place]}\nraise SystemExit(3)")
    assert (done.returncode, done.stdout, done.stderr) == (0, "a line\n", "")


@pytest.mark.parametrize(
    ("command", "module", "name"),
    [
        ("consume", "consumer.supervisor.java", "find_java"),
        ("receive", "checks", "stream_writable"),
    ],
)
def test_both_programs_hear_a_stop_while_they_start(command: str, module: str, name: str) -> None:
    """They are process 1 of their image, to which the kernel gives no signal that it has not asked for."""
    program = f"""
import os, signal, sys
from stream_router.cli import main
import stream_router.{module} as module
module.{name} = lambda *_: os.kill(os.getpid(), signal.SIGTERM)
sys.argv = ["stream-router", "{command}"]
main()
"""
    done = ended(
        program,
        AWS_REGION="us-east-1",
        AWS_ACCESS_KEY_ID="a",
        AWS_SECRET_ACCESS_KEY="b",
        AWS_ENDPOINT_URL="http://127.0.0.1:9",
        SQS_DLQ_URL="http://127.0.0.1:9/0/q",
        STREAM_ROUTER_ADMIN_LISTEN="127.0.0.1:0",
        STREAM_ROUTER_RECEIVER_ADMIN_LISTEN="127.0.0.1:0",
        STREAM_ROUTER_LISTEN="127.0.0.1:0",
        STREAM_ROUTER_WEBHOOK_SCHEME="hmac",
        STREAM_ROUTER_WEBHOOK_SECRETS="a webhook secret of some length",
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("module", ["receiver.__main__", "consumer.supervisor.assembly"])
def test_neither_program_leaves_a_core_file(module: str) -> None:
    """Secrets and payload would stand in it: from before the first line in the log on, and for what it starts."""
    program = f"""
import importlib, resource
from types import SimpleNamespace
program = importlib.import_module("stream_router.{module}")
hard = resource.getrlimit(resource.RLIMIT_CORE)[1]
resource.setrlimit(resource.RLIMIT_CORE, (hard, hard))
def started(*_):
    raise SystemExit(resource.getrlimit(resource.RLIMIT_CORE)[0] != 0)
program.start_logging = started
program.run(SimpleNamespace(log_level="INFO", log_format="json"))
"""
    done = ended(program)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("in_place", [False, True])
def test_a_reader_sees_one_writer_s_content_whole(tmp_path: Path, *, in_place: bool) -> None:
    """Threads that write one file at once do not tear each other's content, and leave nothing beside it."""
    path = tmp_path / "marker.json"
    rewritten = Rewritten(path)
    texts = [letter * (4_000 if in_place else 100_000) for letter in "abcd"]
    start = threading.Barrier(len(texts))

    def write(text: str) -> None:
        start.wait(10)
        for _ in range(20):
            if in_place:
                rewritten.write(text)
            else:
                write_whole(path, text)

    writers = [threading.Thread(target=write, args=(text,)) for text in texts]
    for writer in writers:
        writer.start()
    while any(writer.is_alive() for writer in writers):
        assert not path.exists() or path.read_text("utf-8").rstrip() in texts
    assert path.read_text("utf-8").rstrip() in texts
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
    for folder in (tmp_path, tmp_path / LIVES):
        folder.mkdir(exist_ok=True)
        path = write_whole(folder / "shardId-000000000000.json", "x")
        (folder / ".profile.old.1x").write_text("x")
        done = ended(
            "import pathlib, sys; from stream_router import process; process.arm_failpoints(sys.argv[2]); "
            "process.write_whole(pathlib.Path(sys.argv[1]), 'y')",
            *(str(path), "state_file_written_before_rename=kill"),
        )
        assert done.returncode == -signal.SIGKILL
        assert len(list(folder.glob(".*json*"))) == 1
    with StateDir(tmp_path):
        kept = {path.name: path.read_text() for path in tmp_path.rglob("*") if path.is_file()}
    assert kept == {"shardId-000000000000.json": "x", ".profile.old.1x": "x", "lock": ""}


LARGE_BUFFER = """
large = bytearray(12 * 1024 * 1024)
del large
before = size_kb("VmRSS")
large = bytearray(8 * 1024 * 1024)
behind = [bytes([1]) * 50_000 for _ in range(20)]
del large
print(size_kb("VmRSS") - before)
"""
FOUR_THREADS = """
import threading
threading.stack_size(256 * 1024)
all_have, over = threading.Barrier(5), threading.Event()
def take():
    kept = [bytearray(5_000) for _ in range(100)]
    all_have.wait()
    over.wait()
before = size_kb("VmSize")
for thread in [threading.Thread(target=take) for _ in range(4)]:
    thread.start()
all_have.wait()
print(size_kb("VmSize") - before)
over.set()
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries have no such options")
@pytest.mark.parametrize(
    ("what", "option", "kept_kb"),
    [(LARGE_BUFFER, "give_back_large_blocks", 8 * 1024), (FOUR_THREADS, "share_one_heap", 64 * 1024)],
)
def test_the_allocator_keeps_less(what: str, option: str, kept_kb: int) -> None:
    """A large buffer that was freed leaves no hole, and threads have no heaps of their own; without the option so."""
    size = """
import re
from pathlib import Path
from stream_router import process
def size_kb(name):
    return int(re.search(name + r":\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
"""
    assert int(ended(size + what).stdout) >= kept_kb
    assert int(ended(f"{size}process.{option}()\n{what}").stdout) < kept_kb // 2


@pytest.fixture
def _disarmed() -> Iterator[None]:
    yield
    process.arm_failpoints("")


def test_a_kill_is_a_kill() -> None:
    """Nothing of the process runs after it: no handler, no flush."""
    done = ended(
        "from stream_router.process import arm_failpoints, failpoint; import atexit; atexit.register(print, 'ended');"
        "arm_failpoints('in_shard_end=kill@2; audit_record_written=stall:1s');"
        "[failpoint('in_shard_end') for _ in range(3)]"
    )
    assert done.returncode == -signal.SIGKILL
    assert (done.stdout, done.stderr) == ("", "failpoint in_shard_end, time 2\n")


@pytest.mark.parametrize(
    "text", ["x", "nowhere=kill", "in_shard_end=die", "in_shard_end=stall:2", "in_shard_end=kill@0"]
)
def test_a_rule_that_is_none_is_refused(text: str) -> None:
    """One line that names the variable and the cure."""
    with pytest.raises(SettingsError, match=r"^STREAM_ROUTER_FAILPOINTS: has a rule that is none; .* docs/proof"):
        process.arm_failpoints(text)
