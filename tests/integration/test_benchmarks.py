"""The benchmarks run: what is measured by hand now and then must not be found broken then."""

import subprocess
import sys


def test_the_childs_benchmark_gives_its_figures() -> None:
    """The smallest run of `child` ends with a row of figures and none of its events lost."""
    only = ["--only", "child, 10 a call, compact", "--quick", "--scale", "0.05", "--rounds", "1"]
    command = [sys.executable, "-m", "benchmarks.child", *only]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert "child, 10 a call, compact JSON: cpuUs" in done.stdout, done.stdout
