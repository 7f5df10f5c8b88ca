"""CPU and memory of a tree of processes, by what each of them is."""

import contextlib
import os
from collections import Counter, defaultdict
from pathlib import Path

ROLES = {
    "stream_router.consumer.child": "child",
    "stream-router-shard": "child",
    "stream_router receive": "receiver",
    "stream-router receive": "receiver",
    "stream_router consume": "supervisor",
    "stream-router consume": "supervisor",
    "tests.fakeaws": "bus",
    "stream_router.receiver": "receiver",
    "ministack": "emulator",
    "java": "jvm",
}
PRODUCT = ("receiver", "jvm", "child", "supervisor")


def parents() -> dict[int, int]:
    """Every process and its parent."""
    result = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                result[int(entry.name)] = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
    return result


def tree(root: int) -> list[int]:
    """The process and all below it."""
    of, result = parents(), [root]
    for pid in result:
        result += [child for child, parent in of.items() if parent == pid]
    return result


def role(pid: int, root: int) -> str:
    """What the process is; `other` for those that nobody knows, `load` for the root, which sends and reads."""
    if pid == root:
        return "load"
    words = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
    return next((name for text, name in ROLES.items() if text in words), "other")


def cpu_by_role(root: int) -> Counter[str]:
    """User and system time so far, in seconds, by role."""
    counter: Counter[str] = Counter()
    for pid in tree(root):
        with contextlib.suppress(OSError):
            fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
            counter[role(pid, root)] += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")  # type: ignore[assignment]
    return counter


def memory_by_role(root: int) -> dict[str, list[float]]:
    """Resident memory in MB of each process, by role."""
    result = defaultdict[str, list[float]](list)
    for pid in tree(root):
        with contextlib.suppress(OSError):
            pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
            result[role(pid, root)].append(pages * os.sysconf("SC_PAGE_SIZE") / 1e6)
    return result
