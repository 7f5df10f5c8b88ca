"""What does an event cost in the child on each Python that the product runs on?

The environments are those that `make test-pythons` leaves in .venv/pythons, or the folder of BENCHMARK_PYTHONS.
"""

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from benchmarks.driven_child import Load, flooded
from benchmarks.harness.question import Options, Question, ask
from benchmarks.harness.rounds import Case
from tests.fakeaws.process import FakeAwsProcess


def others() -> list[Path]:
    """The interpreters of the other environments."""
    folder = Path(os.environ.get("BENCHMARK_PYTHONS") or Path(sys.prefix) / "pythons")
    return sorted(folder.glob("3.*/bin/python"))


def version(python: Path) -> str:
    """Its version, with the patch."""
    command = [str(python), "-c", "import platform; print(platform.python_version())"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return done.stdout.strip()


@contextlib.contextmanager
def cases(options: Options) -> Iterator[Sequence[Case]]:
    """The Python of this environment is the baseline."""
    count = options.count(60_000, 20_000)
    with FakeAwsProcess() as fake_aws:
        own = version(Path(sys.executable))
        made = [Case(f"Python {own}", partial(flooded, fake_aws, Load(count)), "baseline")]
        for python in others():
            if (found := version(python)) != own:
                load = Load(count, python=str(python))
                made.append(Case(f"Python {found}", partial(flooded, fake_aws, load)))
        yield made


QUESTION = Question("pythons", str(__doc__).partition("\n")[0], cases, rounds=5, bound_s=150)

if __name__ == "__main__":
    ask(QUESTION)
