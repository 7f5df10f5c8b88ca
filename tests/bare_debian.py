"""A minimal Debian made from its packages, and a root of its own for a program in it. For tests that run as root."""

import os
import re
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
USER = "10001:10001"

_IN_ROOT = """
set -e
root=$0 user=$1
shift
mount --bind "$root" "$root"
mount --rbind /dev "$root/dev"
mount -t proc proc "$root/proc"
{more}
exec chroot --userspec="$user" "$root" "$@"
"""
"""`exec`, so that the program is PID 1 of its namespace."""


def marks(*needed: str) -> list[pytest.MarkDecorator]:
    """Of a file of long tests that wants root and these programs."""
    missing = [name for name in needed if shutil.which(name) is None]
    return [
        pytest.mark.system,
        pytest.mark.long,
        pytest.mark.timeout(900),
        pytest.mark.skipif(bool(missing) or os.geteuid() != 0, reason=f"needs root and {', '.join(needed)}"),
    ]


def command(packages: str, target: Path) -> list[str]:
    """What makes this machine's release of Debian, with these packages, at `target`: a folder or a .tar file."""
    release = Path("/etc/os-release").read_text()
    suite = re.findall(r"^VERSION_CODENAME=(\w+)$", release, re.MULTILINE)[0]
    return ["mmdebstrap", "--variant=minbase", f"--include={packages}", suite, str(target)]


def inside(root: Path, user: str, words: Sequence[str], more: str = "") -> list[str]:
    """The words as `user` (uid:gid) in that root, in namespaces of their own; `more` are steps of sh before them."""
    script = _IN_ROOT.replace("{more}", more)
    return ["unshare", "-m", "-p", "-f", "--kill-child", "sh", "-c", script, str(root), user, *words]
