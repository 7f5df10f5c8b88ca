"""`make bench`: every benchmark of this folder, one after the other; `python -m benchmarks NAME…` only those named."""

import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).parent


def names() -> list[str]:
    """The benchmarks: the modules that can be run."""
    runnable = 'if __name__ == "__main__":'
    found = [path.stem for path in sorted(FOLDER.glob("*.py")) if runnable in path.read_text("utf-8")]
    return [name for name in found if name != "__main__"]


def main() -> int:
    """Run them; 1 if any failed."""
    chosen = sys.argv[1:] or names()
    failed = []
    for name in chosen:
        print(f"--- {name}", flush=True)
        if subprocess.run([sys.executable, "-m", f"benchmarks.{name}"], check=False).returncode:
            failed.append(name)
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
