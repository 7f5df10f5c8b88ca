"""`stream-router demo` with settings of its own for the consumer, which the demo else shields from the environment.

`python -m benchmarks.harness.demo_with NAME=VALUE… -- EVENTS RATE`. For benchmarks only; prints the demo's JSON.
"""

import sys
from typing import Any

from stream_router.local import demo
from stream_router.local.programs import Programs


def run() -> int:
    """The demo, with the settings."""
    at = sys.argv.index("--")
    extra = dict(word.split("=", 1) for word in sys.argv[1:at])
    events, rate = sys.argv[at + 1 :]
    start = Programs.start

    def with_settings(self: Programs, name: str, command: Any, endpoint: Any, settings: Any, *rest: Any) -> Any:
        return start(self, name, command, endpoint, {**settings, **extra} if name == "consume" else settings, *rest)

    Programs.start = with_settings  # type: ignore[method-assign,assignment]
    return demo.run(demo.Wish(int(events), float(rate), 0.0), as_json=True)


if __name__ == "__main__":
    sys.exit(run())
