"""The wall clock in milliseconds since 1970, which is how events and letters tell their times."""

import time


def now_ms() -> float:
    """The time now."""
    return time.time() * 1000
