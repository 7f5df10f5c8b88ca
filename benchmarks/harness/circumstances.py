"""Under which circumstances a result was taken: machine, load, versions, commit."""

import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
LIBRARIES = ("orjson", "pycurl", "pydantic", "uvloop", "httptools", "pybase64", "boto3", "numpy", "amazon_kclpy")


def processor() -> str:
    """The processor's name as the kernel tells it, the machine's kind where it tells none."""
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        return platform.machine()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def machine() -> str:
    """The machine in a line."""
    memory_gb = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1e9
    return f"{platform.machine()}, {os.cpu_count()} CPUs ({processor()}), {memory_gb:.0f} GB, {platform.system()}"


def versions() -> dict[str, str]:
    """Python's and those of the libraries that do the work."""
    result = {"python": platform.python_version()}
    for name in LIBRARIES:
        try:
            result[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return result


def commit() -> str:
    """The commit that was measured, with `+changes` where files differ from it; `unknown` outside a checkout."""
    asked = ("rev-parse", "--short=12", "HEAD"), ("status", "--porcelain", "--untracked-files=no")
    completeds = [
        subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=False) for words in asked
    ]
    if any(done.returncode for done in completeds):
        return "unknown"
    return completeds[0].stdout.strip() + ("+changes" if completeds[1].stdout.strip() else "")


def load() -> list[float]:
    """The load averages of 1, 5 and 15 minutes."""
    return [round(value, 2) for value in os.getloadavg()]


def circumstances() -> dict[str, Any]:
    """All of it but what changes while a benchmark runs."""
    return {"machine": machine(), "versions": versions(), "commit": commit()}
